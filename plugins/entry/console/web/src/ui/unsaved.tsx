// Unsaved input is not lost without a question.

import { useEffect, useState } from "react";
import { holdPage } from "../lib/router";
import { Confirm } from "./dialog";

interface DiscardProps {
  onDiscard(): void;
  onClose(): void;
}

export function Discard({ onDiscard, onClose }: DiscardProps) {
  return (
    <Confirm
      title="Discard your changes?"
      action="Discard"
      cancel="Keep editing"
      busy={false}
      onConfirm={onDiscard}
      onClose={onClose}
    >
      <p>They are not saved yet.</p>
    </Confirm>
  );
}

/** While this is there, leaving the page asks first. */
export function Unsaved() {
  const [leave, setLeave] = useState<(() => void) | null>(null);
  useEffect(() => holdPage((go) => setLeave(() => go)), []);
  if (!leave) return null;
  return (
    <Discard
      onDiscard={() => {
        setLeave(null);
        leave();
      }}
      onClose={() => setLeave(null)}
    />
  );
}
