//! An active endpoint: its prepared settings and its state.

use std::sync::atomic::{AtomicBool, AtomicI64, Ordering::Relaxed};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::Uri;
use sha2::{Digest as _, Sha256};
use streamgate_plugin_api::time::{millis, now_ms};
use streamgate_plugin_api::{Health, Host, StartError};
use tokio::sync::Notify;

use crate::settings::EndpointSettings;
use crate::sign::Key;
use crate::store::EndpointRow;

/// A receiver.
pub(crate) struct Endpoint {
    pub(crate) name: String,
    pub(crate) uri: Uri,
    /// As shown to users: without the query, which may contain a token.
    pub(crate) shown: String,
    pub(crate) subjects: Vec<String>,
    pub(crate) keys: Vec<Key>,
    pub(crate) structured: bool,
    pub(crate) disabled: bool,
    /// A delivery may be due.
    pub(crate) wake: Notify,
    health: Health,
    gone: AtomicBool,
    /// The end of the pause that it requested, in Unix milliseconds.
    paused_until: AtomicI64,
    trouble: Mutex<Trouble>,
}

#[derive(Default)]
struct Trouble {
    failing: Option<String>,
    full: bool,
}

impl Endpoint {
    /// Prepares the settings; reads the files of secrets.
    ///
    /// # Errors
    /// When a secret can no longer be read.
    pub(crate) fn new(
        settings: EndpointSettings,
        allow_private: bool,
        host: &Host,
    ) -> Result<Self, StartError> {
        let name = settings.name.clone();
        let refused = |reason: String| StartError::new(format!("endpoint `{name}`: {reason}"));
        let keys = settings.keys().map_err(|problems| {
            let said: Vec<_> = problems.iter().map(|(field, reason)| format!("{field}: {reason}")).collect();
            refused(said.join("; "))
        })?;
        let mut url = settings.address(allow_private).map_err(refused)?;
        let uri: Uri = url.as_str().parse().map_err(|error| refused(format!("url: {error}")))?;
        if url.query().is_some() {
            url.set_query(Some("…"));
        }
        Ok(Self {
            health: host.health(&format!("endpoint {}", settings.name)),
            name: settings.name,
            uri,
            shown: url.to_string().replace("%E2%80%A6", "…"),
            subjects: settings.subjects,
            keys,
            structured: settings.structured,
            disabled: settings.disabled,
            wake: Notify::new(),
            gone: AtomicBool::new(false),
            paused_until: AtomicI64::new(0),
            trouble: Mutex::default(),
        })
    }

    /// Takes over the earlier state.
    pub(crate) fn recall(&self, row: &EndpointRow) {
        self.gone.store(row.gone_at.is_some(), Relaxed);
        self.change(|trouble| trouble.failing = Some(row.error.clone()).filter(|_| row.failures > 0));
    }

    /// Distinguishes addresses without revealing them.
    pub(crate) fn address_digest(&self) -> String {
        STANDARD.encode(Sha256::digest(self.uri.to_string()))
    }

    /// Whether it receives events.
    pub(crate) fn is_open(&self) -> bool {
        !self.disabled && !self.is_gone()
    }

    /// Whether it has answered 410.
    pub(crate) fn is_gone(&self) -> bool {
        self.gone.load(Relaxed)
    }

    /// It answered 410.
    pub(crate) fn leave(&self) {
        self.gone.store(true, Relaxed);
        self.change(|trouble| trouble.failing = None);
    }

    /// It should be retried, regardless of its answers.
    pub(crate) fn enable(&self) {
        self.gone.store(false, Relaxed);
        self.paused_until.store(0, Relaxed);
        self.change(|trouble| trouble.failing = None);
        self.wake.notify_one();
    }

    /// Pauses it for a while.
    pub(crate) fn pause(&self, pause: Duration) {
        self.paused_until.fetch_max(now_ms().saturating_add(millis(pause)), Relaxed);
    }

    /// The end of its pause, in Unix milliseconds.
    pub(crate) fn paused_until(&self) -> Option<i64> {
        Some(self.paused_until.load(Relaxed)).filter(|until| *until > now_ms())
    }

    pub(crate) fn succeeded(&self) {
        self.change(|trouble| trouble.failing = None);
    }

    pub(crate) fn failed(&self, error: &str) {
        self.change(|trouble| trouble.failing = Some(error.to_owned()));
    }

    /// Whether the queue for it is full.
    pub(crate) fn set_full(&self, full: bool) {
        self.change(|trouble| trouble.full = full);
    }

    /// It is no longer in the settings.
    pub(crate) fn forget(&self) {
        self.health.healthy();
    }

    fn change(&self, change: impl FnOnce(&mut Trouble)) {
        let mut trouble = self.trouble.lock().unwrap_or_else(PoisonError::into_inner);
        change(&mut trouble);
        let mut reasons = Vec::new();
        if self.is_gone() {
            let enable = format!("POST /api/v1/webhooks/endpoints/{}/enable", self.name);
            reasons.push(format!(
                "it answered 410 Gone and is disabled until its `url` changes, or by {enable}"
            ));
        }
        if trouble.full {
            reasons.push("as much waits as may (max_waiting); the oldest go to the dead letters".to_owned());
        }
        reasons.extend(trouble.failing.iter().map(|error| format!("deliveries fail: {error}")));
        match reasons.is_empty() || self.disabled {
            true => self.health.healthy(),
            false => self.health.degraded(reasons.join("; ")),
        }
    }
}
