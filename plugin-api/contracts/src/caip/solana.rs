//! Names in the namespace `solana`. Base58 has one spelling for each value, so that texts are compared as they are.

use std::fmt::{self, Display};
use std::str::FromStr;

use super::{CaipError, asset_parts, decimal};

const CHAIN: &str = "chain id such as solana:5eykt4UsFv8P8NJdTREpY1vzqKqZKvdp, which is the first 32 \
                     characters of the hash of its genesis";
const ACCOUNT: &str = "account such as solana:5eykt4UsFv8P8NJdTREpY1vzqKqZKvdp:7S3P4HxJpyyigGzodYwH…";
const ASSET: &str = "asset such as solana:5eykt4UsFv8P8NJdTREpY1vzqKqZKvdp/slip44:501, …/token:<mint>, \
                     …/nft:<collection or mint> or …/cnft:<collection>";
const NUMBER: &str = "decimal number of at most 64 bits";

/// A cluster by the first 32 characters of the hash of its genesis.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ChainId([u8; 32]);

/// An account of a cluster; `A` is an address.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Account<A> {
    /// The cluster.
    pub chain: ChainId,
    /// Its 32 bytes.
    pub address: A,
}

/// What may be owned.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Token<A> {
    /// SOL, in lamports.
    Native,
    /// Of this mint, of either token program.
    Fungible(A),
    /// NFTs of this verified collection, or the one of this mint or asset.
    Nft(A),
    /// Compressed NFTs of this verified collection.
    Compressed(A),
}

/// A token of a cluster.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Asset<A> {
    /// The cluster.
    pub chain: ChainId,
    /// What of it.
    pub token: Token<A>,
}

/// A decimal number of at most 64 bits, without sign and leading zeros.
///
/// # Errors
/// It is none.
pub fn number(text: &str) -> Result<u64, CaipError> {
    decimal(text).ok_or_else(|| CaipError::new(text, NUMBER))
}

/// Whether a text consists of digits of base58.
pub fn is_base58(text: &str) -> bool {
    text.bytes().all(|byte| byte.is_ascii_alphanumeric() && !b"0OIl".contains(&byte))
}

impl ChainId {
    /// From CAIP-2.
    ///
    /// # Errors
    /// It is not `solana:` and 32 digits of base58.
    pub fn parse(text: &str) -> Result<Self, CaipError> {
        text.strip_prefix("solana:").and_then(Self::of).ok_or_else(|| CaipError::new(text, CHAIN))
    }

    /// The cluster of this genesis, whose hash is given in full and read as an `A`.
    pub fn of_genesis<A: FromStr>(hash: &str) -> Option<Self> {
        hash.parse::<A>().ok()?;
        Self::of(hash.get(..32)?)
    }

    fn of(reference: &str) -> Option<Self> {
        is_base58(reference).then_some(Self(reference.as_bytes().try_into().ok()?))
    }
}

impl<A: FromStr> Account<A> {
    /// From CAIP-10.
    ///
    /// # Errors
    /// It is no cluster and an address.
    pub fn parse(text: &str) -> Result<Self, CaipError> {
        let parsed = text.rsplit_once(':').and_then(|(chain, address)| {
            Some(Self { chain: ChainId::parse(chain).ok()?, address: address.parse().ok()? })
        });
        parsed.ok_or_else(|| CaipError::new(text, ACCOUNT))
    }
}

impl<A: FromStr> Asset<A> {
    /// From CAIP-19, in which `token`, `nft` and `cnft` are kinds of this server.
    ///
    /// # Errors
    /// It is no cluster and a token by its mint or collection, or SOL.
    pub fn parse(text: &str) -> Result<Self, CaipError> {
        Self::read(text).ok_or_else(|| CaipError::new(text, ASSET))
    }

    fn read(text: &str) -> Option<Self> {
        let (chain, kind, reference, None) = asset_parts(text)? else { return None };
        let chain = ChainId::parse(chain).ok()?;
        let token = match kind {
            "slip44" if reference == "501" => Token::Native,
            "token" => Token::Fungible(reference.parse().ok()?),
            "nft" => Token::Nft(reference.parse().ok()?),
            "cnft" => Token::Compressed(reference.parse().ok()?),
            _ => return None,
        };
        Some(Self { chain, token })
    }
}

