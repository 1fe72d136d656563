// The policy of a content, to read and to change: public, private, or by a rule; and whom a rule would
// admit, before it is saved.

import { type FormEvent, useState } from "react";
import { access, type Decision, type Finding, type Openness, type Policy } from "../api/access";
import { ApiError, inProse, messageOf, wholeMessageOf } from "../api/client";
import { usePoll } from "../pages/use-poll";
import { useSession } from "../session/use-session";
import { Failure } from "../ui/failure";
import { Section } from "../ui/heading";
import { WithNames } from "../ui/names";
import { notify } from "../ui/notices";
import { Chains } from "./asset-input";
import { readWarnings, type Warning } from "./assets";
import { OPENNESS } from "./badge";
import { PreviewView } from "./findings";
import { linesOf, RuleEditor } from "./rule-editor";
import { labelOf, type Mistake, parseRule, type Rule, walletName } from "./rules";
import { Viewers } from "./viewers";

const CHOICES = Object.entries(OPENNESS) as [Openness, (typeof OPENNESS)[Openness]][];
const FIRST_RULE: Rule = { any: [] };

export default function Access({ content }: { content: string }) {
  const [fetchPolicy] = useState(() => (signal: AbortSignal) => access.policy(content, signal));
  const { data: policy, error, refresh } = usePoll(fetchPolicy);
  const { data: chains } = usePoll(access.chains);
  // The message of the last save, above the form that is recreated with it.
  const [warnings, setWarnings] = useState<Warning[]>([]);
  // Without the plugin everything is public.
  if (!policy && !error) return null;
  return (
    <Section id="access-title" title="Access">
      {error && <Failure message={error} onRetry={refresh} />}
      {policy && (
        <div className="mt-3 space-y-8">
          <div className="space-y-4">
            <Chains value={chains}>
              <PolicyForm
                key={policy.revision}
                content={content}
                policy={policy}
                onSaved={(saved) => {
                  setWarnings(saved);
                  return refresh();
                }}
              />
            </Chains>
            <Warnings warnings={warnings} title="Saved, but" />
          </div>
          <Viewers content={content} open={policy.openness === "public" || policy.openness === "unlisted"} />
        </div>
      )}
    </Section>
  );
}

interface PolicyProps {
  content: string;
  policy: Policy;
  /** Resolves when the form shows the saved policy. */
  onSaved(warnings: Warning[]): Promise<void>;
}

/** The result of a preview, and its rule. */
interface Found {
  rule: Rule;
  decision: Decision;
}

function PolicyForm({ content, policy, onSaved }: PolicyProps) {
  const [openness, setOpenness] = useState(policy.openness);
  const [rule, setRule] = useState<Rule>(policy.rule ?? FIRST_RULE);
  const [mistakes, setMistakes] = useState<Mistake[]>([]);
  const [failure, setFailure] = useState<string | null>(null);
  const [found, setFound] = useState<Found | null>(null);
  const [busy, setBusy] = useState(false);

  const change = (next: Rule) => {
    setRule(next);
    setMistakes([]);
    setFailure(null);
  };
  const attempt = async (run: () => Promise<unknown>, said: string) => {
    setBusy(true);
    setFailure(null);
    setMistakes([]);
    try {
      const answer = await run();
      await onSaved(readWarnings(answer));
      // Not before: the form is recreated, and input in the old one is lost.
      notify.done(said);
    } catch (error) {
      const places = mistakesOf(error);
      setMistakes(places);
      if (places.length === 0 || openness !== "gated") setFailure(wholeMessageOf(error));
    } finally {
      setBusy(false);
    }
  };
  const save = (event: FormEvent) => {
    event.preventDefault();
    const wanted = openness === "gated" ? { openness, rule } : { openness };
    void attempt(() => access.setPolicy(content, wanted), "Saved. Takes effect immediately.");
  };
  return (
    <div className="space-y-6">
      <form className="space-y-4" onSubmit={save}>
        <fieldset className="space-y-1" data-testid="openness">
          <legend className="sr-only">Who can watch this video</legend>
          {CHOICES.map(([value, { label, says }]) => (
            <label key={value} className="flex min-h-9 items-baseline gap-2.5 py-1">
              <input
                type="radio"
                name="openness"
                className="size-4 shrink-0 translate-y-0.5 accent-accent"
                value={value}
                checked={openness === value}
                onChange={() => setOpenness(value)}
              />
              <span>
                <span className="font-semibold">{label}</span> <span className="text-soft">{says}</span>
              </span>
            </label>
          ))}
        </fieldset>
        {policy.default && (
          <p className="text-soft text-sm">Not set for this video; this is the server default.</p>
        )}
        {openness === "gated" && (
          <RuleForms
            rule={rule}
            mistakes={mistakes}
            finding={found?.rule === rule ? (found.decision.finding ?? undefined) : undefined}
            onChange={change}
          />
        )}
        {failure && (
          <p role="alert" className="border-bad border-l-4 pl-4">
            {failure}
          </p>
        )}
        <div className="flex flex-wrap gap-2">
          <button type="submit" className="button button-main" disabled={busy}>
            Save
          </button>
          {!policy.default && (
            <button
              type="button"
              className="button"
              disabled={busy}
              onClick={() =>
                void attempt(() => access.dropPolicy(content), "The server default applies again.")
              }
            >
              Use server default
            </button>
          )}
        </div>
      </form>
      {openness === "gated" && (
        <Preview
          content={content}
          rule={rule}
          saved={policy.openness === "gated" && rule === policy.rule}
          found={found}
          onFound={setFound}
          onMistakes={setMistakes}
        />
      )}
    </div>
  );
}

