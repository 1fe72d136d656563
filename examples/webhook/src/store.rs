//! The SQL of deliveries. It does not read the clock: `now` is always passed, in Unix milliseconds.
//!
//! A delivery that is being sent has no state of its own: the sender sets its `due_at` past the end of the
//! attempt, so that it becomes due again if that process dies. That time also proves who took it.

use bytes::Bytes;
use streamgate_contracts::db::{Batch, Db, DbError, Migrations, Param, Row, Rows, params};
use streamgate_plugin_api::time::millis;
use streamgate_plugin_api::{Client, Event};
use uuid::Uuid;

use crate::deliver::Attempt;

/// The maximum number of rows that one sweeping statement changes.
pub(crate) const SWEEP: u32 = 500;

/// The number of attempts that are kept per delivery.
const MAX_ATTEMPTS: u32 = 50;

/// All columns of a delivery except its data, which may be large.
const COLUMNS: &str = "id, endpoint, state, event_id, source, kind, subject, time, datacontenttype, traceparent, \
                       attempts, tries, due_at, created_at, updated_at, ended_at, reason";

/// The state of a delivery.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum State {
    Waiting,
    Delivered,
    Dead,
}

impl State {
    pub(crate) const ALL: [Self; 3] = [Self::Waiting, Self::Delivered, Self::Dead];

    /// Its name in rows, addresses and documents.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Waiting => "waiting",
            Self::Delivered => "delivered",
            Self::Dead => "dead",
        }
    }

    pub(crate) fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|state| state.name() == name)
    }
}

/// One event for one endpoint.
#[derive(Debug, Clone)]
pub(crate) struct Delivery {
    pub(crate) id: String,
    pub(crate) endpoint: String,
    pub(crate) state: State,
    pub(crate) event: Event,
    pub(crate) attempts: u32,
    pub(crate) tries: u32,
    pub(crate) due_at: i64,
    pub(crate) created_at: i64,
    pub(crate) updated_at: i64,
    pub(crate) ended_at: Option<i64>,
    pub(crate) reason: String,
}

/// A stored attempt.
#[derive(Debug, Clone)]
pub(crate) struct AttemptRow {
    pub(crate) number: u32,
    pub(crate) started_at: i64,
    pub(crate) duration_ms: u64,
    pub(crate) status: Option<u32>,
    pub(crate) error: String,
    pub(crate) response: String,
}

/// The stored state of an endpoint.
#[derive(Debug, Clone)]
pub(crate) struct EndpointRow {
    pub(crate) name: String,
    pub(crate) gone_at: Option<i64>,
    pub(crate) succeeded_at: Option<i64>,
    pub(crate) failed_at: Option<i64>,
    pub(crate) failures: u64,
    pub(crate) error: String,
}

/// What follows a failed attempt.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum After {
    RetryAt(i64),
    Dead,
}

/// Which deliveries to list.
#[derive(Debug, Clone, Default)]
pub(crate) struct Filter {
    pub(crate) endpoint: Option<String>,
    pub(crate) state: Option<State>,
    /// Only those older than this id.
    pub(crate) before: Option<String>,
}

/// The deliveries in the database.
#[derive(Debug, Clone)]
pub(crate) struct Store {
    db: Db,
}

impl Store {
    pub(crate) async fn open(client: Client) -> Result<Self, DbError> {
        let migrations = Migrations::new(&[("0001_init", include_str!("../migrations/0001_init.sql"))]);
        Ok(Self { db: Db::open(client, "webhook", migrations).await? })
    }

    /// Stores the endpoints, by name and digest of the address. One at a new address is no longer gone.
    pub(crate) async fn register(&self, endpoints: &[(&str, String)]) -> Result<(), DbError> {
        let mut batch = self.db.batch();
        for (name, address) in endpoints {
            let sql = "INSERT INTO endpoint (name, address, failures, error) VALUES ($1, $2, 0, '') \
                       ON CONFLICT (name) DO UPDATE SET \
                           gone_at = CASE WHEN endpoint.address = excluded.address THEN endpoint.gone_at END, \
                           address = excluded.address";
            batch = batch.push(sql, params![*name, address]);
        }
        batch.run().await.map(drop)
    }

