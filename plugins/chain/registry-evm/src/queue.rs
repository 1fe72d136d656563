//! The SQL of transactions to send. A signature is stored before it is sent, in one step with its number, so
//! that a crash at any point signs nothing twice.

use std::fmt;

use alloy_primitives::{Address, B256, Bytes};
use streamgate_contracts::chain::v1 as wire;
use streamgate_contracts::db::{Batch, Db, DbError, Row, params};
use streamgate_plugin_api::time::now_ms;

use crate::caip::ChainId;
use crate::signer::{Fees, Signed};
use crate::store::broken;

/// Maximum transactions of one account that are numbered and not done.
pub(crate) const MAX_OPEN: usize = 256;
/// Changes of one transaction that are returned.
const MAX_HISTORY: usize = 100;

/// The state of a transaction.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum State {
    /// It has no number.
    Queued,
    /// No endpoint has accepted it yet.
    Signed,
    Sent,
    /// In a block that may be undone.
    Mined,
    Confirmed,
    Failed,
    /// Another transaction used its number.
    Replaced,
}

impl State {
    pub(crate) const ALL: [Self; 7] =
        [Self::Queued, Self::Signed, Self::Sent, Self::Mined, Self::Confirmed, Self::Failed, Self::Replaced];

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Queued => "queued",
            Self::Signed => "signed",
            Self::Sent => "sent",
            Self::Mined => "mined",
            Self::Confirmed => "confirmed",
            Self::Failed => "failed",
            Self::Replaced => "replaced",
        }
    }

    pub(crate) fn read(row: &Row) -> Result<Self, DbError> {
        let name: String = row.get("state")?;
        Self::ALL.into_iter().find(|state| state.name() == name).ok_or_else(|| broken("state"))
    }

    fn wire(self) -> wire::TransactionState {
        match self {
            Self::Queued => wire::TransactionState::Queued,
            Self::Signed => wire::TransactionState::Signed,
            Self::Sent => wire::TransactionState::Sent,
            Self::Mined => wire::TransactionState::Mined,
            Self::Confirmed => wire::TransactionState::Confirmed,
            Self::Failed => wire::TransactionState::Failed,
            Self::Replaced => wire::TransactionState::Replaced,
        }
    }
}

impl fmt::Display for State {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// A transaction waiting for its number.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Waiting {
    pub(crate) key: String,
    pub(crate) to: Address,
    pub(crate) data: Bytes,
}

/// One signature of a transaction.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Attempt {
    pub(crate) signed: Signed,
    pub(crate) gas: u64,
    pub(crate) fees: Fees,
    /// Unix time, milliseconds.
    pub(crate) at: i64,
}

/// A transaction with a number.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Numbered {
    pub(crate) key: String,
    pub(crate) to: Address,
    pub(crate) data: Bytes,
    pub(crate) state: State,
    pub(crate) nonce: u64,
    /// The block that it is in.
    pub(crate) block: Option<(u64, B256)>,
    pub(crate) detail: String,
    /// At least one, oldest first.
    pub(crate) attempts: Vec<Attempt>,
}

/// The result of queuing a transaction.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Queued {
    /// It is queued, now or since before.
    Taken,
    /// The key belongs to another one.
    Other,
    /// Too many are waiting.
    Full,
}

/// The transactions of one chain.
#[derive(Debug, Clone)]
pub(crate) struct Queue {
    db: Db,
    chain: String,
}

impl Queue {
    pub(crate) fn new(db: Db, chain: ChainId) -> Self {
        Self { db, chain: chain.to_string() }
    }

    /// Appends a transaction, unless its key exists or `most` are waiting already.
    pub(crate) async fn add(&self, new: &Waiting, most: usize) -> Result<Queued, DbError> {
        self.add_with(self.db.batch(), new, most).await
    }

    /// The same together with a batch: both, or neither. A failed condition of the batch counts as no room.
    pub(crate) async fn add_with(&self, batch: Batch, new: &Waiting, most: usize) -> Result<Queued, DbError> {
        let (to, data) = (new.to.to_string(), new.data.to_string());
        let insert = "INSERT INTO transaction_queue (chain, key, place, recipient, data, state, detail) \
                      SELECT $1, $2, COALESCE((SELECT MAX(place) FROM transaction_queue WHERE chain = $1), 0) + 1, \
                      $3, $4, 'queued', '' WHERE (SELECT COUNT(*) FROM transaction_queue \
                      WHERE chain = $1 AND state = 'queued') < $5 ON CONFLICT (chain, key) DO NOTHING";
        let added = self.changed(
            batch.push_expect(insert, params![&self.chain, &new.key, &to, &data, most], 1),
            &new.key,
            State::Queued,
            "",
        );
        match added.run().await {
            Ok(_) => return Ok(Queued::Taken),
            Err(DbError::Conflict { .. }) => {}
            Err(error) => return Err(error),
        }
        let sql = "SELECT recipient, data FROM transaction_queue WHERE chain = $1 AND key = $2";
        let Some(row) = self.db.query_opt(sql, params![&self.chain, &new.key]).await? else {
            return Ok(Queued::Full);
        };
        let known: (String, String) = (row.get("recipient")?, row.get("data")?);
        Ok(if known == (to, data) { Queued::Taken } else { Queued::Other })
    }

