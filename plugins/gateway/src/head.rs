//! Heads of requests and responses at the door: what is refused, what is taken off, what is put on. Pure decisions.

use std::net::IpAddr;

use http::header::{
    ACCEPT_ENCODING, CONNECTION, CONTENT_LENGTH, COOKIE, EXPECT, FORWARDED, HOST, SERVER, TE, TRAILER,
    TRANSFER_ENCODING, UPGRADE, X_CONTENT_TYPE_OPTIONS,
};
use http::request::Parts;
use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, Version};
use streamgate_plugin_api::Problem;
use streamgate_plugin_api::trace::{TRACEPARENT, TraceContext};

use crate::settings::Network;

pub(crate) const X_REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");
const X_FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");
const X_FORWARDED_HOST: HeaderName = HeaderName::from_static("x-forwarded-host");
const X_FORWARDED_PROTO: HeaderName = HeaderName::from_static("x-forwarded-proto");
const X_REAL_IP: HeaderName = HeaderName::from_static("x-real-ip");
const KEEP_ALIVE: HeaderName = HeaderName::from_static("keep-alive");
const PROXY_CONNECTION: HeaderName = HeaderName::from_static("proxy-connection");

const DIGITS: &[u8; 16] = b"0123456789abcdef";

/// Who is at the other end of a connection.
#[derive(Debug, Clone)]
pub(crate) struct Peer {
    /// Its address, ready to be put on.
    pub(crate) address: HeaderValue,
    /// Whether it is a proxy whose word counts.
    trusted: bool,
}

impl Peer {
    pub(crate) fn new(address: IpAddr, proxies: &[Network]) -> Self {
        let address = address.to_canonical();
        let trusted = proxies.iter().any(|network| network.contains(address));
        let value = HeaderValue::try_from(address.to_string()).expect("an address is a field value");
        Self { address: value, trusted }
    }
}

/// Limits of a head.
#[derive(Debug, Clone, Copy)]
pub(crate) struct HeadLimits {
    pub(crate) fields: usize,
    pub(crate) bytes: usize,
}

/// Refuses a request whose head is too large, ambiguous or hostile.
pub(crate) fn vet(parts: &Parts, limits: &HeadLimits) -> Result<(), Box<Problem>> {
    let refused =
        |status, slug, title, detail: String| Err(Box::new(Problem::new(status, slug, title).detail(detail)));
    let malformed = |slug, detail: &str| {
        refused(StatusCode::BAD_REQUEST, slug, "The request makes no sense", detail.to_owned())
    };
    let headers = &parts.headers;
    let target = parts.uri.path_and_query().map_or(0, |target| target.as_str().len());
    let fields: usize = headers.iter().map(|(name, value)| name.as_str().len() + value.len() + 4).sum();
    if headers.len() > limits.fields || target + fields > limits.bytes {
        let text = format!("At most {} fields of {} bytes in all are taken.", limits.fields, limits.bytes);
        let status = StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE;
        return refused(status, "header-too-large", "The request's head is too large", text);
    }
    if matches!(parts.method, Method::CONNECT | Method::TRACE) {
        let text = format!("{} is not served here.", parts.method);
        let status = StatusCode::NOT_IMPLEMENTED;
        return refused(status, "method-not-implemented", "Not a method for this server", text);
    }
    let mut hosts = headers.get_all(HOST).iter();
    let host = hosts.next();
    if hosts.next().is_some()
        || (host.is_none() && parts.uri.authority().is_none() && parts.version == Version::HTTP_11)
    {
        return malformed("invalid-host", "A request names its host exactly once.");
    }
    if let (Some(host), Some(authority), Version::HTTP_2) = (host, parts.uri.authority(), parts.version)
        && host.as_bytes() != authority.as_str().as_bytes()
    {
        return malformed("invalid-host", "The fields :authority and host differ.");
    }
    if hostile(parts.uri.path()) {
        let text = "The path has '.' or '..' as a segment, encoded or not, or an encoded NUL.";
        return malformed("invalid-path", text);
    }
    if headers.get(EXPECT).is_some_and(|expect| !expect.as_bytes().eq_ignore_ascii_case(b"100-continue")) {
        let text = "Only 100-continue can be expected.".to_owned();
        let status = StatusCode::EXPECTATION_FAILED;
        return refused(status, "unknown-expectation", "The expectation cannot be met", text);
    }
    Ok(())
}

