//! What the gateway knows of the WebSocket protocol: the handshakes of HTTP/1.1 (RFC 6455 §4.2) and of HTTP/2
//! (RFC 8441), which become one request to a plugin, and where the frames that a plugin sends begin and end. It never
//! looks into a message.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::header::{
    CONNECTION, CONTENT_LENGTH, SEC_WEBSOCKET_ACCEPT, SEC_WEBSOCKET_KEY, SEC_WEBSOCKET_VERSION,
    TRANSFER_ENCODING, UPGRADE,
};
use http::request::Parts;
use http::{HeaderMap, HeaderName, HeaderValue, Method, Response, StatusCode, Version};
use hyper::ext::Protocol;
use hyper::upgrade::OnUpgrade;
use sha1::{Digest, Sha1};
use streamgate_plugin_api::{Problem, problems};

use crate::head::Survey;

/// RFC 6455 §1.3.
const GUID: &[u8] = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11";
const WEBSOCKET: &str = "websocket";
const VERSION: &str = "13";

/// A handshake that follows the rules.
#[derive(Debug)]
pub(crate) enum Opening {
    /// Of HTTP/1.1, with what proves that it was understood.
    Switch(HeaderValue),
    /// Of HTTP/2.
    Stream(OnUpgrade),
}

impl Opening {
    /// The handshake that a request is, if it is one. Another protocol in the `Upgrade` of HTTP/1.1 is ignored, as
    /// RFC 9110 §7.8 lets it be: clients offer HTTP/2 there with every request.
    pub(crate) fn of(parts: &mut Parts, survey: &Survey) -> Result<Option<Self>, Box<Problem>> {
        let opening = match parts.version {
            Version::HTTP_2 if is_websocket(parts) => match parts.extensions.remove() {
                Some(upgrade) => Self::Stream(upgrade),
                None => return Err(invalid("This connection cannot be upgraded.")),
            },
            Version::HTTP_11 if survey.hop_by_hop && lists(&parts.headers, &UPGRADE, WEBSOCKET) => {
                if parts.method != Method::GET {
                    return Err(invalid("The method of a WebSocket handshake is GET."));
                }
                if !lists(&parts.headers, &CONNECTION, "upgrade") {
                    return Err(invalid(
                        "`Connection` does not list `Upgrade`. A proxy may have taken it off.",
                    ));
                }
                let length = parts.headers.get(CONTENT_LENGTH).is_some_and(|length| length != "0");
                if length || parts.headers.contains_key(TRANSFER_ENCODING) {
                    return Err(invalid("A WebSocket handshake has no body."));
                }
                Self::Switch(accept(&parts.headers)?)
            }
            _ => return Ok(None),
        };
        if one(&parts.headers, &SEC_WEBSOCKET_VERSION).is_none_or(|version| version != VERSION) {
            let problem = Problem::of(problems::WEBSOCKET_VERSION)
                .detail("Only version 13 of the WebSocket protocol (RFC 6455) is served here.")
                .header(SEC_WEBSOCKET_VERSION, VERSION);
            let switch = matches!(opening, Self::Switch(_));
            return Err(Box::new(match switch {
                true => problem.header(UPGRADE, WEBSOCKET).header(CONNECTION, "upgrade"),
                false => problem,
            }));
        }
        parts.headers.remove(SEC_WEBSOCKET_KEY);
        Ok(Some(opening))
    }

    /// Gives a request the shape that both have to a plugin.
    pub(crate) fn shape(parts: &mut Parts) {
        parts.method = Method::CONNECT;
        parts.version = Version::HTTP_2;
        parts.extensions.insert(Protocol::from_static(WEBSOCKET));
    }

    /// Says to the client that the WebSocket is open.
    pub(crate) fn say<B>(&self, response: &mut Response<B>) {
        if let Self::Switch(accept) = self {
            *response.status_mut() = StatusCode::SWITCHING_PROTOCOLS;
            let headers = response.headers_mut();
            headers.insert(UPGRADE, HeaderValue::from_static(WEBSOCKET));
            headers.insert(CONNECTION, HeaderValue::from_static("upgrade"));
            headers.insert(SEC_WEBSOCKET_ACCEPT, accept.clone());
        }
    }
}

/// Whether an extended CONNECT asks for a WebSocket.
pub(crate) fn is_websocket(parts: &Parts) -> bool {
    parts.extensions.get::<Protocol>().is_some_and(|protocol| protocol.as_str() == WEBSOCKET)
}