/** The server's warnings: the rule is accepted, but probably not as intended. */
function Warnings({ warnings, title }: { warnings: Warning[]; title: string }) {
  if (warnings.length === 0) return null;
  return (
    <div className="max-w-prose border-busy border-l-4 pl-4" role="status" data-testid="warnings">
      <p className="font-semibold">{title}</p>
      <ul>
        {warnings.map(({ at, text }) => (
          <li key={at + text} className="break-words">
            <WithNames text={inProse(text)} />
          </li>
        ))}
      </ul>
    </div>
  );
}

/** The mistake that the server found in a rule, at its place. */
export function mistakesOf(error: unknown): Mistake[] {
  const pointer = error instanceof ApiError ? error.problem?.pointer : undefined;
  if (pointer === undefined) return [];
  return [{ at: pointer.replace(/^\/rule/, ""), message: withLabel(messageOf(error)) }];
}

/** “asset”: … with the form's label: Contract: … */
function withLabel(message: string): string {
  return message.replace(/^“(\w+)”: (.)/, (_, name: string, first: string) => `${labelOf(name)}: ${first}`);
}

interface RuleFormsProps {
  rule: Rule;
  mistakes: Mistake[];
  /** The result of the preview of this very rule. */
  finding: Finding | undefined;
  onChange(rule: Rule): void;
}

/** The rule as forms, or as JSON. */
function RuleForms({ rule, mistakes, finding, onChange }: RuleFormsProps) {
  const [asJson, setAsJson] = useState(false);
  return (
    <div className="space-y-3" data-testid="rule">
      <div className="flex items-center justify-between gap-4">
        <h3 className="font-semibold">Rule</h3>
        <button
          type="button"
          className="button button-small"
          aria-pressed={asJson}
          onClick={() => setAsJson(!asJson)}
        >
          Edit as JSON
        </button>
      </div>
      {asJson ? (
        <JsonForm rule={rule} mistakes={mistakes} onChange={onChange} />
      ) : (
        <RuleEditor rule={rule} at="" mistakes={mistakes} finding={finding} onChange={onChange} />
      )}
    </div>
  );
}

function JsonForm({ rule, mistakes, onChange }: Omit<RuleFormsProps, "finding">) {
  const [typed, setTyped] = useState(() => JSON.stringify(rule, null, 2));
  const [own, setOwn] = useState<Mistake | null>(null);
  const type = (text: string) => {
    setTyped(text);
    const read = parseRule(text);
    setOwn("mistake" in read ? read.mistake : null);
    if ("rule" in read) onChange(read.rule);
  };
  const all = own ? [own] : mistakes;
  return (
    <div>
      <textarea
        aria-label="Rule as JSON"
        aria-invalid={all.length > 0}
        className="field min-h-64 font-mono text-sm"
        spellCheck={false}
        value={typed}
        onChange={(event) => type(event.target.value)}
      />
      {all.map(({ at, message }) => (
        <p key={at + message} role="alert" className="mt-1 break-words text-bad text-sm">
          {at && <code className="mr-2">{at}</code>}
          {message}
        </p>
      ))}
      {own && <p className="mt-1 text-soft text-sm">Saving keeps the last rule that could be read.</p>}
    </div>
  );
}

interface PreviewProps {
  content: string;
  /** The rule in the form. */
  rule: Rule;
  /** It is the saved one. */
  saved: boolean;
  found: Found | null;
  onFound(found: Found | null): void;
  onMistakes(mistakes: Mistake[]): void;
}

/** Whether a user with these wallets meets the rule in the form, and why. */
function Preview({ content, rule, saved, found, onFound, onMistakes }: PreviewProps) {
  const now = useSession();
  const mine = now.state === "in" ? now.identity.wallets.join("\n") : "";
  const [typed, setTyped] = useState(mine);
  const [failure, setFailure] = useState<string | null>(null);
  const [busy, setBusy] = useState(false);

  const look = async (event: FormEvent) => {
    event.preventDefault();
    setBusy(true);
    setFailure(null);
    onMistakes([]);
    onFound(null);
    try {
      onFound({ rule, decision: await access.preview(content, linesOf(typed).map(walletName), rule) });
    } catch (error) {
      const places = mistakesOf(error);
      onMistakes(places);
      setFailure(
        places.length > 0 ? "The rule has a mistake, which is marked in it." : wholeMessageOf(error),
      );
    } finally {
      setBusy(false);
    }
  };
  return (
    <form className="space-y-3" onSubmit={(event) => void look(event)} data-testid="preview">
      <h3 className="font-semibold">Test a wallet</h3>
      <p className="max-w-prose text-soft text-sm">
        {saved ? "Tests the saved rule." : "Tests the rule above, which is not saved yet."} A test changes
        nobody's access and is not recorded.
      </p>
      <label className="block">
        <span className="narrow text-soft text-sm">Wallets of one person, one per line</span>
        <textarea
          className="field digits min-h-16"
          spellCheck={false}
          placeholder="0x…"
          value={typed}
          onChange={(event) => setTyped(event.target.value)}
        />
      </label>
      <button type="submit" className="button" disabled={busy}>
        {busy ? "Checking" : "Check"}
      </button>
      <div role="status">
        {found && found.rule !== rule && (
          <p className="text-soft text-sm">The rule has changed since. Check again.</p>
        )}
        {found?.rule === rule && (
          <>
            <PreviewView decision={found.decision} />
            <Warnings warnings={readWarnings(found.decision)} title="Note" />
          </>
        )}
      </div>
      {failure && (
        <p role="alert" className="border-bad border-l-4 pl-4">
          {failure}
        </p>
      )}
    </form>
  );
}
