// A stream of changes, for components.

import { useEffect, useRef, useState } from "react";
import type { ChangeStream, Connection, Listener } from "./events";

/** Calls the newest of the given functions for each change of a stream, if there is one to follow. */
export function useChanges(stream: ChangeStream | null, listener: Listener): Connection {
  const [connection, setConnection] = useState<Connection>("connecting");
  const latest = useRef(listener);
  latest.current = listener;
  useEffect(
    () =>
      stream?.subscribe({
        changed: (content) => latest.current.changed?.(content),
        deleted: (id) => latest.current.deleted?.(id),
        opened: () => latest.current.opened?.(),
        connection: setConnection,
      }),
    [stream],
  );
  return connection;
}
