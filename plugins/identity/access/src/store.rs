//! The SQL of the access control. A change is in one transaction with its audit entry and its event; a
//! generation only ever grows.

use std::collections::{BTreeMap, HashMap};

use serde_json::{Value, json};
use streamgate_contracts::audit::Entry;
use streamgate_contracts::db::{Batch, Db, DbError, Migrations, Row, params, places};
use streamgate_contracts::events::{TYPE_ACCESS_CHANGED, TYPE_ACCESS_REVOKED};
use streamgate_contracts::outbox::{self, Each};

use crate::grants::Key;
use crate::viewer::Viewer;

/// Characters of a reason.
pub(crate) const REASON_CHARS: usize = 1_000;
/// Rows that one sweep removes.
const SWEEP: u32 = 1_000;
/// The next generation of a row, in a statement whose `$3` is the time.
const NEXT: &str = "CASE WHEN grants.generation < $3 THEN $3 ELSE grants.generation + 1 END";

/// The namespace `access` of the database.
#[derive(Debug, Clone)]
pub(crate) struct Store {
    pub(crate) db: Db,
}

/// The migrations of the namespace.
pub(crate) fn migrations() -> Migrations {
    Migrations::new(&[
        ("0001_init", include_str!("../migrations/0001_init.sql")),
        ("0002_viewers", include_str!("../migrations/0002_viewers.sql")),
        ("0003_vaults", include_str!("../migrations/0003_vaults.sql")),
        ("0004_outbox", outbox::TABLE),
    ])
}

/// A row of `policies`.
#[derive(Debug, Clone)]
pub(crate) struct PolicyRow {
    pub(crate) openness: String,
    pub(crate) rule: String,
    pub(crate) revision: u64,
    pub(crate) changed_at_ms: i64,
}

/// The inputs of a decision.
#[derive(Debug, Clone, Default)]
pub(crate) struct Known {
    pub(crate) generation: u64,
    pub(crate) bar: String,
    pub(crate) decision: String,
    pub(crate) outcome: String,
}

/// A decision to be stored.
#[derive(Debug, Clone)]
pub(crate) struct DecisionRow {
    pub(crate) id: String,
    pub(crate) key: Key,
    pub(crate) verdict: &'static str,
    pub(crate) kind: &'static str,
    pub(crate) reason: String,
    pub(crate) revision: u64,
    pub(crate) finding: String,
    pub(crate) evidence: String,
    pub(crate) now_ms: i64,
    pub(crate) valid_until_ms: i64,
    /// The key that makes it equal to the last one.
    pub(crate) outcome: String,
    pub(crate) viewer: String,
    /// Earlier grants are revoked.
    pub(crate) revokes: bool,
    /// The reason for the event, if one is published.
    pub(crate) notice: Option<String>,
}

/// A stored decision as it is shown.
#[derive(Debug, Clone)]
pub(crate) struct RecordedDecision {
    pub(crate) id: String,
    pub(crate) members: serde_json::Map<String, Value>,
}

impl Store {
    /// The rows of contents that have one, by content.
    pub(crate) async fn policies(&self, contents: &[&str]) -> Result<HashMap<String, PolicyRow>, DbError> {
        let sql = format!(
            "SELECT content, openness, rule, revision, changed_at_ms FROM policies WHERE content IN ({})",
            places(contents.len())
        );
        let values = contents.iter().flat_map(|content| params![*content]).collect();
        let read = |row: Row| {
            let policy = PolicyRow {
                openness: row.get("openness")?,
                rule: row.get("rule")?,
                revision: row.get("revision")?,
                changed_at_ms: row.get("changed_at_ms")?,
            };
            Ok((row.get("content")?, policy))
        };
        self.db.query(&sql, values).await?.into_iter().map(read).collect()
    }

