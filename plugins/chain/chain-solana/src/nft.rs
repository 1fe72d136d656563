//! NFTs of a collection held by an owner: of Core if the collection or asset belongs to that program, else of
//! Token Metadata.
//!
//! First the candidates are searched. Then the relevant accounts are read: of each, the token account, the
//! mint, the metadata and the edition, by one call and so at one slot.

use std::collections::BTreeSet;

use futures_util::{StreamExt as _, TryStreamExt as _, stream};
use serde_json::json;
use streamgate_chain_common::RpcError;

use crate::address::Address;
use crate::core;
use crate::endpoint::{Account, Amount, Endpoint, Keyed, Reading, Since, name};
use crate::metaplex;
use crate::token::{self, HOLDER_BYTES, Mint, TOKEN, TOKEN_2022, TokenAccount};

/// Maximum accounts of one call.
const ACCOUNTS_OF_ONE_CALL: usize = 100;
/// Accounts that fully describe one NFT.
const ACCOUNTS_OF_ONE_NFT: usize = 4;
/// Concurrent calls of one reading.
const AT_ONCE: usize = 4;

/// A candidate: one unit of a mint in a token account.
#[derive(Debug, Clone, Copy)]
struct Candidate {
    account: Address,
    mint: Address,
}

impl Endpoint {
    /// How many NFTs of a verified collection the owner holds, or of the mint or asset of this address.
    pub(crate) async fn nfts(
        &self,
        since: Since,
        owner: &Address,
        collection: &Address,
    ) -> Result<Reading, RpcError> {
        let (mut slot, accounts) = self.accounts(since, &[*collection]).await?;
        if let Some(Some(account)) = accounts.first()
            && account.owner == core::PROGRAM
        {
            return self.core(since, owner, (collection, &account.data), slot).await;
        }
        let mut found = Vec::new();
        for program in [TOKEN, TOKEN_2022] {
            let slice = json!({ "dataSlice": { "offset": 0, "length": HOLDER_BYTES } });
            let filter = json!({ "programId": name(&program) });
            let (at, accounts) = self.accounts_of(since, owner, filter, slice).await?;
            slot = slot.min(at);
            for Keyed { pubkey, account } in accounts {
                if let Some(held) = token::holder(&account.data).filter(|held| held.amount == 1) {
                    found.push(Candidate { account: pubkey, mint: held.mint });
                }
            }
        }
        if found.len() > self.max_nfts {
            return Ok(Reading { amount: Amount::TooMuch, slot });
        }
        let calls: Vec<_> = found
            .chunks(ACCOUNTS_OF_ONE_CALL)
            .map(|some| async move { self.likely(since, some, collection).await })
            .collect();
        let likely: Vec<Candidate> = stream::iter(calls).buffered(AT_ONCE).try_concat().await?;
        let calls: Vec<_> = likely
            .chunks(ACCOUNTS_OF_ONE_CALL / ACCOUNTS_OF_ONE_NFT)
            .map(|some| async move { self.held(since, some, owner, collection).await })
            .collect();
        let read: Vec<_> = stream::iter(calls).buffered(AT_ONCE).try_collect().await?;
        // One that was transferred between two calls may appear in two accounts.
        let mut mints = BTreeSet::new();
        for (at, some) in read {
            slot = slot.min(at);
            mints.extend(some);
        }
        Ok(Reading { amount: Amount::Of(mints.len() as u128), slot })
    }

    /// Those whose metadata names the collection.
    async fn likely(
        &self,
        since: Since,
        some: &[Candidate],
        collection: &Address,
    ) -> Result<Vec<Candidate>, RpcError> {
        let with_address = |it: &Candidate| Some((*it, metaplex::metadata_address(&it.mint)?));
        let (some, addresses): (Vec<_>, Vec<_>) = some.iter().filter_map(with_address).unzip();
        let (_, accounts) = self.accounts(since, &addresses).await?;
        let likely = some.into_iter().zip(&accounts).filter(|(it, metadata)| {
            it.mint == *collection || is_of(&it.mint, collection, metadata.as_ref())
        });
        Ok(likely.map(|(it, _)| it).collect())
    }

    /// The mints of those that the owner holds and that are NFTs of the collection.
    async fn held(
        &self,
        since: Since,
        some: &[Candidate],
        owner: &Address,
        collection: &Address,
    ) -> Result<(u64, Vec<Address>), RpcError> {
        let addresses = |it: &Candidate| {
            let mint = &it.mint;
            Some([it.account, *mint, metaplex::metadata_address(mint)?, metaplex::edition_address(mint)?])
        };
        let with_addresses = |it: &Candidate| Some((it.mint, addresses(it)?));
        let (mints, wanted): (Vec<_>, Vec<_>) = some.iter().filter_map(with_addresses).unzip();
        let (slot, accounts) = self.accounts(since, wanted.as_flattened()).await?;
        let nfts = mints.into_iter().zip(accounts.chunks(ACCOUNTS_OF_ONE_NFT));
        let held = nfts.filter(|(mint, accounts)| is_held(mint, owner, collection, accounts));
        Ok((slot, held.map(|(mint, _)| mint).collect()))
    }
}

/// Whether the metadata names the collection, and this is verified.
fn is_of(mint: &Address, collection: &Address, metadata: Option<&Account>) -> bool {
    metadata.is_some_and(|metadata| {
        metadata.owner == metaplex::PROGRAM
            && metaplex::verified_collection(mint, &metadata.data) == Some(*collection)
    })
}

/// Whether the owner holds the only unit of this mint, and it is of the collection.
fn is_held(mint: &Address, owner: &Address, collection: &Address, accounts: &[Option<Account>]) -> bool {
    let [Some(account), Some(of), metadata, Some(edition)] = accounts else { return false };
    let program = &account.owner;
    let held = TokenAccount::parse(program, &account.data);
    let unique = Mint::parse(&of.owner, &of.data);
    [TOKEN, TOKEN_2022].contains(program)
        && of.owner == *program
        && held.is_some_and(|held| held.owner == *owner && held.mint == *mint && held.amount == 1)
        && unique.is_some_and(|unique| unique.supply == 1 && unique.decimals == 0)
        && edition.owner == metaplex::PROGRAM
        && metaplex::is_edition(&edition.data)
        && (mint == collection || is_of(mint, collection, metadata.as_ref()))
}
