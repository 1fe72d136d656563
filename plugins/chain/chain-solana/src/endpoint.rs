//! One endpoint of a Solana cluster: reads, and their minimum slot.
//!
//! An endpoint reads accounts in their current state, at a slot of its own, which it states. It is required
//! to read at or after an agreed slot, and earlier answers are refused.

use std::collections::HashSet;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Deserializer};
use serde_json::{Value, json};
use streamgate_chain_common::{RpcError, Shows, check_time};

use crate::address::Address;
use crate::caip::Token;
use crate::das::Sort;
use crate::settings::{Chain, Finality, Settings};
use crate::token::{TOKEN, TOKEN_2022, TokenAccount};

/// Temporary errors of an endpoint: a block that does not exist yet (-32004, -32014), a slot that it has not
/// reached (-32016). One URL often has several nodes.
const NOT_YET: [i64; 3] = [-32004, -32014, -32016];
/// How often such a call is retried, and after how long; a slot takes 0.4 seconds.
const TRIES_AGAIN: u32 = 2;
const ONE_SLOT: Duration = Duration::from_millis(400);

/// A block that endpoints agreed on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Block {
    pub(crate) slot: u64,
    pub(crate) hash: Address,
    /// Unix time, seconds; `None` if the cluster has not stated it.
    pub(crate) time: Option<i64>,
}

/// The minimum slot, and the commitment.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Since {
    pub(crate) slot: u64,
    pub(crate) finality: Finality,
}

/// The owner and the asset.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct Holding {
    pub(crate) owner: Address,
    pub(crate) token: Token,
}

/// The result of a read. Endpoints that read the same at different slots agree.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Reading {
    pub(crate) amount: Amount,
    /// The earliest slot of its reads.
    pub(crate) slot: u64,
}

/// How much is held.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Amount {
    /// In the smallest unit.
    Of(u128),
    /// The owner has too many assets to search.
    TooMuch,
    /// The asset has an unknown form.
    NotUnderstood,
}

impl PartialEq for Reading {
    fn eq(&self, other: &Self) -> bool {
        self.amount == other.amount
    }
}

/// An endpoint of a cluster.
pub(crate) struct Endpoint {
    rpc: streamgate_chain_common::Endpoint,
    max_age: Option<Duration>,
    pub(crate) max_lag: u64,
    pub(crate) max_nfts: usize,
}

impl AsRef<streamgate_chain_common::Endpoint> for Endpoint {
    fn as_ref(&self) -> &streamgate_chain_common::Endpoint {
        &self.rpc
    }
}

impl Finality {
    fn commitment(self) -> &'static str {
        match self {
            Self::Confirmed => "confirmed",
            Self::Finalized => "finalized",
        }
    }
}

impl Endpoint {
    /// An endpoint of the cluster.
    ///
    /// # Errors
    /// The problem of the URL.
    pub(crate) fn new(url: &str, settings: &Settings, chain: &Chain) -> Result<Self, String> {
        let read = |result: &Value| result.as_str().map(ToOwned::to_owned);
        let shows = Shows { method: "getGenesisHash", read, wanted: chain.genesis.clone() };
        Ok(Self {
            rpc: streamgate_chain_common::Endpoint::new(url, shows, settings.limits())?,
            max_age: Some(chain.max_age.get()).filter(|age| !age.is_zero()),
            max_lag: chain.max_lag,
            max_nfts: settings.max_nfts,
        })
    }

    /// Its current slot, if it is not below `floor`.
    pub(crate) async fn slot(&self, finality: Finality, floor: u64) -> Result<u64, RpcError> {
        let config = json!({ "commitment": finality.commitment(), "minContextSlot": floor });
        let slot = self.call("getSlot", json!([config])).await?;
        if slot < floor {
            return Err(RpcError::Behind(format!("slot {slot} is below {floor}")));
        }
        Ok(slot)
    }

    /// The block of a slot, if its time is plausible for the last one.
    pub(crate) async fn block(&self, slot: u64, finality: Finality) -> Result<Block, RpcError> {
        #[derive(Deserialize)]
        #[serde(rename_all = "camelCase")]
        struct Head {
            #[serde(deserialize_with = "base58")]
            blockhash: Address,
            parent_slot: u64,
            block_time: Option<i64>,
        }
        let config = json!({
            "commitment": finality.commitment(), "transactionDetails": "none", "rewards": false,
            "maxSupportedTransactionVersion": 0,
        });
        let head: Option<Head> = self.call("getBlock", json!([slot, config])).await?;
        let head =
            head.ok_or_else(|| RpcError::Behind(format!("it does not know the block of slot {slot}")))?;
        if head.parent_slot >= slot {
            return Err(RpcError::Malformed(format!("slot {slot} comes before its parent")));
        }
        let block = Block { slot, hash: head.blockhash, time: head.block_time };
        self.check_age(&block)?;
        Ok(block)
    }

    fn check_age(&self, block: &Block) -> Result<(), RpcError> {
        let Some(most) = self.max_age else { return Ok(()) };
        let Some(time) = block.time.and_then(|time| u64::try_from(time).ok()) else {
            return Err(RpcError::Behind(format!("it knows no time of slot {}", block.slot)));
        };
        check_time("slot", block.slot, time, Some(most))
    }

    /// How much is held.
    pub(crate) async fn read(&self, since: Since, holding: &Holding) -> Result<Reading, RpcError> {
        match holding.token {
            Token::Native => {
                let (slot, lamports): (_, u64) =
                    self.at(since, "getBalance", vec![name(&holding.owner)], json!({})).await?;
                Ok(Reading { amount: Amount::Of(lamports.into()), slot })
            }
            Token::Fungible(mint) => self.tokens(since, &holding.owner, &mint).await,
            Token::Nft(collection) => self.nfts(since, &holding.owner, &collection).await,
            Token::Compressed(collection) => {
                self.indexed(since, &holding.owner, &collection, Sort::Compressed).await
            }
        }
    }

