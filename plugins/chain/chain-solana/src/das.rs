//! Assets from an index (the Digital Asset Standard API, which endpoints may offer). Compressed ones have no
//! accounts, and only an index knows their owners; those of Core are queried here if an endpoint does not
//! offer the account search. So these answers are only as good as the agreeing endpoints.

use std::collections::BTreeSet;

use serde::Deserialize;
use serde_json::json;
use streamgate_chain_common::RpcError;

use crate::address::Address;
use crate::endpoint::{Amount, Endpoint, Reading, Since};

/// Assets of one page, and maximum pages.
const PAGE: usize = 500;
const MAX_PAGES: u32 = 20;

/// The filter for assets of a collection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Sort {
    Compressed,
    Core,
}

#[derive(Debug, Deserialize)]
struct Page {
    items: Vec<Asset>,
    /// The slot of the index; some do not state it.
    last_indexed_slot: Option<u64>,
}

#[derive(Debug, Deserialize)]
struct Asset {
    id: String,
    #[serde(default)]
    interface: String,
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
    /// Unverified groups are left out unless requested, so most indexes do not state it.
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

    fn is(&self, sort: Sort) -> bool {
        match sort {
            Sort::Compressed => self.is_compressed(),
            Sort::Core => self.interface == "MplCoreAsset" && !self.is_compressed(),
        }
    }

    fn counts(&self, collection: &str, sort: Sort) -> bool {
        let of_collection = |group: &Group| {
            group.group_key == "collection"
                && group.group_value.as_deref() == Some(collection)
                && group.verified != Some(false)
        };
        !self.burnt && self.is(sort) && self.grouping.iter().any(of_collection)
    }
}

impl Endpoint {
    /// How many assets of a verified collection the owner holds.
    pub(crate) async fn indexed(
        &self,
        since: Since,
        owner: &Address,
        collection: &Address,
        sort: Sort,
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
            // A page may be shorter than requested without being the last one.
            if items.is_empty() {
                return Ok(Reading { amount: Amount::Of(ids.len() as u128), slot });
            }
            if items.iter().any(|asset| asset.is(sort) && asset.ownership.owner != owner) {
                return Err(RpcError::Malformed("an asset of somebody else".into()));
            }
            let counted = items.into_iter().filter(|asset| asset.counts(&collection, sort));
            ids.extend(counted.map(|asset| asset.id));
        }
        Ok(Reading { amount: Amount::TooMuch, slot })
    }
}
