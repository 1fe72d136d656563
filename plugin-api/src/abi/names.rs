//! Field names that cross as a number, since nearly every head has some of them.
//!
//! The numbers are part of the boundary: a name may be appended with a new version of the API, and sent only
//! to a side of that version; none is ever moved or removed.

use http::HeaderName;
use http::header::InvalidHeaderName;

use crate::{address, principal};

macro_rules! names {
    ($($name:literal)*) => {
        const TEXTS: &[&str] = &[$($name),*];
        static NAMES: [HeaderName; TEXTS.len()] = [$(HeaderName::from_static($name)),*];
    };
}

names! {
    "accept" "accept-encoding" "accept-language" "accept-ranges" "access-control-allow-headers"
    "access-control-allow-methods" "access-control-allow-origin" "access-control-expose-headers"
    "access-control-max-age" "access-control-request-headers" "access-control-request-method" "age"
    "allow" "authorization" "cache-control" "connection" "content-disposition" "content-encoding"
    "content-language" "content-length" "content-range" "content-security-policy" "content-type"
    "cookie" "date" "etag" "expires" "forwarded" "grpc-accept-encoding" "grpc-encoding" "grpc-message"
    "grpc-status" "grpc-timeout" "host" "if-match" "if-modified-since" "if-none-match" "if-range"
    "if-unmodified-since" "last-modified" "link" "location" "origin" "permissions-policy" "pragma"
    "priority" "range" "referer" "referrer-policy" "retry-after" "sec-ch-ua" "sec-ch-ua-mobile"
    "sec-ch-ua-platform" "sec-fetch-dest" "sec-fetch-mode" "sec-fetch-site" "sec-fetch-user" "server"
    "server-timing" "set-cookie" "strict-transport-security" "te" "traceparent" "tracestate" "trailer"
    "transfer-encoding" "upgrade-insecure-requests" "user-agent" "vary" "via" "www-authenticate"
    "x-content-type-options" "x-forwarded-for" "x-forwarded-host" "x-forwarded-proto" "x-frame-options"
    "x-real-ip" "x-request-id" "x-streamgate-caller"
    "x-streamgate-crossings"
}

/// Numbers that are looked for.
pub(super) const TRACEPARENT: u8 = of("traceparent");
pub(super) const GRPC_TIMEOUT: u8 = of("grpc-timeout");
pub(super) const CROSSINGS: u8 = of("x-streamgate-crossings");
pub(super) const CALLER: u8 = of("x-streamgate-caller");

/// The number of one of the texts, which it must be.
const fn of(text: &str) -> u8 {
    let mut at = 0;
    while !TEXTS[at].as_bytes().eq_ignore_ascii_case(text.as_bytes()) {
        at += 1;
    }
    at as u8 + 1
}

/// Names without a number that cross with most requests, the most frequent first.
static OWN: [HeaderName; 6] = [
    address::CLIENT,
    principal::PRINCIPAL,
    principal::ROLES,
    principal::SCOPES,
    principal::WALLETS,
    principal::CREDENTIAL,
];

/// Numbers by the hash of their names, with linear probing; 0 for none.
static PLACES: [u8; 256] = places();

const fn hash(name: &[u8]) -> usize {
    // The last letters distinguish these names better than the first.
    let (len, last) = (name.len(), name.len() - 1);
    let (a, b) = (name[last] as usize, name[last / 2] as usize);
    (len * 37 + a * 5 + b * 59 + name[0] as usize * 11) % 256
}

const fn places() -> [u8; 256] {
    let mut places = [0; 256];
    let mut at = 0;
    while at < TEXTS.len() {
        let mut place = hash(TEXTS[at].as_bytes());
        while places[place] != 0 {
            place = (place + 1) % 256;
        }
        at += 1;
        places[place] = at as u8;
    }
    places
}

/// The number of a name; 0 if it has none.
pub(super) fn number(name: &HeaderName) -> u8 {
    let mut place = hash(name.as_str().as_bytes());
    // It terminates, because most places are free.
    while let number @ 1.. = PLACES[place] {
        if NAMES[usize::from(number) - 1] == *name {
            return number;
        }
        place = (place + 1) % 256;
    }
    0
}

/// A name that crossed as text. Those that the SDK itself adds to requests are stored already.
pub(super) fn of_text(text: &[u8]) -> Result<HeaderName, InvalidHeaderName> {
    if text.starts_with(principal::PREFIX.as_bytes())
        && let Some(own) = OWN.iter().find(|own| own.as_str().as_bytes() == text)
    {
        return Ok(own.clone());
    }
    HeaderName::from_bytes(text)
}

/// The name with this number.
pub(super) fn name(number: u8) -> Option<HeaderName> {
    NAMES.get(usize::from(number).checked_sub(1)?).cloned()
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn every_name_has_a_number_of_its_own_and_others_have_none() {
        for (at, text) in TEXTS.iter().enumerate() {
            let known = HeaderName::from_static(text);
            assert_eq!(usize::from(number(&known)), at + 1, "{text}");
            assert_eq!(name(number(&known)), Some(known));
        }
        for other in ["a", "x-other", "contenu-type", "content-lengti"] {
            assert_eq!(number(&HeaderName::from_static(other)), 0, "{other}");
        }
        assert_eq!((name(0), name(u8::MAX)), (None, None));
    }

    #[test]
    fn a_name_that_crossed_as_text_is_itself() {
        for text in
            ["x-streamgate-client", "x-streamgate-roles", "x-streamgate-other", "x-streamgate-", "x-other"]
        {
            assert_eq!(of_text(text.as_bytes()).unwrap(), HeaderName::from_static(text));
        }
        assert!(of_text(b"x-streamgate-\n").is_err());
    }
}
