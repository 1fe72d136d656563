//! Names of wallets, contracts and assets (CAIP-2, CAIP-10, CAIP-19) in canonical form, so that equal ones
//! compare equal: addresses of EVM chains are in lower case.

use std::fmt;

use ruint::aliases::U256;
use streamgate_contracts::caip::{self, eip155, solana};
use streamgate_contracts::ethereum::Address;

/// The native coin in SLIP-44, by the kind of chain.
const NATIVE: [(&str, &str); 2] = [("eip155", "60"), ("solana", "501")];

/// A chain, `eip155:1` or `solana:5eykt4UsFv8P8NJdTREpY1vzqKqZKvdp`.
pub(crate) fn chain(text: &str) -> Option<&str> {
    let (kind, reference) = text.split_once(':')?;
    let sound = match kind {
        "eip155" => eip155::ChainId::parse(text).is_ok(),
        "solana" => {
            (1..=32).contains(&reference.len())
                && reference.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_".contains(&byte))
        }
        _ => false,
    };
    sound.then_some(text)
}

/// A decimal number of at most 256 bits, without sign and leading zeros.
pub(crate) fn number(text: &str) -> Option<U256> {
    caip::decimal(text)
}

/// An EVM address in lower case. A mixed-case one needs the checksum of EIP-55.
fn evm_address(text: &str) -> Option<String> {
    Address::parse_checked(text).map(|address| format!("{address:#}"))
}

/// A Solana address: 32 bytes in base58.
fn solana_address(text: &str) -> Option<String> {
    ((32..=44).contains(&text.len()) && solana::is_base58(text)).then(|| text.to_owned())
}

fn address(kind: &str, text: &str) -> Option<String> {
    match kind {
        "eip155" => evm_address(text),
        "solana" => solana_address(text),
        _ => None,
    }
}

/// A wallet: of the holder of its key, on all chains of its kind, CAIP-10 without the chain (`eip155:0x…`,
/// `solana:…`). A contract includes its chain (`eip155:1:0x…`): another one may have its address elsewhere.
pub(crate) fn wallet(text: &str) -> Option<String> {
    let (kind, rest) = text.split_once(':')?;
    match kind {
        "eip155" if rest.contains(':') => Contract::parse(text).map(|contract| contract.to_string()),
        _ => Some(format!("{kind}:{}", address(kind, rest)?)),
    }
}

/// The key's wallet at the address of a contract; `None` if it is a key's.
pub(crate) fn namesake(wallet: &str) -> Option<String> {
    let (chain, rest) = wallet.rsplit_once(':')?;
    Some(format!("{}:{rest}", chain.split_once(':')?.0))
}

/// The wallet as an account of this chain (CAIP-10); `None` if it does not exist there.
pub(crate) fn account_of(wallet: &str, chain: &str) -> Option<String> {
    let (of, rest) = wallet.rsplit_once(':')?;
    let kind = chain.split_once(':')?.0;
    (of == kind || of == chain).then(|| format!("{chain}:{rest}"))
}

/// The possible wallets of an account (CAIP-10): that of a key, and that of a contract.
pub(crate) fn wallets_of(account: &str) -> Option<[String; 2]> {
    let account = Contract::parse(account)?.to_string();
    Some([namesake(&account)?, account])
}

/// A contract on a chain.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct Contract {
    pub(crate) chain: String,
    pub(crate) address: String,
}

impl Contract {
    /// From CAIP-10.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        let (chain_text, rest) = text.rsplit_once(':')?;
        let chain = chain(chain_text)?;
        Some(Self { chain: chain.to_owned(), address: address(chain.split_once(':')?.0, rest)? })
    }
}

impl fmt::Display for Contract {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.chain, self.address)
    }
}

/// A token, a kind of token, or a native coin (CAIP-19).
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct Asset {
    pub(crate) chain: String,
    /// `erc721`, `erc1155`, `erc20`, `slip44`, and on Solana `token`, `nft` or `cnft`.
    pub(crate) kind: String,
    pub(crate) reference: String,
    pub(crate) id: Option<String>,
}

impl Asset {
    pub(crate) fn parse(text: &str) -> Option<Self> {
        let (chain_text, kind, reference, id) = caip::asset_parts(text)?;
        let chain = chain(chain_text)?;
        let reference = match (chain.split_once(':')?.0, kind) {
            ("eip155", "erc20" | "erc721" | "erc1155") => evm_address(reference)?,
            ("solana", "token" | "nft" | "cnft") => solana_address(reference)?,
            (chain_kind, "slip44") => {
                let native = NATIVE.iter().find(|(known, _)| *known == chain_kind)?;
                (native.1 == reference).then(|| reference.to_owned())?
            }
            _ => return None,
        };
        let numbered = matches!(kind, "erc721" | "erc1155");
        if id.is_some_and(|id| !numbered || number(id).is_none()) {
            return None;
        }
        Some(Self { chain: chain.into(), kind: kind.into(), reference, id: id.map(str::to_owned) })
    }

