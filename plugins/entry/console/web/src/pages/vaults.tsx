// Wallets whose tokens count by delegation, for a wallet with too many delegations to check.

import { type FormEvent, useState } from "react";
import { access } from "../api/access";
import { wholeMessageOf } from "../api/client";
import { splitWallet } from "../lib/wallets";
import { Failure } from "../ui/failure";
import { Section } from "../ui/heading";
import { notify } from "../ui/notices";
import { usePoll } from "./use-poll";

/** The server's limit. */
const MOST = 8;

export function Vaults() {
  const { data: vaults, error, refresh } = usePoll(access.vaults);
  const [typed, setTyped] = useState("");
  const [failure, setFailure] = useState<string | null>(null);
  const [busy, setBusy] = useState(false);

  const change = async (next: string[], said: string) => {
    setBusy(true);
    setFailure(null);
    try {
      await access.nameVaults(next);
      await refresh();
      notify.done(said);
      return true;
    } catch (failed) {
      setFailure(wholeMessageOf(failed));
      return false;
    } finally {
      setBusy(false);
    }
  };
  const add = async (event: FormEvent) => {
    event.preventDefault();
    const wallet = typed.includes(":") ? typed : `eip155:${typed}`;
    if (vaults && (await change([...vaults, wallet], "The vault is added."))) setTyped("");
  };
  // Without the plugin there is no access control.
  if (!vaults && !error) return null;
  return (
    <Section
      id="vaults-title"
      title="Vaults"
      about="Wallets that have delegated tokens to one of yours on delegate.xyz. They are found by themselves;
        add one here if its tokens are not found for a video."
    >
      {error && <Failure message={error} onRetry={() => void refresh()} />}
      {vaults && vaults.length > 0 && (
        <ul className="mt-2 divide-y divide-line border-line border-y" data-testid="vaults">
          {vaults.map((vault) => (
            <li key={vault} className="flex items-center gap-4 py-2">
              <span className="digits min-w-0 flex-1 wrap-anywhere">{splitWallet(vault).address}</span>
              <button
                type="button"
                className="button button-small"
                disabled={busy}
                onClick={() =>
                  void change(
                    vaults.filter((other) => other !== vault),
                    "The vault is removed.",
                  )
                }
              >
                Remove
                <span className="sr-only"> the vault {splitWallet(vault).address}</span>
              </button>
            </li>
          ))}
        </ul>
      )}
      {vaults && vaults.length < MOST && (
        <form className="mt-3 flex flex-wrap items-end gap-x-4 gap-y-2" onSubmit={(event) => void add(event)}>
          <label className="min-w-0 flex-1 basis-60">
            <span className="narrow text-soft text-sm">Address of a vault</span>
            <input
              className="field digits"
              required
              autoComplete="off"
              spellCheck={false}
              placeholder="0x…"
              value={typed}
              onChange={(event) => setTyped(event.target.value.trim())}
            />
          </label>
          <button type="submit" className="button" disabled={busy}>
            Add
            <span className="sr-only"> this vault</span>
          </button>
        </form>
      )}
      {failure && <Failure message={failure} />}
    </Section>
  );
}
