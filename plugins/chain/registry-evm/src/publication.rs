//! The SQL of automatic registration: for each content the last transaction about it, queued in one step with
//! its row, so that a crash at any point queues nothing twice.

use std::collections::BTreeMap;

use alloy_primitives::{Address, B256, Bytes};
use streamgate_contracts::audit::By;
use streamgate_contracts::db::{Batch, Db, DbError, Row, params};
use streamgate_plugin_api::time::now_ms;

use crate::caip::{Account, ChainId};
use crate::queue::{Queue, Queued, State, Waiting};
use crate::store::broken;

/// The effect of a transaction on an entry.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Action {
    Register,
    Update,
}

impl Action {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Register => "register",
            Self::Update => "update",
        }
    }
}

/// The last queued transaction of a content.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Told {
    pub(crate) key: String,
    pub(crate) action: Action,
    pub(crate) cid: Bytes,
    pub(crate) policy: B256,
    pub(crate) state: State,
    /// The transaction's detail: its hash, or why it failed.
    pub(crate) detail: String,
    /// The last signature of it.
    pub(crate) hash: Option<String>,
    /// The block that it is in.
    pub(crate) block: Option<u64>,
}

/// The state of a content in the registry, done or planned.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Publication {
    pub(crate) content: String,
    /// How often a transaction was queued.
    pub(crate) attempt: u32,
    pub(crate) told: Option<Told>,
    /// It was requested, and has not been handled since.
    pub(crate) asked: bool,
    /// Why nothing can be queued.
    pub(crate) trouble: String,
    /// Unix time, milliseconds: of the last change of all this except the transaction's state.
    pub(crate) at: i64,
}

/// A transaction to be queued for a content.
#[derive(Debug, Clone)]
pub(crate) struct New {
    pub(crate) content: String,
    /// How often one was queued before.
    pub(crate) after: u32,
    pub(crate) action: Action,
    pub(crate) cid: Bytes,
    pub(crate) policy: B256,
    /// The call data.
    pub(crate) data: Bytes,
}

/// The states by which a list can be filtered.
pub(crate) const STATES: [&str; 9] =
    ["waiting", "blocked", "queued", "signed", "sent", "mined", "confirmed", "failed", "replaced"];

impl Publication {
    /// Whether the transaction is in progress or done, so that the registry need not be read.
    pub(crate) fn holds(&self) -> bool {
        self.told.as_ref().is_some_and(|told| !matches!(told.state, State::Failed | State::Replaced))
    }

    /// Its state in one word.
    pub(crate) fn state(&self) -> &'static str {
        match &self.told {
            Some(_) if self.asked && !self.holds() => "waiting",
            Some(told) => told.state.name(),
            None if self.asked => "waiting",
            None => "blocked",
        }
    }
}

/// As [`Publication::state`], in SQL.
const STATE: &str = "CASE WHEN p.asked = 1 AND (t.state IS NULL OR t.state IN ('failed', 'replaced')) \
                     THEN 'waiting' WHEN t.state IS NULL THEN 'blocked' ELSE t.state END";

const SELECT: &str = "SELECT p.content, p.attempt, p.key, p.action, p.cid, p.policy, p.asked, p.trouble, p.at, \
     t.state, t.detail, t.block_number, (SELECT s.hash FROM transaction_signed AS s \
     WHERE s.chain = p.chain AND s.key = p.key ORDER BY s.attempt DESC LIMIT 1) AS hash \
     FROM publication AS p LEFT JOIN transaction_queue AS t ON t.chain = p.chain AND t.key = p.key \
     WHERE p.chain = $1 AND p.registry = $2";

/// The publications of one registry.
#[derive(Debug, Clone)]
pub(crate) struct Publications {
    db: Db,
    chain: String,
    registry: String,
    contract: Address,
}

impl Publications {
    pub(crate) fn new(db: Db, chain: ChainId, contract: Address) -> Self {
        let registry = Account { chain, address: contract }.to_string();
        Self { db, chain: chain.to_string(), registry, contract }
    }

    /// The publication of a content; `None` if there never was one.
    pub(crate) async fn get(&self, content: &str) -> Result<Option<Publication>, DbError> {
        let sql = format!("{SELECT} AND p.content = $3");
        let row = self.db.query_opt(&sql, params![&self.chain, &self.registry, content]).await?;
        row.as_ref().map(read).transpose()
    }

    /// Those after a content, in the order of their ids; in one state only, if given.
    pub(crate) async fn page(
        &self,
        state: Option<&str>,
        after: &str,
        limit: usize,
    ) -> Result<Vec<Publication>, DbError> {
        let sql = format!(
            "{SELECT} AND p.content > $3 AND ($4 IS NULL OR {STATE} = $4) ORDER BY p.content LIMIT $5"
        );
        let params = params![&self.chain, &self.registry, after, state, limit];
        let rows = self.db.query(&sql, params).await?;
        rows.into_iter().map(|row| read(&row)).collect()
    }

    /// How many are in each state.
    pub(crate) async fn counts(&self) -> Result<BTreeMap<String, u64>, DbError> {
        let sql = format!(
            "SELECT {STATE} AS shown, COUNT(*) AS number FROM publication AS p \
             LEFT JOIN transaction_queue AS t ON t.chain = p.chain AND t.key = p.key \
             WHERE p.chain = $1 AND p.registry = $2 GROUP BY {STATE} ORDER BY shown"
        );
        let rows = self.db.query(&sql, params![&self.chain, &self.registry]).await?;
        rows.into_iter().map(|row| Ok((row.get("shown")?, row.get("number")?))).collect()
    }

