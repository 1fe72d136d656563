// What stands in the player's place while the server refuses: why, and what to do.

import { clock } from "../lib/format";
import { goToSignIn, paths } from "../lib/router";
import { Icon } from "../ui/icons";
import { Link } from "../ui/link";
import { WithNames } from "../ui/names";
import type { Refusal, Remedy } from "./refusal";

const ADVICE: Record<Remedy, string> = {
  "sign-in": "",
  own: "When a wallet of yours holds what is asked for, try again.",
  again: "",
};

interface RefusedProps {
  refusal: Refusal;
  /** Seconds: where it goes on. */
  at: number;
  /** Somebody is signed in, who may have a further wallet. */
  signedIn: boolean;
  onRetry(): void;
}

export function Refused({ refusal, at, signedIn, onRetry }: RefusedProps) {
  const { title, detail, remedy } = refusal;
  return (
    <div
      role="alert"
      data-testid="refused"
      data-refusal={refusal.kind}
      data-at={at}
      className="absolute inset-0 grid place-items-center-safe overflow-y-auto bg-black/85 p-4 text-center max-sm:p-2"
    >
      <div className="w-full max-w-md min-w-0 wrap-anywhere">
        <Icon name="lock" size={32} className="mx-auto mb-2 max-sm:hidden" />
        <p className="wide text-lg sm:text-xl">{title}</p>
        {detail && (
          <p className="mt-1 text-pretty text-white/80 max-sm:text-sm">
            <WithNames text={detail} />
          </p>
        )}
        {ADVICE[remedy] && <p className="mt-1 text-pretty text-white/80 max-sm:hidden">{ADVICE[remedy]}</p>}
        {at > 0 && <p className="digits mt-1 text-white/80">It resumes at {clock(at)}.</p>}
        <div className="mt-4 flex flex-wrap justify-center gap-2 max-sm:mt-2">
          {remedy === "sign-in" && (
            <button type="button" className="button button-main" onClick={goToSignIn}>
              Sign in
            </button>
          )}
          {remedy === "own" && signedIn && (
            <Link href={paths.account} className="button text-white hover:text-ink">
              Link another wallet
            </Link>
          )}
          <button
            type="button"
            className={`button ${remedy === "sign-in" ? "text-white hover:text-ink" : "button-main"}`}
            onClick={onRetry}
          >
            <Icon name="replay" size={18} />
            Try again
          </button>
        </div>
      </div>
    </div>
  );
}