    /// Changes a policy, if it is at the revision `expected` (0: none was set yet); returns the new one.
    /// Otherwise [`DbError::Conflict`].
    pub(crate) async fn put_policy(
        &self,
        content: &str,
        (openness, rule): (&str, &str),
        expected: Option<u64>,
        (by, now_ms): (&str, i64),
        entry: &Entry,
    ) -> Result<u64, DbError> {
        let expected = expected.map_or(-1, |revision| i64::try_from(revision).unwrap_or(i64::MAX));
        let batch = self.db.batch().push_expect(
            "INSERT INTO policies (content, openness, rule, revision, changed_at_ms, changed_by) \
             SELECT $1, $2, $3, 1, $4, $5 \
             WHERE $6 <= 0 OR EXISTS (SELECT 1 FROM policies WHERE content = $1) \
             ON CONFLICT (content) DO UPDATE SET openness = excluded.openness, rule = excluded.rule, \
             revision = policies.revision + 1, changed_at_ms = excluded.changed_at_ms, \
             changed_by = excluded.changed_by WHERE $6 < 0 OR policies.revision = $6 \
             RETURNING revision",
            params![content, openness, rule, now_ms, by, expected],
            1,
        );
        let changed = Each {
            r#type: TYPE_ACCESS_CHANGED,
            subject: "'access.' || content || '.changed'",
            data: &outbox::with_number(2, "revision", "revision"),
            key: "'policy'",
            from: "policies WHERE content = $1",
            params: params![content, open(&json!({ "content": content }))?],
        };
        let mut outcomes = entry.push(batch).publish_each(changed).run().await?;
        let row = outcomes.swap_remove(0).rows.first().ok_or(DbError::NotFound)?;
        row.get("revision")
    }

    pub(crate) async fn known(&self, key: &Key) -> Result<Known, DbError> {
        let sql = "SELECT generation, bar, COALESCE(viewers.decision, '') AS decision, \
                   COALESCE(viewers.outcome, '') AS outcome FROM grants \
                   LEFT JOIN viewers ON viewers.content = grants.content \
                   AND viewers.principal = grants.principal AND viewers.rights = $3 \
                   WHERE grants.content = $1 AND grants.principal = $2";
        let row = self.db.query_opt(sql, params![&key.content, &key.principal, &key.rights]).await?;
        let read = |row: Row| -> Result<Known, DbError> {
            Ok(Known {
                generation: row.get("generation")?,
                bar: row.get("bar")?,
                decision: row.get("decision")?,
                outcome: row.get("outcome")?,
            })
        };
        Ok(row.map(read).transpose()?.unwrap_or_default())
    }

    /// JSON of the last known viewer of a principal; empty: none.
    pub(crate) async fn last_viewer(&self, principal: &str) -> Result<String, DbError> {
        let sql = "SELECT viewer FROM viewers WHERE principal = $1 ORDER BY seen_at_ms DESC LIMIT 1";
        let row = self.db.query_opt(sql, params![principal]).await?;
        row.map_or(Ok(String::new()), |row| row.get("viewer"))
    }

