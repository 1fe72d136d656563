// Short messages in the corner, which screen readers speak too. Errors stay until they are dismissed.
//
// They overlap the page, so they must not block what is below: a click goes through a message that
// disappears automatically, and the page grows by their height, so that its end can be scrolled out from
// under them (WCAG 2.2, 2.4.11: focus not obscured).

import { useLayoutEffect, useRef, useSyncExternalStore } from "react";
import { Icon } from "./icons";
import { Link } from "./link";

interface Notice {
  id: number;
  text: string;
  bad: boolean;
  link?: { href: string; label: string };
}

const SHOWN_MS = 6_000;
const MOST = 4;
/** Between the messages and the edge of the window (`bottom-4`). */
const MARGIN_PX = 16;

let notices: readonly Notice[] = [];
let nextId = 1;
const watchers = new Set<() => void>();

function set(next: readonly Notice[]) {
  notices = next;
  for (const watcher of watchers) watcher();
}

function dismiss(id: number) {
  set(notices.filter((notice) => notice.id !== id));
}

function show(notice: Omit<Notice, "id">) {
  const id = nextId++;
  const others = notices.filter((other) => other.text !== notice.text);
  set([...others, { ...notice, id }].slice(-MOST));
  if (!notice.bad) setTimeout(() => dismiss(id), SHOWN_MS);
}

export const notify = {
  done: (text: string, link?: Notice["link"]) => show({ text, bad: false, ...(link ? { link } : {}) }),
  failed: (text: string) => show({ text, bad: true }),
};

export function Notices() {
  const shown = useSyncExternalStore(
    (watcher) => {
      watchers.add(watcher);
      return () => watchers.delete(watcher);
    },
    () => notices,
  );
  const corner = useRef<HTMLDivElement>(null);
  useLayoutEffect(() => {
    const height = shown.length > 0 ? (corner.current?.offsetHeight ?? 0) + 2 * MARGIN_PX : 0;
    document.documentElement.style.scrollPaddingBottom = `${height}px`;
    document.body.style.paddingBottom = `${height}px`;
  }, [shown]);
  return (
    <div
      ref={corner}
      role="status"
      aria-live="polite"
      className="pointer-events-none fixed inset-x-4 bottom-4 z-40 flex flex-col items-center gap-2 sm:left-auto sm:items-end"
    >
      {shown.map((notice) => (
        <div
          key={notice.id}
          className={`arrive flex w-full max-w-md items-start gap-3 border-l-4 bg-ink py-2.5 pr-2 pl-4 text-paper shadow-lg ${notice.bad ? "pointer-events-auto border-bad" : "border-accent"}`}
        >
          <p className="flex-1 py-1">
            {notice.text}
            {notice.link && (
              <>
                {" "}
                <Link href={notice.link.href} className="pointer-events-auto underline underline-offset-2">
                  {notice.link.label}
                </Link>
              </>
            )}
          </p>
          <button
            type="button"
            aria-label="Dismiss this message"
            className="pointer-events-auto grid size-8 place-items-center opacity-70 hover:opacity-100 focus-visible:outline-paper"
            onClick={() => dismiss(notice.id)}
          >
            <Icon name="close" size={16} />
          </button>
        </div>
      ))}
    </div>
  );
}
