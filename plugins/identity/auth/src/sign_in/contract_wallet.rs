//! Contract wallets (EIP-1271, EIP-6492): only their chain can verify their signatures. Without a provider of
//! the `chain` capability, such wallets are refused.

use std::time::Duration;

use futures_util::future::BoxFuture;
use streamgate_contracts::chain::v1::chain_client::ChainClient;
use streamgate_contracts::chain::v1::{SignatureRequest, Verdict as Answered};
use streamgate_contracts::ethereum::{Address, Hash};
use streamgate_plugin_api::Client;

/// How long the chain may take; its own deadlines are shorter.
const DEADLINE: Duration = Duration::from_secs(15);

/// The chain's verdict on a signature.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// The contract at the address accepts the signature.
    Valid,
    /// It rejects it, or its answer is not one of EIP-1271.
    Invalid,
    /// There is no contract at the address, and none that the signature would deploy.
    NoContract,
    /// The chain could not be called. It must never count as valid.
    Unknown,
}

/// Asks a contract whether it accepts a signature.
pub trait ContractWallets: Send + Sync {
    /// Whether the contract at `address` on the chain `chain_id` accepts `signature` for `hash`, with limits
    /// on gas and time. EIP-6492 only by simulation.
    fn verify<'a>(
        &'a self,
        chain_id: u64,
        address: Address,
        hash: Hash,
        signature: &'a [u8],
    ) -> BoxFuture<'a, Verdict>;
}

/// Never available.
#[derive(Debug, Clone, Copy, Default)]
pub struct NoContractWallets;

impl ContractWallets for NoContractWallets {
    fn verify<'a>(&'a self, _: u64, _: Address, _: Hash, _: &'a [u8]) -> BoxFuture<'a, Verdict> {
        Box::pin(async { Verdict::Unknown })
    }
}

/// Calls the provider of the `chain` capability.
#[derive(Debug, Clone)]
pub struct ChainWallets {
    chain: ChainClient<Client>,
}

impl ChainWallets {
    /// With this client of the capability.
    pub fn new(chain: Client) -> Self {
        Self { chain: ChainClient::new(chain) }
    }
}

impl ContractWallets for ChainWallets {
    fn verify<'a>(
        &'a self,
        chain_id: u64,
        address: Address,
        hash: Hash,
        signature: &'a [u8],
    ) -> BoxFuture<'a, Verdict> {
        let request = SignatureRequest {
            account: format!("eip155:{chain_id}:{address}"),
            digest: hash.to_vec().into(),
            signature: signature.to_vec().into(),
        };
        let mut chain = self.chain.clone();
        Box::pin(async move {
            let answer = match tokio::time::timeout(DEADLINE, chain.is_valid_signature(request)).await {
                Ok(Ok(answer)) => answer.into_inner(),
                Ok(Err(status)) => {
                    tracing::info!(%status, chain_id, "the chain could not be queried about a contract wallet");
                    return Verdict::Unknown;
                }
                Err(_) => return Verdict::Unknown,
            };
            let Some(said) = &answer.answer else { return Verdict::Unknown };
            match said.verdict() {
                Answered::Yes => Verdict::Valid,
                Answered::No => Verdict::Invalid,
                // It was read at a block, and there was no contract.
                Answered::Unknown if !answer.contract && said.at.is_some() => Verdict::NoContract,
                Answered::Unknown | Answered::Unspecified => Verdict::Unknown,
            }
        })
    }
}
