//! Limits of one principal's use of shared resources: by role, or as set by an admin. It only knows limits;
//! the plugin that has a resource counts its use, and refuses what exceeds the limit.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use serde::de::{Deserialize, Deserializer, MapAccess, Visitor};
use serde_json::{Map, Value, json};
use streamgate_contracts::auth::v1::{AuditOutcome, QuotaResponse};
use streamgate_contracts::db::{DbError, Row, params};
use streamgate_plugin_api::settings::ByteSize;
use streamgate_plugin_api::time::rfc3339;

use crate::audit::Entry;
use crate::error::{AuthError, Why};
use crate::people::People;
use crate::principal::{Role, rights};
use crate::settings::RoleQuota;
use crate::store::Store;

/// The kinds of limits, and the most that each may be.
const KINDS: [(&str, u64); 6] = [
    ("stored", 1 << 60),
    ("encodes", 10_000),
    ("encode_minutes", 1_000_000_000),
    ("unfinished_uploads", 1_000_000),
    ("api_keys", 1_000),
    ("event_streams", 1_000_000),
];
const API_KEYS: usize = 4;
const EVENT_STREAMS: usize = 5;
/// Open event streams where no quota says how many.
const USUAL_EVENT_STREAMS: u64 = 50;
/// Sign-in challenges of an address per minute where no quota says how many, and the most that it may say.
const USUAL_CHALLENGES: u32 = 300;
const MOST_CHALLENGES: u64 = 1_000_000;
/// The role of callers who are not signed in.
const ANONYMOUS: &str = "anonymous";
/// An unlimited value, in JSON and in the database.
const UNLIMITED: &str = "unlimited";
const UNLIMITED_ROW: i64 = -1;

/// One of each kind. `None`: unlimited.
type Limits = [Option<u64>; KINDS.len()];
/// One of each kind. `None`: the limit of the roles.
type Override = [Option<Amount>; KINDS.len()];

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Amount {
    Most(u64),
    Unlimited,
}

/// The override for a principal, by whom and when.
struct Set {
    amounts: Override,
    by: String,
    at_ms: i64,
}

impl RoleQuota {
    fn limits(&self) -> Limits {
        let Self { stored, encodes, encode_minutes, unfinished_uploads, api_keys, event_streams, .. } = self;
        let stored = stored.map(ByteSize::get);
        [stored, *encodes, *encode_minutes, *unfinished_uploads, *api_keys, *event_streams]
    }
}

impl Amount {
    fn limit(self) -> Option<u64> {
        match self {
            Self::Most(most) => Some(most),
            Self::Unlimited => None,
        }
    }

    fn of_row(value: i64) -> Self {
        u64::try_from(value).map_or(Self::Unlimited, Self::Most)
    }

    fn row(self) -> i64 {
        self.limit().map_or(UNLIMITED_ROW, |most| i64::try_from(most).unwrap_or(i64::MAX))
    }

    fn json(self) -> Value {
        self.limit().map_or_else(|| UNLIMITED.into(), Value::from)
    }
}

/// The problems of `quotas` in the settings, each with its key.
pub(crate) fn check(quotas: &BTreeMap<String, RoleQuota>) -> Vec<(String, String)> {
    let mut wrong = Vec::new();
    for (role, quota) in quotas {
        let anonymous = role == ANONYMOUS;
        if !anonymous && !matches!(Role::parse(role), Some(Role::Viewer | Role::Creator)) {
            let text = format!(
                "`{role}` has no quota; write `viewer`, `creator` or `{ANONYMOUS}`: admins have no limits"
            );
            wrong.push((format!("quotas.{role}"), text));
        }
        wrong.extend(wrong_challenges(role, quota.challenges));
        for ((kind, most), limit) in KINDS.iter().zip(quota.limits()) {
            if anonymous && limit.is_some() && *kind != KINDS[EVENT_STREAMS].0 {
                let text = "callers who are not signed in have `event_streams` and `challenges` only";
                wrong.push((format!("quotas.{role}.{kind}"), text.to_owned()));
            } else if let Some(limit) = limit.filter(|limit| limit > most) {
                let text = format!("{limit} is out of bounds; it must be at most {most}");
                wrong.push((format!("quotas.{role}.{kind}"), text));
            }
        }
    }
    wrong
}

fn wrong_challenges(role: &str, challenges: Option<u64>) -> Option<(String, String)> {
    let challenges = challenges?;
    let text = match role == ANONYMOUS {
        true if (1..=MOST_CHALLENGES).contains(&challenges) => return None,
        true => format!("{challenges} is out of bounds; it must be between 1 and {MOST_CHALLENGES}"),
        false => format!("challenges are counted before sign-in, by address; write `quotas.{ANONYMOUS}`"),
    };
    Some((format!("quotas.{role}.challenges"), text))
}

