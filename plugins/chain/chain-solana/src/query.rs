//! Queries: what has to be read to answer one, and the result of the reading. It is the only place that
//! produces a yes.

use streamgate_chain_common::{Malformed, malformed};
use streamgate_contracts::chain::v1::question::About;
use streamgate_contracts::chain::v1::{Finality as WireFinality, Question};

use crate::caip::{Account, Asset, ChainId, Token, number};
use crate::endpoint::{Amount, Holding, Reading};
use crate::settings::Finality;

/// One query.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Query {
    pub(crate) chain: ChainId,
    /// Default: as in the chain's settings.
    pub(crate) finality: Option<Finality>,
    pub(crate) min_slot: u64,
    pub(crate) holding: Holding,
    at_least: u64,
}

/// The result of a reading.
pub(crate) type Judged = streamgate_chain_common::Judged<u128>;

fn finality(wire: i32) -> Result<Option<Finality>, Malformed> {
    match WireFinality::try_from(wire) {
        Ok(WireFinality::Unspecified) => Ok(None),
        // Processed blocks are not read; confirmed is equivalent to safe.
        Ok(WireFinality::Latest | WireFinality::Safe) => Ok(Some(Finality::Confirmed)),
        Ok(WireFinality::Finalized) => Ok(Some(Finality::Finalized)),
        Err(_) => Err(malformed(format!("{wire} is not a finality"))),
    }
}

impl Query {
    pub(crate) fn new(question: Question) -> Result<Self, Malformed> {
        let holding = match question.about {
            Some(About::Holding(holding)) => holding,
            Some(About::Call(_)) => {
                return Err(malformed("Solana programs have no read-only calls"));
            }
            Some(About::Delegation(_)) => {
                return Err(malformed("delegations are only supported on EVM chains"));
            }
            None => return Err(malformed("the query is empty")),
        };
        let account = Account::parse(&holding.account)?;
        let asset = Asset::parse(&holding.asset)?;
        if asset.chain != account.chain {
            return Err(malformed(format!("{account} and {asset} are on different chains")));
        }
        let at_least = if holding.at_least.is_empty() { 1 } else { number(&holding.at_least)? };
        if at_least == 0 {
            return Err(malformed("`at_least` = 0 is always true; use 1 or more"));
        }
        Ok(Self {
            chain: asset.chain,
            finality: finality(question.finality)?,
            min_slot: question.min_block,
            holding: Holding { owner: account.address, token: asset.token },
            at_least,
        })
    }

    /// The result of the reading.
    pub(crate) fn judge(&self, reading: &Reading) -> Judged {
        let Reading { amount, slot } = *reading;
        let amount = match amount {
            Amount::Of(amount) => amount,
            Amount::TooMuch => {
                return Judged::unknown("the account holds more assets than are searched (`max_nfts`)");
            }
            Amount::NotUnderstood => {
                return Judged::unknown("the asset has an unknown form, such as a compressed one");
            }
        };
        let by = match self.holding.token {
            Token::Compressed(_) => "according to the endpoints' index of assets",
            _ => "read",
        };
        let reason = format!("it holds {amount} of {}, {by} at slot {slot}", self.at_least);
        Judged::decided(amount >= self.at_least.into(), Some(amount), reason)
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use streamgate_contracts::chain::v1::{self, Verdict};

    const CHAIN: &str = "solana:5eykt4UsFv8P8NJdTREpY1vzqKqZKvdp";
    const OTHER: &str = "solana:EtWTRABZaYq6iMfeYKouRu166VU2xqa1";
    const USDC: &str = "EPjFWdd5AufqSSqeM2qN1xzybapC8G4wEGGkZwyTDt1v";

    fn holding(asset: &str, at_least: &str) -> Result<Query, Malformed> {
        let holding = v1::Holding {
            account: format!("{CHAIN}:{USDC}"),
            asset: asset.into(),
            at_least: at_least.into(),
        };
        Query::new(Question { about: Some(About::Holding(holding)), ..Question::default() })
    }

    #[test]
    fn a_query_that_is_always_true_or_meaningless_is_refused() {
        let asset = format!("{CHAIN}/token:{USDC}");
        for (asset, at_least) in [
            (asset.clone(), "0"),
            (asset.clone(), "-1"),
            (asset.clone(), "01"),
            (asset.clone(), "1e3"),
            (asset, "18446744073709551616"),
            (format!("{OTHER}/token:{USDC}"), "1"),
        ] {
            assert!(holding(&asset, at_least).is_err(), "{asset} {at_least}");
        }
        assert!(Query::new(Question::default()).is_err());
        for about in [About::Call(v1::ContractCall::default()), About::Delegation(v1::Delegation::default())]
        {
            assert!(Query::new(Question { about: Some(about), ..Question::default() }).is_err());
        }
    }

    #[test]
    fn too_much_to_look_through_is_unknown_and_so_is_what_is_not_understood() {
        let query = holding(&format!("{CHAIN}/nft:{USDC}"), "").unwrap();
        for amount in [Amount::TooMuch, Amount::NotUnderstood] {
            assert_eq!(query.judge(&Reading { amount, slot: 7 }).verdict, Verdict::Unknown);
        }
    }

    proptest! {
        #[test]
        fn a_balance_passes_from_the_amount_on(found: u64, wanted in 1u64..) {
            let query = holding(&format!("{CHAIN}/slip44:501"), &wanted.to_string()).unwrap();
            let judged = query.judge(&Reading { amount: Amount::Of(found.into()), slot: 7 });
            prop_assert_eq!(judged.verdict == Verdict::Yes, found >= wanted);
            prop_assert_ne!(judged.verdict, Verdict::Unknown);
        }
    }
}
