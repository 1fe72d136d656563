//! Names that cross with nearly every request: of the calling plugin, and of the called service. There are
//! few of them, so each is kept once and forever, and heads share no memory for them.
//!
//! Input of clients never fills these places: a name has no dot and no colon, as hosts have, and once all
//! places near its own are taken a name is shared like any other text.

use std::sync::OnceLock;

use http::HeaderValue;
use http::uri::Authority;

const PLACES: usize = 256;
/// Maximum distance of a name from its own place.
const NEAR: usize = 4;
const LONGEST: usize = 72;

/// A name in the forms used in heads.
pub(super) struct Known {
    text: Box<[u8]>,
    /// Cloning it is only a copy.
    pub(super) value: HeaderValue,
    /// `None`: it is not valid.
    pub(super) authority: Option<Authority>,
}

static KNOWN: [OnceLock<Known>; PLACES] = [const { OnceLock::new() }; PLACES];

impl Known {
    /// `None`: it is not a name.
    fn new(text: &[u8]) -> Option<Self> {
        let is_name = text.iter().all(|byte| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'-' | b'@' | b';'));
        let text = std::str::from_utf8(text).ok().filter(|text| is_name && text.len() <= LONGEST)?;
        let kept: &'static str = text.to_owned().leak();
        let authority = kept.parse().ok().map(|_: Authority| Authority::from_static(kept));
        Some(Self { text: kept.as_bytes().into(), value: HeaderValue::from_static(kept), authority })
    }
}

fn place(text: &[u8]) -> usize {
    let (last, middle) = (text.last().copied().unwrap_or(0), text.get(text.len() / 2).copied().unwrap_or(0));
    text.len() * 37 + usize::from(last) * 5 + usize::from(middle) * 59
}

/// The entry of this text, kept from now on if there is space.
pub(super) fn known(text: &[u8]) -> Option<&'static Known> {
    for place in (place(text)..).take(NEAR) {
        let kept = match KNOWN[place % PLACES].get() {
            Some(kept) => kept,
            None => {
                // A concurrent insert may have stored another name first.
                let new = Known::new(text)?;
                KNOWN[place % PLACES].get_or_init(|| new)
            }
        };
        if *kept.text == *text {
            return Some(kept);
        }
    }
    None
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_kept_once() {
        let kept = known(b"storage").unwrap();
        assert!(std::ptr::eq(kept, known(b"storage").unwrap()));
        assert_eq!(
            (&kept.value, kept.authority.as_ref().unwrap().as_str()),
            (&"storage".parse().unwrap(), "storage")
        );
        assert_eq!(known(b"gateway;ingress").unwrap().value, "gateway;ingress");
    }

    #[test]
    fn what_is_no_name_is_not_kept() {
        for other in [
            &b"example.org"[..],
            b"localhost:8080",
            b"[::1]",
            b"a b",
            b"\xff",
            b"Storage",
            &[b'a'; LONGEST + 1],
        ] {
            assert!(known(other).is_none(), "{}", String::from_utf8_lossy(other));
        }
    }

    #[test]
    fn more_names_than_there_are_places_are_each_themselves_or_none() {
        for number in 0..4 * PLACES {
            let text = format!("name-{number}");
            assert!(known(text.as_bytes()).is_none_or(|kept| kept.value == text));
        }
    }
}
