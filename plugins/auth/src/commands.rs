//! The capability `command-admin`: what `streamgate admin …` does from a shell on the server's machine.
//! Only the control socket asks for it, and whoever may use that socket owns the server anyway.

use axum::extract::State;
use axum::routing::post;
use axum::{Json, Router};
use http::StatusCode;
use serde_json::{Value, json};
use streamgate_contracts::auth::v1::AuditOutcome;
use streamgate_contracts::db::params;
use streamgate_plugin_api::Problem;
use streamgate_plugin_api::time::millis;

use crate::audit::Entry;
use crate::auth::Auth;
use crate::error::AuthError;
use crate::principal::Role;
use crate::secret;
use crate::warm::Whose;

/// How long the address is good. Whoever asked for it has a browser at hand.
const LINK_TTL: std::time::Duration = std::time::Duration::from_secs(15 * 60);

const USAGE: &str = "streamgate admin link   prints a one-time address that lets the first admin in again";

/// The router of the capability.
pub(crate) fn router(auth: Auth) -> Router {
    Router::new().route("/", post(command)).with_state(auth)
}

async fn command(State(auth): State<Auth>, Json(words): Json<Vec<String>>) -> Result<Json<Value>, Problem> {
    match words.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        ["link"] => link(&auth).await,
        [] | ["help" | "--help" | "-h"] => Ok(Json(json!({ "output": USAGE }))),
        _ => {
            let (slug, title) = ("unknown-command", "There is no such command");
            Err(Problem::new(StatusCode::BAD_REQUEST, slug, title).detail(format!("Write: {USAGE}")))
        }
    }
}

async fn link(auth: &Auth) -> Result<Json<Value>, Problem> {
    let Some(site) = auth.site() else {
        let problem = Problem::new(StatusCode::CONFLICT, "no-site", "This server has no address for people");
        return Err(problem.detail("Set `plugins.auth.public_url` to what people open, and reload."));
    };
    let path = auth.admin_link().await.map_err(|error| {
        Problem::new(StatusCode::SERVICE_UNAVAILABLE, "unavailable", "No address could be made")
            .detail(error.to_string())
    })?;
    let note = "It lets its first visitor in as the first admin, once, within 15 minutes. Those that were \
                made before work no more.";
    Ok(Json(json!({ "output": format!("{site}{path}"), "note": note })))
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
