//! Heads of requests and responses: which fields are removed and which are added. Pure decisions.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use bytes::Bytes;
use http::header::{
    ACCEPT_ENCODING, CONNECTION, CONTENT_LENGTH, COOKIE, EXPECT, FORWARDED, HOST, SERVER, TE, TRAILER,
    TRANSFER_ENCODING, UPGRADE, X_CONTENT_TYPE_OPTIONS,
};
use http::request::Parts;
use http::{HeaderMap, HeaderName, HeaderValue, Version};
use streamgate_plugin_api::trace::{TRACEPARENT, TraceContext};
use streamgate_plugin_api::{address, principal};

use crate::settings::Network;

pub(crate) const X_REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");
const X_FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");
const X_FORWARDED_HOST: HeaderName = HeaderName::from_static("x-forwarded-host");
const X_FORWARDED_PROTO: HeaderName = HeaderName::from_static("x-forwarded-proto");
const X_REAL_IP: HeaderName = HeaderName::from_static("x-real-ip");
const X_FORWARDED_PORT: HeaderName = HeaderName::from_static("x-forwarded-port");
const X_FORWARDED_PREFIX: HeaderName = HeaderName::from_static("x-forwarded-prefix");
const TRACEPARENT_NAME: HeaderName = HeaderName::from_static(TRACEPARENT);
const KEEP_ALIVE: HeaderName = HeaderName::from_static("keep-alive");
const PROXY_CONNECTION: HeaderName = HeaderName::from_static("proxy-connection");

const DIGITS: &[u8; 16] = b"0123456789abcdef";

/// The other end of a connection.
#[derive(Debug, Clone)]
pub(crate) struct Peer {
    /// Its address, as a field value.
    pub(crate) address: HeaderValue,
    /// The key of its slots: its address, of IPv6 the /64.
    pub(crate) network: IpAddr,
    /// Whether it is a trusted proxy.
    trusted: bool,
    proxies: Arc<[Network]>,
}

impl Peer {
    pub(crate) fn new(address: IpAddr, proxies: &Arc<[Network]>) -> Self {
        let address = address.to_canonical();
        let trusted = proxies.iter().any(|network| network.contains(address));
        let value = HeaderValue::try_from(address.to_string()).expect("an address is a field value");
        Self { address: value, network: address::network(address), trusted, proxies: proxies.clone() }
    }

    /// Whether it is a trusted proxy.
    pub(crate) fn is_trusted(&self) -> bool {
        self.trusted
    }

    /// The last address of a chain that is not a trusted proxy: earlier ones are unverified. The chain's
    /// first one, if all of them are trusted.
    fn client(&self, chain: &[u8]) -> Option<HeaderValue> {
        let hops = chain.rsplit(|byte| *byte == b',');
        let mut nearest = None;
        for hop in hops {
            let Some(address) = hop_address(hop) else { break };
            nearest = Some(address);
            if !self.proxies.iter().any(|network| network.contains(address)) {
                break;
            }
        }
        HeaderValue::try_from(nearest?.to_string()).ok()
    }
}

/// An address in `X-Forwarded-For`: some proxies add the port, and put IPv6 in brackets.
fn hop_address(hop: &[u8]) -> Option<IpAddr> {
    let hop = std::str::from_utf8(hop).ok()?.trim();
    let with_port = || hop.parse::<SocketAddr>().ok().map(|address| address.ip());
    let bracketed = || hop.strip_prefix('[')?.strip_suffix(']')?.parse().ok();
    hop.parse().ok().or_else(with_port).or_else(bracketed).map(|address: IpAddr| address.to_canonical())
}

/// What a head contains, found in one pass: most requests have few of these, and looking up each name costs
/// more.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Survey {
    pub(crate) bytes: usize,
    pub(crate) hosts: u32,
    cookies: u32,
    /// A field for the connection alone, by its own name or in `Connection`.
    pub(crate) hop_by_hop: bool,
    /// A field that says where the request came from.
    pub(crate) origin: bool,
    pub(crate) expect: bool,
    /// A field that only the gateway may set.
    forged: bool,
    ids: bool,
    /// A method override.
    pub(crate) overrides: bool,
    pub(crate) chunked: bool,
    pub(crate) accept_encoding: bool,
}

