//! The capability `command-admin`: what `streamgate admin …` does from a shell on the server's machine.
//! Only the control socket asks for it, and whoever may use that socket owns the server anyway.

use axum::Router;
use streamgate_contracts::auth::v1::AuditOutcome;
use streamgate_contracts::db::params;
use streamgate_plugin_api::command::{self, Gone, Output, USAGE};
use streamgate_plugin_api::time::millis;

use crate::audit::Entry;
use crate::auth::Auth;
use crate::error::AuthError;
use crate::people::principal::Role;
use crate::secret;
use crate::session::warm::Whose;

/// How long the address is good. Whoever asked for it has a browser at hand.
const LINK_TTL: std::time::Duration = std::time::Duration::from_secs(15 * 60);

const DONE: u8 = 0;
const FAILED: u8 = 1;

const HELP: &str = "streamgate admin link   prints a one-time address that lets the first admin in again";

/// The router of the capability.
pub(crate) fn router(auth: Auth) -> Router {
    command::router(move |words, out| run(auth.clone(), words, out))
}

/// The command. `words` are those behind its name.
async fn run(auth: Auth, words: Vec<String>, out: Output) -> u8 {
    let said = match words.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        ["link"] => link(&auth, &out).await,
        [] | ["help" | "--help" | "-h"] => out.line(HELP).await.map(|()| DONE),
        _ => out.error(format!("error: no such command\n\n{HELP}")).await.map(|()| USAGE),
    };
    said.unwrap_or(FAILED)
}

async fn link(auth: &Auth, out: &Output) -> Result<u8, Gone> {
    let Some(site) = auth.site() else {
        let text = "error: this server has no address for people; set `plugins.auth.public_url` to what they \
                    open, and reload";
        return out.error(text).await.map(|()| FAILED);
    };
    match auth.admin_link().await {
        Ok(path) => out.line(format!("{site}{path}")).await?,
        Err(error) => {
            return out.error(format!("error: no address could be made: {error}")).await.map(|()| FAILED);
        }
    }
    let note = "It lets its first visitor in as the first admin, once, within 15 minutes. Those that were \
                made before work no more.";
    out.error(note).await.map(|()| DONE)
}

impl Auth {
    /// Makes a one-time address of the console for the first admin, in the place of the one before and
    /// of the one that the first start printed.
    async fn admin_link(&self) -> Result<String, AuthError> {
        let (code, now_ms) = (secret::token::<32>(), self.now_ms());
        let admin = self.first_admin().await?;
        let batch = self
            .store()
            .db
            .batch()
            .push(
                "INSERT INTO admin_link (id, code_hash, expires_at_ms) VALUES (1, $1, $2) \
                 ON CONFLICT (id) DO UPDATE SET code_hash = excluded.code_hash, \
                 expires_at_ms = excluded.expires_at_ms",
                params![secret::digest(&code), now_ms.saturating_add(millis(LINK_TTL))],
            )
            .push("UPDATE setup SET expires_at_ms = 0 WHERE id = 1", params![])
            .push(
                // Whoever owns the server may always come back as an admin.
                "INSERT INTO roles (principal, role, granted_at_ms, granted_by) VALUES ($1, $2, $3, $1) \
                 ON CONFLICT (principal, role) DO NOTHING",
                params![&admin, Role::Admin.name(), now_ms],
            );
        let entry = Entry::new("admin.link", AuditOutcome::Changed, &admin, "")
            .on(&admin)
            .detail("from a shell on the server's machine");
        self.ending(entry.push(batch, now_ms), Whose::Principal(&admin)).await?;
        Ok(format!("/#/link/{code}"))
    }
}