    /// Adds a state change to a batch.
    fn changed(&self, batch: Batch, key: &str, state: State, detail: &str) -> Batch {
        batch.push(
            "INSERT INTO transaction_change (chain, key, change, state, detail, at) SELECT $1, $2, \
             COALESCE((SELECT MAX(change) FROM transaction_change WHERE chain = $1 AND key = $2), 0) + 1, $3, $4, $5",
            params![&self.chain, key, state.name(), detail, now_ms()],
        )
    }

    /// The number of those without a number.
    pub(crate) async fn waiting(&self) -> Result<usize, DbError> {
        let sql = "SELECT COUNT(*) AS number FROM transaction_queue WHERE chain = $1 AND state = 'queued'";
        self.db.query_one(sql, params![&self.chain]).await?.get("number")
    }

    /// The first one without a number.
    pub(crate) async fn next(&self) -> Result<Option<Waiting>, DbError> {
        let sql = "SELECT key, recipient, data FROM transaction_queue WHERE chain = $1 AND state = 'queued' \
                   ORDER BY place LIMIT 1";
        let row = self.db.query_opt(sql, params![&self.chain]).await?;
        row.map(|row| Ok(Waiting { key: row.get("key")?, to: recipient(&row)?, data: bytes(&row, "data")? }))
            .transpose()
    }

    /// Those of the account that are not done, and those that are done although the chain has not reached
    /// their number (`used`): it was reorganised. In the order of their numbers.
    pub(crate) async fn open(&self, signer: Address, used: u64) -> Result<Vec<Numbered>, DbError> {
        let sql = "SELECT key, recipient, data, state, nonce, block_number, block_hash, detail FROM transaction_queue \
                   WHERE chain = $1 AND signer = $2 AND nonce IS NOT NULL \
                   AND (state IN ('signed', 'sent', 'mined') OR nonce >= $3) ORDER BY nonce LIMIT $4";
        let rows = self.db.query(sql, params![&self.chain, signer.to_string(), used, MAX_OPEN]).await?;
        let mut open = Vec::new();
        for row in rows {
            open.push(self.numbered(&row).await?);
        }
        Ok(open)
    }

    async fn numbered(&self, row: &Row) -> Result<Numbered, DbError> {
        let key: String = row.get("key")?;
        let (number, hash): (Option<u64>, Option<String>) =
            (row.get("block_number")?, row.get("block_hash")?);
        let block = match (number, hash) {
            (Some(number), Some(hash)) => Some((number, hash.parse().map_err(|_| broken("hash"))?)),
            _ => None,
        };
        Ok(Numbered {
            to: recipient(row)?,
            data: bytes(row, "data")?,
            state: State::read(row)?,
            nonce: row.get("nonce")?,
            block,
            detail: row.get("detail")?,
            attempts: self.attempts(&key).await?,
            key,
        })
    }

    async fn attempts(&self, key: &str) -> Result<Vec<Attempt>, DbError> {
        let sql = "SELECT hash, raw, gas, max_fee, priority_fee, at FROM transaction_signed \
                   WHERE chain = $1 AND key = $2 ORDER BY attempt LIMIT 1000";
        let rows = self.db.query(sql, params![&self.chain, key]).await?;
        rows.into_iter()
            .map(|row| {
                let hash: String = row.get("hash")?;
                let hash = hash.parse().map_err(|_| broken("hash"))?;
                let fee = |column: &str| -> Result<u128, DbError> {
                    row.get::<String>(column)?.parse().map_err(|_| broken("fee"))
                };
                Ok(Attempt {
                    signed: Signed { hash, raw: bytes(&row, "raw")? },
                    gas: row.get("gas")?,
                    fees: Fees { most: fee("max_fee")?, priority: fee("priority_fee")? },
                    at: row.get("at")?,
                })
            })
            .collect()
    }

    /// The next number of the account.
    pub(crate) async fn next_nonce(&self, signer: Address) -> Result<u64, DbError> {
        let sql = "SELECT COALESCE(MAX(nonce) + 1, 0) AS nonce FROM transaction_queue WHERE chain = $1 AND signer = $2";
        self.db.query_one(sql, params![&self.chain, signer.to_string()]).await?.get("nonce")
    }

