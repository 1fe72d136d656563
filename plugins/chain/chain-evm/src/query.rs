//! Queries: what has to be read to answer one, and the result of the reading. It is the only place that
//! produces a yes.

use alloy_primitives::{Address, U256};
use streamgate_chain_common::{Malformed, malformed};
use streamgate_contracts::chain::v1::question::About as WireAbout;
use streamgate_contracts::chain::v1::{Comparison, Finality as WireFinality, Question};

use crate::caip::{Account, Asset, ChainId, Token, number};
use crate::endpoint::{KEPT_RETURN, Outcome, Read};
use crate::erc;
use crate::settings::Finality;

const MAX_CALL: usize = 4096;
/// Words of a contract's answer that can be compared.
const WORDS: u32 = (KEPT_RETURN / 32) as u32;

/// One query.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Query {
    pub(crate) chain: ChainId,
    /// Default: as in the chain's settings.
    pub(crate) finality: Option<Finality>,
    pub(crate) min_block: u64,
    about: About,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum About {
    Holding { owner: Address, token: Token, at_least: U256 },
    Call { read: Read, word: usize, comparison: Comparison, operand: U256 },
    Delegation { read: Read },
}

/// The result of a reading.
pub(crate) type Judged = streamgate_chain_common::Judged<U256>;

pub(crate) fn finality(wire: i32) -> Result<Option<Finality>, Malformed> {
    match WireFinality::try_from(wire) {
        Ok(WireFinality::Unspecified) => Ok(None),
        Ok(WireFinality::Latest) => Ok(Some(Finality::Latest)),
        Ok(WireFinality::Safe) => Ok(Some(Finality::Safe)),
        Ok(WireFinality::Finalized) => Ok(Some(Finality::Finalized)),
        Err(_) => Err(malformed(format!("{wire} is not a finality"))),
    }
}

impl Query {
    pub(crate) fn new(question: Question) -> Result<Self, Malformed> {
        let (chain, about) = match question.about {
            Some(WireAbout::Holding(holding)) => {
                let account = Account::parse(&holding.account)?;
                let asset = Asset::parse(&holding.asset)?;
                if asset.chain != account.chain {
                    return Err(malformed(format!("{account} and {asset} are on different chains")));
                }
                let at_least =
                    if holding.at_least.is_empty() { U256::ONE } else { number(&holding.at_least)? };
                if at_least.is_zero() {
                    return Err(malformed("`at_least` = 0 is always true; use 1 or more"));
                }
                match asset.token {
                    Token::Erc1155(_, None) => return Err(malformed(format!("{asset} has no token id"))),
                    Token::Erc721(_, Some(_)) if at_least > U256::ONE => {
                        return Err(malformed(format!("there is one of {asset}; `at_least` is {at_least}")));
                    }
                    token => (asset.chain, About::Holding { owner: account.address, token, at_least }),
                }
            }
            Some(WireAbout::Call(call)) => {
                let contract = Account::parse(&call.contract)?;
                if call.data.len() < 4 || call.data.len() > MAX_CALL {
                    return Err(malformed(format!(
                        "{} bytes are not a call, which has 4 to {MAX_CALL}",
                        call.data.len()
                    )));
                }
                if call.word >= WORDS {
                    return Err(malformed(format!("word {} is past the first {WORDS}", call.word)));
                }
                let comparison = call.comparison();
                if comparison == Comparison::Unspecified {
                    return Err(malformed("the comparison is missing"));
                }
                let read = Read::Call { to: contract.address, data: call.data.into() };
                let operand = number(&call.operand)?;
                (contract.chain, About::Call { read, word: call.word as usize, comparison, operand })
            }
            Some(WireAbout::Delegation(delegation)) => {
                let (from, to) = (Account::parse(&delegation.from)?, Account::parse(&delegation.to)?);
                let asset = Some(delegation.asset).filter(|text| !text.is_empty());
                let asset = asset.map(|text| Asset::parse(&text)).transpose()?;
                if from.chain != to.chain || asset.is_some_and(|asset| asset.chain != from.chain) {
                    return Err(malformed("a delegation must be between accounts and tokens of one chain"));
                }
                let (to, giver) = (to.address, from.address);
                let data = match asset.map(|asset| asset.token) {
                    None => erc::delegates_all(to, giver),
                    Some(Token::Native) => return Err(malformed("the native coin cannot be delegated")),
                    Some(Token::Erc721(contract, Some(id))) => erc::delegates_token(to, giver, contract, id),
                    Some(
                        Token::Erc20(contract) | Token::Erc721(contract, None) | Token::Erc1155(contract, _),
                    ) => erc::delegates_contract(to, giver, contract),
                };
                (from.chain, About::Delegation { read: Read::Call { to: erc::DELEGATIONS, data } })
            }
            None => return Err(malformed("the query is empty")),
        };
        Ok(Self { chain, finality: finality(question.finality)?, min_block: question.min_block, about })
    }

