// The owner of a video, its shares, and handing it over.

import { type FormEvent, useState } from "react";
import { wholeMessageOf } from "../api/client";
import { type Person, type Right, type Share, sharing } from "../api/sharing";
import { shortId, splitWallet } from "../lib/wallets";
import { usePoll } from "../pages/use-poll";
import { useSession } from "../session/use-session";
import { Address } from "../ui/address";
import { Dialog, FormEnd } from "../ui/dialog";
import { Failure } from "../ui/failure";
import { Section } from "../ui/heading";
import { notify } from "../ui/notices";

const RIGHTS: Record<Right, string> = { view: "can view", edit: "can edit" };
const ROLES: Record<string, string> = {
  viewer: "Everyone who is signed in",
  creator: "All creators",
  admin: "All admins",
};
const ONE = "one";

interface SharingProps {
  content: string;
  /** It was handed over: the current user may not see it any more. */
  onHandedOver(): void;
}

export default function Sharing({ content, onHandedOver }: SharingProps) {
  const [fetchShares] = useState(() => (signal: AbortSignal) => sharing.shares(content, signal));
  const { data: shares, error, refresh } = usePoll(fetchShares);
  const [handing, setHanding] = useState(false);
  const [busy, setBusy] = useState(false);

  const attempt = async (run: () => Promise<unknown>, said: string) => {
    setBusy(true);
    try {
      await run();
      await refresh();
      notify.done(said);
    } catch (failure) {
      notify.failed(wholeMessageOf(failure));
    } finally {
      setBusy(false);
    }
  };
  return (
    <Section
      id="sharing-title"
      title="Sharing"
      about="Users with access to this video regardless of its policy. Only its owner and admins can delete or share it."
    >
      {error && <Failure message={error} onRetry={() => void refresh()} />}
      {shares && (
        <div className="mt-3 space-y-4">
          <ul className="divide-y divide-line border-line border-y" data-testid="shares">
            {shares.owner && (
              <li className="flex flex-wrap items-center gap-x-4 gap-y-1 py-2" data-testid="owner">
                <Named person={shares.owner} />
                <span className="narrow text-soft text-sm">owner</span>
                <button type="button" className="button button-small" onClick={() => setHanding(true)}>
                  Hand over
                </button>
              </li>
            )}
            {shares.items.map((share) => (
              <ShareRow
                key={share.with}
                share={share}
                busy={busy}
                onChange={(right) =>
                  void attempt(() => sharing.share(content, share.with, right), `They ${RIGHTS[right]} it.`)
                }
                onRemove={() =>
                  void attempt(() => sharing.unshare(content, share.with), "Not shared any more.")
                }
              />
            ))}
          </ul>
          <ShareForm content={content} onDone={refresh} />
          {handing && (
            <HandOver
              content={content}
              onDone={() => {
                setHanding(false);
                onHandedOver();
                void refresh();
              }}
              onClose={() => setHanding(false)}
            />
          )}
        </div>
      )}
    </Section>
  );
}

/** A user as shown to people. */
function Named({ person }: { person: Person }) {
  const session = useSession();
  const isMe = session.state === "in" && session.identity.principal === person.id;
  return (
    <p
      className="flex min-w-48 flex-1 flex-wrap gap-x-3 font-semibold"
      title={person.id}
      data-person={person.id}
    >
      {person.name && <span>{person.name}</span>}
      {person.wallets.map((wallet) => (
        <Address key={wallet} value={splitWallet(wallet).address} />
      ))}
      {!person.name && person.wallets.length === 0 && <span className="digits">{shortId(person.id)}</span>}
      {isMe && <span className="font-normal text-soft">you</span>}
    </p>
  );
}

interface ShareRowProps {
  share: Share;
  busy: boolean;
  onChange(right: Right): void;
  onRemove(): void;
}

function ShareRow({ share, busy, onChange, onRemove }: ShareRowProps) {
  const name = share.principal?.wallets[0] ?? share.with;
  return (
    <li className="flex flex-wrap items-center gap-x-4 gap-y-1 py-2" data-with={share.with}>
      {share.principal ? (
        <Named person={share.principal} />
      ) : (
        <p className="min-w-48 flex-1 font-semibold">{ROLES[share.role ?? ""] ?? share.with}</p>
      )}
      <RightField label={`What ${name} may do`} value={share.right} disabled={busy} onChange={onChange} />
      <button type="button" className="button button-small" disabled={busy} onClick={onRemove}>
        Remove
        <span className="sr-only"> {name}</span>
      </button>
    </li>
  );
}

