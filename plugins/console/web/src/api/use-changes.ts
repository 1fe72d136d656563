// The shared stream of changes, for components.

import { useEffect, useRef, useState } from "react";
import { type Connection, changes, type Listener } from "./events";

/** Calls the newest of the given functions for each change. */
export function useChanges(listener: Listener): Connection {
  const [connection, setConnection] = useState<Connection>("connecting");
  const latest = useRef(listener);
  latest.current = listener;
  useEffect(
    () =>
      changes.subscribe({
        changed: (content) => latest.current.changed?.(content),
        deleted: (id) => latest.current.deleted?.(id),
        opened: () => latest.current.opened?.(),
        connection: setConnection,
      }),
    [],
  );
  return connection;
}
