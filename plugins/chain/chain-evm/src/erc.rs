//! Call data of contracts, and the decoding of their answers and logs: ERC-20, ERC-721, ERC-1155, EIP-1271,
//! Multicall3 and delegate.xyz v2. Anything not exactly of the form is no answer.

use alloy_primitives::{Address, B256, Bytes, U256, address};
use alloy_sol_types::{SolCall as _, SolError as _, SolEvent, SolValue as _, sol};

use crate::rpc::Log;

/// Multicall3, at the same address on nearly all chains.
pub(crate) const MULTICALL: Address = address!("cA11bde05977b3631167028862bE2a173976CA11");
/// The registry of delegate.xyz v2, at the same address on all chains that have one.
pub(crate) const DELEGATIONS: Address = address!("00000000000000447e69651d841bD8D104Bed493");
/// A contract wallet's answer to a valid signature (EIP-1271).
const MAGIC: [u8; 4] = [0x16, 0x26, 0xba, 0x7e];
/// The end of a signature of a wallet that is not deployed yet (EIP-6492).
const SUFFIX: [u8; 32] = *b"\x64\x92\x64\x92\x64\x92\x64\x92\x64\x92\x64\x92\x64\x92\x64\x92\
                            \x64\x92\x64\x92\x64\x92\x64\x92\x64\x92\x64\x92\x64\x92\x64\x92";

mod one {
    alloy_sol_types::sol! {
        function balanceOf(address owner) external view returns (uint256);
        function ownerOf(uint256 id) external view returns (address);
        function isValidSignature(bytes32 digest, bytes signature) external view returns (bytes4);
        function checkDelegateForAll(address to, address from, bytes32 rights) external view returns (bool);
        function checkDelegateForContract(address to, address from, address contract_, bytes32 rights) external view returns (bool);
        function checkDelegateForERC721(address to, address from, address contract_, uint256 id, bytes32 rights) external view returns (bool);

        struct Call3 { address target; bool allowFailure; bytes callData; }
        struct Result { bool success; bytes returnData; }
        function aggregate3(Call3[] calls) external payable returns (Result[] results);

        error Error(string message);

        event Transfer(address indexed from, address indexed to, uint256 value);
    }
}

/// The same events in the form of some contracts, with nothing indexed.
mod plain {
    alloy_sol_types::sol! {
        event Transfer(address from, address to, uint256 value);
        event TransferSingle(address operator, address from, address to, uint256 id, uint256 value);
        event TransferBatch(address operator, address from, address to, uint256[] ids, uint256[] values);
    }
}

/// CryptoPunks, which predates the standards.
mod punks {
    alloy_sol_types::sol! {
        event Assign(address indexed to, uint256 punk);
        event PunkTransfer(address indexed from, address indexed to, uint256 punk);
        event PunkBought(uint256 indexed punk, uint256 value, address indexed from, address indexed to);
    }
}

mod many {
    alloy_sol_types::sol! {
        function balanceOf(address owner, uint256 id) external view returns (uint256);

        event TransferSingle(address indexed operator, address indexed from, address indexed to, uint256 id, uint256 value);
        event TransferBatch(address indexed operator, address indexed from, address indexed to, uint256[] ids, uint256[] values);
    }
}

sol! {
    /// The wrapping of a signature by EIP-6492.
    struct Wrapped { address factory; bytes prepare; bytes signature; }
}

pub(crate) fn balance_of(owner: Address) -> Bytes {
    one::balanceOfCall { owner }.abi_encode().into()
}

pub(crate) fn balance_of_id(owner: Address, id: U256) -> Bytes {
    many::balanceOfCall { owner, id }.abi_encode().into()
}

pub(crate) fn owner_of(id: U256) -> Bytes {
    one::ownerOfCall { id }.abi_encode().into()
}

pub(crate) fn is_valid_signature(digest: B256, signature: Bytes) -> Bytes {
    one::isValidSignatureCall { digest, signature }.abi_encode().into()
}

pub(crate) fn delegates_all(to: Address, from: Address) -> Bytes {
    one::checkDelegateForAllCall { to, from, rights: B256::ZERO }.abi_encode().into()
}