fn invalid(detail: &str) -> Box<Problem> {
    Box::new(Problem::of(problems::INVALID_HANDSHAKE).detail(detail))
}

fn accept(headers: &HeaderMap) -> Result<HeaderValue, Box<Problem>> {
    let key = one(headers, &SEC_WEBSOCKET_KEY).map(HeaderValue::as_bytes);
    let is_key = |key: &&[u8]| STANDARD.decode(key).is_ok_and(|nonce| nonce.len() == 16);
    let key = key.filter(is_key).ok_or_else(|| {
        invalid("`Sec-WebSocket-Key` has to be there once, with 16 bytes as base64 (RFC 6455 §4.1).")
    })?;
    let digest = Sha1::new().chain_update(key).chain_update(GUID).finalize();
    Ok(HeaderValue::try_from(STANDARD.encode(digest)).expect("base64 is a field value"))
}

/// The value of a field that comes once.
fn one<'a>(headers: &'a HeaderMap, name: &HeaderName) -> Option<&'a HeaderValue> {
    let mut all = headers.get_all(name).iter();
    all.next().filter(|_| all.next().is_none())
}

/// Whether a field lists a token, in any case.
fn lists(headers: &HeaderMap, name: &HeaderName, token: &str) -> bool {
    let lines = headers.get_all(name).iter();
    let mut listed = lines.flat_map(|line| line.as_bytes().split(|byte| *byte == b','));
    listed.any(|listed| listed.trim_ascii().eq_ignore_ascii_case(token.as_bytes()))
}

/// What the system between two ends says when it closes a WebSocket (RFC 6455 §7.4.1 and its registry).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Close {
    /// The server or the plugin's run ends; the client comes back.
    GoingAway = 1001,
    /// What it was opened with is not good any more.
    Policy = 1008,
    /// The plugin broke off.
    Internal = 1011,
    /// Another client needs the place.
    TryAgain = 1013,
}

/// A frame that asks the client for a sign of life.
pub(crate) const PING: &[u8] = &[0x89, 0];

impl Close {
    /// Its frame.
    pub(crate) fn frame(self) -> [u8; 4] {
        let [high, low] = (self as u16).to_be_bytes();
        [0x88, 2, high, low]
    }
}

/// Where the frames of one direction begin and end (RFC 6455 §5.2), so that another one can be put in between.
#[derive(Debug, Default)]
pub(crate) struct Frames {
    /// The first bytes of a frame whose length is not known yet.
    head: [u8; 14],
    read: usize,
    /// Bytes of its payload to come.
    left: u64,
    /// A frame that closes has begun.
    closed: bool,
}

impl Frames {
    /// Follows what passes.
    pub(crate) fn pass(&mut self, mut bytes: &[u8]) {
        while !bytes.is_empty() {
            if self.left > 0 {
                let skipped = bytes.len().min(usize::try_from(self.left).unwrap_or(usize::MAX));
                self.left -= skipped as u64;
                bytes = &bytes[skipped..];
                continue;
            }
            let Some((first, rest)) = bytes.split_first() else { return };
            self.head[self.read] = *first;
            self.read += 1;
            bytes = rest;
            if let Some(length) = self.length() {
                self.closed |= self.head[0] & 0x0f == 8;
                (self.left, self.read) = (length, 0);
            }
        }
    }

    /// How long the payload is, once the head says so.
    fn length(&self) -> Option<u64> {
        let head = &self.head[..self.read];
        let second = *head.get(1)?;
        let (length, size) = match second & 0x7f {
            126 => (u64::from(u16::from_be_bytes(*head.get(2..4)?.first_chunk()?)), 4),
            127 => (u64::from_be_bytes(*head.get(2..10)?.first_chunk()?), 10),
            length => (u64::from(length), 2),
        };
        let size = size + if second & 0x80 == 0 { 0 } else { 4 };
        (head.len() >= size).then_some(length)
    }

    /// Whether a frame may follow now.
    pub(crate) fn is_between(&self) -> bool {
        self.left == 0 && self.read == 0 && !self.closed
    }

