//! Names of chains, accounts and assets: CAIP-2, CAIP-10 and CAIP-19, in the namespace `solana`. Base58 has
//! one form for each value, so texts are compared directly.

use std::fmt;

use streamgate_chain_common::{CaipError, is_decimal};

use crate::address::Address;

const CHAIN: &str = "chain id such as solana:5eykt4UsFv8P8NJdTREpY1vzqKqZKvdp, which is the first 32 \
                     characters of the hash of its genesis";
const ACCOUNT: &str = "account such as solana:5eykt4UsFv8P8NJdTREpY1vzqKqZKvdp:7S3P4HxJpyyigGzodYwH…";
const ASSET: &str = "asset such as solana:5eykt4UsFv8P8NJdTREpY1vzqKqZKvdp/slip44:501, …/token:<mint>, \
                     …/nft:<collection or mint> or …/cnft:<collection>";
const NUMBER: &str = "decimal number of at most 64 bits";

/// A cluster by the first 32 characters of the hash of its genesis.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct ChainId([u8; 32]);

/// An account of a cluster.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct Account {
    pub(crate) chain: ChainId,
    pub(crate) address: Address,
}

/// An asset that may be owned.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Token {
    /// SOL, in lamports.
    Native,
    /// Of this mint, of either token program.
    Fungible(Address),
    /// NFTs of this verified collection, or the one of this mint or asset.
    Nft(Address),
    /// Compressed NFTs of this verified collection.
    Compressed(Address),
}

/// A token of a cluster.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct Asset {
    pub(crate) chain: ChainId,
    pub(crate) token: Token,
}

/// A decimal number without sign, leading zeros or anything else that is not a digit.
pub(crate) fn number(text: &str) -> Result<u64, CaipError> {
    let parsed = is_decimal(text).then(|| text.parse().ok()).flatten();
    parsed.ok_or_else(|| CaipError::new(text, NUMBER))
}

impl ChainId {
    pub(crate) fn parse(text: &str) -> Result<Self, CaipError> {
        text.strip_prefix("solana:").and_then(Self::of).ok_or_else(|| CaipError::new(text, CHAIN))
    }

    /// The cluster of this genesis, whose hash is given in full.
    pub(crate) fn of_genesis(hash: &str) -> Option<Self> {
        hash.parse::<Address>().ok()?;
        Self::of(hash.get(..32)?)
    }

    fn of(reference: &str) -> Option<Self> {
        let base58 = |byte: &u8| byte.is_ascii_alphanumeric() && !b"0OIl".contains(byte);
        let bytes: [u8; 32] = reference.as_bytes().try_into().ok()?;
        bytes.iter().all(base58).then_some(Self(bytes))
    }
}

impl Account {
    pub(crate) fn parse(text: &str) -> Result<Self, CaipError> {
        let parsed = text.rsplit_once(':').and_then(|(chain, address)| {
            Some(Self { chain: ChainId::parse(chain).ok()?, address: address.parse().ok()? })
        });
        parsed.ok_or_else(|| CaipError::new(text, ACCOUNT))
    }
}

impl Asset {
    pub(crate) fn parse(text: &str) -> Result<Self, CaipError> {
        Self::read(text).ok_or_else(|| CaipError::new(text, ASSET))
    }

    fn read(text: &str) -> Option<Self> {
        let (chain, rest) = text.split_once('/')?;
        let chain = ChainId::parse(chain).ok()?;
        let (kind, reference) = rest.split_once(':')?;
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

impl fmt::Display for ChainId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "solana:{}", String::from_utf8_lossy(&self.0))
    }
}

impl fmt::Display for Account {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.chain, self.address)
    }
}

impl fmt::Display for Asset {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/", self.chain)?;
        match self.token {
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

    #[test]
    fn a_chain_is_named_by_the_start_of_its_genesis() {
        let genesis = "5eykt4UsFv8P8NJdTREpY1vzqKqZKvdpKuc147dw2N9d";
        assert_eq!(ChainId::of_genesis(genesis).unwrap().to_string(), CHAIN);
        assert!(ChainId::of_genesis(&genesis[..32]).is_none());
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

    fn tokens() -> impl Strategy<Value = Token> {
        (any::<[u8; 32]>(), 0..4).prop_map(|(bytes, kind)| {
            let address = Address::from(bytes);
            match kind {
                0 => Token::Native,
                1 => Token::Fungible(address),
                2 => Token::Nft(address),
                _ => Token::Compressed(address),
            }
        })
    }

    proptest! {
        #[test]
        fn every_asset_is_read_as_it_was_written(token in tokens()) {
            let asset = Asset { chain: ChainId::parse(CHAIN).unwrap(), token };
            prop_assert_eq!(Asset::parse(&asset.to_string()).unwrap(), asset);
        }

        #[test]
        fn every_account_is_read_as_it_was_written(bytes: [u8; 32]) {
            let account = Account { chain: ChainId::parse(CHAIN).unwrap(), address: bytes.into() };
            prop_assert_eq!(Account::parse(&account.to_string()).unwrap(), account);
        }

        #[test]
        fn no_text_makes_the_parsers_panic(text: String) {
            let _ = (Account::parse(&text), Asset::parse(&text), ChainId::parse(&text), number(&text));
            let _ = ChainId::of_genesis(&text);
        }
    }
}
