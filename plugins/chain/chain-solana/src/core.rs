//! Metaplex Core: assets and collections that are one account each, without mints and token accounts. An
//! asset states its owner and its collection; only the authority of a collection can put one into it.
//!
//! A single asset is read from its account. Those of a collection are found by the chain's own account
//! search, and if an endpoint does not offer that, by its index of assets. An asset that cannot be
//! transferred, because it is frozen, still counts as held.

use std::collections::HashSet;

use serde_json::json;
use streamgate_chain_common::RpcError;

use crate::address::Address;
use crate::das::Sort;
use crate::endpoint::{Amount, Endpoint, Keyed, Reading, Since, name};
use crate::reader::Reader;

/// The Core program.
pub(crate) const PROGRAM: Address = Address::literal("CoREENxT6tW1HoK8ypY1SxRMZTcVPm7R94rH4PZNhX7d");

/// The kind byte of an account: a burnt one, an asset, and a collection. Compressed assets have 2, and later
/// kinds another one.
const BURNT: u8 = 0;
const ASSET: u8 = 1;
const PLUGINS: u8 = 3;
const COLLECTION: u8 = 5;
/// The update authority of an asset: none, a key, or that of its collection.
const BY_NOBODY: u8 = 0;
const BY_KEY: u8 = 1;
const BY_COLLECTION: u8 = 2;
/// An asset up to its collection: kind, owner, update authority.
const HEAD_BYTES: usize = 1 + 32 + 1 + 32;

/// The kind of a program account.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Core<'a> {
    Asset { owner: Address, collection: Option<Address>, name: &'a [u8] },
    Collection { name: &'a [u8] },
    Burnt,
}

/// The account in these bytes; `None` if its form is unknown.
pub(crate) fn parse(data: &[u8]) -> Option<Core<'_>> {
    let mut reader = Reader(data);
    let core = match reader.u8()? {
        BURNT if data.len() == 1 => Core::Burnt,
        ASSET => {
            let owner = reader.address()?;
            let collection = match reader.u8()? {
                BY_NOBODY => None,
                BY_KEY => reader.address().map(|_| None)?,
                BY_COLLECTION => Some(reader.address()?),
                _ => return None,
            };
            let (name, _uri) = (reader.text()?, reader.text()?);
            if reader.bool()? {
                let _sequence = reader.u64()?;
            }
            Core::Asset { owner, collection, name }
        }
        COLLECTION => {
            let _update_authority = reader.address()?;
            let (name, _uri) = (reader.text()?, reader.text()?);
            let (_minted, _size) = (reader.u32()?, reader.u32()?);
            Core::Collection { name }
        }
        _ => return None,
    };
    // Plugins may follow.
    reader.0.first().is_none_or(|next| *next == PLUGINS).then_some(core)
}

/// Whether an asset begins like one of this owner and collection.
fn is_of(data: &[u8], owner: &Address, collection: &Address) -> bool {
    let parts: [&[u8]; 4] = [&[ASSET], owner.as_ref(), &[BY_COLLECTION], collection.as_ref()];
    data == parts.concat()
}

impl Endpoint {
    /// How much the owner holds of the asset in a program account.
    pub(crate) async fn core(
        &self,
        since: Since,
        owner: &Address,
        (address, data): (&Address, &[u8]),
        slot: u64,
    ) -> Result<Reading, RpcError> {
        let amount = match parse(data) {
            Some(Core::Asset { owner: found, .. }) => Amount::Of(u128::from(found == *owner)),
            Some(Core::Burnt) => Amount::Of(0),
            None => Amount::NotUnderstood,
            Some(Core::Collection { .. }) => {
                return match self.core_assets(since, owner, address).await {
                    // Many endpoints do not offer the account search.
                    Err(RpcError::Refused { .. }) => self.indexed(since, owner, address, Sort::Core).await,
                    read => read,
                };
            }
        };
        Ok(Reading { amount, slot })
    }