impl Survey {
    /// Checks every field once.
    pub(crate) fn of(headers: &HeaderMap) -> Self {
        let mut survey = Self::default();
        for (name, value) in headers {
            survey.bytes += name.as_str().len() + value.len() + 4;
            match *name {
                HOST => survey.hosts += 1,
                COOKIE => survey.cookies += 1,
                ACCEPT_ENCODING => survey.accept_encoding = true,
                EXPECT => survey.expect = true,
                FORWARDED => survey.origin = true,
                TRANSFER_ENCODING => (survey.chunked, survey.hop_by_hop) = (true, true),
                CONNECTION | TE | TRAILER | UPGRADE => survey.hop_by_hop = true,
                _ => match name.as_str() {
                    "x-request-id" | "traceparent" | "tracestate" => survey.ids = true,
                    "keep-alive" | "proxy-connection" => survey.hop_by_hop = true,
                    "x-http-method-override" | "x-http-method" | "x-method-override" => {
                        survey.overrides = true;
                    }
                    other => {
                        survey.origin |= other.starts_with("x-forwarded-") || other == "x-real-ip";
                        survey.forged |= other.starts_with(principal::PREFIX);
                    }
                },
            }
        }
        survey
    }
}

/// Removes hop-by-hop fields and fields that must not be trusted, and adds the peer and the ids. Returns the
/// request's id, for the response.
pub(crate) fn put_on(parts: &mut Parts, survey: &Survey, peer: &Peer) -> HeaderValue {
    let headers = &mut parts.headers;
    if survey.hop_by_hop {
        take_off_hop_by_hop(headers);
        headers.remove(TE);
    }
    if survey.expect {
        headers.remove(EXPECT);
    }
    if survey.forged {
        principal::strip(headers);
    }
    if let Some(authority) = parts.uri.authority()
        && let Ok(host) = HeaderValue::from_str(authority.as_str())
    {
        // RFC 9112 §3.2.2: an absolute target overrides the field. HTTP/2 clients send only the target.
        headers.insert(HOST, host);
    }
    if survey.origin && peer.trusted {
        put_on_believed(headers, peer);
    } else {
        if survey.origin {
            for name in [FORWARDED, X_FORWARDED_HOST, X_REAL_IP, X_FORWARDED_PORT, X_FORWARDED_PREFIX] {
                headers.remove(name);
            }
        }
        headers.insert(X_FORWARDED_FOR, peer.address.clone());
        headers.insert(X_FORWARDED_PROTO, HeaderValue::from_static("http"));
        headers.insert(address::CLIENT, peer.address.clone());
    }
    if survey.cookies > 1 && parts.version == Version::HTTP_2 {
        join_cookies(headers);
    }
    if survey.ids { keep_ids(headers) } else { make_ids(headers, None) }
}

/// A trusted proxy states the client and the original host.
fn put_on_believed(headers: &mut HeaderMap, peer: &Peer) {
    let own = peer.address.as_bytes();
    let chain: Vec<_> =
        headers.get_all(&X_FORWARDED_FOR).iter().map(HeaderValue::as_bytes).chain([own]).collect();
    let chain = HeaderValue::from_bytes(&chain.join(&b", "[..])).unwrap_or_else(|_| peer.address.clone());
    let client = peer.client(chain.as_bytes()).unwrap_or_else(|| peer.address.clone());
    headers.insert(address::CLIENT, client);
    headers.insert(X_FORWARDED_FOR, chain);
    headers.entry(X_FORWARDED_PROTO).or_insert(HeaderValue::from_static("http"));
    if let Some(host) = headers.remove(&X_FORWARDED_HOST) {
        headers.insert(HOST, host);
    }
}

/// RFC 9113 §8.2.3: the parts of a cookie are joined before they are read.
fn join_cookies(headers: &mut HeaderMap) {
    let crumbs: Vec<_> = headers.get_all(COOKIE).iter().map(HeaderValue::as_bytes).collect();
    if let Ok(cookie) = HeaderValue::from_bytes(&crumbs.join(&b"; "[..])) {
        headers.insert(COOKIE, cookie);
    }
}

/// Keeps a valid `traceparent` and `x-request-id`, and creates missing or invalid ones.
fn keep_ids(headers: &mut HeaderMap) -> HeaderValue {
    let mut given = headers.get_all(&X_REQUEST_ID).iter();
    let id = match (given.next(), given.next()) {
        (Some(id), None) if sane(id.as_bytes()) => Some(id.clone()),
        _ => None,
    };
    let mut parents = headers.get_all(TRACEPARENT).iter();
    match (parents.next().filter(|_| parents.next().is_none()), id) {
        (Some(value), id) if TraceContext::from_bytes(value.as_bytes()).is_ok() => {
            let id = id.unwrap_or_else(|| {
                HeaderValue::from_bytes(&value.as_bytes()[3..35]).expect("hex digits are a field value")
            });
            headers.insert(X_REQUEST_ID, id.clone());
            id
        }
        (_, id) => {
            // The state belongs to the trace that is replaced.
            headers.remove("tracestate");
            make_ids(headers, id)
        }
    }
}

