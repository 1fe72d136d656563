//! Off-chain messages of Solana: the envelopes in which hardware wallets, and `signIn` since version 1.1,
//! sign a text. Envelopes are untrusted: one has to contain the requested text, and be signed only by the
//! requested signer.

/// A prefix that no transaction has.
const SIGNING_DOMAIN: &[u8] = b"\xffsolana offchain";
/// Formats of a text in version 0: ASCII, UTF-8, and UTF-8 of more than a packet.
const FORMATS: std::ops::RangeInclusive<u8> = 0..=2;
/// The application's domain in version 0, in bytes.
const APPLICATION: usize = 32;
/// More bytes than an envelope adds to its text.
pub(crate) const MOST_ADDED: usize = 128;

/// Whether these bytes are this text, bare or in one of the known envelopes, and for this signer.
pub(crate) fn holds(signed: &[u8], text: &str, signer: &[u8; 32]) -> bool {
    let text = text.as_bytes();
    if signed == text {
        return true;
    }
    match signed.strip_prefix(SIGNING_DOMAIN).and_then(<[u8]>::split_first) {
        Some((0, rest)) => version_0(rest, signer) == Some(text) || version_0_short(rest) == Some(text),
        Some((1, rest)) => only(rest, signer) == Some(text),
        _ => false,
    }
}

/// Version 0 of the specification: application, format, signers, length, text.
fn version_0<'a>(rest: &'a [u8], signer: &[u8; 32]) -> Option<&'a [u8]> {
    let (_, rest) = rest.split_at_checked(APPLICATION)?;
    let (format, rest) = rest.split_first()?;
    FORMATS.contains(format).then(|| measured(only(rest, signer)?)).flatten()
}

/// Version 0 in the form of older firmware and Solana's command line: format, length, text. The signer is in
/// the text.
fn version_0_short(rest: &[u8]) -> Option<&[u8]> {
    let (format, rest) = rest.split_first()?;
    FORMATS.contains(format).then(|| measured(rest)).flatten()
}

/// The rest after the list of signers, if it contains exactly this one: the signature of one of several does
/// not complete a message.
fn only<'a>(rest: &'a [u8], signer: &[u8; 32]) -> Option<&'a [u8]> {
    rest.strip_prefix(&[1])?.strip_prefix(signer)
}

/// The rest after its length, if that matches.
fn measured(rest: &[u8]) -> Option<&[u8]> {
    let (length, text) = rest.split_first_chunk()?;
    (usize::from(u16::from_le_bytes(*length)) == text.len()).then_some(text)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const SIGNER: [u8; 32] = [7; 32];

    /// The envelopes, in the form of `@solana/offchain-messages` and the command line.
    fn envelopes(text: &str, signers: &[[u8; 32]]) -> [Vec<u8>; 3] {
        let length = u16::try_from(text.len()).unwrap().to_le_bytes();
        let count = [u8::try_from(signers.len()).unwrap()];
        let (signers, text) = (signers.concat(), text.as_bytes());
        [
            [b"\xffsolana offchain\x01", &count[..], &signers, text].concat(),
            [b"\xffsolana offchain\x00", &[0; 32][..], &[1], &count, &signers, &length, text].concat(),
            [b"\xffsolana offchain\x00", &[1][..], &length, text].concat(),
        ]
    }

    #[test]
    fn a_text_is_recognized_in_each_envelope_and_no_other_text_is() {
        assert!(holds(b"hello", "hello", &SIGNER));
        for bytes in envelopes("hello", &[SIGNER]) {
            assert!(holds(&bytes, "hello", &SIGNER), "{bytes:?}");
            assert!(bytes.len() <= "hello".len() + MOST_ADDED);
            assert!(!holds(&bytes, "hell", &SIGNER) && !holds(&bytes, "hello!", &SIGNER));
            assert!(!holds(&[&bytes[..], b"x"].concat(), "hello", &SIGNER), "more than its length");
            assert!(
                !holds(&bytes[1..], "hello", &SIGNER) && !holds(&bytes[..bytes.len() - 1], "hello", &SIGNER)
            );
        }
    }

    #[test]
    fn an_envelope_for_others_holds_nothing() {
        for signers in [&[][..], &[[8; 32]], &[SIGNER, [8; 32]], &[SIGNER, SIGNER]] {
            let [version_1, version_0, _] = envelopes("hello", signers);
            assert!(!holds(&version_1, "hello", &SIGNER) && !holds(&version_0, "hello", &SIGNER));
        }
        for other in [2, 0x80, 0xff] {
            let [mut bytes, ..] = envelopes("hello", &[SIGNER]);
            bytes[16] = other;
            assert!(!holds(&bytes, "hello", &SIGNER), "version {other}");
        }
    }

    proptest! {
        #[test]
        fn no_bytes_hold_a_text_that_is_not_in_them(bytes: Vec<u8>, version in 0_u8..3) {
            let enveloped = [SIGNING_DOMAIN, &[version], &bytes].concat();
            for bytes in [bytes, enveloped] {
                prop_assert!(bytes.ends_with(b"hello") || !holds(&bytes, "hello", &SIGNER));
            }
        }
    }
}
