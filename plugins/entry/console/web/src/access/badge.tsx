// A video's openness as a label, for lists of those who may change it.

import { useState } from "react";
import { access, type Openness } from "../api/access";
import { usePoll } from "../pages/use-poll";
import { Icon } from "../ui/icons";

export const OPENNESS: Record<Openness, { label: string; says: string; closed: boolean }> = {
  public: { label: "Public", says: "Everyone, signed in or not.", closed: false },
  unlisted: { label: "Unlisted", says: "Everyone who has the link. No list shows it.", closed: false },
  gated: {
    label: "Gated",
    says: "Everyone who meets a rule: owns a token, is on a list, has a role.",
    closed: true,
  },
  private: { label: "Private", says: "Only its owner, admins, and whom it is shared with.", closed: true },
};

export function AccessBadge({ content }: { content: string }) {
  const [fetchPolicy] = useState(() => (signal: AbortSignal) => access.policy(content, signal));
  const { data: policy } = usePoll(fetchPolicy);
  // Without the plugin everything is public, and no label is needed.
  const shown = policy && OPENNESS[policy.openness];
  if (!policy || !shown) return null;
  return (
    <span
      className="narrow inline-flex items-center gap-1 whitespace-nowrap text-soft text-sm"
      title={shown.says}
      data-openness={policy.openness}
    >
      {shown.closed && <Icon name="lock" size={14} />}
      {shown.label}
    </span>
  );
}
