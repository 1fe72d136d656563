// The keys of the player, in a dialog.

import { Dialog } from "../ui/dialog";
import { SHORTCUTS } from "./shortcuts";

export function Help({ onClose }: { onClose(): void }) {
  return (
    <Dialog title="Keyboard shortcuts" onClose={onClose}>
      <dl className="grid grid-cols-[auto_1fr] items-baseline gap-x-5 gap-y-2">
        {SHORTCUTS.map(([keys, what]) => (
          <div key={what} className="contents">
            <dt className="flex gap-1">
              {keys.map((key) => (
                <kbd key={key} className="digits border border-edge px-1.5 font-sans text-sm">
                  {key}
                </kbd>
              ))}
            </dt>
            <dd className="text-soft">{what}</dd>
          </div>
        ))}
      </dl>
      <form method="dialog" className="mt-6 flex justify-end">
        <button type="submit" className="button">
          Close
        </button>
      </form>
    </Dialog>
  );
}
