//! Metaplex's Token Metadata of a mint: its collection, if the collection's authority has verified it, and
//! whether it is an NFT. Both are in accounts whose address is derived from the mint, and which must belong
//! to that program.

use crate::address::Address;
use crate::reader::Reader;

/// The Token Metadata program.
pub(crate) const PROGRAM: Address = Address::literal("metaqbxxUerdq28cj1RbAWkYQm3ybzjb6a8bt518x1s");

/// The prefix of a metadata account.
const METADATA: u8 = 4;
/// The prefix of an edition account: a print, and both forms of a master.
const EDITIONS: [u8; 3] = [1, 2, 6];
/// Maximum creators of a mint.
const MAX_CREATORS: u32 = 5;

/// The address of a mint's metadata. `None` for the rare mint without one.
pub(crate) fn metadata_address(mint: &Address) -> Option<Address> {
    let seeds: [&[u8]; 3] = [b"metadata", PROGRAM.as_ref(), mint.as_ref()];
    Address::derived(&seeds, &PROGRAM)
}

/// The address of a mint's edition.
pub(crate) fn edition_address(mint: &Address) -> Option<Address> {
    let seeds: [&[u8]; 4] = [b"metadata", PROGRAM.as_ref(), mint.as_ref(), b"edition"];
    Address::derived(&seeds, &PROGRAM)
}

/// The metadata of a mint.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Metadata<'a> {
    pub(crate) name: &'a [u8],
    pub(crate) symbol: &'a [u8],
    /// If it is verified.
    pub(crate) collection: Option<Address>,
    /// Whether it is a sized collection, as those of compressed assets are.
    pub(crate) is_sized: bool,
}

/// The metadata of the mint; `None` if it is another one's, or of another form.
pub(crate) fn metadata<'a>(mint: &Address, data: &'a [u8]) -> Option<Metadata<'a>> {
    let mut reader = Reader(data);
    if reader.u8()? != METADATA {
        return None;
    }
    let _update_authority = reader.address()?;
    if reader.address()? != *mint {
        return None;
    }
    let [name, symbol, _uri] = [reader.text()?, reader.text()?, reader.text()?];
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
    let mut collection = None;
    if reader.bool()? {
        let verified = reader.bool()?;
        collection = Some(reader.address()?).filter(|_| verified);
    }
    Some(Metadata { name, symbol, collection, is_sized: is_sized(&mut reader).unwrap_or_default() })
}

/// Whether the size of a collection follows its metadata. Old metadata end before.
fn is_sized(reader: &mut Reader<'_>) -> Option<bool> {
    if reader.bool()? {
        // The remaining uses.
        reader.bytes(17)?;
    }
    reader.bool()
}

/// The collection of the metadata's mint, if it is verified.
pub(crate) fn verified_collection(mint: &Address, data: &[u8]) -> Option<Address> {
    metadata(mint, data)?.collection
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

    fn written(verified: u8) -> Vec<u8> {
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
        // USDC, whose metadata is public.
        let usdc = "EPjFWdd5AufqSSqeM2qN1xzybapC8G4wEGGkZwyTDt1v".parse().unwrap();
        let metadata = metadata_address(&usdc).unwrap();
        assert_eq!(metadata.to_string(), "5x38Kp4hvdomTCnCrAny4UtMUt5rQBdB6px2K1Ui45Wq");
        assert_ne!(edition_address(&usdc), Some(metadata));
    }

    #[test]
    fn a_collection_counts_if_it_is_verified_and_the_metadata_is_of_the_mint() {
        let (mint, collection) = (MINT.into(), COLLECTION.into());
        assert_eq!(verified_collection(&mint, &written(1)), Some(collection));
        assert_eq!(verified_collection(&mint, &written(0)), None);
        assert_eq!(verified_collection(&mint, &written(2)), None);
        assert_eq!(verified_collection(&collection, &written(1)), None);
        let mut other = written(1);
        other[0] = 6;
        assert_eq!(verified_collection(&mint, &other), None);
    }

    #[test]
    fn metadata_have_a_name_and_say_whether_they_are_a_collection() {
        let mint = MINT.into();
        let mut data = written(1);
        let said = metadata(&mint, &data).unwrap();
        assert_eq!((said.name, said.symbol, said.is_sized), (&b"Ticket"[..], &b"T"[..], false));
        let at = data.len() - 8;
        data.splice(at.., [0, 1, 0, 9, 0, 0, 0, 0, 0, 0, 0]);
        assert!(metadata(&mint, &data).unwrap().is_sized);
        data.splice(at.., [[1].as_slice(), &[0; 17], &[1, 0, 9, 0, 0, 0, 0, 0, 0, 0]].concat());
        assert!(metadata(&mint, &data).unwrap().is_sized);
    }

    #[test]
    fn metadata_that_breaks_off_anywhere_has_no_collection() {
        let whole = written(1);
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
