//! Names in the namespace `eip155`, of chains with the Ethereum Virtual Machine. Addresses are written in lower
//! case; a mixed-case one must have the checksum of EIP-55.

use std::fmt::{self, Display};
use std::str::FromStr;

use super::{CaipError, asset_parts, decimal};
use crate::ethereum::{Address, to_hex};

const CHAIN: &str = "chain id such as eip155:1";
const ACCOUNT: &str = "account such as eip155:1:0xab16a96d359ec26a11e2c2b3d8f8b8942d5bfcdb; \
                       a mixed-case address needs the right EIP-55 checksum";
const ASSET: &str = "asset such as eip155:1/slip44:60, eip155:1/erc20:0x…, eip155:1/erc721:0x…/7 \
                     or eip155:1/erc1155:0x…/7";
const NUMBER: &str = "decimal number of at most 256 bits";

/// A chain by its EIP-155 number.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ChainId(pub u64);

/// An account on a chain.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Account<A = Address> {
    /// The chain.
    pub chain: ChainId,
    /// Its 20 bytes.
    pub address: A,
}

/// What may be owned: `A` is an address, `N` a number of 256 bits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Token<A, N> {
    /// The coin of the chain.
    Native,
    /// Of a fungible token.
    Erc20(A),
    /// All tokens of a collection, or one.
    Erc721(A, Option<N>),
    /// All kinds of a multi-token contract, or one.
    Erc1155(A, Option<N>),
}

/// A token of a chain.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Asset<A, N> {
    /// The chain.
    pub chain: ChainId,
    /// What of it.
    pub token: Token<A, N>,
}

/// A decimal number without sign and leading zeros.
///
/// # Errors
/// It is none, or none that `N`, a number of 256 bits, can hold.
pub fn number<N: FromStr>(text: &str) -> Result<N, CaipError> {
    decimal(text).ok_or_else(|| CaipError::new(text, NUMBER))
}

fn address<A: From<[u8; 20]>>(text: &str) -> Option<A> {
    Address::parse_checked(text).map(|Address(bytes)| bytes.into())
}

impl ChainId {
    /// From CAIP-2.
    ///
    /// # Errors
    /// It is not `eip155:` and a number from 1 to 2^64 - 1.
    pub fn parse(text: &str) -> Result<Self, CaipError> {
        let id = text.strip_prefix("eip155:").and_then(decimal).filter(|id| *id > 0);
        id.map(Self).ok_or_else(|| CaipError::new(text, CHAIN))
    }
}

impl<A: From<[u8; 20]>> Account<A> {
    /// From CAIP-10.
    ///
    /// # Errors
    /// It is no chain of this namespace and an address.
    pub fn parse(text: &str) -> Result<Self, CaipError> {
        let parsed = text.rsplit_once(':').and_then(|(chain, rest)| {
            Some(Self { chain: ChainId::parse(chain).ok()?, address: address(rest)? })
        });
        parsed.ok_or_else(|| CaipError::new(text, ACCOUNT))
    }
}

impl<A: From<[u8; 20]> + Copy, N: FromStr> Asset<A, N> {
    /// From CAIP-19.
    ///
    /// # Errors
    /// It is no chain of this namespace and a token, by its contract, or the native coin.
    pub fn parse(text: &str) -> Result<Self, CaipError> {
        Self::read(text).ok_or_else(|| CaipError::new(text, ASSET))
    }

    fn read(text: &str) -> Option<Self> {
        let (chain, kind, reference, id) = asset_parts(text)?;
        let chain = ChainId::parse(chain).ok()?;
        let id = id.map(|id| number(id).ok()).map_or(Some(None), |id| id.map(Some))?;
        let token = match (kind, id) {
            ("slip44", None) => number::<N>(reference).ok().map(|_| Token::Native)?,
            ("erc20", None) => Token::Erc20(address(reference)?),
            ("erc721", id) => Token::Erc721(address(reference)?, id),
            ("erc1155", id) => Token::Erc1155(address(reference)?, id),
            _ => return None,
        };
        Some(Self { chain, token })
    }
}

impl<A: Copy, N> Token<A, N> {
    /// The contract; none for the native coin.
    pub fn contract(&self) -> Option<A> {
        match self {
            Self::Native => None,
            Self::Erc20(contract) | Self::Erc721(contract, _) | Self::Erc1155(contract, _) => Some(*contract),
        }
    }
}

impl<A: Copy, N> Asset<A, N> {
    /// The contract; none for the native coin.
    pub fn contract(&self) -> Option<A> {
        self.token.contract()
    }
}

impl Display for ChainId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "eip155:{}", self.0)
    }
}

impl<A: AsRef<[u8]>> Display for Account<A> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:0x{}", self.chain, to_hex(self.address.as_ref()))
    }
}