interface RightFieldProps {
  label: string;
  value: Right;
  disabled: boolean;
  onChange(right: Right): void;
}

function RightField({ label, value, disabled, onChange }: RightFieldProps) {
  return (
    <label>
      <span className="sr-only">{label}</span>
      <select
        className="field"
        value={value}
        disabled={disabled}
        onChange={(event) => onChange(event.target.value as Right)}
      >
        {(Object.keys(RIGHTS) as Right[]).map((right) => (
          <option key={right} value={right}>
            {RIGHTS[right]}
          </option>
        ))}
      </select>
    </label>
  );
}

interface PersonFieldProps {
  label: string;
  value: string;
  onChange(value: string): void;
}

/** Input for a person: a wallet, or the id of a user. */
function PersonField({ label, value, onChange }: PersonFieldProps) {
  return (
    <label className="block min-w-0 flex-1 basis-64">
      <span className="narrow text-soft text-sm">{label}</span>
      <input
        className="field digits"
        required
        maxLength={100}
        autoComplete="off"
        spellCheck={false}
        placeholder="0x… or a Solana address"
        value={value}
        onChange={(event) => onChange(event.target.value)}
      />
    </label>
  );
}

function ShareForm({ content, onDone }: { content: string; onDone(): Promise<void> }) {
  const [whom, setWhom] = useState(ONE);
  const [person, setPerson] = useState("");
  const [right, setRight] = useState<Right>("view");
  const [failure, setFailure] = useState<string | null>(null);
  const [busy, setBusy] = useState(false);

  const share = async (event: FormEvent) => {
    event.preventDefault();
    setBusy(true);
    setFailure(null);
    try {
      await sharing.share(content, whom === ONE ? person.trim() : `role:${whom}`, right);
      await onDone();
      setPerson("");
      notify.done("Shared.");
    } catch (error) {
      setFailure(wholeMessageOf(error));
    } finally {
      setBusy(false);
    }
  };
  return (
    <form className="space-y-2" onSubmit={(event) => void share(event)} data-testid="share">
      <div className="flex flex-wrap items-end gap-x-4 gap-y-2">
        <label>
          <span className="narrow text-soft text-sm">Share with</span>
          <select className="field" value={whom} onChange={(event) => setWhom(event.target.value)}>
            <option value={ONE}>One user</option>
            {Object.entries(ROLES).map(([role, says]) => (
              <option key={role} value={role}>
                {says}
              </option>
            ))}
          </select>
        </label>
        {whom === ONE && <PersonField label="Their wallet or user ID" value={person} onChange={setPerson} />}
        <RightField label="What they may do" value={right} disabled={busy} onChange={setRight} />
        <button type="submit" className="button" disabled={busy}>
          Share
        </button>
      </div>
      {right === "edit" && (
        <p className="text-soft text-sm">
          A user without the creator role can only view it, regardless of this choice.
        </p>
      )}
      {failure && (
        <p role="alert" className="break-words border-bad border-l-4 pl-4">
          {failure}
        </p>
      )}
    </form>
  );
}

interface HandOverProps {
  content: string;
  onDone(): void;
  onClose(): void;
}

function HandOver({ content, onDone, onClose }: HandOverProps) {
  const [person, setPerson] = useState("");
  const [keeps, setKeeps] = useState(true);
  const [failure, setFailure] = useState<string | null>(null);
  const [busy, setBusy] = useState(false);

  const handOver = async (event: FormEvent) => {
    event.preventDefault();
    setBusy(true);
    setFailure(null);
    try {
      await sharing.handOver(content, person.trim(), keeps ? "edit" : null);
      notify.done("The video has a new owner.");
      onDone();
    } catch (error) {
      setFailure(wholeMessageOf(error));
      setBusy(false);
    }
  };
  return (
    <Dialog title="Hand over this video" onClose={onClose}>
      <form className="space-y-4" onSubmit={(event) => void handOver(event)} data-testid="hand-over">
        <p className="text-soft">
          The new owner may do everything with it, and delete it. Only they, or an admin, can give it back.
        </p>
        <PersonField label="Wallet or user ID of the new owner" value={person} onChange={setPerson} />
        <label className="flex min-h-9 items-center gap-2.5">
          <input
            type="checkbox"
            className="size-4 shrink-0 accent-accent"
            checked={keeps}
            onChange={(event) => setKeeps(event.target.checked)}
          />
          The previous owner can still edit it
        </label>
        <FormEnd
          error={failure}
          action="Hand over"
          disabled={busy || person.trim() === ""}
          onClose={onClose}
        />
      </form>
    </Dialog>
  );
}
