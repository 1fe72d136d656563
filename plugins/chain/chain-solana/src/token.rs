//! Accounts of the two token programs, which share their layout: the first 82 or 165 bytes are the same, and
//! those of Token-2022 may be followed by extensions. No extension changes the owner or the amount in the
//! smallest unit; they are only checked for completeness. Confidential balances are not counted: they are
//! encrypted.

use crate::address::Address;
use crate::reader::Reader;

/// The token program.
pub(crate) const TOKEN: Address = Address::literal("TokenkegQfeZyiNwAJbNbGKPFXCWuBvf9Ss623VQ5DA");
/// Its successor with extensions, Token-2022.
pub(crate) const TOKEN_2022: Address = Address::literal("TokenzQdBNbLqP5VEhdkAS6EPFLC1PHnBqCXEpPxuEb");

/// The end of an account's owner and amount.
pub(crate) const HOLDER_BYTES: usize = 72;

const MINT_BYTES: usize = 82;
const ACCOUNT_BYTES: usize = 165;
/// Only multisignatures of Token-2022 have this size.
const MULTISIG_BYTES: usize = 355;
/// The byte after the first 165 bytes of an account with extensions.
const KIND_MINT: u8 = 1;
const KIND_ACCOUNT: u8 = 2;

/// The extension of a mint with its name.
const METADATA: u16 = 19;

/// An account that holds tokens, possibly frozen.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct TokenAccount {
    pub(crate) mint: Address,
    pub(crate) owner: Address,
    pub(crate) amount: u64,
}

/// The mint of tokens.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Mint {
    pub(crate) supply: u64,
    pub(crate) decimals: u8,
}

/// The first part of an account, otherwise unknown.
pub(crate) fn holder(data: &[u8]) -> Option<TokenAccount> {
    let mut reader = Reader(data);
    Some(TokenAccount { mint: reader.address()?, owner: reader.address()?, amount: reader.u64()? })
}

impl TokenAccount {
    /// The account of `program` in these bytes; `None` if they are something else.
    pub(crate) fn parse(program: &Address, data: &[u8]) -> Option<Self> {
        let base = based(program, data, ACCOUNT_BYTES, KIND_ACCOUNT)?;
        let account = holder(base)?;
        let mut rest = Reader(&base[HOLDER_BYTES..]);
        option(&mut rest, 32)?;
        // 0 is uninitialised, 1 initialised, 2 frozen.
        if !matches!(rest.u8()?, 1 | 2) {
            return None;
        }
        option(&mut rest, 8)?;
        rest.u64()?;
        option(&mut rest, 32)?;
        Some(account)
    }
}

impl Mint {
    /// The mint of `program` in these bytes; `None` if they are something else.
    pub(crate) fn parse(program: &Address, data: &[u8]) -> Option<Self> {
        let mut reader = Reader(based(program, data, MINT_BYTES, KIND_MINT)?);
        option(&mut reader, 32)?;
        let (supply, decimals) = (reader.u64()?, reader.u8()?);
        let initialised = reader.bool()?;
        option(&mut reader, 32)?;
        initialised.then_some(Self { supply, decimals })
    }
}

/// Name and symbol of a Token-2022 mint with its own metadata extension; `None` if it has none for this mint.
pub(crate) fn own_metadata<'a>(mint: &Address, data: &'a [u8]) -> Option<(&'a [u8], &'a [u8])> {
    let mut reader = Reader(data.get(ACCOUNT_BYTES + 1..)?);
    loop {
        let (kind, length) = (reader.u16()?, reader.u16()?);
        let value = reader.bytes(length.into())?;
        if kind == METADATA {
            let mut reader = Reader(value);
            let _update_authority = reader.address()?;
            let named = reader.address()? == *mint;
            return named.then_some((reader.text()?, reader.text()?));
        }
    }
}

/// A value that is present if the number before it is 1.
fn option(reader: &mut Reader<'_>, length: usize) -> Option<()> {
    let there = reader.u32()?;
    reader.bytes(length)?;
    (there <= 1).then_some(())
}

/// The first `length` bytes, if what follows is valid for an account of this kind.
fn based<'a>(program: &Address, data: &'a [u8], length: usize, kind: u8) -> Option<&'a [u8]> {
    let base = data.get(..length)?;
    if data.len() == length {
        return Some(base);
    }
    if *program != TOKEN_2022 || data.len() == MULTISIG_BYTES {
        return None;
    }
    let padding = data.get(length..ACCOUNT_BYTES)?;
    let (found, extensions) = data.get(ACCOUNT_BYTES..)?.split_first()?;
    let whole = padding.iter().all(|byte| *byte == 0) && *found == kind && are_whole(extensions);
    whole.then_some(base)
}

