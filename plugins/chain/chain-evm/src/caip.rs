//! Names of chains, accounts and assets: CAIP-2, CAIP-10 and CAIP-19, in the namespace `eip155`.
//! Addresses are compared as bytes and written in lower case; a mixed-case one must have the
//! checksum of EIP-55.

use std::fmt;

use alloy_primitives::{Address, U256};
use streamgate_chain_common::{CaipError, is_decimal};

const CHAIN: &str = "chain id such as eip155:1";
const ACCOUNT: &str = "account such as eip155:1:0xab16a96d359ec26a11e2c2b3d8f8b8942d5bfcdb; \
                       a mixed-case address needs the right EIP-55 checksum";
const ASSET: &str = "asset such as eip155:1/slip44:60, eip155:1/erc20:0x…, eip155:1/erc721:0x…/7 \
                     or eip155:1/erc1155:0x…/7";
const NUMBER: &str = "decimal number of at most 256 bits";

/// A chain by its EIP-155 number.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct ChainId(pub(crate) u64);

/// An account on a chain.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct Account {
    pub(crate) chain: ChainId,
    pub(crate) address: Address,
}

/// An asset that may be owned.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Token {
    Native,
    Erc20(Address),
    Erc721(Address, Option<U256>),
    Erc1155(Address, Option<U256>),
}

/// A token of a chain.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct Asset {
    pub(crate) chain: ChainId,
    pub(crate) token: Token,
}

/// A decimal number without sign, leading zeros or anything else that is not a digit.
pub(crate) fn number(text: &str) -> Result<U256, CaipError> {
    let parsed = is_decimal(text).then(|| U256::from_str_radix(text, 10).ok()).flatten();
    parsed.ok_or_else(|| CaipError::new(text, NUMBER))
}

fn address(text: &str) -> Option<Address> {
    let digits = text.strip_prefix("0x")?;
    if digits.len() != 40 || !digits.bytes().all(|byte| byte.is_ascii_hexdigit()) {
        return None;
    }
    let one_case = !digits.bytes().any(|byte| byte.is_ascii_uppercase())
        || !digits.bytes().any(|byte| byte.is_ascii_lowercase());
    if one_case { text.parse().ok() } else { Address::parse_checksummed(text, None).ok() }
}

impl ChainId {
    pub(crate) fn parse(text: &str) -> Result<Self, CaipError> {
        let reference = text.strip_prefix("eip155:").filter(|digits| digits.len() <= 32);
        let id = reference.and_then(|digits| u64::try_from(number(digits).ok()?).ok());
        id.filter(|id| *id > 0).map(Self).ok_or_else(|| CaipError::new(text, CHAIN))
    }
}

impl Account {
    pub(crate) fn parse(text: &str) -> Result<Self, CaipError> {
        let parsed = text.rsplit_once(':').and_then(|(chain, rest)| {
            Some(Self { chain: ChainId::parse(chain).ok()?, address: address(rest)? })
        });
        parsed.ok_or_else(|| CaipError::new(text, ACCOUNT))
    }
}

impl Token {
    /// The contract; `None` for the native coin.
    pub(crate) fn contract(&self) -> Option<Address> {
        match self {
            Self::Native => None,
            Self::Erc20(contract) | Self::Erc721(contract, _) | Self::Erc1155(contract, _) => Some(*contract),
        }
    }
}

impl Asset {
    pub(crate) fn parse(text: &str) -> Result<Self, CaipError> {
        Self::read(text).ok_or_else(|| CaipError::new(text, ASSET))
    }

    fn read(text: &str) -> Option<Self> {
        let (chain, rest) = text.split_once('/')?;
        let chain = ChainId::parse(chain).ok()?;
        let (kind, rest) = rest.split_once(':')?;
        let (reference, id) = match rest.split_once('/') {
            Some((reference, id)) => (reference, Some(number(id).ok()?)),
            None => (rest, None),
        };
        let token = match (kind, id) {
            ("slip44", None) => number(reference).ok().map(|_| Token::Native)?,
            ("erc20", None) => Token::Erc20(address(reference)?),
            ("erc721", id) => Token::Erc721(address(reference)?, id),
            ("erc1155", id) => Token::Erc1155(address(reference)?, id),
            _ => return None,
        };
        Some(Self { chain, token })
    }

    /// The contract; `None` for the native coin.
    pub(crate) fn contract(&self) -> Option<Address> {
        self.token.contract()
    }
}

impl fmt::Display for ChainId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "eip155:{}", self.0)
    }
}

impl fmt::Display for Account {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{:#x}", self.chain, self.address)
    }
}

impl fmt::Display for Asset {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/", self.chain)?;
        let id = match self.token {
            // Whatever the coin's number in SLIP-44 is, a chain has one native coin.
            Token::Native => return f.write_str("slip44:60"),
            Token::Erc20(contract) => return write!(f, "erc20:{contract:#x}"),
            Token::Erc721(contract, id) => write!(f, "erc721:{contract:#x}").map(|()| id)?,
            Token::Erc1155(contract, id) => write!(f, "erc1155:{contract:#x}").map(|()| id)?,
        };
        id.map_or(Ok(()), |id| write!(f, "/{id}"))
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const MIXED: &str = "0x5aAeb6053F3E94C9b9A09f33669435E7Ef1BeAed";

    #[test]
    fn an_address_in_mixed_case_needs_its_checksum_and_case_makes_no_other_difference() {
        let right = Account::parse(&format!("eip155:1:{MIXED}")).unwrap();
        assert_eq!(Account::parse(&format!("eip155:1:{}", MIXED.to_lowercase())).unwrap(), right);
        let upper = format!("0x{}", MIXED[2..].to_uppercase());
        assert_eq!(Account::parse(&format!("eip155:1:{upper}")).unwrap(), right);
        let wrong = MIXED.replace("5aAeb", "5AAeb");
        assert!(Account::parse(&format!("eip155:1:{wrong}")).is_err());
    }

    #[test]
    fn what_names_nothing_is_refused() {
        let a = MIXED;
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
            format!("eip155:1/erc1155:{a}/{}0", U256::MAX),
        ] {
            assert!(Asset::parse(&text).is_err(), "{text}");
        }
    }

    fn tokens() -> impl Strategy<Value = Token> {
        let id = any::<[u8; 32]>().prop_map(|bytes| U256::from_be_bytes(bytes));
        (any::<[u8; 20]>(), proptest::option::of(id), 0..4).prop_map(|(contract, id, kind)| {
            let contract = Address::from(contract);
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
        fn no_text_makes_the_parsers_panic(text: String) {
            let _ = (Account::parse(&text), Asset::parse(&text), ChainId::parse(&text), number(&text));
        }

        #[test]
        fn what_is_taken_is_one_of_few_spellings(text in "eip155:[0-9]{1,3}/(erc20|erc721|erc1155):0x[0-9a-f]{40}(/[0-9]{1,4})?") {
            if let Ok(asset) = Asset::parse(&text) {
                prop_assert_eq!(asset.to_string(), text);
            }
        }
    }
}
