// Names on chains, which are wider than a phone: there they are shortened in the middle, and a tap copies
// the whole. Screen readers read the whole everywhere.

import { shortName, splitNames } from "../lib/wallets";
import { notify } from "./notices";

export function Name({ value }: { value: string }) {
  const copy = async () => {
    try {
      await navigator.clipboard.writeText(value);
      notify.done("Copied.");
    } catch {
      // Without the permission it can still be read, and copied by hand.
      notify.done(value);
    }
  };
  return (
    <>
      <span className="digits wrap-anywhere max-sm:hidden">{value}</span>
      <button
        type="button"
        className="digits inline text-left underline decoration-dotted underline-offset-4 wrap-anywhere sm:hidden"
        title={value}
        onClick={() => void copy()}
      >
        {/* The visible text is part of the button's name, for voice control. */}
        {shortName(value)}
        <span className="sr-only"> ({value}), copy</span>
      </button>
    </>
  );
}

/** A text from the server, with its names formatted. */
export function WithNames({ text }: { text: string }) {
  return splitNames(text).map((part, index) =>
    part.name ? (
      // biome-ignore lint/suspicious/noArrayIndexKey: a part has no name but its place.
      <Name key={index} value={part.text} />
    ) : (
      part.text
    ),
  );
}
