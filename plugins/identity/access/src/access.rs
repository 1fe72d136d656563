//! [`Access`]: decisions, their caching, and concurrent changes.
//!
//! A decision records the [`Epochs`] of its inputs before it reads anything, and is entered into [`Grants`]
//! before it checks whether they are still current. An event raises the epochs first and searches the grants
//! then. So either the decision notices the event and is repeated, or the event finds the grant.

use std::collections::{BTreeSet, HashMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use quick_cache::sync::Cache;
use streamgate_contracts::access::v1::Verdict;
use streamgate_contracts::audit::{By, Entry};
use streamgate_contracts::auth::v1::AuditOutcome;
use streamgate_contracts::catalogue::v1::Right;
use streamgate_contracts::db::{Db, DbError};
use streamgate_contracts::deletions::Deletions;
use streamgate_contracts::outbox::{Bus, Outbox};
use streamgate_plugin_api::Client;
use streamgate_plugin_api::flight::Flights;
use streamgate_plugin_api::time::{Clock, millis};
use tokio::sync::{Notify, Semaphore, SemaphorePermit};

use crate::audit::Audit;
use crate::chain::{Chains, Undone};
use crate::decision::{Decision, Ruling, evidence_view};
use crate::epochs::{Epochs, Snapshot, Subject};
use crate::error::ApiError;
use crate::evaluate::{Evaluation, Facts, Findings};
use crate::grants::{Grant, Grants, Key};
use crate::policy::{Openness, Policy};
use crate::settings::Settings;
use crate::standing::{People, Standings};
use crate::store::{self, DecisionRow, PolicyRow, REASON_CHARS, Store};
use crate::tree::Leaf;
use crate::truth::Truth;
use crate::viewer::Viewer;

/// How often a decision is restarted after a concurrent event.
const ATTEMPTS: usize = 4;
/// How long a refusal is not looked at again. News ends it at once.
pub(crate) const REFUSAL_MS: i64 = 5_000;
/// How long something is not asked again that nobody knew.
const UNKNOWN_MS: i64 = 1_000;
/// Lifetime of a decision without transfer events for the token, as on Solana: beyond the chain's own delay,
/// a seller can play for this long.
const UNWATCHED_MS: i64 = 2_000;
/// Policies that are kept in memory.
const POLICIES: usize = 10_000;

/// The access control without a kernel: the parts that the plugin wires, and that tests drive.
#[derive(Clone)]
pub struct Access {
    pub(crate) shared: Arc<Shared>,
}

/// The capabilities that this plugin calls, and the bus.
pub struct Dependencies {
    /// The `database` capability.
    pub database: Client,
    /// The `chain` capability, for EVM chains.
    pub chain: Client,
    /// The `chain-solana` capability.
    pub solana: Client,
    /// The `auth` capability, for the audit log and the roles of a principal.
    pub auth: Client,
    /// The `catalogue` capability, for deletions.
    pub catalogue: Client,
    /// The destination of events.
    pub bus: Bus,
}

/// See [`Access`].
pub(crate) struct Shared {
    pub(crate) store: Store,
    pub(crate) settings: Settings,
    pub(crate) clock: Clock,
    pub(crate) chains: Chains,
    pub(crate) epochs: Arc<Epochs>,
    pub(crate) audit: Audit,
    pub(crate) outbox: Outbox,
    pub(crate) deletions: Deletions,
    pub(crate) standings: Standings,
    pub(crate) people: People,
    pub(crate) grants: Mutex<Grants>,
    /// Grants that have to be checked again. Bounded by the number of grants.
    pub(crate) invalidated: Mutex<BTreeSet<Key>>,
    pub(crate) recheck: Notify,
    /// Undone transfers, and when the affected grants are checked once more.
    pub(crate) settling: Mutex<VecDeque<(i64, Undone)>>,
    policies: Cache<String, (Snapshot, Arc<Policy>)>,
    decisions: Cache<Key, Arc<Decision>>,
    flights: Flights<(String, Viewer), Arc<Decision>>,
    slots: Semaphore,
}

impl std::fmt::Debug for Access {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Access").finish_non_exhaustive()
    }
}

