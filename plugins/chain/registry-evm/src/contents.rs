//! The content registry contract (`contracts/ContentRegistry.sol`): its call data, and its logs.

use alloy_primitives::{Address, B256, Bytes, FixedBytes, U256};
use alloy_sol_types::{SolCall as _, SolEvent as _};
use streamgate_contracts::chain::v1::{ContentEntry, RegisterContent, UpdateContent, send_request::Action};
use streamgate_contracts::events::{ChainRegistry, RegistryChange};
use uuid::Uuid;

use crate::caip::{Account, ChainId};
use crate::chain::Log;

const MAX_CID: usize = 128;
const MAX_POLICY_URI: usize = 512;

mod abi {
    alloy_sol_types::sol! {
        function register(bytes16 id, address owner, bytes cid, bytes32 policy, string policyURI);
        function update(bytes16 id, bytes cid, bytes32 policy, string policyURI);

        event ContentSet(bytes16 indexed id, bytes cid, bytes32 policy, string policyURI);
        event Transfer(address indexed from, address indexed to, uint256 indexed token);
    }
}

/// An action that the contract would refuse.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub(crate) struct ActionError(String);

/// The call data of an action; `server` owns contents without another owner.
pub(crate) fn call(chain: ChainId, server: Address, action: Action) -> Result<Bytes, ActionError> {
    match action {
        Action::Register(RegisterContent { entry, owner }) => {
            let Entry { id, cid, policy, uri } = Entry::new(entry)?;
            let owner = if owner.is_empty() { server } else { on(chain, &owner)? };
            Ok(abi::registerCall { id, owner, cid, policy, policyURI: uri }.abi_encode().into())
        }
        Action::Update(UpdateContent { entry }) => {
            let Entry { id, cid, policy, uri } = Entry::new(entry)?;
            Ok(abi::updateCall { id, cid, policy, policyURI: uri }.abi_encode().into())
        }
    }
}

fn on(chain: ChainId, text: &str) -> Result<Address, ActionError> {
    let account = Account::parse(text).map_err(|error| ActionError(error.to_string()))?;
    if account.chain != chain {
        return Err(ActionError(format!("the owner {account} is not on {chain}")));
    }
    if account.address.is_zero() {
        return Err(ActionError("the zero address cannot be the owner; name another one".into()));
    }
    Ok(account.address)
}

struct Entry {
    id: FixedBytes<16>,
    cid: Bytes,
    policy: B256,
    uri: String,
}

impl Entry {
    fn new(entry: Option<ContentEntry>) -> Result<Self, ActionError> {
        let entry = entry.ok_or_else(|| ActionError("there is no `entry`".into()))?;
        let ContentEntry { content, cid, policy, policy_uri } = entry;
        let policy = match &*policy {
            [] => B256::ZERO,
            bytes => B256::try_from(bytes)
                .map_err(|_| ActionError(format!("a policy of {} bytes; its hash has 32", bytes.len())))?,
        };
        if cid.is_empty() || cid.len() > MAX_CID {
            return Err(ActionError(format!("a CID of {} bytes; it has 1 to {MAX_CID}", cid.len())));
        }
        if policy_uri.len() > MAX_POLICY_URI {
            let length = policy_uri.len();
            return Err(ActionError(format!(
                "a policy's URI of {length} bytes is longer than {MAX_POLICY_URI}"
            )));
        }
        Ok(Self { id: uuid(&content)?.into_bytes().into(), cid: cid.into(), policy, uri: policy_uri })
    }
}

/// The id of a content.
pub(crate) fn uuid(content: &str) -> Result<Uuid, ActionError> {
    Uuid::try_parse(content).map_err(|_| ActionError(format!("the content id `{content:.64}` is not a UUID")))
}

/// The topics of the contract's logs.
pub(crate) fn topics() -> [B256; 2] {
    [abi::ContentSet::SIGNATURE_HASH, abi::Transfer::SIGNATURE_HASH]
}

/// The content of a contract's log; `None` if it is not one of these.
pub(crate) fn said(chain: ChainId, log: &Log) -> Option<ChainRegistry> {
    let topics = || log.topics.iter().copied();
    let account = |address| Account { chain, address }.to_string();
    let (id, change) = match *log.topics.first()? {
        abi::ContentSet::SIGNATURE_HASH => {
            let set = abi::ContentSet::decode_raw_log_validate(topics(), &log.data).ok()?;
            let change = RegistryChange::Set {
                cid: set.cid.to_string(),
                policy: set.policy.to_string(),
                policy_uri: set.policyURI,
            };
            (set.id.0, change)
        }
        abi::Transfer::SIGNATURE_HASH => {
            let moved = abi::Transfer::decode_raw_log_validate(topics(), &log.data).ok()?;
            // The contract's tokens are contents, whose numbers have 128 bits.
            let token = (moved.token >> 128 == U256::ZERO).then(|| moved.token.to::<u128>())?;
            (token.to_be_bytes(), RegistryChange::Moved { from: account(moved.from), to: account(moved.to) })
        }
        _ => return None,
    };
    Some(ChainRegistry {
        chain: chain.to_string(),
        registry: account(log.address),
        content: Uuid::from_bytes(id).to_string(),
        change,
        block: log.block.number,
        block_hash: log.block.hash.to_string(),
        log_index: log.log_index,
        transaction: log.transaction.to_string(),
        removed: false,
    })
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::chain::Block;
    use proptest::prelude::*;

    const CONTENT: &str = "0190163d-8694-739b-aea5-966c26f8ad91";

    fn entry() -> ContentEntry {
        ContentEntry { content: CONTENT.into(), cid: vec![1].into(), ..ContentEntry::default() }
    }

    fn update(entry: ContentEntry) -> Result<Bytes, ActionError> {
        call(ChainId(1), Address::ZERO, Action::Update(UpdateContent { entry: Some(entry) }))
    }

    #[test]
    fn what_the_contract_would_refuse_is_refused_before() {
        assert!(update(entry()).is_ok());
        for wrong in [
            ContentEntry { content: "film".into(), ..entry() },
            ContentEntry { cid: Vec::new().into(), ..entry() },
            ContentEntry { cid: vec![0; 129].into(), ..entry() },
            ContentEntry { policy: vec![0; 31].into(), ..entry() },
            ContentEntry { policy_uri: "x".repeat(513), ..entry() },
        ] {
            assert!(update(wrong.clone()).is_err(), "{wrong:?}");
        }
        for (owner, right) in [
            ("", true),
            ("eip155:1:0x00000000000000000000000000000000000000aa", true),
            ("eip155:2:0x00000000000000000000000000000000000000aa", false),
            ("eip155:1:0x0000000000000000000000000000000000000000", false),
        ] {
            let action = Action::Register(RegisterContent { entry: Some(entry()), owner: owner.into() });
            assert_eq!(call(ChainId(1), Address::ZERO, action).is_ok(), right, "{owner}");
        }
    }

    proptest! {
        #[test]
        fn no_log_makes_the_decoder_panic(kind in 0usize..2, more: Vec<[u8; 32]>, data: Vec<u8>) {
            let topics = [topics()[kind]].into_iter().chain(more.into_iter().map(B256::from)).collect();
            let log = Log {
                address: Address::ZERO,
                topics,
                data: data.into(),
                block: Block { number: 0, hash: B256::ZERO },
                log_index: 0,
                transaction: B256::ZERO,
            };
            let _ = said(ChainId(1), &log);
        }
    }
}
