//! The metadata of a contract: its name, symbol and decimals.

use alloy_primitives::{Address, Bytes, U256};
use alloy_sol_types::SolCall as _;
use streamgate_chain_common::{Unknown, printable, undescribed};
use streamgate_contracts::chain::v1 as wire;

use crate::chain::Chain;
use crate::endpoint::{Outcome, Read};
use crate::erc;
use crate::interfaces;
use crate::query::Judged;
use crate::rpc::Block;
use crate::settings::Finality;

/// The prefix of the code of a key's wallet that lets a contract act for it (EIP-7702).
const DELEGATED: [u8; 3] = [0xef, 0x01, 0x00];

alloy_sol_types::sol! {
    function name() external view returns (string);
    function symbol() external view returns (string);
}

/// The kind of an address.
enum Found {
    Contract,
    Wallet,
    Nothing,
}

impl Chain {
    /// The metadata of a contract.
    pub(crate) async fn describe(&self, contract: Address) -> wire::DescribeResponse {
        let unread = |unknown: Unknown| undescribed(format!("{} cannot be read: {unknown}", self.id));
        let block = match self.head(Finality::Latest, 0).await {
            Ok(block) => block,
            Err(unknown) => return unread(unknown),
        };
        let answer = |yes: bool, reason: &str| {
            let at = self.observation(&block, Finality::Latest);
            Some(Judged::decided(yes, None, reason).answer(Some(at)))
        };
        let nothing =
            |reason: &str| wire::DescribeResponse { answer: answer(false, reason), ..Default::default() };
        match self.found(&block, contract).await {
            Ok(Found::Contract) => {}
            Ok(Found::Wallet) => return nothing("this is the address of a wallet, not of a contract"),
            Ok(Found::Nothing) => return nothing("there is no contract at this address"),
            Err(unknown) => return unread(unknown),
        }
        let says = |data: Bytes| async {
            match self.read_one(&block, &Read::Call { to: contract, data }).await {
                Ok(Outcome::Returned(data, length)) => Ok(Some((data, length))),
                Ok(Outcome::Reverted(_)) => Ok(None),
                Err(unknown) => Err(unknown),
            }
        };
        let read = tokio::try_join!(
            says(nameCall {}.abi_encode().into()),
            says(symbolCall {}.abi_encode().into()),
            says(interfaces::decimals()),
            self.interfaces(&block, contract),
        );
        let (name, symbol, decimals, said) = match read {
            Ok(read) => read,
            Err(unknown) => return unread(unknown),
        };
        let text = |said: Option<(Bytes, usize)>| {
            said.and_then(|(data, length)| text(&data, length)).unwrap_or_default()
        };
        let decimals = decimals.and_then(|(data, length)| erc::number(&data, length));
        let decimals = decimals.and_then(|decimals| u8::try_from(decimals).ok());
        wire::DescribeResponse {
            answer: answer(true, "there is a contract at this address"),
            name: text(name),
            symbol: text(symbol),
            decimals: decimals.filter(|_| said.erc20).map(u32::from),
            kinds: said.kinds(),
        }
    }

    async fn found(&self, block: &Block, address: Address) -> Result<Found, Unknown> {
        Ok(match self.read_one(block, &Read::Code(address)).await? {
            Outcome::Returned(_, 0) => Found::Nothing,
            Outcome::Returned(code, 23) if code.starts_with(&DELEGATED) => Found::Wallet,
            Outcome::Returned(..) => Found::Contract,
            Outcome::Reverted(_) => return Err(Unknown("an endpoint cannot read code".into())),
        })
    }
}

/// The text in an answer of `length` bytes, of which `data` are the first: a `string`, or a `bytes32` as in
/// some contracts of 2017.
fn text(data: &[u8], length: usize) -> Option<String> {
    if let (32, Some(word)) = (length, data.first_chunk::<32>()) {
        return Some(printable(&String::from_utf8_lossy(word)));
    }
    let word = |at: usize| data.get(at..at + 32).map(U256::from_be_slice);
    let says: usize = word(32).filter(|_| word(0) == Some(U256::from(32)))?.try_into().ok()?;
    let text = data.get(64..)?;
    // Only this much is read, so it may be cut off in the middle of a character.
    (says <= length - 64).then(|| printable(&String::from_utf8_lossy(&text[..says.min(text.len())])))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use alloy_sol_types::SolValue as _;
    use proptest::prelude::*;

    #[test]
    fn a_name_is_a_string_or_a_word() {
        let string = "CryptoKitties".to_owned().abi_encode();
        assert_eq!(text(&string, string.len()).unwrap(), "CryptoKitties");
        let mut word = [0; 32];
        word[..5].copy_from_slice(b"Maker");
        assert_eq!(text(&word, 32).unwrap(), "Maker");
        assert_eq!(text(&[], 0), None);
        // It declares a greater length than it has.
        let mut long = string.clone();
        long[63] = 200;
        assert_eq!(text(&long, long.len()), None);
    }

    #[test]
    fn a_long_name_is_cut_off() {
        let string = "é".repeat(2000).abi_encode();
        assert_eq!(text(&string[..1024], string.len()).unwrap(), "é".repeat(128));
    }

    proptest! {
        #[test]
        fn no_answer_makes_the_decoder_panic(data: Vec<u8>, more in 0usize..100, offset in 30u8..34) {
            let _ = text(&data, data.len() + more);
            let mut head = vec![0; 31];
            head.push(offset);
            let data = [head, data].concat();
            let _ = text(&data, data.len() + more);
        }

        #[test]
        fn every_name_is_read_as_it_was_written(name in "[a-zA-Z0-9]{0,128}") {
            let string = name.abi_encode();
            prop_assert_eq!(text(&string, string.len()).unwrap(), name);
        }
    }
}