/// One random number serves as the id of both the trace and the request.
fn make_ids(headers: &mut HeaderMap, id: Option<HeaderValue>) -> HeaderValue {
    let mut text = *b"00-00000000000000000000000000000000-0000000000000000-01";
    hex(&fastrand::u128(1..).to_be_bytes(), &mut text[3..35]);
    hex(&fastrand::u64(1..).to_be_bytes(), &mut text[36..52]);
    // Both values share the bytes of the one.
    let text = Bytes::copy_from_slice(&text);
    let value =
        |text: Bytes| HeaderValue::from_maybe_shared(text).expect("hex digits and hyphens are a field value");
    let id = id.unwrap_or_else(|| value(text.slice(3..35)));
    headers.insert(TRACEPARENT_NAME, value(text));
    headers.insert(X_REQUEST_ID, id.clone());
    id
}

fn hex(bytes: &[u8], out: &mut [u8]) {
    for (pair, byte) in out.chunks_exact_mut(2).zip(bytes) {
        pair[0] = DIGITS[usize::from(byte >> 4)];
        pair[1] = DIGITS[usize::from(byte & 15)];
    }
}

/// An id that goes into logs and headers unchanged: short and without ambiguous characters.
fn sane(id: &[u8]) -> bool {
    (1..=128).contains(&id.len()) && id.iter().all(|b| b.is_ascii_alphanumeric() || b"-_.:/+=@".contains(b))
}

/// Prepares a plugin's response for the client.
pub(crate) fn finish(headers: &mut HeaderMap, request_id: HeaderValue) {
    let (mut hop_by_hop, mut sniffing) = (false, false);
    for name in headers.keys() {
        match *name {
            CONNECTION | TE | TRAILER | UPGRADE | TRANSFER_ENCODING => hop_by_hop = true,
            X_CONTENT_TYPE_OPTIONS => sniffing = true,
            _ => hop_by_hop |= matches!(name.as_str(), "keep-alive" | "proxy-connection"),
        }
    }
    if hop_by_hop {
        take_off_hop_by_hop(headers);
    }
    headers.insert(X_REQUEST_ID, request_id);
    headers.insert(SERVER, HeaderValue::from_static("streamgate"));
    if !sniffing {
        headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    }
}