    pub(crate) async fn endpoints(&self) -> Result<Vec<EndpointRow>, DbError> {
        let sql = "SELECT name, gone_at, succeeded_at, failed_at, failures, error FROM endpoint";
        let rows = self.db.query(sql, params![]).await?;
        rows.into_iter()
            .map(|row| {
                Ok(EndpointRow {
                    name: row.get("name")?,
                    gone_at: row.get("gone_at")?,
                    succeeded_at: row.get("succeeded_at")?,
                    failed_at: row.get("failed_at")?,
                    failures: row.get("failures")?,
                    error: row.get("error")?,
                })
            })
            .collect()
    }

    /// Queues each event for its endpoint, unless it already is. If more than `most` wait for an endpoint,
    /// the oldest become dead; returns how many of each.
    pub(crate) async fn put(
        &self,
        deliveries: &[(&str, &Event)],
        most: u32,
        now: i64,
    ) -> Result<Vec<(String, u64)>, DbError> {
        let mut batch = self.db.batch();
        for (endpoint, event) in deliveries {
            batch = insert(batch, endpoint, event, now).0;
        }
        let mut names: Vec<&str> = deliveries.iter().map(|(endpoint, _)| *endpoint).collect();
        names.sort_unstable();
        names.dedup();
        for name in &names {
            batch = bound(batch, name, most, now);
        }
        let done = batch.run().await?;
        let dropped = names.iter().zip(&done[deliveries.len()..]);
        Ok(dropped
            .filter(|(_, outcome)| outcome.rows_affected > 0)
            .map(|(name, outcome)| ((*name).to_owned(), outcome.rows_affected))
            .collect())
    }

    /// Queues one event for one endpoint, like [`Self::put`]; returns its id.
    pub(crate) async fn put_one(
        &self,
        endpoint: &str,
        event: &Event,
        most: u32,
        now: i64,
    ) -> Result<String, DbError> {
        let (batch, id) = insert(self.db.batch(), endpoint, event, now);
        bound(batch, endpoint, most, now).run().await?;
        Ok(id)
    }

    /// Takes up to `limit` due deliveries until `until`, the longest due first.
    pub(crate) async fn take(
        &self,
        endpoint: &str,
        limit: usize,
        now: i64,
        until: i64,
    ) -> Result<Vec<Delivery>, DbError> {
        let sql = format!(
            "UPDATE delivery SET due_at = $4 WHERE state = 'waiting' AND id IN ( \
                 SELECT id FROM delivery WHERE endpoint = $1 AND state = 'waiting' AND due_at <= $2 \
                 ORDER BY due_at, id LIMIT $3) \
             RETURNING {COLUMNS}, data"
        );
        deliveries(self.db.execute_returning(&sql, params![endpoint, now, limit, until]).await?)
    }

    /// Releases deliveries that were taken until `until` and not completed.
    pub(crate) async fn give_back(&self, taken: &[(String, i64)], now: i64) -> Result<(), DbError> {
        let mut batch = self.db.batch();
        for (id, until) in taken {
            let sql = "UPDATE delivery SET due_at = $3 WHERE id = $1 AND due_at = $2 AND state = 'waiting'";
            batch = batch.push(sql, params![id, *until, now]);
        }
        batch.run().await.map(drop)
    }

    /// When the next one is due, if any waits.
    pub(crate) async fn next_due(&self, endpoint: &str) -> Result<Option<i64>, DbError> {
        let sql = "SELECT min(due_at) AS due FROM delivery WHERE endpoint = $1 AND state = 'waiting'";
        self.db.query_one(sql, params![endpoint]).await?.get("due")
    }

    /// How many wait for an endpoint.
    pub(crate) async fn waiting(&self, endpoint: &str) -> Result<u64, DbError> {
        let sql = "SELECT count(*) AS n FROM delivery WHERE endpoint = $1 AND state = 'waiting'";
        self.db.query_one(sql, params![endpoint]).await?.get("n")
    }