pub(crate) fn delegates_contract(to: Address, from: Address, contract: Address) -> Bytes {
    one::checkDelegateForContractCall { to, from, contract_: contract, rights: B256::ZERO }
        .abi_encode()
        .into()
}

pub(crate) fn delegates_token(to: Address, from: Address, contract: Address, id: U256) -> Bytes {
    let call = one::checkDelegateForERC721Call { to, from, contract_: contract, id, rights: B256::ZERO };
    call.abi_encode().into()
}

/// Many calls as one; each may fail independently.
pub(crate) fn aggregate(calls: impl IntoIterator<Item = (Address, Bytes)>) -> Bytes {
    let call = |(target, data)| one::Call3 { target, allowFailure: true, callData: data };
    one::aggregate3Call { calls: calls.into_iter().map(call).collect() }.abi_encode().into()
}

/// The answers to `count` combined calls: `None` for each failed one.
pub(crate) fn aggregated(data: &[u8], count: usize) -> Option<Vec<Option<Bytes>>> {
    let results = one::aggregate3Call::abi_decode_returns_validate(data).ok()?;
    let answer = |result: one::Result| result.success.then_some(result.returnData);
    (results.len() == count).then(|| results.into_iter().map(answer).collect())
}

/// The number in an answer.
pub(crate) fn number(data: &[u8], length: usize) -> Option<U256> {
    (length == 32 && data.len() == 32).then(|| U256::from_be_slice(data))
}

/// The address in an answer.
pub(crate) fn account(data: &[u8], length: usize) -> Option<Address> {
    number(data, length).filter(|_| data[..12] == [0; 12]).map(|_| Address::from_slice(&data[12..]))
}

/// Whether an answer is exactly the magic value of EIP-1271.
pub(crate) fn is_magic(data: &[u8]) -> bool {
    data.len() == 32 && data[..4] == MAGIC && data[4..] == [0; 28]
}

/// A contract's revert message, for people.
pub(crate) fn revert_reason(revert: &[u8]) -> String {
    match one::Error::abi_decode_validate(revert) {
        Ok(error) => format!("the contract refused: {}", error.message.chars().take(120).collect::<String>()),
        Err(_) => "the contract refused the call".into(),
    }
}

/// An EIP-6492 signature: factory, its call data, and the signature within.
pub(crate) fn unwrap_6492(signature: &[u8]) -> Option<(Address, Bytes, Bytes)> {
    let wrapped = signature.strip_suffix(&SUFFIX)?;
    let Wrapped { factory, prepare, signature } = Wrapped::abi_decode_params_validate(wrapped).ok()?;
    Some((factory, prepare, signature))
}

/// Whether the signature claims to be one of EIP-6492.
pub(crate) fn is_6492(signature: &[u8]) -> bool {
    signature.ends_with(&SUFFIX)
}

/// The topics of transfers of all kinds of token.
pub(crate) fn transfer_topics() -> [B256; 6] {
    [
        one::Transfer::SIGNATURE_HASH,
        many::TransferSingle::SIGNATURE_HASH,
        many::TransferBatch::SIGNATURE_HASH,
        punks::Assign::SIGNATURE_HASH,
        punks::PunkTransfer::SIGNATURE_HASH,
        punks::PunkBought::SIGNATURE_HASH,
    ]
}

/// The kind of a transferred token.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Moved {
    Amount(U256),
    Unique(U256),
    Of(U256, U256),
    /// An amount or a token id; the contract does not state which.
    Either(U256),
}

/// One transfer of a token.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Movement {
    pub(crate) from: Address,
    pub(crate) to: Address,
    pub(crate) what: Moved,
}

