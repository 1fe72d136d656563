// A button with a list of choices above it (WAI-ARIA menu button with radio items).

import { type KeyboardEvent, type ReactNode, useEffect, useId, useRef, useState } from "react";
import { Icon } from "../ui/icons";

export interface Choice<T> {
  value: T;
  label: string;
  hint?: string;
  disabled?: boolean;
}

interface MenuProps<T> {
  label: string;
  /** The shortcut for what is in it. */
  keys?: string;
  button: ReactNode;
  choices: Choice<T>[];
  value: T;
  onChoose(value: T): void;
  onOpen(open: boolean): void;
}

export function Menu<T extends string | number>({
  label,
  keys,
  button,
  choices,
  value,
  onChoose,
  onOpen,
}: MenuProps<T>) {
  const [open, setOpen] = useState(false);
  const root = useRef<HTMLDivElement>(null);
  const opener = useRef<HTMLButtonElement>(null);
  const menuId = useId();

  const show = (next: boolean) => {
    setOpen(next);
    onOpen(next);
  };
  const items = () => [
    ...(root.current?.querySelectorAll<HTMLElement>("[role=menuitemradio]:not([disabled])") ?? []),
  ];

  useEffect(() => {
    if (!open) return;
    const first =
      root.current?.querySelector<HTMLElement>("[aria-checked=true]") ??
      root.current?.querySelector<HTMLElement>("[role=menuitemradio]");
    first?.focus();
    const outside = (event: Event) => {
      if (!root.current?.contains(event.target as Node)) {
        setOpen(false);
        onOpen(false);
      }
    };
    document.addEventListener("pointerdown", outside);
    document.addEventListener("focusin", outside);
    return () => {
      document.removeEventListener("pointerdown", outside);
      document.removeEventListener("focusin", outside);
    };
  }, [open, onOpen]);

  const onKey = (event: KeyboardEvent) => {
    const all = items();
    const here = all.indexOf(document.activeElement as HTMLElement);
    const go = (index: number) => {
      event.preventDefault();
      all[(index + all.length) % all.length]?.focus();
    };
    switch (event.key) {
      case "ArrowDown":
        return go(here + 1);
      case "ArrowUp":
        return go(here - 1);
      case "Home":
        return go(0);
      case "End":
        return go(all.length - 1);
      case "Escape":
        event.preventDefault();
        event.stopPropagation();
        show(false);
        opener.current?.focus();
        return;
      case "Tab":
        show(false);
        return;
    }
  };

  return (
    // On a phone the list is at the player's edge: over its button it would be cut off.
    <div ref={root} className="relative max-sm:static">
      <button
        ref={opener}
        type="button"
        className="player-button px-2 max-[24rem]:px-1"
        aria-haspopup="menu"
        aria-expanded={open}
        aria-controls={menuId}
        aria-label={label}
        title={keys ? `${label} (${keys})` : label}
        onClick={() => show(!open)}
      >
        {button}
      </button>
      {open && (
        <div
          id={menuId}
          role="menu"
          aria-label={label}
          tabIndex={-1}
          className="player-menu absolute right-0 bottom-full z-10 mb-3 w-max min-w-44 overflow-y-auto bg-black/90 py-1 text-white"
          onKeyDown={onKey}
        >
          {choices.map((choice) => (
            <button
              key={choice.value}
              type="button"
              role="menuitemradio"
              aria-checked={choice.value === value}
              disabled={choice.disabled}
              tabIndex={-1}
              className="flex w-full items-center gap-2 px-3 py-2 text-left hover:bg-white/15 focus-visible:bg-white/15 focus-visible:outline-white disabled:opacity-50"
              onClick={() => {
                onChoose(choice.value);
                show(false);
                opener.current?.focus();
              }}
            >
              <span className="w-4 text-[#63d3b8]">
                {choice.value === value && <Icon name="check" size={16} />}
              </span>
              <span className="digits min-w-0 flex-1 wrap-anywhere">{choice.label}</span>
              {choice.hint && (
                <span className="narrow whitespace-nowrap text-sm text-white/70">{choice.hint}</span>
              )}
            </button>
          ))}
        </div>
      )}
    </div>
  );
}