    /// Stores a decision; returns its generation.
    pub(crate) async fn keep(&self, row: &DecisionRow) -> Result<u64, DbError> {
        let (now_ms, live) = (row.now_ms, row.verdict == "allowed");
        // An unknown decision takes nothing from a grant, which expires on its own.
        let next = if row.revokes { NEXT } else { "grants.generation" };
        let live_sql = match (row.revokes, row.verdict) {
            (false, "unknown") => "live = viewers.live, valid_until_ms = viewers.valid_until_ms",
            _ => "live = excluded.live, valid_until_ms = excluded.valid_until_ms",
        };
        let batch = self
            .db
            .batch()
            .push(
                &format!(
                    "INSERT INTO grants (content, principal, generation, bar, viewer, decision, outcome, live, \
                     valid_until_ms, seen_at_ms) VALUES ($1, $2, $3, '', '', '', '', 0, 0, $3) \
                     ON CONFLICT (content, principal) DO UPDATE SET generation = {next}, \
                     seen_at_ms = excluded.seen_at_ms RETURNING generation"
                ),
                params![&row.key.content, &row.key.principal, now_ms],
            )
            .push(
                &format!(
                    "INSERT INTO viewers (content, principal, rights, viewer, decision, outcome, live, \
                     valid_until_ms, seen_at_ms) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9) \
                     ON CONFLICT (content, principal, rights) DO UPDATE SET \
                     viewer = excluded.viewer, decision = excluded.decision, outcome = excluded.outcome, \
                     {live_sql}, seen_at_ms = excluded.seen_at_ms"
                ),
                params![
                    &row.key.content,
                    &row.key.principal,
                    &row.key.rights,
                    &row.viewer,
                    &row.id,
                    &row.outcome,
                    live,
                    row.valid_until_ms,
                    now_ms,
                ],
            )
            .push(
                "INSERT INTO decisions (id, content, principal, verdict, type, reason, revision, generation, \
                 finding, evidence, decided_at_ms, confirmed_at_ms, valid_until_ms) \
                 SELECT $1, $2, $3, $4, $5, $6, $7, generation, $8, $9, $10, $10, $11 FROM grants \
                 WHERE content = $2 AND principal = $3 \
                 ON CONFLICT (id) DO UPDATE SET reason = excluded.reason, generation = excluded.generation, \
                 finding = excluded.finding, evidence = excluded.evidence, \
                 confirmed_at_ms = excluded.confirmed_at_ms, valid_until_ms = excluded.valid_until_ms",
                params![
                    &row.id,
                    &row.key.content,
                    &row.key.principal,
                    row.verdict,
                    row.kind,
                    &row.reason,
                    row.revision,
                    &row.finding,
                    &row.evidence,
                    now_ms,
                    row.valid_until_ms,
                ],
            );
        let batch = match &row.notice {
            Some(reason) => revoked(batch, (&row.key.content, &row.key.principal), false, reason)?,
            None => batch,
        };
        let outcomes = batch.run().await?;
        let row = outcomes.into_iter().next().and_then(|outcome| outcome.rows.first());
        row.ok_or(DbError::NotFound)?.get("generation")
    }

    /// Revokes a principal's grants, and blocks or unblocks them if a bar is given; returns the new
    /// generation.
    pub(crate) async fn revoke(
        &self,
        (content, principal): (&str, &str),
        bar: Option<&str>,
        (reason, now_ms): (&str, i64),
        entry: &Entry,
    ) -> Result<u64, DbError> {
        let set_bar = if bar.is_some() { "excluded.bar" } else { "grants.bar" };
        let batch = self
            .db
            .batch()
            .push(
                &format!(
                    "INSERT INTO grants (content, principal, generation, bar, viewer, decision, outcome, live, \
                     valid_until_ms, seen_at_ms) VALUES ($1, $2, $3, $4, '', '', '', 0, 0, $3) \
                     ON CONFLICT (content, principal) DO UPDATE SET generation = {NEXT}, bar = {set_bar} \
                     RETURNING generation"
                ),
                params![content, principal, now_ms, bar.unwrap_or("")],
            )
            .push(
                "UPDATE viewers SET live = 0, valid_until_ms = 0 WHERE content = $1 AND principal = $2",
                params![content, principal],
            );
        let outcomes = revoked(entry.push(batch), (content, principal), bar.is_some(), reason)?.run().await?;
        let row = outcomes.into_iter().next().and_then(|outcome| outcome.rows.first());
        row.ok_or(DbError::NotFound)?.get("generation")
    }

