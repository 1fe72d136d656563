// The decisions about a video, with the findings of each.

import { useCallback, useState } from "react";
import { access, type Decision, type Verdict } from "../api/access";
import { ago, dateTime } from "../lib/format";
import { shortId } from "../lib/wallets";
import { usePages } from "../pages/use-pages";
import { Failure } from "../ui/failure";
import { Grounds } from "./findings";

const PAGE = 10;
const EVERY_MS = 5_000;

const SAYS: Record<Verdict, { tone: string; label: string }> = {
  allowed: { tone: "text-accent", label: "allowed" },
  denied: { tone: "text-bad", label: "denied" },
  unknown: { tone: "text-busy", label: "denied, not checked" },
};

interface DecisionsProps {
  content: string;
  /** Revokes a user's access; `null`: not possible. */
  onPick: ((principal: string) => void) | null;
}

export function Decisions({ content, onPick }: DecisionsProps) {
  const fetchPage = useCallback(
    (cursor: string | null, signal: AbortSignal) => access.decisions(content, cursor, PAGE, signal),
    [content],
  );
  const { items, error, more, refresh } = usePages(fetchPage, EVERY_MS);
  return (
    <div>
      <div className="flex items-center justify-between gap-4">
        <h3 className="font-semibold">Decisions</h3>
        <button type="button" className="button button-small" onClick={refresh}>
          Refresh
        </button>
      </div>
      {error && <Failure message={error} onRetry={refresh} />}
      {!error && items.length === 0 && (
        <p className="mt-1 text-soft">There have been no attempts to watch this yet.</p>
      )}
      <ul className="mt-2 divide-y divide-line border-line border-y empty:hidden" data-testid="decisions">
        {items.map((decision) => (
          <Row key={decision.id} decision={decision} onPick={onPick} />
        ))}
      </ul>
      {more && (
        <button type="button" className="button button-small mt-2" onClick={more}>
          Load more
        </button>
      )}
    </div>
  );
}

function Row({ decision, onPick }: { decision: Decision; onPick: DecisionsProps["onPick"] }) {
  const [open, setOpen] = useState(false);
  const { tone, label } = SAYS[decision.verdict] ?? { tone: "", label: decision.verdict };
  const when = decision.confirmed_at ?? decision.decided_at;
  const { principal } = decision;
  return (
    <li className="py-2">
      <button
        type="button"
        aria-expanded={open}
        className="flex w-full flex-wrap gap-x-4 text-left"
        onClick={() => setOpen(!open)}
      >
        <span className={`narrow w-24 text-sm max-sm:w-16 ${tone}`}>{label}</span>
        <span className="digits min-w-0 flex-1 truncate" title={principal}>
          <span className="max-sm:sr-only">{principal || "not signed in"}</span>
          <span className="sm:hidden" aria-hidden="true">
            {shortId(principal || "not signed in")}
          </span>
        </span>
        {when && (
          <span className="digits text-soft text-sm" title={dateTime(when)}>
            {ago(when)}
          </span>
        )}
      </button>
      {open && (
        <div className="mt-2 space-y-2">
          <Grounds decision={decision} />
          {principal && onPick && (
            <button type="button" className="button button-small" onClick={() => onPick(principal)}>
              Revoke access
              <span className="sr-only"> of {principal}</span>
            </button>
          )}
        </div>
      )}
    </li>
  );
}