    /// Records a successful attempt.
    pub(crate) async fn delivered(
        &self,
        delivery: &Delivery,
        attempt: &Attempt,
        now: i64,
    ) -> Result<(), DbError> {
        let sql = "UPDATE delivery SET state = 'delivered', attempts = attempts + 1, tries = tries + 1, \
                       reason = '', updated_at = $2, ended_at = $2 WHERE id = $1";
        let endpoint = "UPDATE endpoint SET succeeded_at = $2, failures = 0, error = '' WHERE name = $1";
        let batch = self.attempted(delivery, attempt);
        let batch = batch.push(sql, params![&delivery.id, now]);
        batch.push(endpoint, params![&delivery.endpoint, now]).run().await.map(drop)
    }

    /// Records a failed attempt, unless another one has begun in the meantime.
    pub(crate) async fn failed(
        &self,
        delivery: &Delivery,
        attempt: &Attempt,
        after: After,
        now: i64,
    ) -> Result<(), DbError> {
        let (state, due_at, ended_at) = match after {
            After::RetryAt(due_at) => (State::Waiting, due_at, None),
            After::Dead => (State::Dead, now, Some(now)),
        };
        let sql = "UPDATE delivery SET state = $3, attempts = attempts + 1, tries = tries + 1, reason = $4, \
                       due_at = $5, updated_at = $6, ended_at = $7 \
                   WHERE id = $1 AND due_at = $2 AND state = 'waiting'";
        let endpoint =
            "UPDATE endpoint SET failed_at = $2, failures = failures + 1, error = $3 WHERE name = $1";
        let error = &attempt.error;
        let batch = self.attempted(delivery, attempt);
        let batch = batch
            .push(sql, params![&delivery.id, delivery.due_at, state.name(), error, due_at, now, ended_at]);
        batch.push(endpoint, params![&delivery.endpoint, now, error]).run().await.map(drop)
    }

    fn attempted(&self, delivery: &Delivery, attempt: &Attempt) -> Batch {
        let number = delivery.attempts + 1;
        let sql = "INSERT INTO attempt (delivery, number, started_at, duration_ms, status, error, response) \
                   VALUES ($1, $2, $3, $4, $5, $6, $7) ON CONFLICT DO NOTHING";
        let (id, status) = (&delivery.id, attempt.status);
        let duration = millis(attempt.duration);
        let row =
            params![id, number, attempt.started_at, duration, status, &attempt.error, &attempt.response];
        let forget = "DELETE FROM attempt WHERE delivery = $1 AND number <= $2";
        self.db.batch().push(sql, row).push(forget, params![id, number.saturating_sub(MAX_ATTEMPTS)])
    }

    /// The endpoint wants no more deliveries: all that wait for it become dead.
    pub(crate) async fn gone(&self, endpoint: &str, now: i64) -> Result<(), DbError> {
        let sql = "UPDATE delivery SET state = 'dead', reason = $3, ended_at = $2, updated_at = $2 \
                   WHERE endpoint = $1 AND state = 'waiting'";
        let reason = "the endpoint answered 410 Gone to another delivery, and is disabled";
        let batch = self.db.batch().push(sql, params![endpoint, now, reason]);
        let sql = "UPDATE endpoint SET gone_at = $2 WHERE name = $1";
        batch.push(sql, params![endpoint, now]).run().await.map(drop)
    }

    /// It should be retried.
    pub(crate) async fn enable(&self, endpoint: &str) -> Result<(), DbError> {
        let sql = "UPDATE endpoint SET gone_at = NULL, failures = 0, error = '' WHERE name = $1";
        self.db.execute(sql, params![endpoint]).await.map(drop)
    }

    pub(crate) async fn get(&self, id: &str) -> Result<Option<Delivery>, DbError> {
        let sql = format!("SELECT {COLUMNS}, data FROM delivery WHERE id = $1");
        Ok(deliveries(self.db.query(&sql, params![id]).await?)?.pop())
    }

    /// The stored attempts of a delivery, in order.
    pub(crate) async fn attempts(&self, id: &str) -> Result<Vec<AttemptRow>, DbError> {
        let sql = "SELECT number, started_at, duration_ms, status, error, response FROM attempt \
                   WHERE delivery = $1 ORDER BY number";
        let rows = self.db.query(sql, params![id]).await?;
        rows.into_iter()
            .map(|row| {
                Ok(AttemptRow {
                    number: row.get("number")?,
                    started_at: row.get("started_at")?,
                    duration_ms: row.get("duration_ms")?,
                    status: row.get("status")?,
                    error: row.get("error")?,
                    response: row.get("response")?,
                })
            })
            .collect()
    }