    /// How many assets of the collection the owner holds, all at one slot.
    async fn core_assets(
        &self,
        since: Since,
        owner: &Address,
        collection: &Address,
    ) -> Result<Reading, RpcError> {
        let at = |offset: usize, bytes: String| json!({ "memcmp": { "offset": offset, "bytes": bytes } });
        // Base58 of the one byte.
        let (asset, by_collection) = ("2".to_owned(), "3".to_owned());
        let config = json!({
            "withContext": true,
            "dataSlice": { "offset": 0, "length": HEAD_BYTES },
            "filters": [
                at(0, asset), at(1, owner.to_string()), at(33, by_collection), at(34, collection.to_string()),
            ],
        });
        let (slot, found): (_, Vec<Keyed>) =
            self.at(since, "getProgramAccounts", vec![name(&PROGRAM)], config).await?;
        let mut seen = HashSet::new();
        let asked_for = |it: &Keyed| {
            it.account.owner == PROGRAM
                && is_of(&it.account.data, owner, collection)
                && seen.insert(it.pubkey)
        };
        if !found.iter().all(asked_for) {
            return Err(RpcError::Malformed("an asset that was not asked for".into()));
        }
        Ok(Reading { amount: Amount::Of(found.len() as u128), slot })
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const OWNER: [u8; 32] = [7; 32];
    const OF: [u8; 32] = [8; 32];

    fn text(text: &str) -> Vec<u8> {
        [&(text.len() as u32).to_le_bytes(), text.as_bytes()].concat()
    }

    fn asset(authority: &[u8]) -> Vec<u8> {
        let parts: [&[u8]; 3] = [&[ASSET], &OWNER, authority];
        [parts.concat(), text("Ticket"), text("https://example.org/1.json"), vec![0]].concat()
    }

    fn by_collection() -> Vec<u8> {
        [&[BY_COLLECTION][..], &OF].concat()
    }

    fn collection() -> Vec<u8> {
        let head = [&[COLLECTION][..], &OWNER].concat();
        [head, text("Tickets"), text("https://example.org"), vec![9, 0, 0, 0, 8, 0, 0, 0]].concat()
    }

    #[test]
    fn an_asset_says_whose_it_is_and_of_which_collection() {
        let named = |collection: Option<[u8; 32]>| {
            let collection = collection.map(Address::from);
            Some(Core::Asset { owner: OWNER.into(), collection, name: b"Ticket" })
        };
        assert_eq!(parse(&asset(&by_collection())), named(Some(OF)));
        assert_eq!(parse(&asset(&[BY_NOBODY])), named(None));
        assert_eq!(parse(&asset(&[&[BY_KEY][..], &OF].concat())), named(None));
        // With a number for compression, and with plugins after it.
        let mut counted = asset(&by_collection());
        counted.pop();
        counted.extend([1, 5, 0, 0, 0, 0, 0, 0, 0]);
        assert_eq!(parse(&counted), named(Some(OF)));
        counted.extend([PLUGINS, 200, 0, 0, 0, 0, 0, 0, 0, 1, 0]);
        assert_eq!(parse(&counted), named(Some(OF)));
        assert_eq!(parse(&collection()), Some(Core::Collection { name: b"Tickets" }));
        assert_eq!(parse(&[BURNT]), Some(Core::Burnt));
    }

    #[test]
    fn what_is_of_another_form_is_not_understood() {
        let (asset, collection) = (asset(&by_collection()), collection());
        for whole in [&asset, &collection] {
            for length in 0..whole.len() {
                assert_eq!(parse(&whole[..length]), None, "{length}");
            }
            assert_eq!(parse(&[&whole[..], &[9]].concat()), None);
            // Compressed, a plugin, a group, and an unknown kind.
            for kind in [0, 2, 3, 4, 6, 7, 255] {
                let mut other = whole.clone();
                other[0] = kind;
                assert_eq!(parse(&other), None, "{kind}");
            }
        }
        let mut other = asset.clone();
        other[33] = 3;
        assert_eq!(parse(&other), None);
        assert_eq!(parse(&[]), None);
        assert_eq!(parse(&[BURNT, 0]), None);
    }

    #[test]
    fn the_head_of_an_asset_is_of_its_owner_and_collection_only() {
        let asset = asset(&by_collection());
        let (owner, of) = (OWNER.into(), OF.into());
        assert!(is_of(&asset[..HEAD_BYTES], &owner, &of));
        assert!(!is_of(&asset[..HEAD_BYTES], &of, &of) && !is_of(&asset[..HEAD_BYTES], &owner, &owner));
        assert!(!is_of(&asset, &owner, &of) && !is_of(&asset[..HEAD_BYTES - 1], &owner, &of));
    }

    proptest! {
        #[test]
        fn no_bytes_make_the_parser_panic(kind in 0u8..8, data in proptest::collection::vec(any::<u8>(), 0..200)) {
            let _ = parse(&data);
            let _ = parse(&[&[kind][..], &data].concat());
            let _ = parse(&[&[kind][..], &OWNER, &[2], &OF, &data].concat());
        }
    }
}