    /// Revokes everyone's grants; returns a generation that no current grant is below.
    pub(crate) async fn revoke_all(
        &self,
        content: &str,
        (reason, now_ms): (&str, i64),
        entry: &Entry,
    ) -> Result<u64, DbError> {
        let batch = self
            .db
            .batch()
            .push(
                "UPDATE grants SET generation = (SELECT CASE WHEN MAX(generation) < $2 \
                 THEN $2 ELSE MAX(generation) + 1 END FROM grants AS those WHERE those.content = $1) \
                 WHERE content = $1",
                params![content, now_ms],
            )
            .push("UPDATE viewers SET live = 0, valid_until_ms = 0 WHERE content = $1", params![content]);
        let last =
            "(SELECT COALESCE(MAX(generation), $3) AS generation FROM grants WHERE content = $1) AS last";
        all_revoked(entry.push(batch), content, reason, now_ms, last)?.run().await?;
        self.last_generation(content, now_ms).await
    }

    async fn last_generation(&self, content: &str, now_ms: i64) -> Result<u64, DbError> {
        let sql = "SELECT MAX(generation) AS generation FROM grants WHERE content = $1";
        let last: Option<u64> = self.db.query_one(sql, params![content]).await?.get("generation")?;
        Ok(last.unwrap_or(u64::try_from(now_ms).unwrap_or(0)))
    }

    /// Removes a content, and publishes a generation above all others.
    pub(crate) async fn forget(&self, content: &str, now_ms: i64) -> Result<(), DbError> {
        // No event for an unknown content: it may have been removed before.
        let above = "(SELECT COALESCE(MAX(generation), $3) + 1 AS generation FROM grants WHERE content = $1) AS last \
                     WHERE EXISTS (SELECT 1 FROM grants WHERE content = $1) \
                     OR EXISTS (SELECT 1 FROM policies WHERE content = $1)";
        all_revoked(self.db.batch(), content, "The content was deleted", now_ms, above)?
            .push("DELETE FROM policies WHERE content = $1", params![content])
            .push("DELETE FROM grants WHERE content = $1", params![content])
            .push("DELETE FROM viewers WHERE content = $1", params![content])
            .push("DELETE FROM decisions WHERE content = $1", params![content])
            .frees_space()
            .run()
            .await
            .map(drop)
    }

    /// Contents that have a policy, in order, from after one on.
    pub(crate) async fn contents(&self, after: &str, most: usize) -> Result<Vec<String>, DbError> {
        let sql = "SELECT content FROM policies WHERE content > $1 ORDER BY content LIMIT $2";
        let rows = self.db.query(sql, params![after, most]).await?;
        rows.into_iter().map(|row| row.get("content")).collect()
    }

    /// Current grants at this time, from after a key on, in order.
    pub(crate) async fn live(
        &self,
        after: &Key,
        now_ms: i64,
        most: u32,
    ) -> Result<Vec<(Key, Viewer, i64)>, DbError> {
        let sql = "SELECT content, principal, rights, viewer, valid_until_ms FROM viewers \
                   WHERE live = 1 AND valid_until_ms > $1 AND (content, principal, rights) > ($2, $3, $4) \
                   ORDER BY content, principal, rights LIMIT $5";
        let place = params![now_ms, &after.content, &after.principal, &after.rights, most];
        let rows = self.db.query(sql, place).await?;
        let mut live = Vec::with_capacity(rows.len());
        for row in rows {
            let (content, principal) = (row.get("content")?, row.get("principal")?);
            let key = Key { content, principal, rights: row.get("rights")? };
            let text: String = row.get("viewer")?;
            let mut viewer: Viewer = serde_json::from_str(&text).unwrap_or_default();
            viewer.principal.clone_from(&key.principal);
            live.push((key, viewer, row.get("valid_until_ms")?));
        }
        Ok(live)
    }

    /// Whether a principal is blocked from a content.
    pub(crate) async fn is_barred(&self, content: &str, principal: &str) -> Result<bool, DbError> {
        let sql = "SELECT 1 FROM grants WHERE content = $1 AND principal = $2 AND bar <> ''";
        Ok(self.db.query_opt(sql, params![content, principal]).await?.is_some())
    }