    /// The newest first, without their data.
    pub(crate) async fn list(&self, filter: &Filter, limit: u32) -> Result<Vec<Delivery>, DbError> {
        let mut params: Vec<Param> = params![limit];
        let mut conditions = Vec::new();
        for (condition, value) in [
            ("endpoint =", filter.endpoint.as_deref()),
            ("state =", filter.state.map(State::name)),
            ("id <", filter.before.as_deref()),
        ] {
            if let Some(value) = value {
                params.push(value.into());
                conditions.push(format!("{condition} ${}", params.len()));
            }
        }
        let conditions = if conditions.is_empty() { "1 = 1".into() } else { conditions.join(" AND ") };
        let sql = format!("SELECT {COLUMNS} FROM delivery WHERE {conditions} ORDER BY id DESC LIMIT $1");
        self.db.query(&sql, params).await?.into_iter().map(|row| delivery(&row, Bytes::new())).collect()
    }

    /// The number of deliveries of each endpoint in each state.
    pub(crate) async fn counts(&self) -> Result<Vec<(String, State, u64)>, DbError> {
        let sql = "SELECT endpoint, state, count(*) AS n FROM delivery GROUP BY endpoint, state";
        let rows = self.db.query(sql, params![]).await?;
        rows.into_iter().map(|row| Ok((row.get("endpoint")?, state(&row)?, row.get("n")?))).collect()
    }

    /// Queues an ended delivery again, with all its attempts. `None`: it has not ended.
    pub(crate) async fn redeliver(&self, id: &str, now: i64) -> Result<Option<Delivery>, DbError> {
        let sql = format!(
            "UPDATE delivery SET state = 'waiting', tries = 0, due_at = $2, updated_at = $2, ended_at = NULL, \
                 reason = '' WHERE id = $1 AND state IN ('dead', 'delivered') RETURNING {COLUMNS}, data"
        );
        Ok(deliveries(self.db.execute_returning(&sql, params![id, now]).await?)?.pop())
    }

    /// The same for up to `limit` dead ones of an endpoint, the oldest first; returns how many.
    pub(crate) async fn redeliver_dead(&self, endpoint: &str, limit: u64, now: i64) -> Result<u64, DbError> {
        let sql = "UPDATE delivery SET state = 'waiting', tries = 0, due_at = $3, updated_at = $3, \
                       ended_at = NULL, reason = '' \
                   WHERE id IN (SELECT id FROM delivery WHERE endpoint = $1 AND state = 'dead' \
                                ORDER BY id LIMIT $2)";
        self.db.execute(sql, params![endpoint, limit, now]).await
    }

    /// Removes a dead delivery. False: there is none.
    pub(crate) async fn delete(&self, id: &str) -> Result<bool, DbError> {
        Ok(self.remove("id = $1 AND state = 'dead'", params![id]).await? == 1)
    }

    /// Removes up to [`SWEEP`] dead deliveries, of one endpoint or of all; returns how many.
    pub(crate) async fn delete_dead(&self, endpoint: Option<&str>) -> Result<u64, DbError> {
        let which = format!(
            "id IN (SELECT id FROM delivery WHERE state = 'dead' AND (endpoint = $1 OR $1 = '') \
                    ORDER BY id LIMIT {SWEEP})"
        );
        self.remove(&which, params![endpoint.unwrap_or_default()]).await
    }

    /// Removes up to [`SWEEP`] deliveries that ended in this state before `before`; returns how many.
    pub(crate) async fn forget_before(&self, state: State, before: i64) -> Result<u64, DbError> {
        let which = format!(
            "id IN (SELECT id FROM delivery WHERE state = $1 AND ended_at IS NOT NULL AND ended_at < $2 \
                    ORDER BY ended_at, id LIMIT {SWEEP})"
        );
        self.remove(&which, params![state.name(), before]).await
    }

