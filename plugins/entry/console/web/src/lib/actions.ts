// The actions of the audit log as text. Plugins name them; unknown ones are shown unchanged.

const ACTIONS: Record<string, string> = {
  "access.policy": "Access changed",
  "access.revoke": "Access revoked",
  "access.subscription": "Subscription changed",
  "access.vaults": "Vaults named",
  "admin-token": "Admin token created",
  "admin.link": "One-time admin address created",
  "audit.read": "Audit log read",
  "content.change": "Video edited",
  "content.delete": "Video deleted",
  "content.hand-over": "Video handed over",
  "content.play": "Video played",
  "content.retry": "Video encoded again",
  "content.share": "Video shared",
  "content.unshare": "Video no longer shared",
  "host.reload": "Configuration reloaded",
  "host.restart": "Plugin restarted",
  "host.swap": "Plugin swapped",
  "job.cancel": "Job cancelled",
  "job.retry": "Job retried",
  "key.create": "API key created",
  "key.revoke": "API key revoked",
  "principals.read": "Users read",
  "quota.clear": "Limits of a user removed",
  "quota.read": "Limits read",
  "quota.set": "Limits of a user set",
  request: "Request",
  revoke: "Credential revoked",
  "role.grant": "Role granted",
  "role.take": "Role removed",
  "session.end": "Signed out",
  "session.end-all": "Signed out everywhere",
  "session.refresh": "Session renewed",
  setup: "Server set up",
  "sign-in": "Signed in",
  "upload.create": "Upload started",
  "upload.expire": "Upload expired",
  "upload.fail": "Upload failed",
  "upload.finish": "Upload completed",
  "upload.terminate": "Upload cancelled",
  "wallet.link": "Wallet linked",
  "wallet.unlink": "Wallet unlinked",
};

/** An action as text. */
export function actionText(action: string): string {
  return Object.hasOwn(ACTIONS, action) ? (ACTIONS[action] ?? action) : action;
}

/** The actor: a user's id, or a local user of the server. */
export function actorText(principal: string): string {
  return principal.startsWith("uid:") ? `local user ${principal.slice("uid:".length)}` : principal;
}