impl<A: AsRef<[u8]>, N: Display> Display for Asset<A, N> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (kind, contract, id) = match &self.token {
            // Whatever the coin's number in SLIP-44 is, a chain has one native coin.
            Token::Native => return write!(f, "{}/slip44:60", self.chain),
            Token::Erc20(contract) => ("erc20", contract, &None),
            Token::Erc721(contract, id) => ("erc721", contract, id),
            Token::Erc1155(contract, id) => ("erc1155", contract, id),
        };
        write!(f, "{}/{kind}:0x{}", self.chain, to_hex(contract.as_ref()))?;
        id.as_ref().map_or(Ok(()), |id| write!(f, "/{id}"))
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const MIXED: &str = "0x5aAeb6053F3E94C9b9A09f33669435E7Ef1BeAed";
    /// The largest number of 256 bits has 78 digits.
    const MAX: &str = "115792089237316195423570985008687907853269984665640564039457584007913129639935";

    type Account = super::Account;
    type Asset = super::Asset<Address, u128>;

    #[test]
    fn an_address_in_mixed_case_needs_its_checksum_and_case_makes_no_other_difference() {
        let right = Account::parse(&format!("eip155:1:{MIXED}")).unwrap();
        assert_eq!(right.to_string(), format!("eip155:1:{}", MIXED.to_lowercase()));
        assert_eq!(Account::parse(&format!("eip155:1:{}", MIXED.to_lowercase())).unwrap(), right);
        let upper = format!("0x{}", MIXED[2..].to_uppercase());
        assert_eq!(Account::parse(&format!("eip155:1:{upper}")).unwrap(), right);
        let wrong = MIXED.replace("5aAeb", "5AAeb");
        assert!(Account::parse(&format!("eip155:1:{wrong}")).is_err());
    }

    #[test]
    fn what_names_nothing_is_refused() {
        let a = MIXED;
        for text in
            ["", "eip155:", "eip155:0", "eip155:01", "eip155:+1", "eip155:18446744073709551616", "bip122:1"]
        {
            assert!(ChainId::parse(text).is_err(), "{text}");
        }
        for text in [
            format!("eip155:0:{a}"),
            format!("eip155:01:{a}"),
            format!("eip155:-1:{a}"),
            format!("EIP155:1:{a}"),
            format!("eip155:18446744073709551616:{a}"),
            format!("solana:1:{a}"),
            format!("eip155:1:{}", &a[2..]),
            format!("eip155:1:{a}0"),
            format!("eip155:1:{a} "),
            format!(" eip155:1:{a}"),
            "eip155:1:".into(),
            format!("eip155:1:0X{}", &a[2..]),
        ] {
            assert!(Account::parse(&text).is_err(), "{text}");
        }
        for text in [
            format!("eip155:1/erc721:{a}/"),
            format!("eip155:1/erc721:{a}/01"),
            format!("eip155:1/erc721:{a}/0x1"),
            format!("eip155:1/erc20:{a}/1"),
            format!("eip155:1/erc777:{a}"),
            "eip155:1/slip44:60/1".into(),
            format!("eip155:1/erc721:{a}/1/2"),
            format!("eip155:1/erc1155:{a}/{MAX}0"),
        ] {
            assert!(Asset::parse(&text).is_err(), "{text}");
        }
        assert_eq!(decimal::<String>(MAX).as_deref(), Some(MAX));
    }

    #[test]
    fn an_error_repeats_160_characters_at_most() {
        let error = ChainId::parse(&"é".repeat(200)).unwrap_err().to_string();
        assert_eq!(error, format!("`{}` is no {CHAIN}", "é".repeat(160)));
    }

    fn tokens() -> impl Strategy<Value = Token<Address, u128>> {
        (any::<[u8; 20]>(), proptest::option::of(any::<u128>()), 0..4).prop_map(|(contract, id, kind)| {
            let contract = Address(contract);
            match kind {
                0 => Token::Native,
                1 => Token::Erc20(contract),
                2 => Token::Erc721(contract, id),
                _ => Token::Erc1155(contract, id),
            }
        })
    }

    proptest! {
        #[test]
        fn every_asset_is_read_as_it_was_written(chain in 1u64.., token in tokens()) {
            let asset = Asset { chain: ChainId(chain), token };
            prop_assert_eq!(Asset::parse(&asset.to_string()).unwrap(), asset);
        }

        #[test]
        fn every_account_is_read_as_it_was_written(chain in 1u64.., bytes: [u8; 20]) {
            let account = Account { chain: ChainId(chain), address: bytes.into() };
            prop_assert_eq!(Account::parse(&account.to_string()).unwrap(), account);
        }

        #[test]
        fn no_text_makes_the_parsers_panic(text: String, rest in "[0-9a-fx:]{0,50}") {
            for text in [text, format!("eip155:{rest}")] {
                let _ = (Account::parse(&text), Asset::parse(&text), ChainId::parse(&text));
                let _ = number::<u128>(&text);
            }
        }

        #[test]
        fn what_is_taken_is_one_of_few_spellings(text in "eip155:[0-9]{1,3}/(erc20|erc721|erc1155):0x[0-9a-f]{40}(/[0-9]{1,4})?") {
            if let Ok(asset) = Asset::parse(&text) {
                prop_assert_eq!(asset.to_string(), text);
            }
        }
    }
}