    /// Removes up to [`SWEEP`] of the oldest deliveries of an endpoint in this state beyond the newest
    /// `most`; returns how many.
    pub(crate) async fn forget_beyond(
        &self,
        endpoint: &str,
        state: State,
        most: u32,
    ) -> Result<u64, DbError> {
        let which = format!(
            "id IN (SELECT id FROM delivery WHERE endpoint = $1 AND state = $2 ORDER BY id DESC \
                    LIMIT {SWEEP} OFFSET $3)"
        );
        self.remove(&which, params![endpoint, state.name(), most]).await
    }

    /// Deliveries of a removed endpoint become dead; returns how many.
    pub(crate) async fn bury(&self, endpoint: &str, now: i64) -> Result<u64, DbError> {
        let sql = "UPDATE delivery SET state = 'dead', reason = $3, ended_at = $2, updated_at = $2 \
                   WHERE endpoint = $1 AND state = 'waiting'";
        let reason = "the endpoint is in the settings no more";
        self.db.execute(sql, params![endpoint, now, reason]).await
    }

    /// Removes deliveries together with their attempts.
    async fn remove(&self, which: &str, params: Vec<Param>) -> Result<u64, DbError> {
        let attempts =
            format!("DELETE FROM attempt WHERE delivery IN (SELECT id FROM delivery WHERE {which})");
        let rows = format!("DELETE FROM delivery WHERE {which}");
        let done = self.db.batch().push(&attempts, params.clone()).push(&rows, params).run().await?;
        Ok(done.last().map_or(0, |outcome| outcome.rows_affected))
    }
}

fn insert(batch: Batch, endpoint: &str, event: &Event, now: i64) -> (Batch, String) {
    let id = Uuid::now_v7().to_string();
    let sql = "INSERT INTO delivery (id, endpoint, state, event_id, source, kind, subject, time, \
                   datacontenttype, traceparent, data, attempts, tries, due_at, created_at, updated_at, reason) \
               VALUES ($1, $2, 'waiting', $3, $4, $5, $6, $7, $8, $9, $10, 0, 0, $11, $11, $11, '') \
               ON CONFLICT (endpoint, source, event_id) DO NOTHING";
    let traceparent = event.traceparent.clone();
    let Event { id: event_id, source, r#type, subject, time, datacontenttype, data, .. } = event;
    let row = params![
        &id,
        endpoint,
        event_id,
        source,
        r#type,
        subject,
        time,
        datacontenttype,
        traceparent,
        data,
        now
    ];
    (batch.push(sql, row), id)
}

/// Makes all but the newest `most` waiting ones of an endpoint dead.
fn bound(batch: Batch, endpoint: &str, most: u32, now: i64) -> Batch {
    let sql = "UPDATE delivery SET state = 'dead', reason = $4, ended_at = $3, updated_at = $3 \
               WHERE id IN (SELECT id FROM delivery WHERE endpoint = $1 AND state = 'waiting' \
                            ORDER BY id DESC LIMIT 100000 OFFSET $2)";
    let reason = format!("{most} newer ones waited for this endpoint, as many as may (max_waiting)");
    batch.push(sql, params![endpoint, most, now, reason])
}

fn state(row: &Row) -> Result<State, DbError> {
    let name: String = row.get("state")?;
    let unknown = || DbError::Column { column: "state".into(), reason: format!("`{name}` is no state") };
    State::from_name(&name).ok_or_else(unknown)
}

fn deliveries(rows: Rows) -> Result<Vec<Delivery>, DbError> {
    rows.into_iter().map(|row| delivery(&row, row.get("data")?)).collect()
}

fn delivery(row: &Row, data: Bytes) -> Result<Delivery, DbError> {
    let event = Event {
        id: row.get("event_id")?,
        source: row.get("source")?,
        r#type: row.get("kind")?,
        subject: row.get("subject")?,
        time: row.get("time")?,
        datacontenttype: row.get("datacontenttype")?,
        data,
        traceparent: row.get("traceparent")?,
    };
    Ok(Delivery {
        id: row.get("id")?,
        endpoint: row.get("endpoint")?,
        state: state(row)?,
        event,
        attempts: row.get("attempts")?,
        tries: row.get("tries")?,
        due_at: row.get("due_at")?,
        created_at: row.get("created_at")?,
        updated_at: row.get("updated_at")?,
        ended_at: row.get("ended_at")?,
        reason: row.get("reason")?,
    })
}
