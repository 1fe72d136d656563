//! How many jobs of one owner may run concurrently, and how long they may work per day, as stated by `auth`.
//! Its answers are cached; while it does not answer, the settings apply.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use streamgate_contracts::auth::v1::QuotaRequest;
use streamgate_contracts::auth::v1::auth_client::AuthClient;
use streamgate_plugin_api::Client;
use tokio::time::{Instant, timeout};

/// How long a limit is cached.
const KEPT: Duration = Duration::from_secs(10);
/// Owners whose limits are cached.
const MAX_KEPT: usize = 4_096;
/// How long `auth` may take to answer.
const DEADLINE: Duration = Duration::from_secs(2);

/// The limits of one owner. `None`: unlimited.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Limit {
    /// Concurrent jobs of a queue.
    pub(crate) running: Option<u64>,
    /// Work time per day (UTC), milliseconds.
    pub(crate) day_ms: Option<u64>,
}

/// The limits of all owners.
pub(crate) struct Limits {
    auth: AuthClient<Client>,
    /// Used if `auth` states no limit.
    otherwise: Limit,
    kept: Mutex<Kept>,
}

#[derive(Default)]
struct Kept {
    limits: HashMap<String, (Limit, Instant)>,
    /// `auth` did not answer, and is not called again before this.
    silent_until: Option<Instant>,
}

impl Limits {
    /// `otherwise` is the number of concurrent jobs of one owner if `auth` states none; 0: unlimited.
    pub(crate) fn new(auth: Client, otherwise: u32) -> Self {
        let running = (otherwise > 0).then(|| otherwise.into());
        Self {
            auth: AuthClient::new(auth),
            otherwise: Limit { running, day_ms: None },
            kept: Mutex::default(),
        }
    }

    /// The limit of an owner; jobs without an owner have none.
    pub(crate) async fn of(&self, owner: &str) -> Limit {
        if owner.is_empty() {
            return Limit::default();
        }
        if let Some(limit) = self.known(owner) {
            return limit;
        }
        let request = QuotaRequest { principal: owner.to_owned(), ..QuotaRequest::default() };
        let answer = timeout(DEADLINE, self.auth.clone().quota(request)).await;
        let limit = match answer {
            Ok(Ok(answer)) => {
                let quota = answer.into_inner();
                let day_ms = quota.encode_minutes.map(|minutes| minutes.saturating_mul(60_000));
                Limit { running: quota.encodes, day_ms }
            }
            Ok(Err(status)) => return self.silent(status.message()),
            Err(_) => return self.silent("no answer in time"),
        };
        self.keep(owner, limit);
        limit
    }

    fn known(&self, owner: &str) -> Option<Limit> {
        let kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        let now = Instant::now();
        if let Some((limit, until)) = kept.limits.get(owner)
            && *until > now
        {
            return Some(*limit);
        }
        kept.silent_until.filter(|until| *until > now).map(|_| self.otherwise)
    }

    fn keep(&self, owner: &str, limit: Limit) {
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        let now = Instant::now();
        if kept.limits.len() >= MAX_KEPT {
            kept.limits.retain(|_, (_, until)| *until > now);
        }
        if kept.limits.len() >= MAX_KEPT {
            kept.limits.clear();
        }
        kept.limits.insert(owner.to_owned(), (limit, now + KEPT));
        kept.silent_until = None;
    }

    fn silent(&self, reason: &str) -> Limit {
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        tracing::debug!(reason, "`auth` returns no limits of owners");
        kept.silent_until = Some(Instant::now() + KEPT);
        self.otherwise
    }
}

impl std::fmt::Debug for Limits {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Limits").field("otherwise", &self.otherwise).finish_non_exhaustive()
    }
}