    /// Whether a frame that closes has begun.
    pub(crate) fn is_closed(&self) -> bool {
        self.closed
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::head::tests::request;
    use proptest::prelude::*;

    fn opening(parts: &mut Parts) -> Result<Option<Opening>, Box<Problem>> {
        let survey = Survey::of(&parts.headers);
        Opening::of(parts, &survey)
    }

    const HANDSHAKE: [(&str, &str); 4] = [
        ("upgrade", "WebSocket"),
        ("connection", "keep-alive, Upgrade"),
        ("sec-websocket-version", "13"),
        ("sec-websocket-key", "dGhlIHNhbXBsZSBub25jZQ=="),
    ];

    #[test]
    fn the_handshake_of_the_rfc_is_understood() {
        let mut parts = request(&HANDSHAKE);
        let Some(opening) = opening(&mut parts).unwrap() else { panic!("none") };
        let mut response = Response::new(());
        opening.say(&mut response);
        assert_eq!(response.status(), 101);
        assert_eq!(response.headers()["sec-websocket-accept"], "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=");
        Opening::shape(&mut parts);
        assert!(is_websocket(&parts) && parts.method == Method::CONNECT);
    }

    #[test]
    fn a_wrong_handshake_is_refused_by_what_is_wrong_and_another_protocol_is_ignored() {
        let with = |name: &str, value: Option<&str>| {
            let changed = HANDSHAKE.iter().filter_map(|(known, had)| match *known == name {
                true => value.map(|value| (*known, value)),
                false => Some((*known, *had)),
            });
            let opening = opening(&mut request(&changed.collect::<Vec<_>>()));
            opening.map(|opening| opening.is_some()).map_err(|problem| problem.status().as_u16())
        };
        assert_eq!(with("upgrade", Some("h2c")), Ok(false));
        assert_eq!(with("upgrade", None), Ok(false));
        assert_eq!(with("connection", Some("close")), Err(400));
        for version in [None, Some("8"), Some("13, 8")] {
            assert_eq!(with("sec-websocket-version", version), Err(426));
        }
        for key in [None, Some(""), Some("dGhlIHNhbXBsZQ=="), Some("not base64")] {
            assert_eq!(with("sec-websocket-key", key), Err(400), "{key:?}");
        }
        for (name, value) in
            [("sec-websocket-key", HANDSHAKE[3].1), ("content-length", "1"), ("transfer-encoding", "chunked")]
        {
            let mut more = HANDSHAKE.to_vec();
            more.push((name, value));
            assert_eq!(opening(&mut request(&more)).unwrap_err().status(), 400, "{name}");
        }
        let mut post = request(&HANDSHAKE);
        post.method = Method::POST;
        assert_eq!(opening(&mut post).unwrap_err().status(), 400);
    }

    fn frame(opcode: u8, masked: bool, length: usize) -> Vec<u8> {
        let mask = if masked { 0x80 } else { 0 };
        let mut frame = vec![0x80 | opcode];
        match length {
            0..126 => frame.push(mask | length as u8),
            126..65536 => frame.extend([&[mask | 126][..], &(length as u16).to_be_bytes()].concat()),
            _ => frame.extend([&[mask | 127][..], &(length as u64).to_be_bytes()].concat()),
        }
        frame.resize(frame.len() + length + if masked { 4 } else { 0 }, 0x88);
        frame
    }

    #[test]
    fn nothing_follows_a_frame_that_closes() {
        let mut frames = Frames::default();
        frames.pass(&Close::Policy.frame());
        assert!(frames.is_closed() && !frames.is_between());
    }

    proptest! {
        #[test]
        fn the_ends_of_frames_are_found_however_they_are_cut(
            lengths in prop::collection::vec((prop_oneof![0usize..130, 65_530usize..65_540], any::<bool>()), 1..5),
            cut in 1usize..5000,
        ) {
            let (mut frames, mut bytes, mut ends) = (Frames::default(), Vec::new(), vec![0]);
            for (length, masked) in lengths {
                bytes.extend(frame(2, masked, length));
                ends.push(bytes.len());
            }
            let mut passed = 0;
            for piece in bytes.chunks(cut) {
                frames.pass(piece);
                passed += piece.len();
                prop_assert_eq!(frames.is_between(), ends.contains(&passed), "{}", passed);
            }
            prop_assert!(!frames.is_closed());
        }

        #[test]
        fn any_bytes_are_followed_without_a_panic(bytes: Vec<u8>) {
            Frames::default().pass(&bytes);
        }
    }
}