impl Access {
    /// Opens the namespace `access`, and restores the current grants. [`Access::run`] has to run beside it.
    ///
    /// # Errors
    /// If the database does not answer, or does not match this version.
    pub async fn open(dependencies: Dependencies, settings: Settings, clock: Clock) -> Result<Self, DbError> {
        let db = Db::open(dependencies.database, "access", store::migrations()).await?;
        let (timeout, watch_for) = (settings.chain_timeout.get(), settings.watch_lease.get());
        let chains = Chains::new(dependencies.chain, dependencies.solana, timeout, watch_for);
        let epochs = Arc::new(Epochs::default());
        // A caller that reacts to the event must not get the earlier decision.
        let raised = epochs.clone();
        let bus = dependencies.bus.seen_by(move |event| raised.on_event(event));
        let access = Self {
            shared: Arc::new(Shared {
                people: People::new(dependencies.auth.clone()),
                audit: Audit::new(db.clone(), dependencies.auth),
                store: Store { db: db.clone() },
                clock,
                chains,
                epochs,
                outbox: Outbox::new(db, bus),
                standings: Standings::new(dependencies.catalogue.clone()),
                deletions: Deletions::new(dependencies.catalogue),
                grants: Mutex::default(),
                invalidated: Mutex::default(),
                recheck: Notify::new(),
                settling: Mutex::default(),
                policies: Cache::new(POLICIES),
                decisions: Cache::new(settings.cached_decisions),
                flights: Flights::default(),
                slots: Semaphore::new(settings.max_deciding),
                settings,
            }),
        };
        access.load().await?;
        Ok(access)
    }

    pub(crate) fn now_ms(&self) -> i64 {
        self.shared.clock.now_ms()
    }

    /// The policy of a content.
    pub(crate) async fn policy(&self, content: &str) -> Result<Arc<Policy>, DbError> {
        if let Some(policy) = self.kept(content) {
            return Ok(policy);
        }
        let snapshot = self.shared.epochs.snapshot(Subject::Content(content));
        let mut rows = self.shared.store.policies(&[content]).await?;
        Ok(self.keep(content, snapshot, rows.remove(content)))
    }