    /// The native coin of a chain.
    pub(crate) fn native(text: &str) -> Option<Self> {
        let chain = chain(text)?;
        let kind = chain.split_once(':')?.0;
        let (_, coin) = NATIVE.iter().find(|(known, _)| *known == kind)?;
        let (kind, reference) = ("slip44".into(), (*coin).into());
        Some(Self { chain: chain.into(), kind, reference, id: None })
    }

    /// A token of a contract.
    pub(crate) fn of_contract(contract: &Contract, kind: &str) -> Self {
        let (chain, reference) = (contract.chain.clone(), contract.address.clone());
        Self { chain, kind: kind.into(), reference, id: None }
    }

    /// All tokens of its contract, as transfers are watched; `None` for a native coin, which has no transfer
    /// events.
    pub(crate) fn watched(&self) -> Option<String> {
        let whole = Self { id: None, ..self.clone() };
        (self.kind != "slip44").then(|| whole.to_string())
    }

    /// The same, under each kind of token that a rule may use for its contract.
    pub(crate) fn watched_alike(&self) -> Vec<String> {
        if !self.chain.starts_with("eip155:") {
            return self.watched().into_iter().collect();
        }
        let kinds = ["erc20", "erc721", "erc1155"].into_iter().filter(|_| self.kind != "slip44");
        kinds.filter_map(|kind| Self { kind: kind.into(), ..self.clone() }.watched()).collect()
    }
}

impl fmt::Display for Asset {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}:{}", self.chain, self.kind, self.reference)?;
        self.id.as_ref().map_or(Ok(()), |id| write!(f, "/{id}"))
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const MIXED: &str = "0x5aAeb6053F3E94C9b9A09f33669435E7Ef1BeAed";

    #[test]
    fn every_spelling_of_an_address_is_one_and_a_wrong_checksum_is_none() {
        let lower = format!("eip155:{}", MIXED.to_lowercase());
        assert_eq!(wallet(&format!("eip155:{MIXED}")), Some(lower.clone()));
        let contract = format!("eip155:1:{}", MIXED.to_lowercase());
        assert_eq!(wallets_of(&format!("eip155:1:{MIXED}")), Some([lower.clone(), contract]));
        assert_eq!(account_of(&lower, "eip155:137"), Some(format!("eip155:137:{}", MIXED.to_lowercase())));
        assert_eq!(account_of(&lower, "solana:abc"), None);
        assert_eq!(wallet(&format!("eip155:{}", MIXED.replace("5aA", "5AA"))), None);
        assert_eq!(wallet(MIXED), None);
    }

    #[test]
    fn a_contract_is_a_wallet_on_its_own_chain_alone() {
        let contract = format!("eip155:1:{}", MIXED.to_lowercase());
        assert_eq!(wallet(&format!("eip155:1:{MIXED}")), Some(contract.clone()));
        assert_eq!(account_of(&contract, "eip155:1"), Some(contract.clone()));
        for chain in ["eip155:11", "eip155:137", "eip155:", "solana:1"] {
            assert_eq!(account_of(&contract, chain), None, "{chain}");
        }
        assert_eq!(namesake(&contract), wallet(&format!("eip155:{MIXED}")));
        assert_eq!(namesake(&format!("eip155:{MIXED}")), None);
        for text in ["eip155:0:", "eip155::", "eip155:1:1:", "solana:abc:"] {
            assert_eq!(wallet(&format!("{text}{MIXED}")), None, "{text}");
        }
    }

    #[test]
    fn what_names_nothing_is_none() {
        let a = MIXED;
        for text in [
            format!("eip155:0/erc20:{a}"),
            format!("eip155:01/erc20:{a}"),
            format!("eip155:1/erc20:{a}/1"),
            format!("eip155:1/erc721:{a}/01"),
            format!("eip155:1/erc777:{a}"),
            format!("cosmos:1/erc20:{a}"),
            "eip155:1/slip44:61".into(),
            "solana:abc/token:0OIl".into(),
        ] {
            assert_eq!(Asset::parse(&text), None, "{text}");
        }
    }

    proptest! {
        #[test]
        fn what_is_read_is_written_the_same(chain in 1u64.., bytes: [u8; 20], id in proptest::option::of(any::<u128>())) {
            let id = id.map(|id| format!("/{id}")).unwrap_or_default();
            let text = format!("eip155:{chain}/erc721:{:#}{id}", Address(bytes));
            prop_assert_eq!(Asset::parse(&text).unwrap().to_string(), text);
        }

        #[test]
        fn no_text_makes_the_parsers_panic(text: String) {
            let _ = (Asset::parse(&text), Contract::parse(&text), wallet(&text), wallets_of(&text), chain(&text));
        }
    }
}
