//! The standards that a contract declares: by ERC-165, and without that, by the functions of an ERC-20 that
//! it answers.
//!
//! All of it is queried in one simulated call, by code that is sent along. There each function gets its own
//! gas, so that a contract from before ERC-165, which uses up everything it gets, is known to have failed.

use alloy_primitives::{Address, Bytes, U256};
use alloy_sol_types::SolCall as _;
use streamgate_chain_common::Unknown;

use crate::caip::Token;
use crate::chain::{Chain, SAID_FOR};
use crate::endpoint::{Outcome, Read};
use crate::erc;
use crate::prepared::{CODECOPY, MSTORE, RETURN, RETURNDATASIZE, STATICCALL, account, number};
use crate::rpc::Block;

alloy_sol_types::sol! {
    function supportsInterface(bytes4 id) external view returns (bool);
    function decimals() external view returns (uint8);
    function totalSupply() external view returns (uint256);
    function allowance(address owner, address spender) external view returns (uint256);
}

const ERC165: [u8; 4] = [0x01, 0xff, 0xc9, 0xa7];
/// An interface that no contract may declare (ERC-165).
const NOTHING: [u8; 4] = [0xff; 4];
const ERC721: [u8; 4] = [0x80, 0xac, 0x58, 0xcd];
const ERC1155: [u8; 4] = [0xd9, 0xb6, 0x7a, 0x26];
const ERC20: [u8; 4] = [0x36, 0x37, 0x2b, 0x07];
/// Gas of each function; ERC-165 allows 30,000, and reading storage has become more expensive since.
const GAS: usize = 100_000;
/// Success, length of the answer, and its first word.
const ANSWER: usize = 0x60;
const CALLS: usize = 8;

/// A contract's declared kinds.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Interfaces {
    pub(crate) erc721: bool,
    pub(crate) erc1155: bool,
    /// It declares it, or declares nothing and answers as one.
    pub(crate) erc20: bool,
    /// It is not a collection with a function or two of an ERC-20, like CryptoPunks.
    pub(crate) surely_erc20: bool,
    /// It answered something.
    pub(crate) answers: bool,
}

impl Interfaces {
    /// The namespaces of CAIP-19 that it can be queried as.
    pub(crate) fn kinds(&self) -> Vec<String> {
        let kinds = [("erc20", self.erc20), ("erc721", self.erc721), ("erc1155", self.erc1155)];
        kinds.iter().filter(|(_, is)| *is).map(|(kind, _)| (*kind).to_owned()).collect()
    }

    /// Its declared kind instead of the token's; `None` if it declares none.
    pub(crate) fn instead_of(&self, token: &Token) -> Option<String> {
        let other = match token {
            Token::Native => false,
            Token::Erc20(_) => !self.erc20 && (self.erc721 || self.erc1155),
            Token::Erc721(..) => !self.erc721 && (self.erc1155 || self.surely_erc20),
            Token::Erc1155(..) => !self.erc1155 && (self.erc721 || self.surely_erc20),
        };
        other.then(|| self.kinds().join(" and "))
    }

    /// The result of the answers to [`calls`].
    fn read(said: [Option<U256>; CALLS]) -> Self {
        let [erc165, nothing, erc721, erc1155, erc20, decimals, supply, allowance] = said;
        let is = |answer: Option<U256>| answer == Some(U256::ONE);
        let says = is(erc165) && nothing == Some(U256::ZERO);
        let (erc721, erc1155) = (says && is(erc721), says && is(erc1155));
        let decimals = decimals.filter(|decimals| *decimals <= U256::from(u8::MAX));
        let like_erc20 = !erc721 && !erc1155 && decimals.is_some() && supply.is_some();
        let erc20 = says && is(erc20);
        Self {
            erc721,
            erc1155,
            erc20: erc20 || like_erc20,
            surely_erc20: erc20
                || like_erc20 && (allowance.is_some() || decimals.is_some_and(|some| !some.is_zero())),
            answers: said.iter().any(Option::is_some),
        }
    }
}

fn calls() -> [Bytes; CALLS] {
    let supports = |id: [u8; 4]| Bytes::from(supportsInterfaceCall { id: id.into() }.abi_encode());
    let (owner, spender) = (Address::with_last_byte(1), Address::with_last_byte(2));
    [
        supports(ERC165),
        supports(NOTHING),
        supports(ERC721),
        supports(ERC1155),
        supports(ERC20),
        decimals(),
        totalSupplyCall {}.abi_encode().into(),
        allowanceCall { owner, spender }.abi_encode().into(),
    ]
}

pub(crate) fn decimals() -> Bytes {
    decimalsCall {}.abi_encode().into()
}

/// Code that makes all calls and returns their results.
fn code(contract: &Address, calls: &[Bytes; CALLS]) -> Bytes {
    let length = program(contract, 0, calls).len();
    let mut code = program(contract, length, calls);
    calls.iter().for_each(|data| code.extend_from_slice(data));
    code.into()
}

/// The program, if its call data is at `data`.
fn program(contract: &Address, mut data: usize, calls: &[Bytes; CALLS]) -> Vec<u8> {
    // Arguments come after the returned data.
    let arguments = CALLS * ANSWER;
    let mut code = Vec::new();
    let push = |values: &[usize], code: &mut Vec<u8>| values.iter().for_each(|it| number(code, *it));
    for (index, call) in calls.iter().enumerate() {
        let answer = index * ANSWER;
        push(&[call.len(), data, arguments], &mut code);
        code.push(CODECOPY);
        push(&[0x20, answer + 0x40, call.len(), arguments], &mut code);
        account(&mut code, contract);
        push(&[GAS], &mut code);
        code.push(STATICCALL);
        push(&[answer], &mut code);
        code.extend([MSTORE, RETURNDATASIZE]);
        push(&[answer + 0x20], &mut code);
        code.push(MSTORE);
        data += call.len();
    }
    push(&[CALLS * ANSWER, 0], &mut code);
    code.push(RETURN);
    code
}