    /// The total of a mint in all token accounts of the owner, in one answer of one slot.
    async fn tokens(&self, since: Since, owner: &Address, mint: &Address) -> Result<Reading, RpcError> {
        let filter = json!({ "mint": name(mint) });
        let (slot, accounts) = self.accounts_of(since, owner, filter, json!({})).await?;
        let mut amount = 0;
        for Keyed { account, .. } in &accounts {
            let held = TokenAccount::parse(&account.owner, &account.data).filter(|held| {
                [TOKEN, TOKEN_2022].contains(&account.owner) && held.mint == *mint && held.owner == *owner
            });
            let held = held.ok_or_else(|| RpcError::Malformed("an account that was not asked for".into()))?;
            amount += u128::from(held.amount);
        }
        Ok(Reading { amount: Amount::Of(amount), slot })
    }

    /// Token accounts of the owner, all at one slot.
    pub(crate) async fn accounts_of(
        &self,
        since: Since,
        owner: &Address,
        filter: Value,
        config: Value,
    ) -> Result<(u64, Vec<Keyed>), RpcError> {
        let params = vec![name(owner), filter];
        let (slot, accounts): (_, Vec<Keyed>) =
            self.at(since, "getTokenAccountsByOwner", params, config).await?;
        let mut seen = HashSet::new();
        if !accounts.iter().all(|account| seen.insert(account.pubkey)) {
            return Err(RpcError::Malformed("it names an account twice".into()));
        }
        Ok((slot, accounts))
    }

    /// These accounts, all at one slot; `None` for a missing one.
    pub(crate) async fn accounts(
        &self,
        since: Since,
        wanted: &[Address],
    ) -> Result<(u64, Vec<Option<Account>>), RpcError> {
        let names: Vec<Value> = wanted.iter().map(name).collect();
        let (slot, accounts): (_, Vec<Option<Account>>) =
            self.at(since, "getMultipleAccounts", vec![names.into()], json!({})).await?;
        if accounts.len() != wanted.len() {
            return Err(RpcError::Malformed(format!(
                "{} accounts instead of {}",
                accounts.len(),
                wanted.len()
            )));
        }
        Ok((slot, accounts))
    }

    /// The answer and its slot, which must not be earlier than required.
    pub(crate) async fn at<T: DeserializeOwned>(
        &self,
        since: Since,
        method: &str,
        mut params: Vec<Value>,
        mut config: Value,
    ) -> Result<(u64, T), RpcError> {
        #[derive(Deserialize)]
        struct Context {
            slot: u64,
        }
        #[derive(Deserialize)]
        struct Answer<T> {
            context: Context,
            value: T,
        }
        config["commitment"] = since.finality.commitment().into();
        config["minContextSlot"] = since.slot.into();
        config["encoding"] = "base64".into();
        params.push(config);
        let Answer { context, value } = self.call(method, params.into()).await?;
        if context.slot < since.slot {
            let (at, least) = (context.slot, since.slot);
            return Err(RpcError::Malformed(format!("it read at slot {at}, which is before {least}")));
        }
        Ok((context.slot, value))
    }

    pub(crate) async fn call<T: DeserializeOwned>(&self, method: &str, params: Value) -> Result<T, RpcError> {
        let mut left = TRIES_AGAIN;
        loop {
            match self.rpc.call(method, params.clone()).await {
                Err(RpcError::Refused { code, message, .. }) if NOT_YET.contains(&code) => {
                    if left == 0 {
                        return Err(RpcError::Behind(message));
                    }
                    left -= 1;
                    tokio::time::sleep(ONE_SLOT).await;
                }
                other => return other,
            }
        }
    }
}

/// An account in the form of endpoints.
#[derive(Debug, Deserialize)]
pub(crate) struct Account {
    /// The owning program.
    #[serde(deserialize_with = "base58")]
    pub(crate) owner: Address,
    #[serde(deserialize_with = "base64_pair")]
    pub(crate) data: Vec<u8>,
}

/// An account and its address.
#[derive(Debug, Deserialize)]
pub(crate) struct Keyed {
    #[serde(deserialize_with = "base58")]
    pub(crate) pubkey: Address,
    pub(crate) account: Account,
}

pub(crate) fn name(address: &Address) -> Value {
    address.to_string().into()
}

fn base58<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Address, D::Error> {
    let text = String::deserialize(deserializer)?;
    text.parse().map_err(|_| serde::de::Error::custom("it is not an address of 32 bytes in base58"))
}

/// `["…", "base64"]`.
fn base64_pair<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<u8>, D::Error> {
    let (text, encoding) = <(String, String)>::deserialize(deserializer)?;
    if encoding != "base64" {
        return Err(serde::de::Error::custom("it is not encoded in base64"));
    }
    STANDARD.decode(text).map_err(serde::de::Error::custom)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn an_account_is_read_from_base64_only() {
        let read = |data: Value| {
            serde_json::from_value::<Account>(json!({ "owner": TOKEN.to_string(), "data": data }))
        };
        assert_eq!(read(json!(["AQI=", "base64"])).unwrap().data, [1, 2]);
        for data in
            [json!(["AQI=", "base58"]), json!("AQI="), json!(["*", "base64"]), json!({ "parsed": {} })]
        {
            assert!(read(data.clone()).is_err(), "{data}");
        }
    }

    proptest! {
        #[test]
        fn no_account_makes_the_parser_panic(owner: String, text: String) {
            let _ = serde_json::from_value::<Account>(json!({ "owner": owner, "data": [text, "base64"] }));
        }
    }
}