    /// The required read.
    pub(crate) fn read(&self) -> Read {
        match &self.about {
            About::Holding { owner, token, .. } => match *token {
                Token::Native => Read::Balance(*owner),
                Token::Erc20(to) | Token::Erc721(to, None) | Token::Erc1155(to, None) => {
                    Read::Call { to, data: erc::balance_of(*owner) }
                }
                Token::Erc721(to, Some(id)) => Read::Call { to, data: erc::owner_of(id) },
                Token::Erc1155(to, Some(id)) => Read::Call { to, data: erc::balance_of_id(*owner, id) },
            },
            About::Call { read, .. } | About::Delegation { read } => read.clone(),
        }
    }

    /// The contract, if its standard defines an answer to the query. Such queries about one contract can be
    /// combined.
    pub(crate) fn standard(&self) -> Option<Address> {
        match (&self.about, self.read()) {
            (About::Holding { .. } | About::Delegation { .. }, Read::Call { to, .. }) => Some(to),
            _ => None,
        }
    }

    /// The queried token, if its contract may declare another kind.
    pub(crate) fn token(&self) -> Option<&Token> {
        match &self.about {
            About::Holding { token, .. } if token.contract().is_some() => Some(token),
            _ => None,
        }
    }

    /// The read for a contract that refuses to name the owner of a token, and the token: one that returns a
    /// balance is a collection, and its refusal means that the token does not exist.
    pub(crate) fn if_refused(&self) -> Option<(Read, U256)> {
        match &self.about {
            About::Holding { owner, token: Token::Erc721(to, Some(id)), .. } => {
                Some((Read::Call { to: *to, data: erc::balance_of(*owner) }, *id))
            }
            _ => None,
        }
    }

    /// The result of the reading.
    pub(crate) fn judge(&self, outcome: &Outcome) -> Judged {
        let (data, length) = match outcome {
            Outcome::Returned(_, 0) => {
                return Judged::unknown(
                    "there is no answer at this address; is it a contract on this chain?",
                );
            }
            Outcome::Returned(data, length) => (data, *length),
            // It returned nothing.
            Outcome::Reverted(data) => return Judged::unknown(erc::revert_reason(data)),
        };
        let odd = || Judged::unknown(format!("the contract's answer of {length} bytes is not of its kind"));
        match &self.about {
            About::Holding { owner, token: Token::Erc721(_, Some(_)), .. } => {
                let Some(found) = erc::account(data, length) else { return odd() };
                let yes = found == *owner;
                let amount = if yes { U256::ONE } else { U256::ZERO };
                Judged::decided(yes, Some(amount), format!("the owner is {found:#x}"))
            }
            About::Holding { at_least, .. } => {
                let Some(found) = erc::number(data, length) else { return odd() };
                Judged::decided(found >= *at_least, Some(found), format!("it holds {found} of {at_least}"))
            }
            About::Call { word, comparison, operand, .. } => {
                let Some(found) = data.get(word * 32..(word + 1) * 32) else { return odd() };
                let found = U256::from_be_slice(found);
                match compare(*comparison, found, *operand) {
                    Some(yes) => Judged::decided(yes, Some(found), format!("the contract says {found}")),
                    None => odd(),
                }
            }
            About::Delegation { .. } => match erc::number(data, length) {
                Some(U256::ONE) => Judged::decided(true, None, "it is delegated"),
                Some(U256::ZERO) => Judged::decided(false, None, "it is not delegated"),
                _ => odd(),
            },
        }
    }
}