    /// Contents that a principal is kept out of.
    pub(crate) async fn barred_from(&self, principal: &str, most: usize) -> Result<Vec<String>, DbError> {
        let sql = "SELECT content FROM grants WHERE principal = $1 AND bar <> '' LIMIT $2";
        let rows = self.db.query(sql, params![principal, most]).await?;
        rows.into_iter().map(|row| row.get("content")).collect()
    }

    /// Principals blocked from a content and why, in order, from after one on.
    pub(crate) async fn bars(
        &self,
        content: &str,
        after: &str,
        most: usize,
    ) -> Result<Vec<(String, String)>, DbError> {
        let sql = "SELECT principal, bar FROM grants WHERE content = $1 AND bar <> '' AND principal > $2 \
                   ORDER BY principal LIMIT $3";
        let rows = self.db.query(sql, params![content, after, most]).await?;
        rows.into_iter().map(|row| Ok((row.get("principal")?, row.get("bar")?))).collect()
    }

    /// The plans of a principal, and when they end.
    pub(crate) async fn plans(&self, principal: &str) -> Result<BTreeMap<String, i64>, DbError> {
        let sql = "SELECT plan, ends_at_ms FROM subscriptions WHERE principal = $1 LIMIT 1000";
        let rows = self.db.query(sql, params![principal]).await?;
        rows.into_iter().map(|row| Ok((row.get("plan")?, row.get("ends_at_ms")?))).collect()
    }