/// Whether a path could mean another place to whoever reads it less carefully.
fn hostile(path: &str) -> bool {
    let bytes = path.as_bytes();
    if !bytes.contains(&b'%') && !path.contains("/.") {
        return false;
    }
    let lower = path.to_ascii_lowercase();
    lower.contains("%00")
        || lower.replace("%2e", ".").split(['/', '\\']).any(|segment| matches!(segment, "." | ".."))
}

/// Takes off what was meant for the connection or must not be believed, puts on who asks and the ids. Returns the
/// request's id, for the response.
pub(crate) fn put_on(parts: &mut Parts, peer: &Peer) -> HeaderValue {
    let headers = &mut parts.headers;
    take_off_hop_by_hop(headers);
    headers.remove(TE);
    headers.remove(EXPECT);
    if peer.trusted {
        let chain = headers.get(&X_FORWARDED_FOR).and_then(|chain| {
            let text = format!("{}, {}", chain.to_str().ok()?, peer.address.to_str().ok()?);
            HeaderValue::try_from(text).ok()
        });
        headers.insert(X_FORWARDED_FOR, chain.unwrap_or_else(|| peer.address.clone()));
        if !headers.contains_key(&X_FORWARDED_PROTO) {
            headers.insert(X_FORWARDED_PROTO, HeaderValue::from_static("http"));
        }
        if let Some(host) = headers.remove(&X_FORWARDED_HOST) {
            headers.insert(HOST, host);
        }
    } else {
        headers.remove(FORWARDED);
        headers.remove(&X_FORWARDED_HOST);
        headers.remove(&X_REAL_IP);
        headers.insert(X_FORWARDED_FOR, peer.address.clone());
        headers.insert(X_FORWARDED_PROTO, HeaderValue::from_static("http"));
    }
    if let Some(authority) = parts.uri.authority()
        && let Ok(host) = HeaderValue::from_str(authority.as_str())
    {
        // RFC 9112 §3.2.2: an absolute target overrides the field. HTTP/2 clients send only the target.
        headers.insert(HOST, host);
    }
    if parts.version == Version::HTTP_2 && headers.get_all(COOKIE).iter().nth(1).is_some() {
        join_cookies(headers);
    }
    put_on_ids(headers)
}

/// RFC 9113 §8.2.3: crumbs of a cookie are joined before anybody reads them.
fn join_cookies(headers: &mut HeaderMap) {
    let crumbs: Vec<_> = headers.get_all(COOKIE).iter().map(HeaderValue::as_bytes).collect();
    if let Ok(cookie) = HeaderValue::from_bytes(&crumbs.join(&b"; "[..])) {
        headers.insert(COOKIE, cookie);
    }
}

/// Keeps a sound `traceparent` and a sane `x-request-id`, and makes those that are missing: one random number serves
/// as the id of both.
fn put_on_ids(headers: &mut HeaderMap) -> HeaderValue {
    let traced =
        headers.get(TRACEPARENT).is_some_and(|value| TraceContext::from_bytes(value.as_bytes()).is_ok());
    let mut text = *b"00-00000000000000000000000000000000-0000000000000000-01";
    if !traced {
        let trace = fastrand::u128(1..);
        hex(&trace.to_be_bytes(), &mut text[3..35]);
        hex(&fastrand::u64(1..).to_be_bytes(), &mut text[36..52]);
        let value = HeaderValue::from_bytes(&text).expect("hex digits and hyphens are a field value");
        headers.insert(TRACEPARENT, value);
        // The state belongs to the trace that was thrown away.
        headers.remove("tracestate");
    }
    match headers.get(&X_REQUEST_ID) {
        Some(id) if sane(id.as_bytes()) => id.clone(),
        _ => {
            let traceparent = headers.get(TRACEPARENT).map_or(&text[..], HeaderValue::as_bytes);
            let id = HeaderValue::from_bytes(&traceparent[3..35]).expect("hex digits are a field value");
            headers.insert(X_REQUEST_ID, id.clone());
            id
        }
    }
}

