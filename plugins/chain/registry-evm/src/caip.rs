//! Names of chains and accounts: CAIP-2 and CAIP-10, in the namespace `eip155`. Addresses are compared
//! as bytes and written in lower case; a mixed-case one must have the checksum of EIP-55.

use std::fmt;

use alloy_primitives::Address;

const CHAIN: &str = "chain id such as eip155:1";
const ACCOUNT: &str = "account such as eip155:1:0xab16a96d359ec26a11e2c2b3d8f8b8942d5bfcdb; \
                       a mixed-case address needs the right EIP-55 checksum";

/// A text that is not a chain or account.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{given:.160}` is not a {wanted}")]
pub(crate) struct CaipError {
    given: String,
    wanted: &'static str,
}

/// A chain by its EIP-155 number.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct ChainId(pub(crate) u64);

/// An account on a chain.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct Account {
    pub(crate) chain: ChainId,
    pub(crate) address: Address,
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
        let digits = text.strip_prefix("eip155:").unwrap_or_default();
        let plain = digits.bytes().all(|byte| byte.is_ascii_digit()) && !digits.starts_with('0');
        let id = plain.then(|| digits.parse().ok()).flatten();
        id.map(Self).ok_or_else(|| CaipError { given: text.into(), wanted: CHAIN })
    }
}

impl Account {
    pub(crate) fn parse(text: &str) -> Result<Self, CaipError> {
        let parsed = text.rsplit_once(':').and_then(|(chain, rest)| {
            Some(Self { chain: ChainId::parse(chain).ok()?, address: address(rest)? })
        });
        parsed.ok_or_else(|| CaipError { given: text.into(), wanted: ACCOUNT })
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

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_name_is_read_in_its_one_form() {
        let mixed = "eip155:1:0x5aAeb6053F3E94C9b9A09f33669435E7Ef1BeAed";
        assert_eq!(Account::parse(mixed).unwrap().to_string(), mixed.to_lowercase());
        for wrong in
            ["", "eip155:", "eip155:0", "eip155:01", "eip155:+1", "eip155:18446744073709551616", "bip122:1"]
        {
            assert!(ChainId::parse(wrong).is_err(), "{wrong}");
        }
        for wrong in [mixed.replace("5aA", "5aa"), format!("{mixed}0"), mixed.replace("0x", "")] {
            assert!(Account::parse(&wrong).is_err(), "{wrong}");
        }
    }

    proptest! {
        #[test]
        fn no_text_makes_the_parser_panic(text: String, rest in "[0-9a-fx:]{0,50}") {
            let _ = (Account::parse(&text), Account::parse(&format!("eip155:{rest}")));
        }

        #[test]
        fn every_account_is_read_as_it_was_written(chain in 1u64.., bytes: [u8; 20]) {
            let account = Account { chain: ChainId(chain), address: bytes.into() };
            prop_assert_eq!(Account::parse(&account.to_string()), Ok(account));
        }
    }
}
