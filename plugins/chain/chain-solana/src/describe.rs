//! The metadata of a mint or a collection: its name and symbol, and how it can be queried.

use streamgate_chain_common::{RpcError, Unknown, printable, undescribed};
use streamgate_contracts::chain::v1 as wire;

use crate::address::Address;
use crate::chain::Chain;
use crate::core::{self, Core};
use crate::endpoint::{Account, Endpoint, Since};
use crate::metaplex::{self, Metadata};
use crate::query::Judged;
use crate::settings::Finality;
use crate::token::{self, Mint, TOKEN, TOKEN_2022};

/// The owner of wallets' accounts.
const SYSTEM: Address = Address::literal("11111111111111111111111111111111");

/// The account at an address. Endpoints that read the same at different slots agree.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Found {
    Nothing,
    Wallet,
    /// An account of a program other than those of tokens.
    Other(Address),
    Asset {
        name: String,
        symbol: String,
        decimals: Option<u8>,
        kinds: Vec<&'static str>,
    },
}

impl Chain {
    /// The metadata of a mint, a collection or an asset.
    pub(crate) async fn describe(&self, contract: Address) -> wire::DescribeResponse {
        let finality = Finality::Confirmed;
        let read = async {
            let block = self.head(finality, 0).await?;
            let since = Since { slot: block.slot, finality };
            let found = self.pool.agree(|endpoint| async move { endpoint.describe(since, contract).await });
            Ok::<_, Unknown>((found.await?, self.observation(&block, finality)))
        };
        let (found, at) = match read.await {
            Ok(read) => read,
            Err(unknown) => return undescribed(format!("{} cannot be read: {unknown}", self.id)),
        };
        let answer = |yes: bool, reason: String| Some(Judged::decided(yes, None, reason).answer(Some(at)));
        match found {
            Found::Nothing => wire::DescribeResponse {
                answer: answer(false, "there is nothing at this address".into()),
                ..Default::default()
            },
            Found::Wallet => wire::DescribeResponse {
                answer: answer(false, "this is the address of a wallet, not of a token".into()),
                ..Default::default()
            },
            Found::Other(program) => wire::DescribeResponse {
                answer: answer(true, format!("an account of the program {program} is at this address")),
                ..Default::default()
            },
            Found::Asset { name, symbol, decimals, kinds } => wire::DescribeResponse {
                answer: answer(true, "there is a token or a collection at this address".into()),
                name,
                symbol,
                decimals: decimals.map(u32::from),
                kinds: kinds.into_iter().map(str::to_owned).collect(),
            },
        }
    }
}

impl Endpoint {
    async fn describe(&self, since: Since, contract: Address) -> Result<Found, RpcError> {
        let around =
            [Some(contract), metaplex::metadata_address(&contract), metaplex::edition_address(&contract)];
        let wanted: Vec<Address> = around.into_iter().flatten().collect();
        let (_, mut accounts) = self.accounts(since, &wanted).await?;
        accounts.resize_with(around.len(), || None);
        let Some(account) = &accounts[0] else { return Ok(Found::Nothing) };
        Ok(match account.owner {
            SYSTEM => Found::Wallet,
            TOKEN | TOKEN_2022 => mint(&contract, account, &accounts[1..]),
            core::PROGRAM => match core::parse(&account.data) {
                Some(Core::Asset { name, .. } | Core::Collection { name }) => {
                    let name = printable(&String::from_utf8_lossy(name));
                    Found::Asset { name, symbol: String::new(), decimals: None, kinds: vec!["nft"] }
                }
                Some(Core::Burnt) => Found::Nothing,
                None => Found::Other(core::PROGRAM),
            },
            program => Found::Other(program),
        })
    }
}

fn mint(address: &Address, account: &Account, around: &[Option<Account>]) -> Found {
    let Some(mint) = Mint::parse(&account.owner, &account.data) else { return Found::Other(account.owner) };
    let of_metaplex = |at: usize| around[at].as_ref().filter(|it| it.owner == metaplex::PROGRAM);
    let metadata = of_metaplex(0).and_then(|it| metaplex::metadata(address, &it.data));
    let is_edition = of_metaplex(1).is_some_and(|it| metaplex::is_edition(&it.data));
    let (name, symbol, is_sized) = match metadata {
        Some(Metadata { name, symbol, is_sized, .. }) => (name, symbol, is_sized),
        None => {
            let own = Some(account).filter(|it| it.owner == TOKEN_2022);
            let own = own.and_then(|it| token::own_metadata(address, &it.data));
            let (name, symbol) = own.unwrap_or_default();
            (name, symbol, false)
        }
    };
    let is_nft = is_edition && mint.decimals == 0 && mint.supply <= 1;
    let kinds = match (is_nft, is_sized) {
        (true, true) => vec!["nft", "cnft"],
        (true, false) => vec!["nft"],
        (false, _) => vec!["token"],
    };
    let text = |bytes: &[u8]| printable(&String::from_utf8_lossy(bytes));
    let (name, symbol) = (text(name), text(symbol));
    Found::Asset { name, symbol, decimals: Some(mint.decimals).filter(|_| !is_nft), kinds }
}