fn compare(comparison: Comparison, found: U256, operand: U256) -> Option<bool> {
    match comparison {
        Comparison::Equal => Some(found == operand),
        Comparison::NotEqual => Some(found != operand),
        Comparison::Less => Some(found < operand),
        Comparison::AtMost => Some(found <= operand),
        Comparison::Greater => Some(found > operand),
        Comparison::AtLeast => Some(found >= operand),
        Comparison::Unspecified => None,
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use alloy_primitives::Bytes;
    use proptest::prelude::*;
    use streamgate_contracts::chain::v1::{ContractCall, Holding, Verdict};

    const A: &str = "0x00000000000000000000000000000000000000aa";

    fn holding(asset: &str, at_least: &str) -> Result<Query, Malformed> {
        let holding =
            Holding { account: format!("eip155:1:{A}"), asset: asset.into(), at_least: at_least.into() };
        Query::new(Question { about: Some(WireAbout::Holding(holding)), ..Question::default() })
    }

    fn returned(data: &[u8]) -> Outcome {
        Outcome::Returned(Bytes::copy_from_slice(data), data.len())
    }

    #[test]
    fn a_query_that_is_always_true_or_meaningless_is_refused() {
        for (asset, at_least) in [
            (format!("eip155:1/erc20:{A}"), "0"),
            (format!("eip155:1/erc20:{A}"), "-1"),
            (format!("eip155:1/erc20:{A}"), "1e3"),
            (format!("eip155:5/erc20:{A}"), "1"),
            (format!("eip155:1/erc1155:{A}"), "1"),
            (format!("eip155:1/erc721:{A}/7"), "2"),
        ] {
            assert!(holding(&asset, at_least).is_err(), "{asset} {at_least}");
        }
        assert!(Query::new(Question::default()).is_err());
    }

    #[test]
    fn an_address_without_code_is_unknown_and_never_a_no() {
        for asset in ["erc20", "erc721", "erc721/7", "erc1155/7"] {
            let (kind, id) =
                asset.split_once('/').map_or((asset, String::new()), |(k, id)| (k, format!("/{id}")));
            let query = holding(&format!("eip155:1/{kind}:{A}{id}"), "").unwrap();
            assert_eq!(query.judge(&returned(&[])).verdict, Verdict::Unknown);
        }
    }

    #[test]
    fn a_word_that_is_not_there_compares_to_nothing() {
        let call = ContractCall {
            contract: format!("eip155:1:{A}"),
            data: vec![1, 2, 3, 4].into(),
            word: 1,
            comparison: Comparison::NotEqual.into(),
            operand: "5".into(),
        };
        let query =
            Query::new(Question { about: Some(WireAbout::Call(call)), ..Question::default() }).unwrap();
        assert_eq!(query.judge(&returned(&[0; 32])).verdict, Verdict::Unknown);
        assert_eq!(query.judge(&returned(&[0; 64])).verdict, Verdict::Yes);
    }

    proptest! {
        #[test]
        fn only_the_owner_in_exactly_one_word_is_the_owner(data in proptest::collection::vec(any::<u8>(), 0..70)) {
            let query = holding(&format!("eip155:1/erc721:{A}/7"), "").unwrap();
            prop_assert_ne!(query.judge(&returned(&data)).verdict, Verdict::Yes);
        }

        #[test]
        fn a_balance_passes_from_the_amount_on(found: u64, wanted in 1u64..) {
            let query = holding(&format!("eip155:1/erc20:{A}"), &wanted.to_string()).unwrap();
            let judged = query.judge(&returned(&U256::from(found).to_be_bytes::<32>()));
            prop_assert_eq!(judged.verdict == Verdict::Yes, found >= wanted);
            prop_assert_ne!(judged.verdict, Verdict::Unknown);
        }
    }
}