/// Sign-in challenges of one address per minute.
pub(crate) fn challenges(quotas: &BTreeMap<String, RoleQuota>) -> u32 {
    let most = quotas.get(ANONYMOUS).and_then(|quota| quota.challenges);
    most.and_then(|most| u32::try_from(most).ok()).unwrap_or(USUAL_CHALLENGES)
}

/// Open event streams of one address without a principal.
fn anonymous_streams(quotas: &BTreeMap<String, RoleQuota>) -> u64 {
    quotas.get(ANONYMOUS).and_then(|quota| quota.event_streams).unwrap_or(USUAL_EVENT_STREAMS)
}

/// The limits of these roles: the largest of those set. Admins have none.
fn by_role(quotas: &BTreeMap<String, RoleQuota>, granted: &BTreeSet<Role>) -> Limits {
    let mut limits = Limits::default();
    if granted.contains(&Role::Admin) {
        return limits;
    }
    let (roles, _) = rights(granted, None);
    for quota in roles.iter().filter_map(|role| quotas.get(role.name())) {
        for (limit, own) in limits.iter_mut().zip(quota.limits()) {
            *limit = (*limit).max(own);
        }
    }
    limits[EVENT_STREAMS].get_or_insert(USUAL_EVENT_STREAMS);
    limits
}

/// The same with the override of the principal.
fn effective(roles: Limits, set: Option<&Set>, is_admin: bool) -> Limits {
    let Some(set) = set.filter(|_| !is_admin) else { return roles };
    std::array::from_fn(|kind| set.amounts[kind].map_or(roles[kind], Amount::limit))
}

/// The members of a body of `PUT …/quota`, each given once.
pub(crate) struct Wanted(BTreeMap<String, Value>);

impl<'de> Deserialize<'de> for Wanted {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(Members)
    }
}

struct Members;

impl<'de> Visitor<'de> for Members {
    type Value = Wanted;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("an object of limits")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Wanted, A::Error> {
        let mut members: BTreeMap<String, Value> = BTreeMap::new();
        while let Some((name, value)) = map.next_entry::<String, Value>()? {
            if members.insert(name.clone(), value).is_some() {
                let text = format!("`{}` is given twice", name.escape_default());
                return Err(serde::de::Error::custom(text));
            }
        }
        Ok(Wanted(members))
    }
}

/// What a body of `PUT …/quota` sets.
fn amounts(Wanted(body): &Wanted) -> Result<Override, AuthError> {
    let invalid = |detail: String| Why::InvalidRequest.because(detail);
    let mut amounts = Override::default();
    for (name, value) in body {
        let Some(kind) = KINDS.iter().position(|(kind, _)| kind == name) else {
            let kinds = KINDS.map(|(kind, _)| format!("`{kind}`")).join(", ");
            return Err(invalid(format!(
                "`{}` is not a limit; the limits are {kinds}.",
                name.escape_default()
            )));
        };
        let most = KINDS[kind].1;
        amounts[kind] = match value {
            Value::Null => None,
            Value::String(word) if word == UNLIMITED => Some(Amount::Unlimited),
            other => {
                let number = other.as_u64().filter(|number| *number <= most).ok_or_else(|| {
                    let wanted = format!(
                        "a whole number up to {most}, \"{UNLIMITED}\", or null for the limit of the roles"
                    );
                    invalid(format!("`{name}` is {other}; it must be {wanted}."))
                })?;
                Some(Amount::Most(number))
            }
        };
    }
    Ok(amounts)
}

fn named(values: [Value; KINDS.len()]) -> Value {
    let names = KINDS.iter().map(|(kind, _)| (*kind).to_owned());
    names.zip(values).collect::<Map<_, _>>().into()
}

impl Store {
    async fn keys_held(&self, principal: &str) -> Result<u64, DbError> {
        let sql = "SELECT COUNT(*) AS held FROM api_keys WHERE principal = $1";
        self.db.query_one(sql, params![principal]).await?.get("held")
    }

    async fn quota(&self, principal: &str) -> Result<Option<Set>, DbError> {
        let row = self.db.query_opt("SELECT * FROM quotas WHERE principal = $1", params![principal]).await?;
        row.map(|row| set_of(&row)).transpose()
    }
}

fn set_of(row: &Row) -> Result<Set, DbError> {
    let mut amounts = Override::default();
    for (amount, (kind, _)) in amounts.iter_mut().zip(KINDS) {
        *amount = row.get::<Option<i64>>(kind)?.map(Amount::of_row);
    }
    Ok(Set { amounts, by: row.get("set_by")?, at_ms: row.get("set_at_ms")? })
}

impl People {
    async fn limits(&self, principal: &str) -> Result<(Limits, Option<Set>), DbError> {
        let granted = self.store.roles(principal).await?;
        let set = self.store.quota(principal).await?;
        let roles = by_role(&self.settings.quotas, &granted);
        Ok((effective(roles, set.as_ref(), granted.contains(&Role::Admin)), set))
    }