impl Display for ChainId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "solana:{}", String::from_utf8_lossy(&self.0))
    }
}

impl<A: Display> Display for Account<A> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.chain, self.address)
    }
}

impl<A: Display> Display for Asset<A> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/", self.chain)?;
        match &self.token {
            Token::Native => f.write_str("slip44:501"),
            Token::Fungible(mint) => write!(f, "token:{mint}"),
            Token::Nft(collection) => write!(f, "nft:{collection}"),
            Token::Compressed(collection) => write!(f, "cnft:{collection}"),
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const CHAIN: &str = "solana:5eykt4UsFv8P8NJdTREpY1vzqKqZKvdp";
    const USDC: &str = "EPjFWdd5AufqSSqeM2qN1xzybapC8G4wEGGkZwyTDt1v";

    /// An address by its spelling.
    #[derive(Debug, Clone, PartialEq)]
    struct Address(String);

    impl FromStr for Address {
        type Err = ();

        fn from_str(text: &str) -> Result<Self, ()> {
            ((32..=44).contains(&text.len()) && is_base58(text)).then(|| Self(text.to_owned())).ok_or(())
        }
    }

    impl Display for Address {
        fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str(&self.0)
        }
    }

    type Account = super::Account<Address>;
    type Asset = super::Asset<Address>;

    #[test]
    fn a_chain_is_named_by_the_start_of_its_genesis() {
        let genesis = "5eykt4UsFv8P8NJdTREpY1vzqKqZKvdpKuc147dw2N9d";
        assert_eq!(ChainId::of_genesis::<Address>(genesis).unwrap().to_string(), CHAIN);
        assert!(ChainId::of_genesis::<Address>(&genesis[..31]).is_none());
    }

    #[test]
    fn what_names_nothing_is_refused() {
        for text in [
            format!("{CHAIN}:{USDC}0"),
            format!("{CHAIN}:{}", &USDC[1..20]),
            format!("{CHAIN}:{USDC} "),
            format!("{CHAIN}x:{USDC}"),
            format!("{}:{USDC}", &CHAIN[..38]),
            format!("SOLANA:{}:{USDC}", &CHAIN[7..]),
            format!("eip155:1:{USDC}"),
            format!("solana:0{}:{USDC}", &CHAIN[8..]),
            format!("{CHAIN}:"),
            CHAIN.into(),
        ] {
            assert!(Account::parse(&text).is_err(), "{text}");
        }
        for text in [
            format!("{CHAIN}/slip44:60"),
            format!("{CHAIN}/slip44:0501"),
            format!("{CHAIN}/token:{USDC}/1"),
            format!("{CHAIN}/spl:{USDC}"),
            format!("{CHAIN}/token:"),
            format!("{CHAIN}/token"),
        ] {
            assert!(Asset::parse(&text).is_err(), "{text}");
        }
    }

    proptest! {
        #[test]
        fn every_asset_is_read_as_it_was_written(kind in "(token|nft|cnft):[1-9A-HJ-NP-Za-km-z]{32,44}|slip44:501") {
            let text = format!("{CHAIN}/{kind}");
            prop_assert_eq!(Asset::parse(&text).unwrap().to_string(), text);
        }

        #[test]
        fn every_account_is_read_as_it_was_written(address in "[1-9A-HJ-NP-Za-km-z]{32,44}") {
            let text = format!("{CHAIN}:{address}");
            prop_assert_eq!(Account::parse(&text).unwrap().to_string(), text);
        }

        #[test]
        fn no_text_makes_the_parsers_panic(text: String) {
            let _ = (Account::parse(&text), Asset::parse(&text), ChainId::parse(&text), number(&text));
            let _ = ChainId::of_genesis::<Address>(&text);
            let _ = ChainId::of_genesis::<String>(&text);
        }
    }
}