/// The transfers in a log; `None` if it is not a log of a transfer.
pub(crate) fn movements(log: &Log) -> Vec<Movement> {
    let one = |from, to, what| vec![Movement { from, to, what }];
    match log.topics.as_slice() {
        [one::Transfer::SIGNATURE_HASH, ..] => transfer(log).into_iter().collect(),
        [many::TransferSingle::SIGNATURE_HASH, ..] => {
            if let Some(event) = decoded::<many::TransferSingle>(log) {
                one(event.from, event.to, Moved::Of(event.id, event.value))
            } else if let Some(event) = decoded::<plain::TransferSingle>(log) {
                one(event.from, event.to, Moved::Of(event.id, event.value))
            } else {
                Vec::new()
            }
        }
        [many::TransferBatch::SIGNATURE_HASH, ..] => {
            if let Some(event) = decoded::<many::TransferBatch>(log) {
                batch(event.from, event.to, &event.ids, &event.values)
            } else if let Some(event) = decoded::<plain::TransferBatch>(log) {
                batch(event.from, event.to, &event.ids, &event.values)
            } else {
                Vec::new()
            }
        }
        [punks::Assign::SIGNATURE_HASH, ..] => decoded::<punks::Assign>(log)
            .map(|event| one(Address::ZERO, event.to, Moved::Unique(event.punk)))
            .unwrap_or_default(),
        [punks::PunkTransfer::SIGNATURE_HASH, ..] => decoded::<punks::PunkTransfer>(log)
            .map(|event| one(event.from, event.to, Moved::Unique(event.punk)))
            .unwrap_or_default(),
        [punks::PunkBought::SIGNATURE_HASH, ..] => decoded::<punks::PunkBought>(log)
            .map(|event| one(event.from, event.to, Moved::Unique(event.punk)))
            .unwrap_or_default(),
        _ => Vec::new(),
    }
}

fn decoded<E: SolEvent>(log: &Log) -> Option<E> {
    E::decode_raw_log_validate(log.topics.iter().copied(), &log.data).ok()
}

/// ERC-20 and ERC-721 have the same event, except that the latter's number is a topic; and some contracts
/// emit it with fewer topics, and the parties in the data.
fn transfer(log: &Log) -> Option<Movement> {
    let party = |topic: &B256| Address::from_word(*topic);
    match log.topics.as_slice() {
        [_, from, to, id] => {
            let what = Moved::Unique(U256::from_be_bytes(id.0));
            Some(Movement { from: party(from), to: party(to), what })
        }
        [_, from, to] => {
            let what = Moved::Amount(number(&log.data, log.data.len())?);
            Some(Movement { from: party(from), to: party(to), what })
        }
        // The log does not state which of the two it is; both holdings may have changed.
        [_, one] => {
            let (other, value) = log.data.split_at_checked(32)?;
            let (other, what) = (account(other, 32)?, Moved::Either(number(value, value.len())?));
            Some(Movement { from: party(one), to: other, what })
        }
        _ => {
            let plain::Transfer { from, to, value } = decoded(log)?;
            Some(Movement { from, to, what: Moved::Either(value) })
        }
    }
}