/// RFC 9110 §7.6.1: hop-by-hop fields, by their own names and by those that `Connection` lists.
fn take_off_hop_by_hop(headers: &mut HeaderMap) {
    // Further lines of a field extend its list (RFC 9110 §5.3).
    if let http::header::Entry::Occupied(connection) = headers.entry(CONNECTION) {
        let lines: Vec<_> = connection.remove_entry_mult().1.collect();
        let listed = lines.iter().flat_map(|line| line.to_str().unwrap_or_default().split(','));
        for name in listed.map(str::trim) {
            // Fields that frame or address a message are never hop-by-hop.
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
pub(crate) mod tests {
    use super::*;
    use proptest::prelude::*;

    pub(crate) fn request(pairs: &[(&str, &str)]) -> Parts {
        let mut request = http::Request::builder().uri("/a");
        for (name, value) in pairs {
            request = request.header(*name, *value);
        }
        request.body(()).unwrap().into_parts().0
    }

    fn stranger() -> Peer {
        Peer::new("192.0.2.1".parse().unwrap(), &[].into())
    }

    fn dressed(parts: &mut Parts, peer: &Peer) -> HeaderValue {
        let survey = Survey::of(&parts.headers);
        put_on(parts, &survey, peer)
    }

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
        dressed(&mut parts, &stranger());
        let mut left: Vec<_> = parts.headers.keys().map(HeaderName::as_str).collect();
        left.sort_unstable();
        assert_eq!(
            left,
            [
                "content-length",
                "host",
                "traceparent",
                "x-forwarded-for",
                "x-forwarded-proto",
                "x-request-id",
                "x-streamgate-client"
            ]
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
        dressed(&mut parts, &stranger());
        assert_eq!(parts.headers["x-forwarded-for"], "192.0.2.1");
        assert_eq!(parts.headers["x-forwarded-proto"], "http");
        assert!(!parts.headers.contains_key("forwarded"));
        assert_eq!(parts.headers["x-streamgate-client"], "192.0.2.1");
        let networks = ["10.0.0.0/8", "fd00::/8"].map(|network| Network::parse(network).unwrap());
        let proxy = Peer::new("10.0.0.9".parse().unwrap(), &networks.into());
        for (sent, client) in [
            ("1.2.3.4", "1.2.3.4"),
            ("9.9.9.9, 1.2.3.4, 10.0.0.1,fd00::7", "1.2.3.4"),
            ("1.2.3.4:5678", "1.2.3.4"),
            ("::ffff:1.2.3.4", "1.2.3.4"),
            ("[2001:db8::1]:443, 10.0.0.1", "2001:db8::1"),
            ("[2001:db8::1]", "2001:db8::1"),
            ("10.1.1.1", "10.1.1.1"),
            ("1.2.3.4, unknown", "10.0.0.9"),
            ("", "10.0.0.9"),
        ] {
            let mut parts =
                request(&[("host", "h"), ("x-forwarded-for", sent), ("x-streamgate-client", "6.6.6.6")]);
            dressed(&mut parts, &proxy);
            assert_eq!(parts.headers["x-streamgate-client"], client, "{sent}");
        }
        let mut parts = request(&forged);
        dressed(&mut parts, &proxy);
        assert_eq!(parts.headers["x-forwarded-for"], "1.2.3.4, 10.0.0.9");
        assert_eq!(parts.headers["x-forwarded-proto"], "https");
    }

    #[test]
    fn behind_two_proxies_each_client_keeps_its_own_address_and_network() {
        // A load balancer in front of a proxy beside the server.
        let networks = ["10.0.0.0/8", "127.0.0.1"].map(|network| Network::parse(network).unwrap());
        let nearest = Peer::new("127.0.0.1".parse().unwrap(), &networks.into());
        for client in ["203.0.113.7", "203.0.113.8", "2001:db8::7"] {
            let chain = format!("6.6.6.6, {client}, 10.0.0.1");
            let mut parts = request(&[("host", "h"), ("x-forwarded-for", &chain)]);
            dressed(&mut parts, &nearest);
            assert_eq!(parts.headers["x-streamgate-client"], client);
        }
    }

    #[test]
    fn what_only_the_gateway_puts_on_is_taken_off_however_it_is_written() {
        let mut parts = request(&[
            ("host", "h"),
            ("X-StreamGate-Principal", "1"),
            ("x-streamgate-principal", "2"),
            ("x-streamgate-scopes", "admin"),
            ("connection", "x-streamgate-roles"),
            ("x-streamgate-roles", "admin"),
            ("x-streamgat", "kept"),
        ]);
        dressed(&mut parts, &stranger());
        parts.headers.remove(address::CLIENT);
        assert!(!parts.headers.keys().any(|name| name.as_str().starts_with(principal::PREFIX)));
        assert_eq!(parts.headers["x-streamgat"], "kept");
    }

    #[test]
    fn sound_ids_are_kept_and_others_made() {
        let traceparent = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
        let mut parts = request(&[("host", "h"), ("traceparent", traceparent), ("x-request-id", "mine-7")]);
        assert_eq!(dressed(&mut parts, &stranger()), "mine-7");
        assert_eq!(parts.headers["traceparent"], traceparent);
        let mut parts =
            request(&[("host", "h"), ("traceparent", traceparent), ("x-request-id", "has spaces")]);
        assert_eq!(dressed(&mut parts, &stranger()), "4bf92f3577b34da6a3ce929d0e0e4736");
        let mut parts = request(&[("host", "h"), ("traceparent", "00-0-0-0")]);
        let id = dressed(&mut parts, &stranger());
        let made = TraceContext::from_bytes(parts.headers["traceparent"].as_bytes()).unwrap();
        assert_eq!(id, made.trace_id());
    }

    #[test]
    fn every_line_of_connection_is_heeded() {
        let mut parts = request(&[
            ("host", "h"),
            ("connection", "close"),
            ("connection", "x-one, x-two"),
            ("x-one", "1"),
            ("x-two", "2"),
        ]);
        dressed(&mut parts, &stranger());
        assert!(!["connection", "x-one", "x-two"].iter().any(|name| parts.headers.contains_key(*name)));
    }

    #[test]
    fn of_two_traces_neither_is_continued() {
        let (one, two) = (
            "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
            "00-5bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
        );
        let mut parts = request(&[("host", "h"), ("traceparent", one), ("traceparent", two)]);
        dressed(&mut parts, &stranger());
        let left: Vec<_> = parts.headers.get_all("traceparent").iter().collect();
        assert!(left.len() == 1 && left[0] != one && left[0] != two, "{left:?}");
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
            let limits = crate::vet::HeadLimits { fields: 10, bytes: 1000 };
            let _ = crate::vet::vet(&parts, &Survey::of(&parts.headers), &limits);
            let id = dressed(&mut parts, &stranger());
            prop_assert!(sane(id.as_bytes()));
            prop_assert_eq!(parts.headers.get_all("x-forwarded-for").iter().count(), 1);
            prop_assert!(!parts.headers.contains_key("connection") && !parts.headers.contains_key("transfer-encoding"));
        }
    }
}