    /// The policies of some contents, by content. Uncached ones are read at once.
    pub(crate) async fn policies<'a>(
        &self,
        contents: &'a [String],
    ) -> Result<HashMap<&'a str, Arc<Policy>>, DbError> {
        let (mut policies, mut missing) = (HashMap::new(), HashMap::new());
        for content in contents.iter().map(String::as_str) {
            match self.kept(content) {
                Some(policy) => drop(policies.insert(content, policy)),
                None => drop(missing.insert(content, self.shared.epochs.snapshot(Subject::Content(content)))),
            }
        }
        if missing.is_empty() {
            return Ok(policies);
        }
        let ids: Vec<&str> = missing.keys().copied().collect();
        let mut rows = self.shared.store.policies(&ids).await?;
        for (content, snapshot) in missing {
            policies.insert(content, self.keep(content, snapshot, rows.remove(content)));
        }
        Ok(policies)
    }

    fn kept(&self, content: &str) -> Option<Arc<Policy>> {
        let (snapshot, policy) = self.shared.policies.get(content)?;
        self.shared.epochs.hold(&snapshot).then_some(policy)
    }

    /// Keeps what was read since a snapshot.
    fn keep(&self, content: &str, snapshot: Snapshot, row: Option<PolicyRow>) -> Arc<Policy> {
        let policy = Arc::new(Policy::read(row, self.shared.settings.default, content));
        self.shared.policies.insert(content.to_owned(), (snapshot, policy.clone()));
        policy
    }

    /// Whether a viewer may play a content. It always answers: a failure is an unknown result.
    pub(crate) async fn decide(&self, content: &str, viewer: Viewer) -> Arc<Decision> {
        let key = Key::of(content, &viewer);
        if let Some(known) = self.shared.decisions.get(&key)
            && known.viewer == viewer
            && known.is_fresh(self.now_ms())
            && self.shared.epochs.hold(&known.snapshot)
        {
            return known;
        }
        self.flight(key, viewer).await
    }

    /// The decision in progress, or a new one. It continues even if no caller waits any more.
    async fn flight(&self, key: Key, viewer: Viewer) -> Arc<Decision> {
        let (access, asker) = (self.clone(), viewer.clone());
        let name = (key.content.clone(), viewer.clone());
        let make = || async move { Arc::new(access.make(&key, asker).await) };
        let decision = self.shared.flights.join(name, make).await;
        // It panicked, which has been logged.
        let failed = || unkept(viewer, Ruling::unknown("The decision failed."), 0, self.now_ms());
        decision.unwrap_or_else(|| Arc::new(failed()))
    }

    /// A slot for a concurrent decision; `None` if it takes too long.
    pub(crate) async fn slot(&self) -> Option<SemaphorePermit<'_>> {
        let wait = self.shared.settings.chain_timeout.get();
        tokio::time::timeout(wait, self.shared.slots.acquire()).await.ok()?.ok()
    }

    async fn make(&self, key: &Key, viewer: Viewer) -> Decision {
        let mut generation = self.shared.decisions.get(key).map_or(0, |known| known.generation);
        let Some(_slot) = self.slot().await else {
            let ruling = Ruling::unknown("Too many concurrent decisions. Try again in a moment.");
            return unkept(viewer, ruling, generation, self.now_ms());
        };
        for _ in 0..ATTEMPTS {
            let decision = match self.attempt(key, &viewer).await {
                Ok(decision) => decision,
                Err(error) => {
                    tracing::warn!(content = key.content, %error, "a decision failed");
                    let ruling = Ruling::unknown("The database is unavailable. Try again in a moment.");
                    return unkept(viewer, ruling, generation, self.now_ms());
                }
            };
            if self.shared.epochs.hold(&decision.snapshot) {
                self.shared.decisions.insert(key.clone(), Arc::new(decision.clone()));
                return decision;
            }
            generation = decision.generation;
        }
        let ruling = Ruling::unknown("The inputs of the decision keep changing. Try again in a moment.");
        unkept(viewer, ruling, generation, self.now_ms())
    }

    /// One decision, stored in the database and among the grants.
    async fn attempt(&self, key: &Key, viewer: &Viewer) -> Result<Decision, DbError> {
        let shared = &self.shared;
        let mut snapshot = Snapshot::default();
        shared.epochs.note(&mut snapshot, Subject::Content(&key.content));
        shared.epochs.note(&mut snapshot, Subject::Principal(&key.principal));
        for wallet in &viewer.wallets {
            shared.epochs.note(&mut snapshot, Subject::Wallet(wallet));
        }
        let policy = self.policy(&key.content).await?;
        let known = shared.store.known(key).await?;
        let now_ms = self.now_ms();
        let open = matches!(policy.openness, Openness::Public | Openness::Unlisted);
        // For a public content the owner does not matter.
        let right = match open && known.bar.is_empty() {
            true => Ok(Right::None),
            false => shared.standings.of(&key.content, viewer).await,
        };
        let (mut ruling, findings) = match (known.bar.as_str(), right) {
            (_, Ok(Right::Own)) => (Ruling::allowed("The viewer owns this content, or is an admin."), None),
            (bar, _) if !bar.is_empty() => {
                (Ruling::denied("revoked", format!("Access was revoked: {bar}")), None)
            }
            (_, Ok(right)) if right >= Right::View => {
                (Ruling::allowed("This content is shared with the viewer."), None)
            }
            (_, right) => {
                let ruled = self.rule(&policy, viewer, &mut snapshot, false).await?;
                match (ruled.0.verdict, right) {
                    (Verdict::Denied, Err(unsaid)) => (Ruling::unknown(unsaid.to_string()), None),
                    _ => ruled,
                }
            }
        };
        ruling.revision = policy.revision;

        let until_ms = findings.as_ref().and_then(|found| found.until_ms);
        let unwatched = findings.as_ref().is_some_and(|found| found.unwatched);
        let max_age_ms = millis(shared.settings.decision_max_age.get());
        let age_ms = match ruling.verdict {
            Verdict::Allowed if unwatched => UNWATCHED_MS.min(max_age_ms),
            Verdict::Allowed => max_age_ms,
            Verdict::Denied if unwatched => UNWATCHED_MS,
            Verdict::Denied => REFUSAL_MS,
            Verdict::Unknown | Verdict::Unspecified => UNKNOWN_MS,
        };
        let by_age = now_ms.saturating_add(age_ms);
        let valid_until_ms = until_ms.map_or(by_age, |until| by_age.min(until));

        let (assets, vaults) = findings.map(|found| (found.assets, found.vaults)).unwrap_or_default();
        let grant = Grant {
            viewer: viewer.clone(),
            assets,
            wallets: viewer.wallets.iter().cloned().chain(vaults).collect(),
            blocks: ruling.blocks(),
            valid_until_ms,
            ends: until_ms == Some(valid_until_ms),
            cause: None,
        };
        let allowed = ruling.verdict == Verdict::Allowed;
        if allowed && self.is_full(key) {
            return Ok(unkept(viewer.clone(), too_many(ruling.revision), known.generation, now_ms));
        }
        // A credential with fewer rights says nothing about the principal's others: the generation grows only
        // when none of them is granted access any more.
        let (gone, is_last) = match ruling.verdict {
            Verdict::Denied => shared.grants.lock().leave(key),
            _ => (None, false),
        };
        let outcome = ruling.outcome();
        let same = known.outcome == outcome && !known.decision.is_empty();
        let id = if same { known.decision } else { uuid::Uuid::now_v7().to_string() };
        let row = DecisionRow {
            id: id.clone(),
            key: key.clone(),
            verdict: ruling.name(),
            kind: ruling.kind,
            reason: ruling.reason.clone(),
            revision: ruling.revision,
            finding: ruling.finding.to_string(),
            evidence: evidence_view(&ruling.evidence).to_string(),
            now_ms,
            valid_until_ms,
            outcome,
            viewer: serde_json::to_string(viewer).unwrap_or_default(),
            revokes: is_last,
            notice: (is_last && !key.principal.is_empty()).then(|| {
                let cause = gone.as_ref().and_then(|grant| grant.cause.as_deref());
                because(cause, &ruling.reason)
            }),
        };
        let generation = match shared.store.keep(&row).await {
            Ok(generation) => generation,
            Err(error) => {
                if let Some(grant) = gone {
                    shared.grants.lock().put(key.clone(), grant, usize::MAX);
                }
                return Err(error);
            }
        };
        if !same {
            self.audit(key, &ruling);
        }
        if allowed {
            let followed = shared.grants.lock().put(key.clone(), grant, shared.settings.max_grants);
            if !followed {
                return Ok(unkept(viewer.clone(), too_many(ruling.revision), generation, now_ms));
            }
        } else if is_last {
            let cause = gone.and_then(|grant| grant.cause);
            let reason = because(cause.as_deref(), &ruling.reason);
            match key.principal.is_empty() {
                false => self.notify_revoked(&key.content, &key.principal, generation, &reason).await,
                // A viewer who is not signed in has no name for an event.
                true => drop(self.revoke_all(&key.content, &reason, &By::default()).await?),
            }
        }
        let decided_at_ms = now_ms;
        Ok(Decision {
            viewer: viewer.clone(),
            ruling,
            id,
            generation,
            decided_at_ms,
            valid_until_ms,
            snapshot,
        })
    }

    fn is_full(&self, key: &Key) -> bool {
        let grants = self.shared.grants.lock();
        grants.len() >= self.shared.settings.max_grants && grants.get(key).is_none()
    }

    /// The policy of a content as strangers may know it: of one that does not exist it is private, whatever the default.
    pub(crate) async fn seen_policy(&self, content: &str) -> Result<Arc<Policy>, ApiError> {
        let policy = self.policy(content).await?;
        match policy.is_default
            && policy.openness != Openness::Private
            && !self.shared.standings.is_there(content).await?
        {
            true => Ok(Arc::new(Policy { openness: Openness::Private, ..Policy::clone(&policy) })),
            false => Ok(policy),
        }
    }

    /// The result of a policy for a viewer. `preview`: every leaf is evaluated, needed or not, and no access
    /// is granted.
    pub(crate) async fn rule(
        &self,
        policy: &Policy,
        viewer: &Viewer,
        snapshot: &mut Snapshot,
        preview: bool,
    ) -> Result<(Ruling, Option<Findings>), DbError> {
        let tree = match (policy.openness, &policy.rule) {
            (Openness::Public | Openness::Unlisted, _) => {
                return Ok((Ruling::allowed("Everyone may play this content."), None));
            }
            (Openness::Gated, Some((_, tree))) => tree,
            _ => return Ok((Ruling::private(viewer), None)),
        };
        let plans = match viewer.is_signed_in() {
            true => self.shared.store.plans(&viewer.principal).await?,
            false => Default::default(),
        };
        for chain in tree.leaves.iter().filter_map(Leaf::chain) {
            self.shared.epochs.note(snapshot, Subject::Chain(chain));
        }
        let delegated = tree.leaves.iter().any(|leaf| matches!(leaf, Leaf::Holds { delegated: true, .. }));
        let vaults = match delegated && viewer.is_signed_in() {
            true => self.shared.store.vaults(&viewer.principal).await?,
            false => Vec::new(),
        };
        let facts = Facts { now_ms: self.now_ms(), plans, vaults };
        let evaluation = Evaluation {
            tree,
            viewer,
            facts: &facts,
            chains: &self.shared.chains,
            epochs: &self.shared.epochs,
            snapshot,
            preview,
        };
        let found = evaluation.run().await;
        let truths: Vec<Truth> = found.leaves.iter().map(|(truth, _)| *truth).collect();
        let missing = || cut(&tree.root.missing(&found.leaves).unwrap_or_default());
        let mut ruling = match tree.root.truth(&truths) {
            Truth::Yes => Ruling::allowed("The rule of this content is met."),
            _ if !viewer.is_signed_in() && viewer.wallets.is_empty() => Ruling::denied(
                "not-signed-in",
                format!("Sign in to play this content. It requires: {}", missing()),
            ),
            Truth::No => Ruling::denied("not-entitled", format!("This content requires: {}", missing())),
            Truth::Unknown => Ruling::unknown(format!("Access could not be verified: {}", missing())),
        };
        ruling.finding = tree.root.finding(&found.leaves);
        ruling.evidence.clone_from(&found.evidence);
        Ok((ruling, Some(found)))
    }

    /// Revokes a principal's access, by whatever credential, durably, and publishes it. `bar`: why they are
    /// blocked from now on, or empty to unblock them.
    pub(crate) async fn revoke(
        &self,
        content: &str,
        principal: &str,
        bar: Option<&str>,
        reason: &str,
        by: &By,
    ) -> Result<u64, DbError> {
        if principal.is_empty() {
            return self.revoke_all(content, reason, by).await;
        }
        let entry = by.changed("access.revoke", format!("{content} of {principal}"), reason);
        let generation =
            self.shared.store.revoke((content, principal), bar, (reason, self.now_ms()), &entry).await?;
        self.shared.epochs.raise(Subject::Principal(principal));
        self.shared.grants.lock().remove_viewer(content, principal);
        self.shared.audit.noted();
        self.notify_revoked(content, principal, generation, reason).await;
        Ok(generation)
    }

    /// Whether a principal is blocked, with the most that their roles give them. If `auth` does not answer,
    /// the roles are the last known ones.
    pub(crate) async fn can_be_barred(&self, content: &str, principal: &str) -> Result<bool, ApiError> {
        let roles = match self.shared.people.roles(principal).await {
            Some(roles) => roles,
            None => {
                let seen = self.shared.store.last_viewer(principal).await?;
                serde_json::from_str::<Viewer>(&seen).unwrap_or_default().roles
            }
        };
        let viewer = Viewer::with_roles(principal, roles);
        Ok(self.shared.standings.of(content, &viewer).await? < Right::Own)
    }

    /// Revokes the access of every principal.
    pub(crate) async fn revoke_all(&self, content: &str, reason: &str, by: &By) -> Result<u64, DbError> {
        let entry = by.changed("access.revoke", content, reason);
        let generation = self.shared.store.revoke_all(content, (reason, self.now_ms()), &entry).await?;
        self.shared.epochs.raise(Subject::Content(content));
        self.shared.audit.noted();
        self.drop_grants(content);
        self.notify_revoked(content, "", generation, reason).await;
        Ok(generation)
    }

    pub(crate) fn drop_grants(&self, content: &str) {
        let mut grants = self.shared.grants.lock();
        for key in grants.of_content(content) {
            grants.remove(&key);
        }
    }

    /// Access granted to a principal below this generation is revoked; without a name, everyone's. It is
    /// published, if the bus is quick, before the caller continues.
    async fn notify_revoked(&self, content: &str, principal: &str, generation: u64, reason: &str) {
        tracing::info!(content, principal, generation, reason, "access was revoked");
        self.shared.outbox.soon().await;
    }

    fn audit(&self, key: &Key, ruling: &Ruling) {
        let outcome = match ruling.verdict {
            Verdict::Allowed => AuditOutcome::Granted,
            _ => AuditOutcome::Refused,
        };
        let viewer = By { principal: key.principal.clone(), ..By::default() };
        let played = viewer.changed("content.play", &key.content, &ruling.reason);
        let entry = Entry { outcome: outcome.into(), ..played };
        self.shared.audit.tell(entry);
    }

    /// Maximum lifetime of a decision.
    pub(crate) fn max_age(&self) -> Duration {
        self.shared.settings.decision_max_age.get()
    }
}

/// No access without a grant that can be revoked.
fn too_many(revision: u64) -> Ruling {
    let reason = "The limit of viewers (`max_grants`) is reached. Try again later.";
    Ruling { revision, ..Ruling::unknown(reason) }
}

/// A decision without a grant.
fn unkept(viewer: Viewer, ruling: Ruling, generation: u64, now_ms: i64) -> Decision {
    Decision {
        viewer,
        ruling,
        id: String::new(),
        generation,
        decided_at_ms: now_ms,
        valid_until_ms: now_ms,
        snapshot: Snapshot::default(),
    }
}

/// Why access has ended: the event, and what is missing now.
pub(crate) fn because(cause: Option<&str>, reason: &str) -> String {
    match cause {
        Some(cause) => format!("{cause}. {reason}"),
        None => reason.to_owned(),
    }
}

pub(crate) fn cut(text: &str) -> String {
    text.chars().take(REASON_CHARS).collect()
}
