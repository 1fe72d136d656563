//! Wallets that are contracts (EIP-1271, EIP-6492): whether they signed can only be asked of their
//! chain. This is where whoever can ask is put in; until then such wallets are refused.

use alloy_primitives::{Address, B256, hex};
use futures_util::future::BoxFuture;

/// EIP-6492: what a signature ends with whose contract may not be deployed yet.
const SUFFIX: [u8; 32] = hex!("6492649264926492649264926492649264926492649264926492649264926492");

/// What a chain says of a signature.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// The contract at the address says that it is its signature.
    Valid,
    /// It says that it is not, or it says nothing that EIP-1271 knows.
    Invalid,
    /// Nobody could be asked. It must never count as valid.
    Unknown,
}

/// Who asks a contract whether it signed.
pub trait ContractWallets: Send + Sync {
    /// Whether the contract at `address` on the chain `chain_id` takes `signature` for `hash`, with
    /// bounds on gas and time. EIP-6492 by simulation only.
    fn verify<'a>(
        &'a self,
        chain_id: u64,
        address: Address,
        hash: B256,
        signature: &'a [u8],
    ) -> BoxFuture<'a, Verdict>;
}

/// Asks nobody.
#[derive(Debug, Clone, Copy, Default)]
pub struct NoContractWallets;

impl ContractWallets for NoContractWallets {
    fn verify<'a>(&'a self, _: u64, _: Address, _: B256, _: &'a [u8]) -> BoxFuture<'a, Verdict> {
        Box::pin(async { Verdict::Unknown })
    }
}

/// Whether only a contract can have made this signature.
pub(crate) fn is_of_contract(signature: &[u8]) -> bool {
    signature.len() > 65 || signature.ends_with(&SUFFIX)
}
