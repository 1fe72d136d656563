// An address to copy: selected on focus, copied by its button.

import { useEffect, useState } from "react";
import { Icon } from "./icons";
import { notify } from "./notices";

export function CopyField({ label, value }: { label: string; value: string }) {
  const [copied, setCopied] = useState(false);
  useEffect(() => {
    if (!copied) return;
    const timer = setTimeout(() => setCopied(false), 2_000);
    return () => clearTimeout(timer);
  }, [copied]);
  const copy = async () => {
    try {
      await navigator.clipboard.writeText(value);
      setCopied(true);
    } catch {
      notify.failed("The browser did not allow copying. Select the address and copy it by hand.");
    }
  };
  return (
    <div className="flex items-stretch">
      <label className="flex min-w-0 flex-1 items-center border border-line bg-sheet">
        <span className="narrow w-14 shrink-0 pl-3 text-soft text-sm">{label}</span>
        <input
          readOnly
          value={value}
          onFocus={(event) => event.currentTarget.select()}
          className="h-10 w-full min-w-0 bg-transparent pr-2 text-sm"
        />
      </label>
      <button
        type="button"
        className="button -ml-px w-11 rounded-none border-line px-0"
        aria-label={copied ? `${label} address copied` : `Copy the ${label} address`}
        onClick={() => void copy()}
      >
        <Icon name={copied ? "check" : "copy"} size={18} />
      </button>
    </div>
  );
}