fn hex(bytes: &[u8], out: &mut [u8]) {
    for (pair, byte) in out.chunks_exact_mut(2).zip(bytes) {
        pair[0] = DIGITS[usize::from(byte >> 4)];
        pair[1] = DIGITS[usize::from(byte & 15)];
    }
}

/// An id that goes into logs and headers unchanged: short and without anything that could be misread there.
fn sane(id: &[u8]) -> bool {
    (1..=128).contains(&id.len()) && id.iter().all(|b| b.is_ascii_alphanumeric() || b"-_.:/+=@".contains(b))
}

/// Gets a plugin's response ready for the client.
pub(crate) fn finish(headers: &mut HeaderMap, request_id: HeaderValue) {
    take_off_hop_by_hop(headers);
    headers.insert(X_REQUEST_ID, request_id);
    headers.insert(SERVER, HeaderValue::from_static("streamgate"));
    headers.entry(X_CONTENT_TYPE_OPTIONS).or_insert(HeaderValue::from_static("nosniff"));
}

/// RFC 9110 §7.6.1: fields for one connection, by their own names and by those that `Connection` lists.
fn take_off_hop_by_hop(headers: &mut HeaderMap) {
    if let Some(listed) = headers.remove(CONNECTION) {
        for name in listed.to_str().unwrap_or_default().split(',').map(str::trim) {
            // What frames or addresses a message is never a matter of the connection alone.
            if let Ok(name) = HeaderName::try_from(name)
                && !matches!(name, CONTENT_LENGTH | HOST | ACCEPT_ENCODING)
            {
                headers.remove(name);
            }
        }
    }
    for name in [TRANSFER_ENCODING, UPGRADE, KEEP_ALIVE, PROXY_CONNECTION, TRAILER] {
        headers.remove(name);
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn request(pairs: &[(&str, &str)]) -> Parts {
        let mut request = http::Request::builder().uri("/a");
        for (name, value) in pairs {
            request = request.header(*name, *value);
        }
        request.body(()).unwrap().into_parts().0
    }

    fn stranger() -> Peer {
        Peer::new("192.0.2.1".parse().unwrap(), &[])
    }

    const LIMITS: HeadLimits = HeadLimits { fields: 10, bytes: 1000 };

    #[test]
    fn what_is_meant_for_the_connection_goes_no_further() {
        let mut parts = request(&[
            ("host", "h"),
            ("connection", "close, x-secret, content-length"),
            ("x-secret", "1"),
            ("content-length", "3"),
            ("keep-alive", "x"),
            ("te", "trailers"),
            ("upgrade", "h2c"),
            ("proxy-connection", "x"),
        ]);
        put_on(&mut parts, &stranger());
        let mut left: Vec<_> = parts.headers.keys().map(HeaderName::as_str).collect();
        left.sort_unstable();
        assert_eq!(
            left,
            ["content-length", "host", "traceparent", "x-forwarded-for", "x-forwarded-proto", "x-request-id"]
        );
    }

    #[test]
    fn a_stranger_cannot_say_who_he_is_and_a_trusted_proxy_can() {
        let forged = [
            ("host", "h"),
            ("x-forwarded-for", "1.2.3.4"),
            ("x-forwarded-proto", "https"),
            ("forwarded", "for=1"),
        ];
        let mut parts = request(&forged);
        put_on(&mut parts, &stranger());
        assert_eq!(parts.headers["x-forwarded-for"], "192.0.2.1");
        assert_eq!(parts.headers["x-forwarded-proto"], "http");
        assert!(!parts.headers.contains_key("forwarded"));
        let proxy = Peer::new("10.0.0.9".parse().unwrap(), &[Network::parse("10.0.0.0/8").unwrap()]);
        let mut parts = request(&forged);
        put_on(&mut parts, &proxy);
        assert_eq!(parts.headers["x-forwarded-for"], "1.2.3.4, 10.0.0.9");
        assert_eq!(parts.headers["x-forwarded-proto"], "https");
    }

    #[test]
    fn sound_ids_are_kept_and_others_made() {
        let traceparent = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
        let mut parts = request(&[("host", "h"), ("traceparent", traceparent), ("x-request-id", "mine-7")]);
        assert_eq!(put_on(&mut parts, &stranger()), "mine-7");
        assert_eq!(parts.headers["traceparent"], traceparent);
        let mut parts =
            request(&[("host", "h"), ("traceparent", traceparent), ("x-request-id", "has spaces")]);
        assert_eq!(put_on(&mut parts, &stranger()), "4bf92f3577b34da6a3ce929d0e0e4736");
        let mut parts = request(&[("host", "h"), ("traceparent", "00-0-0-0")]);
        let id = put_on(&mut parts, &stranger());
        let made = TraceContext::from_bytes(parts.headers["traceparent"].as_bytes()).unwrap();
        assert_eq!(id, made.trace_id());
    }

    #[test]
    fn ambiguous_and_hostile_heads_are_refused() {
        let status = |parts: &Parts| vet(parts, &LIMITS).err().map(|problem| problem.status().as_u16());
        assert_eq!(status(&request(&[("host", "h")])), None);
        assert_eq!(status(&request(&[])), Some(400));
        assert_eq!(status(&request(&[("host", "a"), ("host", "b")])), Some(400));
        assert_eq!(status(&request(&[("host", "h"), ("expect", "a miracle")])), Some(417));
        assert_eq!(status(&request(&[("host", "h"), ("x", &"y".repeat(1000))])), Some(431));
        let many: Vec<_> = (0..12).map(|_| ("x", "y")).collect();
        assert_eq!(status(&request(&many)), Some(431));
        let mut trace = request(&[("host", "h")]);
        trace.method = Method::TRACE;
        assert_eq!(status(&trace), Some(501));
        for path in ["/a/../b", "/a/..", "/./a", "/%2e%2e/a", "/a/%2E./b", "/a%00", "/a/..\\b", "/%2e"] {
            let mut parts = request(&[("host", "h")]);
            parts.uri = path.parse().unwrap();
            assert_eq!(status(&parts), Some(400), "{path}");
        }
        for path in ["/a..b", "/a/...", "/.well-known/x", "/a%20b", "/%252e%252e/a"] {
            let mut parts = request(&[("host", "h")]);
            parts.uri = path.parse().unwrap();
            assert_eq!(status(&parts), None, "{path}");
        }
    }

    proptest! {
        #[test]
        fn no_head_makes_the_door_panic(
            fields in prop::collection::vec(("[a-z-]{1,12}|connection|te|x-forwarded-for|traceparent|cookie", "[ -~]{0,40}"), 0..12),
            path in "/[ -~&&[^#? <>\"`{}|^\\\\]]{0,40}",
        ) {
            let mut parts = request(&[]);
            if let Ok(uri) = path.parse() {
                parts.uri = uri;
            }
            for (name, value) in &fields {
                if let (Ok(name), Ok(value)) = (HeaderName::try_from(name), HeaderValue::try_from(value)) {
                    parts.headers.append(name, value);
                }
            }
            let _ = vet(&parts, &LIMITS);
            let id = put_on(&mut parts, &stranger());
            prop_assert!(sane(id.as_bytes()));
            prop_assert_eq!(parts.headers.get_all("x-forwarded-for").iter().count(), 1);
            prop_assert!(!parts.headers.contains_key("connection") && !parts.headers.contains_key("transfer-encoding"));
        }
    }
}
