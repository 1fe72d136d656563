//! What Metaplex's Token Metadata says of a mint: the collection that it is of, if the collection's
//! authority has said so itself, and whether it is an NFT. Both stand in accounts whose address
//! follows from the mint, and which must belong to that program.

use solana_address::{Address, address};

use crate::reader::Reader;

/// The Token Metadata program.
pub(crate) const PROGRAM: Address = address!("metaqbxxUerdq28cj1RbAWkYQm3ybzjb6a8bt518x1s");

/// A metadata account begins with it.
const METADATA: u8 = 4;
/// An account of an NFT's edition begins with one of these: a print, and both forms of a master.
const EDITIONS: [u8; 3] = [1, 2, 6];
/// Creators that a mint may have, at most.
const MAX_CREATORS: u32 = 5;

/// Where the metadata of a mint is. None for the odd mint that has no such address.
pub(crate) fn metadata_address(mint: &Address) -> Option<Address> {
    let seeds: [&[u8]; 3] = [b"metadata", PROGRAM.as_ref(), mint.as_ref()];
    Address::try_find_program_address(&seeds, &PROGRAM).map(|(address, _)| address)
}

/// Where the edition of a mint is.
pub(crate) fn edition_address(mint: &Address) -> Option<Address> {
    let seeds: [&[u8]; 4] = [b"metadata", PROGRAM.as_ref(), mint.as_ref(), b"edition"];
    Address::try_find_program_address(&seeds, &PROGRAM).map(|(address, _)| address)
}

/// The collection of the mint that the metadata is of, if it is verified.
pub(crate) fn verified_collection(mint: &Address, data: &[u8]) -> Option<Address> {
    let mut reader = Reader(data);
    if reader.u8()? != METADATA {
        return None;
    }
    let _update_authority = reader.address()?;
    if reader.address()? != *mint {
        return None;
    }
    for _name_symbol_uri in 0..3 {
        let length = reader.u32()?;
        reader.bytes(usize::try_from(length).ok()?)?;
    }
    let _seller_fee = reader.u16()?;
    if reader.bool()? {
        let creators = reader.u32()?;
        if creators > MAX_CREATORS {
            return None;
        }
        // Address, verified, share.
        reader.bytes(34 * creators as usize)?;
    }
    let (_sold, _mutable) = (reader.bool()?, reader.bool()?);
    for _edition_nonce_token_standard in 0..2 {
        if reader.bool()? {
            reader.u8()?;
        }
    }
    let has_collection = reader.bool()?;
    let verified = has_collection && reader.bool()?;
    verified.then(|| reader.address()).flatten()
}

/// Whether these are the bytes of an edition.
pub(crate) fn is_edition(data: &[u8]) -> bool {
    data.first().is_some_and(|kind| EDITIONS.contains(kind))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const MINT: [u8; 32] = [3; 32];
    const COLLECTION: [u8; 32] = [4; 32];

    fn metadata(verified: u8) -> Vec<u8> {
        let mut data = vec![METADATA];
        data.extend([9; 32]);
        data.extend(MINT);
        for text in ["Ticket", "T", "https://example.org/1.json"] {
            data.extend((text.len() as u32).to_le_bytes());
            data.extend(text.as_bytes());
        }
        data.extend([0, 0]);
        data.extend([1, 1, 0, 0, 0]);
        data.extend([5; 34]);
        // Sold, mutable; edition nonce 254; standard 0; a collection.
        data.extend([1, 1, 1, 254, 1, 0, 1, verified]);
        data.extend(COLLECTION);
        data.extend([0; 8]);
        data
    }

    #[test]
    fn addresses_are_those_that_the_program_uses() {
        // USDC, whose metadata everybody can look up.
        let usdc = "EPjFWdd5AufqSSqeM2qN1xzybapC8G4wEGGkZwyTDt1v".parse().unwrap();
        let metadata = metadata_address(&usdc).unwrap();
        assert_eq!(metadata.to_string(), "5x38Kp4hvdomTCnCrAny4UtMUt5rQBdB6px2K1Ui45Wq");
        assert_ne!(edition_address(&usdc), Some(metadata));
    }

    #[test]
    fn a_collection_counts_if_it_is_verified_and_the_metadata_is_of_the_mint() {
        let (mint, collection) = (MINT.into(), COLLECTION.into());
        assert_eq!(verified_collection(&mint, &metadata(1)), Some(collection));
        assert_eq!(verified_collection(&mint, &metadata(0)), None);
        assert_eq!(verified_collection(&mint, &metadata(2)), None);
        assert_eq!(verified_collection(&collection, &metadata(1)), None);
        let mut other = metadata(1);
        other[0] = 6;
        assert_eq!(verified_collection(&mint, &other), None);
    }

    #[test]
    fn metadata_that_breaks_off_anywhere_has_no_collection() {
        let whole = metadata(1);
        for length in 0..whole.len() - 8 {
            assert_eq!(verified_collection(&MINT.into(), &whole[..length]), None, "{length}");
        }
    }

    proptest! {
        #[test]
        fn no_bytes_make_the_parser_panic(data in proptest::collection::vec(any::<u8>(), 0..300)) {
            let _ = verified_collection(&MINT.into(), &data);
            let _ = verified_collection(&MINT.into(), &[&[METADATA][..], &[0; 32], &MINT, &data].concat());
        }
    }
}