    /// Requested contents.
    pub(crate) async fn asked(&self, most: usize) -> Result<Vec<String>, DbError> {
        let sql = "SELECT content FROM publication WHERE chain = $1 AND registry = $2 AND asked = 1 \
                   ORDER BY content LIMIT $3";
        let rows = self.db.query(sql, params![&self.chain, &self.registry, most]).await?;
        rows.into_iter().map(|row| row.get("content")).collect()
    }

    /// A content is requested.
    pub(crate) async fn ask(&self, content: &str, by: &By) -> Result<(), DbError> {
        let batch = self.insert(content, true, "", "asked = 1");
        by.note(batch, "registry.publish", content, &self.registry).run().await.map(drop)
    }

    /// All failed and blocked ones are requested; returns their number.
    pub(crate) async fn ask_again(&self, by: &By) -> Result<u64, DbError> {
        let batch = self.db.batch().push(
            "UPDATE publication SET asked = 1 WHERE chain = $1 AND registry = $2 AND asked = 0 \
             AND (attempt = 0 OR EXISTS (SELECT 1 FROM transaction_queue AS t \
             WHERE t.chain = publication.chain AND t.key = publication.key AND t.state = 'failed'))",
            params![&self.chain, &self.registry],
        );
        let batch = by.note(batch, "registry.retry", &self.registry, "all that failed or is blocked");
        Ok(batch.run().await?.first().map_or(0, |outcome| outcome.rows_affected))
    }

    /// A request is done, or needs nothing.
    pub(crate) async fn answered(&self, content: &str) -> Result<(), DbError> {
        self.db
            .batch()
            .push(
                "DELETE FROM publication WHERE chain = $1 AND registry = $2 AND content = $3 AND attempt = 0",
                params![&self.chain, &self.registry, content],
            )
            .push(
                "UPDATE publication SET asked = 0 WHERE chain = $1 AND registry = $2 AND content = $3",
                params![&self.chain, &self.registry, content],
            )
            .run()
            .await
            .map(drop)
    }

    /// Nothing can be queued for a content, for this reason.
    pub(crate) async fn block(&self, content: &str, trouble: &str) -> Result<(), DbError> {
        let known = "asked = 0, trouble = excluded.trouble, at = excluded.at";
        self.insert(content, false, trouble, known).run().await.map(drop)
    }

    fn insert(&self, content: &str, asked: bool, trouble: &str, known: &str) -> Batch {
        let sql = format!(
            "INSERT INTO publication (chain, registry, content, attempt, key, action, cid, policy, asked, trouble, at) \
             VALUES ($1, $2, $3, 0, '', '', '', '', $4, $5, $6) \
             ON CONFLICT (chain, registry, content) DO UPDATE SET {known}"
        );
        let params = params![&self.chain, &self.registry, content, asked, trouble, now_ms()];
        self.db.batch().push(&sql, params)
    }

    /// Queues a transaction for a content, unless another one was queued meanwhile or there is no room for
    /// it.
    pub(crate) async fn queue(&self, queue: &Queue, new: New, most: usize) -> Result<Queued, DbError> {
        let attempt = new.after + 1;
        let key = format!("content/{:#x}/{}/{attempt}", self.contract, new.content);
        let batch = self.db.batch().push_expect(
            "INSERT INTO publication (chain, registry, content, attempt, key, action, cid, policy, asked, trouble, at) \
             VALUES ($1, $2, $3, $4, $5, $6, $7, $8, 0, '', $9) \
             ON CONFLICT (chain, registry, content) DO UPDATE SET attempt = excluded.attempt, key = excluded.key, \
             action = excluded.action, cid = excluded.cid, policy = excluded.policy, asked = 0, trouble = '', \
             at = excluded.at WHERE publication.attempt = $10",
            params![
                &self.chain,
                &self.registry,
                &new.content,
                attempt,
                &key,
                new.action.name(),
                new.cid.to_string(),
                new.policy.to_string(),
                now_ms(),
                new.after
            ],
            1,
        );
        queue.add_with(batch, &Waiting { key, to: self.contract, data: new.data }, most).await
    }
}

fn read(row: &Row) -> Result<Publication, DbError> {
    let attempt = row.get("attempt")?;
    let told = match attempt {
        0 => None,
        _ => Some(Told {
            key: row.get("key")?,
            action: match row.get::<String>("action")?.as_str() {
                "register" => Action::Register,
                "update" => Action::Update,
                _ => return Err(broken("action")),
            },
            cid: row.get::<String>("cid")?.parse().map_err(|_| broken("cid"))?,
            policy: row.get::<String>("policy")?.parse().map_err(|_| broken("policy"))?,
            state: State::read(row)?,
            detail: row.get("detail")?,
            hash: row.get("hash")?,
            block: row.get("block_number")?,
        }),
    };
    Ok(Publication {
        content: row.get("content")?,
        attempt,
        told,
        asked: row.get::<i64>("asked")? != 0,
        trouble: row.get("trouble")?,
        at: row.get("at")?,
    })
}
