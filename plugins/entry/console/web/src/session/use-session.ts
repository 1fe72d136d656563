// The session, for components.

import { useSyncExternalStore } from "react";
import type { Scope } from "../api/auth";
import type { Content } from "../api/types";
import { may, type Session, session } from "./session";

export function useSession(): Session {
  return useSyncExternalStore(session.watch, session.get);
}

/** Whether the user has this scope, as far as this page knows. */
export function useMay(scope: Scope): boolean {
  return may(useSession(), scope);
}

/** Whether the user may change this content: the server states the owner only to those who may. */
export function useMayChange(content: Content | null): boolean {
  return useMay("content:write") && content?.owner !== undefined;
}

/** Whether this content is theirs, or they are an admin: to delete, to share and to hand over. */
export function useOwns(content: Content | null): boolean {
  const session = useSession();
  const admin = useMay("admin");
  const mayChange = useMayChange(content);
  const theirs =
    session.state !== "in" || content?.owner === null || content?.owner === session.identity.principal;
  return mayChange && (admin || theirs);
}
