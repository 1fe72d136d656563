// The player's placeholder while the server refuses: the reason, and the remedy.

import { useEffect, useState } from "react";
import { access, type Openness } from "../api/access";
import { clock } from "../lib/format";
import { goToSignIn, paths } from "../lib/router";
import { Icon } from "../ui/icons";
import { Link } from "../ui/link";
import { WithNames } from "../ui/names";
import { ofOpenness, type Refusal, type Remedy } from "./refusal";

const ADVICE: Record<Remedy, string> = {
  "sign-in": "",
  own: "Try again when one of your wallets holds what is required.",
  again: "",
  none: "",
};

interface RefusedProps {
  /** Id of the video. */
  content: string;
  refusal: Refusal;
  /** Seconds: where it resumes. */
  at: number;
  /** The viewer is signed in and may have a further wallet. */
  signedIn: boolean;
  onRetry(): void;
}

export function Refused({ content, refusal, at, signedIn, onRetry }: RefusedProps) {
  const openness = useOpenness(content, refusal.remedy === "own");
  // Until the server has stated the remedy, no advice is shown.
  if (refusal.remedy === "own" && openness === null) return <div className="absolute inset-0 bg-black/85" />;
  const { title, detail, remedy } = openness ? ofOpenness(refusal, openness) : refusal;
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

/** The video's openness; `null`: not known yet. If it cannot be queried it counts as gated, as the refusal says. */
function useOpenness(content: string, wanted: boolean): Openness | null {
  const [openness, setOpenness] = useState<Openness | null>(null);
  useEffect(() => {
    if (!wanted) return;
    const controller = new AbortController();
    access
      .policy(content, controller.signal)
      .then((policy) => policy?.openness ?? "gated")
      .catch((): Openness => "gated")
      .then((found) => {
        if (!controller.signal.aborted) setOpenness(found);
      });
    return () => controller.abort();
  }, [content, wanted]);
  return openness;
}
