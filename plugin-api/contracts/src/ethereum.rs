//! Addresses and digests of Ethereum, for plugins that handle wallets and signatures without access to a
//! chain.

use std::fmt;

use sha3::{Digest as _, Keccak256};

/// A digest of Keccak-256.
pub type Hash = [u8; 32];

/// Keccak-256, which is not SHA-3.
pub fn keccak256(data: impl AsRef<[u8]>) -> Hash {
    Keccak256::digest(data).into()
}

/// The digest that a wallet signs for a message of `personal_sign` (EIP-191, version 0x45).
pub fn message_hash(message: &str) -> Hash {
    keccak256(format!("\x19Ethereum Signed Message:\n{}{message}", message.len()))
}

/// The bytes of hexadecimal digits, in either case and without a prefix. `None`: invalid.
pub fn from_hex(digits: &str) -> Option<Vec<u8>> {
    let digit = |byte: u8| char::from(byte).to_digit(16);
    let (pairs, []) = digits.as_bytes().as_chunks::<2>() else { return None };
    pairs.iter().map(|&[high, low]| Some((digit(high)? << 4 | digit(low)?) as u8)).collect()
}

/// Hexadecimal digits in lower case.
pub fn to_hex(bytes: &[u8]) -> String {
    bytes
        .iter()
        .flat_map(|byte| [byte >> 4, byte & 15])
        .filter_map(|it| char::from_digit(it.into(), 16))
        .collect()
}

/// The address of an account or a contract. It is displayed with its checksum (EIP-55), and in lower case as
/// `{:#}`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct Address(pub [u8; 20]);

impl Address {
    /// Forty hexadecimal digits of any case, with or without `0x`.
    pub fn parse(text: &str) -> Option<Self> {
        let bytes = from_hex(text.strip_prefix("0x").unwrap_or(text))?;
        bytes.try_into().ok().map(Self)
    }

    /// `0x` and digits of one case, or of both with the checksum of EIP-55.
    pub fn parse_checked(text: &str) -> Option<Self> {
        let digits = text.strip_prefix("0x")?;
        let address = Self::parse(text)?;
        let has = |case: fn(&u8) -> bool| digits.as_bytes().iter().any(case);
        let mixed = has(u8::is_ascii_uppercase) && has(u8::is_ascii_lowercase);
        (!mixed || address.to_string() == text).then_some(address)
    }

    /// The address of a public key: its two coordinates, 64 bytes.
    pub fn of_key(coordinates: &[u8]) -> Self {
        let [_, _, _, _, _, _, _, _, _, _, _, _, address @ ..] = keccak256(coordinates);
        Self(address)
    }

    /// As a word of the ABI: padded with zeros.
    pub fn word(self) -> [u8; 32] {
        let mut word = [0; 32];
        word[12..].copy_from_slice(&self.0);
        word
    }

    /// The address in a word of the ABI. `None`: it is not an address.
    pub fn of_word(word: &[u8; 32]) -> Option<Self> {
        let (zeros, address) = word.split_at(12);
        let address = address.try_into().ok().map(Self);
        address.filter(|_| zeros == [0; 12])
    }
}

impl From<[u8; 20]> for Address {
    fn from(bytes: [u8; 20]) -> Self {
        Self(bytes)
    }
}

impl AsRef<[u8]> for Address {
    fn as_ref(&self) -> &[u8] {
        &self.0
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let digits = to_hex(&self.0);
        if f.alternate() {
            return write!(f, "0x{digits}");
        }
        // A letter is upper case where the digest of the digits has a digit from 8 on.
        let digest = to_hex(&keccak256(&digits));
        let digits = digits.chars().zip(digest.chars());
        let checked = digits.map(|(digit, by)| if by >= '8' { digit.to_ascii_uppercase() } else { digit });
        write!(f, "0x{}", checked.collect::<String>())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_digests_are_those_that_are_published() {
        assert_eq!(
            to_hex(&keccak256("")),
            "c5d2460186f7233c927e7db2dcc703c0e500b653ca82273b7bfad8045d85a470"
        );
        // web3.js documentation, `eth.accounts.hashMessage('Some data')`.
        assert_eq!(
            to_hex(&message_hash("Some data")),
            "1da44b586eb0729ff70a73c326926f6ed5a25f5b056e7f47fbc6e58d86871655"
        );
    }

    #[test]
    fn the_addresses_of_eip_55_have_their_checksums_and_no_other() {
        for text in [
            "0x5aAeb6053F3E94C9b9A09f33669435E7Ef1BeAed",
            "0xfB6916095ca1df60bB79Ce92cE3Ea74c37c5d359",
            "0xdbF03B407c01E7cD3CBea99509d93f8DDDC8C6FB",
            "0xD1220A0cf47c7B9Be7A2E6BA89F429762e7b9aDb",
            "0x52908400098527886E0F7030069857D2E4169EE7",
            "0xde709f2102306220921060314715629080e2fb77",
        ] {
            let address = Address::parse_checked(text).expect("an address");
            assert_eq!(address.to_string(), text);
            assert_eq!(format!("{address:#}"), text.to_lowercase());
            assert_eq!(Address::parse_checked(&text.to_lowercase()), Some(address));
            assert_eq!(Address::of_word(&address.word()), Some(address));
        }
        let wrong = "0x5AAeb6053F3E94C9b9A09f33669435E7Ef1BeAed";
        assert!(Address::parse(wrong).is_some() && Address::parse_checked(wrong).is_none());
        assert_eq!(Address::of_word(&[1; 32]), None);
    }

    #[test]
    fn digits_are_read_strictly() {
        assert_eq!(from_hex("00fF"), Some(vec![0, 255]));
        for wrong in ["0", "0g", "0x00", " 00", "ä0"] {
            assert_eq!(from_hex(wrong), None, "{wrong}");
        }
        for wrong in [
            "",
            "0x",
            "0X5aAeb6053F3E94C9b9A09f33669435E7Ef1BeAed",
            "0x00",
            "5aAeb6053F3E94C9b9A09f33669435E7Ef1BeAed",
        ] {
            assert_eq!(Address::parse_checked(wrong), None, "{wrong}");
        }
    }
}