/// Whether extensions follow each other, each with its type and length, up to the end or to zeros.
fn are_whole(extensions: &[u8]) -> bool {
    let mut reader = Reader(extensions);
    loop {
        match reader.0 {
            [] => return true,
            // Too short for another one.
            rest if rest.len() < 4 => return rest.iter().all(|byte| *byte == 0),
            _ => {}
        }
        let (Some(kind), Some(length)) = (reader.u16(), reader.u16()) else { return false };
        if kind == 0 {
            return length == 0 && reader.0.iter().all(|byte| *byte == 0);
        }
        if reader.bytes(length.into()).is_none() {
            return false;
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn account(amount: u64) -> Vec<u8> {
        let mut data = vec![7; 32];
        data.extend([8; 32]);
        data.extend(amount.to_le_bytes());
        data.extend([0; ACCOUNT_BYTES - HOLDER_BYTES]);
        data[108] = 1;
        data
    }

    fn mint(supply: u64) -> Vec<u8> {
        let mut data = vec![0; MINT_BYTES];
        data[36..44].copy_from_slice(&supply.to_le_bytes());
        data[44] = 6;
        data[45] = 1;
        data
    }

    #[test]
    fn an_account_has_its_fields_with_and_without_extensions() {
        let wanted = TokenAccount { mint: [7; 32].into(), owner: [8; 32].into(), amount: 9 };
        let plain = account(9);
        assert_eq!(TokenAccount::parse(&TOKEN, &plain), Some(wanted));
        assert_eq!(TokenAccount::parse(&TOKEN_2022, &plain), Some(wanted));
        // The immutable owner, and then one with a value.
        let extended = [&plain[..], &[KIND_ACCOUNT, 7, 0, 0, 0, 2, 0, 1, 0, 5]].concat();
        assert_eq!(TokenAccount::parse(&TOKEN_2022, &extended), Some(wanted));
        assert_eq!(TokenAccount::parse(&TOKEN, &extended), None, "the first program has no extensions");
    }

    #[test]
    fn an_account_that_is_not_initialised_or_not_whole_is_none() {
        let plain = account(9);
        let with = |at: usize, byte: u8| {
            let mut data = plain.clone();
            data[at] = byte;
            data
        };
        for data in [
            with(108, 0),
            with(108, 3),
            with(72, 2),
            plain[..164].to_vec(),
            [&plain[..], &[KIND_MINT]].concat(),
            [&plain[..], &[KIND_ACCOUNT, 7, 0, 9, 0, 1]].concat(),
            [&plain[..], &[KIND_ACCOUNT, 0, 0, 0, 0, 1]].concat(),
            [&plain[..], &[KIND_ACCOUNT, 7]].concat(),
            [&plain[..], &[0; MULTISIG_BYTES - ACCOUNT_BYTES]].concat(),
        ] {
            assert_eq!(TokenAccount::parse(&TOKEN_2022, &data), None, "{data:?}");
        }
    }

    #[test]
    fn a_mint_is_no_account_and_an_account_no_mint() {
        let wanted = Mint { supply: 3, decimals: 6 };
        assert_eq!(Mint::parse(&TOKEN, &mint(3)), Some(wanted));
        let mut extended = mint(3);
        extended.resize(ACCOUNT_BYTES, 0);
        extended.extend([KIND_MINT, 9, 0, 0, 0]);
        assert_eq!(Mint::parse(&TOKEN_2022, &extended), Some(wanted));
        assert_eq!(TokenAccount::parse(&TOKEN_2022, &extended), None);
        assert_eq!(Mint::parse(&TOKEN_2022, &account(9)), None);
        extended[90] = 1;
        assert_eq!(Mint::parse(&TOKEN_2022, &extended), None);
    }

    #[test]
    fn a_mint_of_token_2022_may_say_its_name_itself() {
        let named = [1; 32].into();
        let mut value = [[9; 32], [1; 32]].concat();
        for text in ["Ticket", "T", "https://example.org"] {
            value.extend((text.len() as u32).to_le_bytes());
            value.extend(text.as_bytes());
        }
        let mut data = mint(3);
        data.resize(ACCOUNT_BYTES, 0);
        // Preceded by the authority that may close the mint.
        data.extend([KIND_MINT, 3, 0, 32, 0]);
        data.extend([7; 32]);
        data.extend(METADATA.to_le_bytes());
        data.extend((value.len() as u16).to_le_bytes());
        data.extend(&value);
        assert!(Mint::parse(&TOKEN_2022, &data).is_some());
        assert_eq!(own_metadata(&named, &data), Some((&b"Ticket"[..], &b"T"[..])));
        assert_eq!(own_metadata(&[2; 32].into(), &data), None, "of another mint");
        for length in 0..data.len() - 24 {
            assert_eq!(own_metadata(&named, &data[..length]), None, "{length}");
        }
    }

    proptest! {
        #[test]
        fn no_bytes_make_the_parsers_panic(data in proptest::collection::vec(any::<u8>(), 0..400)) {
            for program in [TOKEN, TOKEN_2022] {
                let _ = (TokenAccount::parse(&program, &data), Mint::parse(&program, &data));
                let _ = own_metadata(&TOKEN, &data);
            }
        }

        #[test]
        fn no_extensions_make_the_parser_panic(tail in proptest::collection::vec(any::<u8>(), 0..40)) {
            let _ = TokenAccount::parse(&TOKEN_2022, &[&account(1)[..], &[KIND_ACCOUNT], &tail].concat());
        }
    }
}