/// The first word of each answer; `None` if it is not an answer of such code.
fn said(answer: &[u8], length: usize) -> Option<[Option<U256>; CALLS]> {
    if length != CALLS * ANSWER || answer.len() != length {
        return None;
    }
    let mut said = [None; CALLS];
    for (it, answer) in said.iter_mut().zip(answer.chunks_exact(ANSWER)) {
        let [done, length, word] = [0, 1, 2].map(|at| U256::from_be_slice(&answer[at * 32..(at + 1) * 32]));
        *it = (done == U256::ONE && length == U256::from(32)).then_some(word);
    }
    Some(said)
}

impl Chain {
    /// The standards that a contract declares, cached for a while.
    pub(crate) async fn interfaces(&self, block: &Block, contract: Address) -> Result<Interfaces, Unknown> {
        if let Some(known) = self.said.get(&contract).filter(|(when, _)| when.elapsed() < SAID_FOR) {
            return Ok(known.1);
        }
        let calls = calls();
        let together = self.read_one(block, &Read::Run(code(&contract, &calls))).await;
        let together = match &together {
            Ok(Outcome::Returned(answer, length)) => said(answer, *length),
            _ => None,
        };
        let found = match together {
            Some(said) => said,
            // Some chains run no code that is sent along.
            None => {
                let mut said = [None; CALLS];
                for (it, data) in said.iter_mut().zip(calls) {
                    if let Outcome::Returned(answer, length) =
                        self.read_one(block, &Read::Call { to: contract, data }).await?
                    {
                        *it = erc::number(&answer, length);
                    }
                }
                said
            }
        };
        let found = Interfaces::read(found);
        // Without any answer, a contract may be deployed a moment later.
        if found.answers {
            self.said.insert(contract, (std::time::Instant::now(), found));
        }
        Ok(found)
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const YES: Option<U256> = Some(U256::ONE);
    const NO: Option<U256> = Some(U256::ZERO);

    fn token(kind: &str) -> Token {
        let contract = Address::with_last_byte(7);
        match kind {
            "erc20" => Token::Erc20(contract),
            "erc721" => Token::Erc721(contract, None),
            _ => Token::Erc1155(contract, YES),
        }
    }

    #[test]
    fn a_contract_is_of_another_kind_only_if_it_says_so() {
        let eighteen = Some(U256::from(18));
        for (what, said, kinds, others) in [
            ("an ERC-721", [YES, NO, YES, NO, NO, None, NO, None], "erc721", "erc20 erc1155"),
            ("with decimals", [YES, NO, YES, NO, NO, NO, NO, NO], "erc721", "erc20 erc1155"),
            ("an ERC-1155", [YES, NO, NO, YES, NO, None, None, None], "erc1155", "erc20 erc721"),
            ("both", [YES, NO, YES, YES, NO, None, None, None], "erc721 erc1155", "erc20"),
            ("an ERC-20", [None, None, None, None, None, eighteen, NO, NO], "erc20", "erc721 erc1155"),
            ("that says so", [YES, NO, NO, NO, YES, eighteen, NO, NO], "erc20", "erc721 erc1155"),
            (
                "that is a collection, too",
                [YES, NO, YES, NO, YES, eighteen, NO, NO],
                "erc20 erc721",
                "erc1155",
            ),
            (
                "a coin that is not divided",
                [None, None, None, None, None, NO, NO, NO],
                "erc20",
                "erc721 erc1155",
            ),
            ("CryptoPunks", [None, None, None, None, None, NO, NO, None], "erc20", ""),
            ("CryptoKitties", [YES, NO, NO, NO, NO, None, NO, None], "", ""),
            ("nothing", [None; CALLS], "", ""),
            ("what says yes to everything", [YES, YES, YES, YES, YES, None, None, None], "", ""),
            ("what says 2", [Some(U256::from(2)), NO, YES, NO, NO, None, None, None], "", ""),
        ] {
            let said = Interfaces::read(said);
            assert_eq!(said.kinds().join(" "), kinds, "{what}");
            for kind in ["erc20", "erc721", "erc1155"] {
                let expected =
                    others.split(' ').any(|other| other == kind).then(|| said.kinds().join(" and "));
                assert_eq!(said.instead_of(&token(kind)), expected, "{what} asked as {kind}");
            }
        }
        let all = Interfaces::read([YES, NO, YES, YES, NO, None, None, None]);
        assert_eq!(all.instead_of(&Token::Native), None);
    }

    proptest! {
        #[test]
        fn no_answer_makes_the_decoder_panic(data: Vec<u8>, length: usize) {
            let _ = (said(&data, length), said(&data, data.len()));
        }

        #[test]
        fn each_call_has_its_own_answer(words: [Option<[u8; 32]>; CALLS]) {
            let one = |word: &Option<[u8; 32]>| {
                let done = U256::from(u8::from(word.is_some()));
                let length = U256::from(if word.is_some() { 32 } else { 0 });
                [done.to_be_bytes::<32>(), length.to_be_bytes(), word.unwrap_or_default()].concat()
            };
            let answer: Vec<u8> = words.iter().flat_map(one).collect();
            let expected = words.map(|word| word.map(U256::from_be_bytes));
            prop_assert_eq!(said(&answer, answer.len()), Some(expected));
        }
    }
}
