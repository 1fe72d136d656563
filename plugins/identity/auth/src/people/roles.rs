//! Granting and revoking roles. Every signed-in principal is a viewer; an admin grants the rest.

use streamgate_contracts::auth::v1::AuditOutcome;
use streamgate_contracts::db::{DbError, params};

use crate::audit::Entry;
use crate::error::{AuthError, Why};
use crate::people::People;
use crate::principal::Role;
use crate::session::warm::Whose;

/// The action in the audit log.
pub(crate) fn role_action(granted: bool) -> &'static str {
    if granted { "role.grant" } else { "role.take" }
}

impl People {
    /// Grants a role to a principal, or revokes it. `by` is an admin.
    pub(crate) async fn set_role(
        &self,
        principal: &str,
        role: &str,
        granted: bool,
        by: &str,
        address: &str,
    ) -> Result<(), AuthError> {
        let role = match Role::parse(role) {
            Some(Role::Viewer) | None => {
                let detail = "The roles that can be granted are `creator` and `admin`; everyone is a viewer.";
                return Err(Why::InvalidRequest.because(detail));
            }
            Some(role) => role,
        };
        self.known(principal).await?;
        let _forgetting = self.sessions.warm.forgetting(Whose::Principal(principal));
        let now_ms = self.clock.now_ms();
        let batch = self.store.db.batch();
        let batch = if granted {
            batch.push(
                "INSERT INTO roles (principal, role, granted_at_ms, granted_by) VALUES ($1, $2, $3, $4) \
                 ON CONFLICT (principal, role) DO NOTHING",
                params![principal, role.name(), now_ms, by],
            )
        } else {
            batch
                // If two admins revoke each other's role concurrently, each would still see the other: on
                // PostgreSQL, one statement with the condition in it checks the state from when it began. So
                // a revocation locks this row first, and the next one checks after it is released.
                .push_expect("UPDATE setup SET principal = principal WHERE id = 1", params![], 1)
                // Without an admin no role could be granted any more.
                .push_expect(
                    "UPDATE principals SET name = name WHERE id = $1 AND ($2 <> 'admin' OR EXISTS \
                     (SELECT 1 FROM roles WHERE role = 'admin' AND principal <> $1))",
                    params![principal, role.name()],
                    1,
                )
                .push("DELETE FROM roles WHERE principal = $1 AND role = $2", params![principal, role.name()])
                .frees_space()
        };
        let entry = Entry::new(role_action(granted), AuditOutcome::Changed, by, address)
            .on(principal)
            .detail(role.name());
        match entry.push(batch, now_ms).run().await {
            Ok(_) => Ok(()),
            // The row exists from the first start on; a database may give up if another change holds it.
            Err(error @ DbError::Conflict { statement: 0, .. }) => Err(error.into()),
            Err(DbError::Conflict { .. }) => Err(Why::LastAdmin.because("Make another user an admin first.")),
            Err(error) => Err(error.into()),
        }
    }
}