fn batch(from: Address, to: Address, ids: &[U256], values: &[U256]) -> Vec<Movement> {
    let pairs = ids.iter().zip(values);
    pairs.map(|(id, value)| Movement { from, to, what: Moved::Of(*id, *value) }).collect()
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn the_magic_value_is_taken_exactly_or_not_at_all() {
        let mut right = [0; 32];
        right[..4].copy_from_slice(&MAGIC);
        assert!(is_magic(&right));
        assert!(!is_magic(&right[..4]) && !is_magic(&[]) && !is_magic(&[&right[..], &[0]].concat()));
        right[31] = 1;
        assert!(!is_magic(&right));
    }

    #[test]
    fn the_topics_are_those_of_the_standards() {
        let [transfer, single, batch, assign, punk, bought] =
            transfer_topics().map(|topic| topic.to_string());
        assert_eq!(transfer, "0xddf252ad1be2c89b69c2b068fc378daa952ba7f163c4a11628f55a4df523b3ef");
        assert_eq!(single, "0xc3d58168c5ae7397731d063d5bbf3d657854427343f4c083240f7aacaa2d0f62");
        assert_eq!(batch, "0x4a39dc06d4c0dbc64b70af90fd698a233a518aa5d07e595d983b8c0526c8f7fb");
        // As found at 0xb47e3cd837dDF8e4c57F05d70Ab865de6e193BBB.
        assert_eq!(assign, "0x8a0e37b73a0d9c82e205d4d1a3ff3d0b57ce5f4d7bccf6bac03336dc101cb7ba");
        assert_eq!(punk, "0x05af636b70da6819000c49f85b21fa82081c632069bb626f30932034099107d8");
        assert_eq!(bought, "0x58e5d5a525e3b40bc15abaa38b5882678db1ee68befd2f60bafe3a7fd06db9e3");
    }

    fn log(topics: Vec<B256>, data: Vec<u8>) -> Log {
        Log {
            address: Address::ZERO,
            topics,
            data: data.into(),
            block_hash: B256::ZERO,
            block_number: 0,
            log_index: 0,
            transaction_hash: B256::ZERO,
        }
    }

    #[test]
    fn the_parties_of_a_transfer_are_found_however_much_of_it_is_indexed() {
        let (from, to) = (Address::with_last_byte(1), Address::with_last_byte(2));
        let (a, b) = (from.into_word(), to.into_word());
        let word = |number: u64| B256::from(U256::from(number));
        let [transfer, single, many, assign, punk, bought] = transfer_topics();
        let data = |words: &[B256]| words.iter().flat_map(|word| word.0).collect::<Vec<u8>>();
        let (seven, nine) = (U256::from(7), U256::from(9));
        let either = Moved::Either(seven);
        for (topics, words, what) in [
            (vec![transfer, a, b, word(7)], vec![], Moved::Unique(seven)),
            (vec![transfer, a, b], vec![word(7)], Moved::Amount(seven)),
            (vec![transfer, a], vec![b, word(7)], either),
            (vec![transfer], vec![a, b, word(7)], either),
            (vec![single, a, a, b], vec![word(7), word(9)], Moved::Of(seven, nine)),
            (vec![single], vec![a, a, b, word(7), word(9)], Moved::Of(seven, nine)),
            (
                vec![many],
                vec![a, a, b, word(160), word(224), word(1), word(7), word(1), word(9)],
                Moved::Of(seven, nine),
            ),
            (vec![punk, a, b], vec![word(7)], Moved::Unique(seven)),
            (vec![bought, word(7), a, b], vec![word(100)], Moved::Unique(seven)),
        ] {
            let told = movements(&log(topics.clone(), data(&words)));
            assert_eq!(told, [Movement { from, to, what }], "{topics:?} {words:?}");
        }
        let told = movements(&log(vec![assign, b], data(&[word(7)])));
        assert_eq!(told, [Movement { from: Address::ZERO, to, what: Moved::Unique(seven) }]);
        for (topics, words) in [
            (vec![transfer], vec![a, b]),
            (vec![transfer, a], vec![word(7)]),
            (vec![transfer, a], vec![B256::repeat_byte(1), word(7)]),
            (vec![transfer, a, b], vec![]),
            (vec![single], vec![a, b]),
        ] {
            assert_eq!(movements(&log(topics.clone(), data(&words))), [], "{topics:?} {words:?}");
        }
    }

    proptest! {
        #[test]
        fn no_answer_and_no_signature_makes_the_decoders_panic(data: Vec<u8>, length: usize) {
            let _ = (number(&data, length), account(&data, data.len()), aggregated(&data, 1));
            let _ = (revert_reason(&data), is_magic(&data));
            let _ = unwrap_6492(&[&data[..], &SUFFIX].concat());
        }

        #[test]
        fn no_log_makes_the_decoder_panic(kind in 0usize..6, topics: Vec<[u8; 32]>, data: Vec<u8>) {
            let topics = [transfer_topics()[kind]].into_iter().chain(topics.into_iter().map(B256::from)).collect();
            let _ = movements(&log(topics, data));
        }

        #[test]
        fn a_wrapped_signature_is_unwrapped_as_it_was(factory: [u8; 20], prepare: Vec<u8>, signature: Vec<u8>) {
            let wrapped = Wrapped { factory: factory.into(), prepare: prepare.clone().into(), signature: signature.clone().into() };
            let bytes = [wrapped.abi_encode_params(), SUFFIX.to_vec()].concat();
            prop_assert_eq!(unwrap_6492(&bytes), Some((factory.into(), prepare.into(), signature.into())));
        }
    }
}
