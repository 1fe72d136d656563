//! The SQL of content registries' events.

use alloy_primitives::{Address, B256, hex};
use streamgate_contracts::chain::v1 as wire;
use streamgate_contracts::db::{Batch, Db, DbError, params};
use streamgate_contracts::events::{ChainRegistry, RegistryChange, TYPE_CHAIN_REGISTRY, chain_registry};
use streamgate_plugin_api::Event;

use crate::caip::{Account, ChainId};
use crate::index::{Said, at};
use crate::store::broken;

/// Records that are written or read at once.
const PAGE: usize = 250;

/// The position up to which a registry was read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Place {
    pub(crate) number: u64,
    pub(crate) hash: B256,
}

/// The events of one chain's registry.
#[derive(Debug, Clone)]
pub(crate) struct IndexStore {
    db: Db,
    chain: String,
    registry: String,
}

impl IndexStore {
    pub(crate) fn new(db: Db, chain: ChainId, registry: Address) -> Self {
        let registry = Account { chain, address: registry }.to_string();
        Self { db, chain: chain.to_string(), registry }
    }

    /// Everything up to here is final.
    pub(crate) async fn place(&self) -> Result<Option<Place>, DbError> {
        let sql = "SELECT number, hash FROM registry_place WHERE chain = $1 AND registry = $2";
        let row = self.db.query_opt(sql, params![&self.chain, &self.registry]).await?;
        row.map(|row| {
            let hash: String = row.get("hash")?;
            Ok(Place { number: row.get("number")?, hash: hash.parse().map_err(|_| broken("hash"))? })
        })
        .transpose()
    }

    /// The events in the blocks from `first` to `last`, by place.
    pub(crate) async fn said(&self, first: u64, last: u64) -> Result<Said, DbError> {
        let sql = "SELECT event FROM registry_log WHERE chain = $1 AND registry = $2 AND number BETWEEN $3 AND $4 \
                   ORDER BY number, log_index, block_hash LIMIT $5 OFFSET $6";
        let mut said = Said::new();
        let mut read = 0;
        loop {
            let params = params![&self.chain, &self.registry, first, last, PAGE, read];
            let rows = self.db.query(sql, params).await?;
            let count = rows.len();
            for row in rows {
                let event: ChainRegistry = event(&row.get::<String>("event")?)?;
                said.insert(at(&event), event);
            }
            read += count;
            if count < PAGE {
                return Ok(said);
            }
        }
    }

    /// Removes `gone` events, stores `fresh` ones, publishes both, and then advances the position: without
    /// that, all of it is read again.
    pub(crate) async fn note(
        &self,
        gone: &[ChainRegistry],
        fresh: &[ChainRegistry],
        settled: Option<Place>,
    ) -> Result<(), DbError> {
        // The last event is undone first.
        for some in gone.rchunks(PAGE) {
            let mut batch = self.db.batch();
            for event in some.iter().rev() {
                batch = batch.push(
                    "DELETE FROM registry_log WHERE chain = $1 AND registry = $2 AND block_hash = $3 AND log_index = $4",
                    params![&self.chain, &self.registry, &event.block_hash, event.log_index],
                );
                batch = tell(batch, &ChainRegistry { removed: true, ..event.clone() });
            }
            batch.run().await?;
        }
        for some in fresh.chunks(PAGE) {
            let mut batch = self.db.batch();
            for event in some {
                let kind = match event.change {
                    RegistryChange::Set { .. } => "set",
                    RegistryChange::Moved { .. } => "moved",
                };
                let text = serde_json::to_string(event).map_err(|_| broken("event"))?;
                batch = batch.push(
                    "INSERT INTO registry_log (chain, registry, block_hash, log_index, number, content, kind, event) \
                     VALUES ($1, $2, $3, $4, $5, $6, $7, $8) ON CONFLICT DO NOTHING",
                    params![
                        &self.chain,
                        &self.registry,
                        &event.block_hash,
                        event.log_index,
                        event.block,
                        &event.content,
                        kind,
                        text
                    ],
                );
                batch = tell(batch, event);
            }
            batch.run().await?;
        }
        let Some(Place { number, hash }) = settled else { return Ok(()) };
        self.db
            .batch()
            .push(
                "INSERT INTO registry_place (chain, registry, number, hash) VALUES ($1, $2, $3, $4) \
                 ON CONFLICT (chain, registry) DO UPDATE SET number = excluded.number, hash = excluded.hash",
                params![&self.chain, &self.registry, number, hash.to_string()],
            )
            .push(
                "DELETE FROM registry_log WHERE chain = $1 AND registry = $2 AND number <= $3 AND EXISTS (\
                 SELECT 1 FROM registry_log AS later WHERE later.chain = registry_log.chain \
                 AND later.registry = registry_log.registry AND later.content = registry_log.content \
                 AND later.kind = registry_log.kind AND later.number <= $3 AND (later.number > registry_log.number \
                 OR (later.number = registry_log.number AND later.log_index > registry_log.log_index)))",
                params![&self.chain, &self.registry, number],
            )
            .run()
            .await
            .map(drop)
    }

    /// The registry's entry of a content; `None` if there is none.
    pub(crate) async fn content(&self, id: &str) -> Result<Option<wire::Registered>, DbError> {
        let settled = self.place().await?.map_or(0, |place| place.number);
        let Some((set, moved)) = self.last(id).await? else { return Ok(None) };
        let last = if at(&set) > at(&moved) { &set } else { &moved };
        let (block, block_hash) = (last.block, last.block_hash.clone());
        let (RegistryChange::Set { cid, policy, policy_uri }, RegistryChange::Moved { to, .. }) =
            (set.change, moved.change)
        else {
            return Err(broken("event"));
        };
        let bytes = |text: String| hex::decode(text).map_err(|_| broken("hexadecimal number"));
        let entry = wire::ContentEntry {
            content: id.to_owned(),
            cid: bytes(cid)?.into(),
            policy: bytes(policy)?.into(),
            policy_uri,
        };
        Ok(Some(wire::Registered {
            entry: Some(entry),
            registry: self.registry.clone(),
            owner: to,
            block,
            block_hash,
            settled: block <= settled,
        }))
    }

    /// The last entry and the last transfer of a content. They are read by one statement: indexing in between
    /// would pair the new owner with an old entry.
    async fn last(&self, id: &str) -> Result<Option<(ChainRegistry, ChainRegistry)>, DbError> {
        let sql = "SELECT event FROM registry_log AS said WHERE chain = $1 AND registry = $2 AND content = $3 \
                   AND NOT EXISTS (SELECT 1 FROM registry_log AS later WHERE later.chain = said.chain \
                   AND later.registry = said.registry AND later.content = said.content AND later.kind = said.kind \
                   AND (later.number > said.number \
                   OR (later.number = said.number AND later.log_index > said.log_index)))";
        let (mut set, mut moved) = (None, None);
        for row in self.db.query(sql, params![&self.chain, &self.registry, id]).await? {
            let event = event(&row.get::<String>("event")?)?;
            match event.change {
                RegistryChange::Set { .. } => set = Some(event),
                RegistryChange::Moved { .. } => moved = Some(event),
            }
        }
        Ok(set.zip(moved))
    }
}

fn tell(batch: Batch, said: &ChainRegistry) -> Batch {
    batch.publish(Event::json(chain_registry(&said.chain), TYPE_CHAIN_REGISTRY, said))
}

fn event(text: &str) -> Result<ChainRegistry, DbError> {
    serde_json::from_str(text).map_err(|_| broken("event"))
}
