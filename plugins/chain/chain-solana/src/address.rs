//! Solana addresses: 32 bytes, written in base58; and program-derived ones, for which no key can sign,
//! because they are off the curve.

use std::fmt;
use std::str::FromStr;

use curve25519_dalek::edwards::CompressedEdwardsY;
use sha2::{Digest as _, Sha256};

/// An address.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct Address([u8; 32]);

impl Address {
    /// One that is known at compile time, as text.
    pub(crate) const fn literal(text: &str) -> Self {
        Self(bs58::decode(text.as_bytes()).into_array_const_unwrap())
    }

    /// The program-derived address of `seeds`, of 32 bytes at most each: the first one from the highest bump
    /// down that is no key's. `None` for the rare seeds without one.
    pub(crate) fn derived(seeds: &[&[u8]], program: &Self) -> Option<Self> {
        let hash = seeds.iter().fold(Sha256::new(), |hash, seed| hash.chain_update(seed));
        (1..=u8::MAX).rev().find_map(|bump| {
            let hash = hash.clone().chain_update([bump]).chain_update(program.0);
            let bytes = hash.chain_update("ProgramDerivedAddress").finalize().into();
            CompressedEdwardsY(bytes).decompress().is_none().then_some(Self(bytes))
        })
    }
}

impl From<[u8; 32]> for Address {
    fn from(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }
}

impl AsRef<[u8]> for Address {
    fn as_ref(&self) -> &[u8] {
        &self.0
    }
}

impl FromStr for Address {
    type Err = bs58::decode::Error;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let mut bytes = [0; 32];
        match bs58::decode(text).onto(&mut bytes)? {
            32 => Ok(Self(bytes)),
            _ => Err(bs58::decode::Error::BufferTooSmall),
        }
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&bs58::encode(self.0).into_string())
    }
}

impl fmt::Debug for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn what_is_no_address_is_refused() {
        for text in [
            "",
            "1111111111111111111111111111111",
            "111111111111111111111111111111111",
            "0OIlmetaqbxxUerdq28cj1RbAWkYQm3ybzjb6a8",
            "metaqbxxUerdq28cj1RbAWkYQm3ybzjb6a8bt518x1s1",
            "zzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzz",
            "metaqbxxUerdq28cj1RbAWkYQm3ybzjb6a8bt518x1s ",
        ] {
            assert!(text.parse::<Address>().is_err(), "{text}");
        }
    }

    proptest! {
        #[test]
        fn what_is_written_is_read_the_same(bytes: [u8; 32], zeros in 0_usize..=32) {
            let mut bytes = bytes;
            bytes[..zeros].fill(0);
            let text = Address(bytes).to_string();
            prop_assert_eq!(text.parse::<Address>().unwrap(), Address(bytes));
            prop_assert_eq!(Address::literal(&text), Address(bytes));
        }

        #[test]
        fn no_text_makes_it_panic(text: String) {
            let _ = text.parse::<Address>();
        }
    }
}