    /// Stores the first signature and the number, which stay the transaction's own.
    pub(crate) async fn number(
        &self,
        key: &str,
        signer: Address,
        nonce: u64,
        attempt: &Attempt,
    ) -> Result<(), DbError> {
        let batch = self.db.batch().push_expect(
            "UPDATE transaction_queue SET state = 'signed', signer = $3, nonce = $4 \
             WHERE chain = $1 AND key = $2 AND state = 'queued'",
            params![&self.chain, key, signer.to_string(), nonce],
            1,
        );
        let detail = format!("number {nonce} of {signer}: {}", attempt.signed.hash);
        self.changed(self.signed(batch, key, 1, attempt), key, State::Signed, &detail).run().await.map(drop)
    }

    /// Adds a signature with a higher fee.
    pub(crate) async fn replace(&self, of: &Numbered, attempt: &Attempt) -> Result<(), DbError> {
        let batch = self.db.batch().push_expect(
            "UPDATE transaction_queue SET state = 'signed', detail = '' \
             WHERE chain = $1 AND key = $2 AND state = $3",
            params![&self.chain, &of.key, of.state.name()],
            1,
        );
        let detail = format!("a higher fee: {}", attempt.signed.hash);
        let batch = self.signed(batch, &of.key, of.attempts.len() + 1, attempt);
        self.changed(batch, &of.key, State::Signed, &detail).run().await.map(drop)
    }

    fn signed(&self, batch: Batch, key: &str, number: usize, attempt: &Attempt) -> Batch {
        let Attempt { signed, gas, fees, at } = attempt;
        batch.push(
            "INSERT INTO transaction_signed (chain, key, attempt, hash, raw, gas, max_fee, priority_fee, at) \
             VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)",
            params![
                &self.chain,
                key,
                number,
                signed.hash.to_string(),
                signed.raw.to_string(),
                *gas,
                fees.most.to_string(),
                fees.priority.to_string(),
                *at
            ],
        )
    }

    /// Moves a transaction to another state, and records the change.
    pub(crate) async fn set(
        &self,
        key: &str,
        from: State,
        to: State,
        block: Option<(u64, B256)>,
        detail: &str,
    ) -> Result<(), DbError> {
        let (number, hash) = block.map(|(number, hash)| (number, hash.to_string())).unzip();
        let batch = self.db.batch().push_expect(
            "UPDATE transaction_queue SET state = $4, block_number = $5, block_hash = $6, detail = $7 \
             WHERE chain = $1 AND key = $2 AND state = $3",
            params![&self.chain, key, from.name(), to.name(), number, hash, detail],
            1,
        );
        tracing::info!(chain = self.chain, key, from = from.name(), to = to.name(), detail, "a transaction");
        self.changed(batch, key, to, detail).run().await.map(drop)
    }

    /// The state of a transaction; `None` if its key is unknown.
    pub(crate) async fn get(&self, key: &str) -> Result<Option<wire::Transaction>, DbError> {
        let sql = "SELECT state, nonce, block_number, block_hash, detail FROM transaction_queue \
                   WHERE chain = $1 AND key = $2";
        let Some(row) = self.db.query_opt(sql, params![&self.chain, key]).await? else { return Ok(None) };
        let sql = "SELECT state, detail, at FROM transaction_change WHERE chain = $1 AND key = $2 \
                   ORDER BY change DESC LIMIT $3";
        let changes = self.db.query(sql, params![&self.chain, key, MAX_HISTORY]).await?;
        let mut history = changes
            .into_iter()
            .map(|row| {
                let state = State::read(&row)?.wire().into();
                Ok(wire::TransactionChange { state, detail: row.get("detail")?, at_ms: row.get("at")? })
            })
            .collect::<Result<Vec<_>, DbError>>()?;
        history.reverse();
        let hashes = self.attempts(key).await?.into_iter().map(|attempt| attempt.signed.hash.to_string());
        Ok(Some(wire::Transaction {
            chain: self.chain.clone(),
            key: key.to_owned(),
            state: State::read(&row)?.wire().into(),
            nonce: row.get("nonce")?,
            hashes: hashes.collect(),
            block: row.get("block_number")?,
            block_hash: row.get::<Option<String>>("block_hash")?.unwrap_or_default(),
            detail: row.get("detail")?,
            history,
        }))
    }
}

fn recipient(row: &Row) -> Result<Address, DbError> {
    row.get::<String>("recipient")?.parse().map_err(|_| broken("address"))
}

fn bytes(row: &Row, column: &str) -> Result<Bytes, DbError> {
    row.get::<String>(column)?.parse().map_err(|_| broken(column))
}
