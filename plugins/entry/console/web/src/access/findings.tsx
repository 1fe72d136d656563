// The findings of a decision: the rule with the result at each place, and the blocks it was read at.

import type { Decision, Evidence, Finding, Verdict } from "../api/access";
import { ago, dateTime } from "../lib/format";
import { WithNames } from "../ui/names";

const HOLDS: Record<Finding["holds"], { tone: string; label: string }> = {
  yes: { tone: "text-accent", label: "Yes" },
  no: { tone: "text-bad", label: "No" },
  unknown: { tone: "text-busy", label: "Unknown" },
};

const VERDICTS: Record<Verdict, { tone: string; label: string }> = {
  allowed: { tone: "text-accent", label: "Has access" },
  denied: { tone: "text-bad", label: "No access" },
  unknown: { tone: "text-busy", label: "Could not be checked, so access is denied" },
};

/** The result of a preview. */
export function PreviewView({ decision }: { decision: Decision }) {
  const { tone, label } = VERDICTS[decision.verdict] ?? { tone: "", label: decision.verdict };
  return (
    <>
      <p className={`wide mb-2 ${tone}`}>{label}</p>
      <Grounds decision={decision} />
    </>
  );
}

/** The basis of a decision. */
export function Grounds({ decision }: { decision: Decision }) {
  return (
    <div className="space-y-2" data-verdict={decision.verdict}>
      {decision.reason && (
        <p className="max-w-prose break-words">
          <WithNames text={decision.reason} />
        </p>
      )}
      {decision.finding && <FindingTree finding={decision.finding} />}
      {decision.evidence && decision.evidence.length > 0 && <EvidenceList evidence={decision.evidence} />}
    </div>
  );
}

/** Whether a part of a rule holds, as a label. */
export function Holds({ finding }: { finding: Finding }) {
  const { tone, label } = HOLDS[finding.holds] ?? HOLDS.unknown;
  return (
    <span className={`narrow text-sm ${tone}`} data-holds={finding.holds}>
      {label}
    </span>
  );
}

const GROUPS: Record<string, string> = { all: "All of these", any: "Any of these", not: "Not this" };

function FindingTree({ finding }: { finding: Finding }) {
  return (
    <div className="border-line border-l-2 py-0.5 pl-3">
      <p className="break-words">
        <Holds finding={finding} />{" "}
        <WithNames text={finding.text ?? GROUPS[finding.rule] ?? capital(finding.rule)} />
      </p>
      {finding.of && finding.of.length > 0 && (
        <ul className="mt-1 space-y-1">
          {finding.of.map((child, index) => (
            // biome-ignore lint/suspicious/noArrayIndexKey: a finding has no name but its place.
            <li key={index}>
              <FindingTree finding={child} />
            </li>
          ))}
        </ul>
      )}
    </div>
  );
}

function capital(text: string): string {
  return text.charAt(0).toUpperCase() + text.slice(1);
}

function EvidenceList({ evidence }: { evidence: Evidence[] }) {
  return (
    <ul className="digits space-y-0.5 text-soft text-sm" aria-label="Read on chains">
      {evidence.map((one) => (
        <li key={`${one.chain} ${one.block} ${one.finding}`} className="break-words" title={one.block_hash}>
          {one.chain}, block {one.block} ({one.finality}): <WithNames text={one.finding} />
          {one.observed_at && <span title={dateTime(one.observed_at)}>, {ago(one.observed_at)}</span>}
        </li>
      ))}
    </ul>
  );
}
