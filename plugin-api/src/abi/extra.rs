//! Fields that later minor versions add to structs that cross by value.
//!
//! The size of such a struct is fixed: both sides move it as a whole. Later additions are in its [`Extra`],
//! as records of a `u16` number, a `u32` length and the value, all little-endian. A reader skips unknown
//! numbers and treats missing ones as absent. The numbers belong to the struct; none is ever reused.

use abi_stable::StableAbi;
use bytes::Bytes;

use super::FfiBytes;

/// The records of one struct; empty in the usual case, and then it owns no memory.
#[repr(C)]
#[derive(StableAbi)]
pub struct Extra {
    records: FfiBytes,
}

const HEADER: usize = 6;

impl Extra {
    /// The value of a field, if the other side set it.
    pub fn get(&self, number: u16) -> Option<&[u8]> {
        let mut left = self.records.as_slice();
        while let Some((header, rest)) = left.split_first_chunk::<HEADER>() {
            let [a, b, len @ ..] = *header;
            let (value, next) = rest.split_at_checked(u32::from_le_bytes(len) as usize)?;
            if u16::from_le_bytes([a, b]) == number {
                return Some(value);
            }
            left = next;
        }
        None
    }

    /// The same with one field more.
    #[must_use]
    pub fn with(self, number: u16, value: &[u8]) -> Self {
        let mut records = self.records.as_slice().to_vec();
        records.extend_from_slice(&number.to_le_bytes());
        records.extend_from_slice(&(value.len() as u32).to_le_bytes());
        records.extend_from_slice(value);
        Self { records: records.into() }
    }

    /// All records, to be carried to another process.
    pub fn as_bytes(&self) -> &[u8] {
        self.records.as_slice()
    }

    /// The records from [`as_bytes`](Self::as_bytes).
    pub fn from_bytes(bytes: Bytes) -> Self {
        Self { records: bytes.into() }
    }
}

impl Default for Extra {
    fn default() -> Self {
        let none = Self { records: FfiBytes::empty() };
        #[cfg(feature = "next")]
        let none = none.with(super::next::NUMBER, super::next::VALUE);
        none
    }
}

impl Clone for Extra {
    fn clone(&self) -> Self {
        Self { records: self.records.as_slice().to_vec().into() }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_reader_finds_what_it_knows_and_skips_the_rest() {
        let extra = Extra { records: FfiBytes::empty() }.with(7, b"later").with(1, b"").with(2, b"known");
        assert_eq!(extra.get(2), Some(&b"known"[..]));
        assert_eq!(extra.get(1), Some(&b""[..]));
        assert_eq!(extra.get(3), None);
        let crossed = Extra::from_bytes(Bytes::copy_from_slice(extra.as_bytes()));
        assert_eq!(crossed.clone().get(7), Some(&b"later"[..]));
    }

    proptest! {
        #[test]
        fn any_bytes_are_read_without_a_panic(bytes: Vec<u8>, number: u16) {
            let _ = Extra::from_bytes(bytes.into()).get(number);
        }
    }
}
