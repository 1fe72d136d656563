//! The SQL of the plugin: the position of watching on each chain, and what was reported.

use alloy_primitives::{Address, B256};
use streamgate_contracts::db::{Batch, Db, DbError, Migrations, params};
use streamgate_contracts::events::{
    ChainReorganised, ChainTransfer, TYPE_CHAIN_REORGANISED, TYPE_CHAIN_TRANSFER, chain_reorganised,
    chain_transfer,
};
use streamgate_contracts::{audit, outbox};
use streamgate_plugin_api::{Client, Event};

use crate::caip::{Asset, ChainId, Token};
use crate::rpc::Block;

/// Transfers that are written or read at once.
const PAGE: usize = 250;

/// A reported block.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Known {
    pub(crate) number: u64,
    pub(crate) hash: B256,
}

/// The transfers.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Told<'a> {
    /// In the block itself, which may be undone.
    OfBlock(&'a [ChainTransfer]),
    /// In blocks that are too deep to be undone.
    ForGood(&'a [ChainTransfer]),
}

fn tell(batch: Batch, transfer: &ChainTransfer) -> Batch {
    batch.publish(Event::json(chain_transfer(&transfer.chain), TYPE_CHAIN_TRANSFER, transfer))
}

/// Runs a full batch, and begins the next one; the first is still empty.
async fn next(batch: Batch, written: usize, db: &Db) -> Result<Batch, DbError> {
    if written == 0 {
        return Ok(batch);
    }
    batch.run().await?;
    Ok(db.batch())
}

/// The plugin's namespace.
#[derive(Debug, Clone)]
pub(crate) struct Store {
    db: Db,
}

/// A stored text that is invalid.
fn broken(what: &str) -> DbError {
    DbError::Other { message: format!("a row holds no {what}") }
}

impl Store {
    pub(crate) async fn open(client: Client) -> Result<Self, DbError> {
        // The tables of registries are kept for `registry-evm`, which takes over their data.
        let migrations = Migrations::new(&[
            ("0001_init", include_str!("../migrations/0001_init.sql")),
            ("0002_registry", include_str!("../migrations/0002_registry.sql")),
            ("0003_publication", include_str!("../migrations/0003_publication.sql")),
            ("0004_audit", audit::TABLE),
            ("0005_outbox", outbox::TABLE),
        ]);
        Ok(Self { db: Db::open(client, "chain_evm", migrations).await? })
    }

    /// The namespace itself, for the SQL of other files.
    pub(crate) fn db(&self) -> &Db {
        &self.db
    }

    /// Watches the contract until `until`, or longer if that was requested already. Returns false if there
    /// are `most` others already.
    pub(crate) async fn watch(
        &self,
        asset: &Asset,
        until: i64,
        most: usize,
        now: i64,
    ) -> Result<bool, DbError> {
        let Some(contract) = asset.contract() else { return Ok(false) };
        let (chain, contract) = (asset.chain.to_string(), format!("{contract:#x}"));
        let kind = match asset.token {
            Token::Erc721(..) => "erc721",
            Token::Erc1155(..) => "erc1155",
            Token::Erc20(_) | Token::Native => "erc20",
        };
        let rows = self
            .db
            .execute(
                "INSERT INTO watched (chain, contract, kind, until) \
                 SELECT $1, $2, $3, $4 WHERE (SELECT COUNT(*) FROM watched WHERE chain = $1 AND contract <> $2 AND until > $6) < $5 \
                 ON CONFLICT (chain, contract) DO UPDATE SET kind = excluded.kind, until = \
                 CASE WHEN watched.until > excluded.until THEN watched.until ELSE excluded.until END",
                params![chain, contract, kind, until, most, now],
            )
            .await?;
        Ok(rows > 0)
    }

    /// The contracts that are watched at `now`.
    pub(crate) async fn watched(&self, chain: ChainId, now: i64) -> Result<Vec<Asset>, DbError> {
        let sql = "SELECT contract, kind FROM watched WHERE chain = $1 AND until > $2 ORDER BY contract";
        let rows = self.db.query(sql, params![chain.to_string(), now]).await?;
        rows.into_iter()
            .map(|row| {
                let (contract, kind): (String, String) = (row.get("contract")?, row.get("kind")?);
                let contract: Address = contract.parse().map_err(|_| broken("address"))?;
                let token = match kind.as_str() {
                    "erc721" => Token::Erc721(contract, None),
                    "erc1155" => Token::Erc1155(contract, None),
                    _ => Token::Erc20(contract),
                };
                Ok(Asset { chain, token })
            })
            .collect()
    }

    /// The reported blocks that may be undone, the last one first.
    pub(crate) async fn blocks(&self, chain: ChainId) -> Result<Vec<Known>, DbError> {
        let sql = "SELECT number, hash FROM block WHERE chain = $1 ORDER BY number DESC LIMIT 5000";
        let rows = self.db.query(sql, params![chain.to_string()]).await?;
        rows.into_iter()
            .map(|row| {
                let hash: String = row.get("hash")?;
                Ok(Known { number: row.get("number")?, hash: hash.parse().map_err(|_| broken("hash"))? })
            })
            .collect()
    }

    /// What was reported about blocks above `number`, the last one first.
    pub(crate) async fn told_above(
        &self,
        chain: ChainId,
        number: u64,
    ) -> Result<Vec<ChainTransfer>, DbError> {
        let sql = "SELECT event FROM transfer WHERE chain = $1 AND number > $2 \
                   ORDER BY number DESC, log_index DESC, part DESC, block_hash LIMIT $3 OFFSET $4";
        let mut told = Vec::new();
        loop {
            let rows = self.db.query(sql, params![chain.to_string(), number, PAGE, told.len()]).await?;
            let last = rows.len() < PAGE;
            for row in rows {
                let event: String = row.get("event")?;
                told.push(serde_json::from_str(&event).map_err(|_| broken("transfer"))?);
            }
            if last {
                return Ok(told);
            }
        }
    }

    /// Removes the blocks above the last valid one with their reports, and publishes that they are `undone`.
    /// What does not fit into one batch may be published twice after a crash.
    pub(crate) async fn undo(
        &self,
        reorganised: &ChainReorganised,
        undone: &[ChainTransfer],
    ) -> Result<(), DbError> {
        let ChainReorganised { chain, block, .. } = reorganised;
        let mut batch = self.db.batch();
        for (written, some) in undone.chunks(PAGE).enumerate() {
            batch = next(batch, written, &self.db).await?;
            batch = some.iter().fold(batch, tell);
        }
        batch
            .publish(Event::json(chain_reorganised(chain), TYPE_CHAIN_REORGANISED, reorganised))
            .push("DELETE FROM transfer WHERE chain = $1 AND number > $2", params![chain, *block])
            .push("DELETE FROM block WHERE chain = $1 AND number > $2", params![chain, *block])
            .run()
            .await
            .map(drop)
    }

    /// Adds a block, publishes the transfers up to it, and removes what is below `keep_from`. The block comes
    /// last: without its row, all of it is read again, and what did not fit into one batch is published
    /// again.
    pub(crate) async fn append(
        &self,
        chain: ChainId,
        block: &Block,
        told: Told<'_>,
        keep_from: u64,
    ) -> Result<(), DbError> {
        let chain = chain.to_string();
        let (moved, kept) = match told {
            Told::OfBlock(moved) => (moved, true),
            Told::ForGood(moved) => (moved, false),
        };
        let numbered: Vec<_> = (0_u32..).zip(moved).collect();
        let mut batch = self.db.batch();
        for (written, some) in numbered.chunks(PAGE).enumerate() {
            batch = next(batch, written, &self.db).await?;
            for (part, event) in some {
                if kept {
                    let text = serde_json::to_string(event).map_err(|_| broken("transfer"))?;
                    batch = batch.push(
                        "INSERT INTO transfer (chain, block_hash, log_index, part, number, event) \
                         VALUES ($1, $2, $3, $4, $5, $6) ON CONFLICT DO NOTHING",
                        params![
                            chain.clone(),
                            event.block_hash.clone(),
                            event.log_index,
                            *part,
                            event.block,
                            text
                        ],
                    );
                }
                batch = tell(batch, event);
            }
        }
        batch
            .push(
                "INSERT INTO block (chain, number, hash, parent) VALUES ($1, $2, $3, $4) \
                 ON CONFLICT (chain, number) DO UPDATE SET hash = excluded.hash, parent = excluded.parent",
                params![chain.clone(), block.number, block.hash.to_string(), block.parent_hash.to_string()],
            )
            .push("DELETE FROM transfer WHERE chain = $1 AND number < $2", params![chain.clone(), keep_from])
            .push("DELETE FROM block WHERE chain = $1 AND number < $2", params![chain, keep_from])
            .run()
            .await
            .map(drop)
    }

    /// Removes the position of a chain without watches at `now`, and expired watches.
    pub(crate) async fn forget(&self, chain: ChainId, now: i64) -> Result<(), DbError> {
        let chain = chain.to_string();
        // A watch may have been added since the caller checked.
        let nobody = "NOT EXISTS (SELECT 1 FROM watched WHERE chain = $1 AND until > $2)";
        self.db
            .batch()
            .push(&format!("DELETE FROM transfer WHERE chain = $1 AND {nobody}"), params![chain.clone(), now])
            .push(&format!("DELETE FROM block WHERE chain = $1 AND {nobody}"), params![chain.clone(), now])
            .push("DELETE FROM watched WHERE chain = $1 AND until <= $2", params![chain, now])
            .run()
            .await
            .map(drop)
    }
}