    /// The limits of a principal, for other plugins.
    pub(crate) async fn quota(&self, principal: &str) -> Result<QuotaResponse, DbError> {
        if principal.is_empty() {
            let event_streams = Some(anonymous_streams(&self.settings.quotas));
            return Ok(QuotaResponse { event_streams, ..QuotaResponse::default() });
        }
        let ([stored, encodes, encode_minutes, unfinished_uploads, api_keys, event_streams], _) =
            self.limits(principal).await?;
        let api_keys = Some(api_keys.unwrap_or_else(|| self.settings.max_keys.into()));
        let api_keys_held = self.store.keys_held(principal).await?;
        Ok(QuotaResponse {
            stored,
            encodes,
            encode_minutes,
            unfinished_uploads,
            api_keys,
            api_keys_held,
            event_streams,
            ..QuotaResponse::default()
        })
    }

    /// How many API keys a principal may have, and the setting of that limit.
    pub(crate) async fn most_keys(&self, principal: &str) -> Result<(u64, &'static str), DbError> {
        let (limits, _) = self.limits(principal).await?;
        let by_default = (self.settings.max_keys.into(), "max_keys");
        Ok(limits[API_KEYS].map_or(by_default, |most| (most, "quotas.api_keys")))
    }

    /// The limits of a principal, for themselves and for admins.
    pub(crate) async fn show_quota(&self, principal: &str) -> Result<Value, AuthError> {
        let (limits, set) = self.limits(principal).await?;
        let set_for_them = set.map(|set| {
            let amounts = named(set.amounts.map(|amount| amount.map_or(Value::Null, Amount::json)));
            json!({ "limits": amounts, "set_by": set.by, "set_at": rfc3339(set.at_ms) })
        });
        Ok(
            json!({ "principal": principal, "limits": named(limits.map(Value::from)), "override": set_for_them }),
        )
    }

    /// Sets limits for one principal, replacing all earlier overrides.
    pub(crate) async fn set_quota(
        &self,
        principal: &str,
        body: &Wanted,
        by: &str,
        address: &str,
    ) -> Result<(), AuthError> {
        self.known(principal).await?;
        let amounts = amounts(body)?;
        let now_ms = self.clock.now_ms();
        let [stored, encodes, encode_minutes, unfinished_uploads, api_keys, event_streams] =
            amounts.map(|amount| amount.map(Amount::row));
        let batch = self.store.db.batch().push(
            "INSERT INTO quotas (principal, stored, encodes, encode_minutes, unfinished_uploads, api_keys, \
             event_streams, set_by, set_at_ms) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9) \
             ON CONFLICT (principal) DO UPDATE SET stored = $2, encodes = $3, encode_minutes = $4, \
             unfinished_uploads = $5, api_keys = $6, event_streams = $7, set_by = $8, set_at_ms = $9",
            params![
                principal,
                stored,
                encodes,
                encode_minutes,
                unfinished_uploads,
                api_keys,
                event_streams,
                by,
                now_ms
            ],
        );
        let words = KINDS.iter().zip(amounts).filter_map(|((kind, _), amount)| {
            amount.map(|amount| {
                format!("{kind} {}", amount.limit().map_or(UNLIMITED.into(), |most| most.to_string()))
            })
        });
        let words = words.collect::<Vec<_>>().join(", ");
        let entry = Entry::new("quota.set", AuditOutcome::Changed, by, address).on(principal).detail(words);
        entry.push(batch, now_ms).run().await?;
        Ok(())
    }

    /// Removes the override: the limits of the roles apply.
    pub(crate) async fn clear_quota(
        &self,
        principal: &str,
        by: &str,
        address: &str,
    ) -> Result<(), AuthError> {
        self.known(principal).await?;
        let batch = self
            .store
            .db
            .batch()
            .push_expect("DELETE FROM quotas WHERE principal = $1", params![principal], 1)
            .frees_space();
        let entry = Entry::new("quota.clear", AuditOutcome::Changed, by, address).on(principal);
        match entry.push(batch, self.clock.now_ms()).run().await {
            // Nothing was set, which is the wanted result.
            Ok(_) | Err(DbError::Conflict { statement: 0, .. }) => Ok(()),
            Err(error) => Err(error.into()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_several_roles_the_largest_limit_counts_and_a_role_without_one_says_nothing() {
        let quotas = BTreeMap::from([
            ("viewer".to_owned(), RoleQuota { api_keys: Some(2), encodes: Some(1), ..RoleQuota::default() }),
            ("creator".to_owned(), RoleQuota { encodes: Some(4), ..RoleQuota::default() }),
        ]);
        assert_eq!(by_role(&quotas, &BTreeSet::new()), [None, Some(1), None, None, Some(2), Some(50)]);
        assert_eq!(
            by_role(&quotas, &BTreeSet::from([Role::Creator])),
            [None, Some(4), None, None, Some(2), Some(50)]
        );
        assert_eq!(by_role(&quotas, &BTreeSet::from([Role::Creator, Role::Admin])), Limits::default());
    }
}