    /// Sets until when a principal has a plan; `None` ends it. `false`: there is none, or the principal has
    /// reached the limit.
    pub(crate) async fn put_plan(
        &self,
        principal: &str,
        plan: &str,
        ends_at_ms: Option<i64>,
        entry: &Entry,
    ) -> Result<bool, DbError> {
        let batch = match ends_at_ms {
            Some(ends_at_ms) => self.db.batch().push_expect(
                "INSERT INTO subscriptions (principal, plan, ends_at_ms) SELECT $1, $2, $3 \
                 WHERE (SELECT COUNT(*) FROM subscriptions WHERE principal = $1 AND plan <> $2) < 1000 \
                 ON CONFLICT (principal, plan) DO UPDATE SET ends_at_ms = excluded.ends_at_ms",
                params![principal, plan, ends_at_ms],
                1,
            ),
            None => self.db.batch().push_expect(
                "DELETE FROM subscriptions WHERE principal = $1 AND plan = $2",
                params![principal, plan],
                1,
            ),
        };
        let batch = if ends_at_ms.is_none() { batch.frees_space() } else { batch };
        match entry.push(batch).run().await {
            Ok(_) => Ok(true),
            Err(DbError::Conflict { .. }) => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// Vaults named by a principal, in order.
    pub(crate) async fn vaults(&self, principal: &str) -> Result<Vec<String>, DbError> {
        let sql = "SELECT vault FROM vaults WHERE principal = $1 ORDER BY vault LIMIT 100";
        let rows = self.db.query(sql, params![principal]).await?;
        rows.into_iter().map(|row| row.get("vault")).collect()
    }

    /// Replaces them.
    pub(crate) async fn put_vaults(
        &self,
        principal: &str,
        vaults: &[String],
        entry: &Entry,
    ) -> Result<(), DbError> {
        let mut batch = self.db.batch().push("DELETE FROM vaults WHERE principal = $1", params![principal]);
        for vault in vaults {
            let sql = "INSERT INTO vaults (principal, vault) VALUES ($1, $2)";
            batch = batch.push(sql, params![principal, vault]);
        }
        entry.push(batch).run().await.map(drop)
    }

    /// Decisions, the newest first, from before an id on. Empty texts match all.
    pub(crate) async fn decisions(
        &self,
        content: &str,
        principal: &str,
        before: &str,
        most: usize,
    ) -> Result<Vec<RecordedDecision>, DbError> {
        let mut sql =
            "SELECT * FROM decisions WHERE ($1 = '' OR content = $1) AND ($2 = '' OR principal = $2) \
                       AND ($3 = '' OR id < $3) ORDER BY id DESC LIMIT $4"
                .to_owned();
        // Written out, so that an index is used.
        if !content.is_empty() {
            sql = sql.replace("($1 = '' OR content = $1)", "content = $1");
        } else if !principal.is_empty() {
            sql = sql.replace("($2 = '' OR principal = $2)", "principal = $2");
        }
        let rows = self.db.query(&sql, params![content, principal, before, most]).await?;
        rows.into_iter().map(|row| decision_of(&row)).collect()
    }

    /// Removes data past its retention.
    pub(crate) async fn sweep(&self, before_ms: i64) -> Result<(), DbError> {
        self.db
            .batch()
            .push(
                "DELETE FROM decisions WHERE id IN (SELECT id FROM decisions WHERE confirmed_at_ms < $1 \
                 ORDER BY confirmed_at_ms LIMIT $2)",
                params![before_ms, SWEEP],
            )
            .push("DELETE FROM grants WHERE bar = '' AND seen_at_ms < $1", params![before_ms])
            .push("DELETE FROM viewers WHERE seen_at_ms < $1 AND valid_until_ms < $1", params![before_ms])
            .frees_space()
            .run()
            .await
            .map(drop)
    }
}

/// Tells that what a principal was granted below their generation holds no more.
fn revoked(
    batch: Batch,
    (content, principal): (&str, &str),
    bar: bool,
    reason: &str,
) -> Result<Batch, DbError> {
    let said = json!({ "content": content, "principal": principal, "bar": bar, "reason": cut(reason) });
    Ok(batch.publish_each(Each {
        r#type: TYPE_ACCESS_REVOKED,
        subject: "'access.' || content || '.revoked'",
        data: &outbox::with_number(3, "generation", "generation"),
        key: "principal",
        from: "grants WHERE content = $1 AND principal = $2",
        params: params![content, principal, open(&said)?],
    }))
}

/// The same for all principals, below the `generation` of `last`: SQL over the content `$1` and the time
/// `$3`.
fn all_revoked(batch: Batch, content: &str, reason: &str, now_ms: i64, last: &str) -> Result<Batch, DbError> {
    let said = json!({ "content": content, "principal": "", "reason": cut(reason) });
    Ok(batch.publish_each(Each {
        r#type: TYPE_ACCESS_REVOKED,
        subject: "'access.' || $1 || '.revoked'",
        data: &outbox::with_number(2, "generation", "last.generation"),
        key: "'all'",
        from: last,
        params: params![content, open(&said)?, now_ms],
    }))
}

fn open(object: &Value) -> Result<String, DbError> {
    outbox::open_json(object).map_err(|error| DbError::Invalid { message: error.to_string() })
}

fn cut(reason: &str) -> String {
    reason.chars().take(REASON_CHARS).collect()
}

fn decision_of(row: &Row) -> Result<RecordedDecision, DbError> {
    let text = |name: &str| row.get::<String>(name);
    let time =
        |name: &str| Ok::<_, DbError>(Value::from(streamgate_plugin_api::time::rfc3339(row.get(name)?)));
    let json = |name: &str| Ok::<_, DbError>(serde_json::from_str(&text(name)?).unwrap_or(Value::Null));
    let id = text("id")?;
    let mut members = serde_json::Map::new();
    members.insert("id".into(), id.clone().into());
    for name in ["content", "principal", "verdict", "type", "reason"] {
        members.insert(name.into(), text(name)?.into());
    }
    for name in ["revision", "generation"] {
        members.insert(name.into(), row.get::<u64>(name)?.into());
    }
    members.insert("finding".into(), json("finding")?);
    members.insert("evidence".into(), json("evidence")?);
    members.insert("decided_at".into(), time("decided_at_ms")?);
    members.insert("confirmed_at".into(), time("confirmed_at_ms")?);
    members.insert("valid_until".into(), time("valid_until_ms")?);
    Ok(RecordedDecision { id, members })
}
