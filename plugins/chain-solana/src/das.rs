//! Compressed assets: they have no accounts, and only an index knows who owns them (the Digital
//! Asset Standard API, which endpoints may have or not). So their answers are as good as the
//! endpoints that agree on them.

use std::collections::BTreeSet;

use serde::Deserialize;
use serde_json::json;
use solana_address::Address;
use streamgate_chain_common::RpcError;

use crate::endpoint::{Endpoint, Reading, Since};

/// Assets of one page, and pages that are looked through.
const PAGE: usize = 500;
const MAX_PAGES: u32 = 20;

#[derive(Debug, Deserialize)]
struct Page {
    items: Vec<Asset>,
    /// How far the index is; not every one says.
    last_indexed_slot: Option<u64>,
}

#[derive(Debug, Deserialize)]
struct Asset {
    id: String,
    #[serde(default)]
    burnt: bool,
    compression: Option<Compression>,
    #[serde(default)]
    grouping: Vec<Group>,
    ownership: Ownership,
}

#[derive(Debug, Deserialize)]
struct Compression {
    #[serde(default)]
    compressed: bool,
}

#[derive(Debug, Deserialize)]
struct Group {
    group_key: String,
    group_value: Option<String>,
    /// Groups that are not verified are left out unless they are asked for, and so most indexes do
    /// not say it.
    verified: Option<bool>,
}

#[derive(Debug, Deserialize)]
struct Ownership {
    owner: String,
}

impl Asset {
    fn is_compressed(&self) -> bool {
        self.compression.as_ref().is_some_and(|compression| compression.compressed)
    }

    fn counts(&self, collection: &str) -> bool {
        let of_collection = |group: &Group| {
            group.group_key == "collection"
                && group.group_value.as_deref() == Some(collection)
                && group.verified != Some(false)
        };
        !self.burnt && self.is_compressed() && self.grouping.iter().any(of_collection)
    }
}

impl Endpoint {
    /// How many compressed assets of a verified collection the owner holds.
    pub(crate) async fn compressed(
        &self,
        since: Since,
        owner: &Address,
        collection: &Address,
    ) -> Result<Reading, RpcError> {
        let (owner, collection) = (owner.to_string(), collection.to_string());
        let (mut ids, mut slot) = (BTreeSet::new(), since.slot);
        for page in 1..=MAX_PAGES {
            let params = json!({ "ownerAddress": owner, "page": page, "limit": PAGE });
            let Page { items, last_indexed_slot } = self.call("getAssetsByOwner", params).await?;
            if let Some(indexed) = last_indexed_slot {
                if indexed.saturating_add(self.max_lag) < since.slot {
                    return Err(RpcError::Behind(format!("its index of assets is at slot {indexed}")));
                }
                slot = slot.min(indexed);
            }
            // A page may be shorter than was asked for, and is not the last one then.
            if items.is_empty() {
                return Ok(Reading { amount: Some(ids.len() as u128), slot });
            }
            if items.iter().any(|asset| asset.is_compressed() && asset.ownership.owner != owner) {
                return Err(RpcError::Malformed("an asset of somebody else".into()));
            }
            ids.extend(items.into_iter().filter(|asset| asset.counts(&collection)).map(|asset| asset.id));
        }
        Ok(Reading { amount: None, slot })
    }
}
