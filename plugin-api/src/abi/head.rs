//! The heads of requests and responses as one flat buffer each: no map crosses.
//!
//! Layout, all numbers little-endian: a fixed part (version, method and target, or version and status), a
//! `u16` count of fields, then for every field a `u8` number of its name, a `u32` length of the value whose
//! highest bit marks a sensitive value, and the value. A name without a number has 0, followed by its length,
//! a `u16`, and the name, before the value's length.

use abi_stable::StableAbi;
use bytes::{BufMut, Bytes};
use http::uri::{self, Authority, PathAndQuery, Scheme};
use http::{HeaderMap, HeaderValue, Method, StatusCode, Uri, Version};

use super::known::known;
use super::{FfiBytes, names};
use crate::caller::{CALLER, INGRESS};

const SENSITIVE: u32 = 1 << 31;

/// The prefix of the target of a service call; the service's name follows.
const HTTP: &[u8] = b"http://";

/// A head that the other side encoded wrongly. It means a bug there, never invalid input of a client.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the other side of the boundary sent a head that cannot be read: {0}")]
pub struct HeadError(&'static str);

/// Space in a head for the [`Stamp`] of the kernel.
const STAMP_ROOM: usize = 96;

const TOO_SHORT: HeadError = HeadError("it is shorter than declared");

/// Method, target, version and fields of a request (RFC 9110 section 6). Additions of a later version are
/// fields, as `traceparent` is: a side that does not know one passes it on.
#[repr(C)]
#[derive(StableAbi)]
pub struct RequestHead {
    bytes: FfiBytes,
}

/// Status, version and fields of a response.
#[repr(C)]
#[derive(StableAbi)]
pub struct ResponseHead {
    bytes: FfiBytes,
}

/// A caller's name, ready to be inserted into heads.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stamp(Box<[u8]>);

impl Stamp {
    /// For a plugin, or [`KERNEL`](crate::caller::KERNEL). An `ingress` may state who sent a request.
    pub fn new(caller: &str, ingress: bool) -> Self {
        let value = format!("{caller}{}", if ingress { INGRESS } else { "" });
        let mut headers = HeaderMap::new();
        headers.insert(CALLER, HeaderValue::try_from(value).unwrap_or(HeaderValue::from_static("")));
        let mut fields = Vec::with_capacity(STAMP_ROOM);
        put_fields(&mut fields, &headers);
        // Without the count.
        Self(fields.split_off(2).into())
    }
}

impl RequestHead {
    /// Bytes as the other side may have written them, for the fuzz targets.
    pub(crate) fn from_bytes(bytes: Bytes) -> Self {
        Self { bytes: bytes.into() }
    }

    /// Flattens a head. Extensions do not cross.
    pub fn encode(parts: &http::request::Parts) -> Self {
        let method = parts.method.as_str().as_bytes();
        let uri = UriParts::of(&parts.uri);
        let mut out =
            Vec::with_capacity(9 + method.len() + uri.len() + fields_len(&parts.headers) + STAMP_ROOM);
        out.put_u8(version_to_u8(parts.version));
        out.put_u32_le(method.len() as u32);
        out.put_u32_le(uri.len() as u32);
        out.put_slice(method);
        uri.write(&mut out);
        put_fields(&mut out, &parts.headers);
        Self { bytes: out.into() }
    }

    /// Inserts the caller's name before all fields, so that it is the first of its name. An invalid head is
    /// emptied: it is refused where it arrives.
    pub fn stamp(&mut self, stamp: &Stamp) {
        if self.try_stamp(&stamp.0).is_none() {
            self.bytes = FfiBytes::empty();
        }
    }

    fn try_stamp(&mut self, field: &[u8]) -> Option<()> {
        let length = |bytes: &[u8], at: usize| {
            let number = bytes.get(at..at + 4)?.first_chunk()?;
            usize::try_from(u32::from_le_bytes(*number)).ok()
        };
        let bytes = self.bytes.as_slice();
        let at = 9usize.checked_add(length(bytes, 1)?)?.checked_add(length(bytes, 5)?)?;
        let count = u16::from_le_bytes(*bytes.get(at..)?.first_chunk()?).checked_add(1)?;
        self.bytes.insert(at + 2, field);
        let place = self.bytes.as_mut_slice()?.get_mut(at..at + 2)?;
        place.copy_from_slice(&count.to_le_bytes());
        Some(())
    }

    /// Whether the method is CONNECT.
    pub(crate) fn is_connect(&self) -> bool {
        const CONNECT: &[u8] = b"CONNECT";
        let bytes = self.bytes.as_slice();
        bytes.get(1..5) == Some(&(CONNECT.len() as u32).to_le_bytes())
            && bytes.get(9..).is_some_and(|rest| rest.starts_with(CONNECT))
    }

    /// The head as [`http::request::Parts`], whose values share the buffer's memory.
    ///
    /// # Errors
    /// When the buffer is not what [`encode`](Self::encode) writes.
    pub fn decode(self) -> Result<http::request::Parts, HeadError> {
        self.decode_rare().map(|(parts, _)| parts)
    }

    /// The same, with which of the rare fields it may have.
    pub(crate) fn decode_rare(self) -> Result<(http::request::Parts, Rare), HeadError> {
        let bytes = Bytes::from(self.bytes);
        let mut input = Reader::new(&bytes);
        let version = version_from_u8(input.u8()?)?;
        let method_len = input.u32()? as usize;
        let uri_len = input.u32()? as usize;
        let method = Method::from_bytes(input.take(method_len)?)
            .map_err(|_| HeadError("the method is not a token"))?;
        let uri = input.uri(uri_len)?;
        let headers = input.fields()?;
        let (mut parts, ()) = http::Request::new(()).into_parts();
        parts.method = method;
        parts.uri = uri;
        parts.version = version;
        parts.headers = headers;
        Ok((parts, input.rare))
    }
}

impl ResponseHead {
    /// Bytes as the other side may have written them, for the fuzz targets.
    pub(crate) fn from_bytes(bytes: Bytes) -> Self {
        Self { bytes: bytes.into() }
    }

    /// Flattens a head. Extensions do not cross.
    pub fn encode(parts: &http::response::Parts) -> Self {
        let mut out = Vec::with_capacity(3 + fields_len(&parts.headers));
        out.put_u8(version_to_u8(parts.version));
        out.put_u16_le(parts.status.as_u16());
        put_fields(&mut out, &parts.headers);
        Self { bytes: out.into() }
    }

    /// The head as [`http::response::Parts`], whose values share the buffer's memory.
    ///
    /// # Errors
    /// When the buffer is not what [`encode`](Self::encode) writes.
    pub fn decode(self) -> Result<http::response::Parts, HeadError> {
        let bytes = Bytes::from(self.bytes);
        let mut input = Reader::new(&bytes);
        let version = version_from_u8(input.u8()?)?;
        let status =
            StatusCode::from_u16(input.u16()?).map_err(|_| HeadError("the status is out of range"))?;
        let headers = input.fields()?;
        let (mut parts, ()) = http::Response::new(()).into_parts();
        parts.status = status;
        parts.version = version;
        parts.headers = headers;
        Ok(parts)
    }
}

/// Trailers cross in the same form as the fields of a head.
pub(super) fn encode_fields(headers: &HeaderMap) -> FfiBytes {
    let mut out = Vec::with_capacity(fields_len(headers));
    put_fields(&mut out, headers);
    out.into()
}

pub(super) fn decode_fields(bytes: FfiBytes) -> Result<HeaderMap, HeadError> {
    Reader::new(&Bytes::from(bytes)).fields()
}

/// The parts of a URI, written without an intermediate string.
struct UriParts<'a> {
    scheme: &'a str,
    authority: &'a str,
    /// Prepended to a target that begins with its query, as HTTP/2 can carry it: alone it would not be parsed
    /// as a path.
    slash: &'static str,
    path: &'a str,
}

impl<'a> UriParts<'a> {
    fn of(uri: &'a Uri) -> Self {
        let path = uri.path_and_query().map_or("", |path| path.as_str());
        let slash = if path.starts_with('/') || path == "*" { "" } else { "/" };
        match (uri.scheme_str(), uri.authority()) {
            // The asterisk-form has neither (RFC 9112 section 3.2.4).
            _ if path == "*" => Self { scheme: "", authority: "", slash, path },
            // HTTP/2 can carry an empty scheme, which no URI has.
            (Some(scheme), Some(authority)) if !scheme.is_empty() => {
                Self { scheme, authority: authority.as_str(), slash, path }
            }
            // The authority-form of CONNECT has no path; in every other case a path suffices.
            (None, Some(authority)) if path.is_empty() => {
                Self { scheme: "", authority: authority.as_str(), slash: "", path }
            }
            _ => Self { scheme: "", authority: "", slash, path },
        }
    }

    fn len(&self) -> usize {
        let scheme = if self.scheme.is_empty() { 0 } else { self.scheme.len() + 3 };
        scheme + self.authority.len() + self.slash.len() + self.path.len()
    }

    fn write(&self, out: &mut Vec<u8>) {
        if !self.scheme.is_empty() {
            out.put_slice(self.scheme.as_bytes());
            out.put_slice(b"://");
        }
        out.put_slice(self.authority.as_bytes());
        out.put_slice(self.slash.as_bytes());
        out.put_slice(self.path.as_bytes());
    }
}

/// The maximum number of bytes that [`put_fields`] writes.
fn fields_len(headers: &HeaderMap) -> usize {
    2 + headers.iter().map(|(name, value)| 7 + name.as_str().len() + value.len()).sum::<usize>()
}

fn put_fields(out: &mut Vec<u8>, headers: &HeaderMap) {
    #[cfg(feature = "next")]
    let headers = &super::next::with_field(headers);
    // `HeaderMap` holds at most 32,768 fields, and each name is shorter than 64 KiB.
    out.put_u16_le(headers.len() as u16);
    for (name, value) in headers {
        let number = names::number(name);
        out.put_u8(number);
        if number == 0 {
            out.put_u16_le(name.as_str().len() as u16);
            out.put_slice(name.as_str().as_bytes());
        }
        let flag = if value.is_sensitive() { SENSITIVE } else { 0 };
        out.put_u32_le(value.len() as u32 | flag);
        out.put_slice(value.as_bytes());
    }
}

fn version_to_u8(version: Version) -> u8 {
    match version {
        Version::HTTP_09 => 9,
        Version::HTTP_10 => 10,
        Version::HTTP_2 => 20,
        Version::HTTP_3 => 30,
        _ => 11,
    }
}

fn version_from_u8(version: u8) -> Result<Version, HeadError> {
    match version {
        9 => Ok(Version::HTTP_09),
        10 => Ok(Version::HTTP_10),
        11 => Ok(Version::HTTP_11),
        20 => Ok(Version::HTTP_2),
        30 => Ok(Version::HTTP_3),
        _ => Err(HeadError("the HTTP version is unknown")),
    }
}

/// Whether a head may have the fields that every request is searched for and few have. A search of a map
/// costs as much as reading a short head.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Rare {
    pub(crate) traceparent: bool,
    pub(crate) crossings: bool,
    pub(crate) grpc_timeout: bool,
}

/// Reads a buffer from its start; what outlives it shares its memory.
struct Reader<'a> {
    whole: &'a Bytes,
    left: &'a [u8],
    rare: Rare,
}

impl<'a> Reader<'a> {
    fn new(whole: &'a Bytes) -> Self {
        Self { whole, left: whole, rare: Rare::default() }
    }

    fn take(&mut self, len: usize) -> Result<&'a [u8], HeadError> {
        let (taken, left) = self.left.split_at_checked(len).ok_or(TOO_SHORT)?;
        self.left = left;
        Ok(taken)
    }

    fn share(&mut self, len: usize) -> Result<Bytes, HeadError> {
        let at = self.whole.len() - self.left.len();
        self.take(len).map(|taken| self.whole.slice(at..at + taken.len()))
    }

    fn number<const N: usize>(&mut self) -> Result<[u8; N], HeadError> {
        let (number, left) = self.left.split_first_chunk().ok_or(TOO_SHORT)?;
        self.left = left;
        Ok(*number)
    }

    fn u8(&mut self) -> Result<u8, HeadError> {
        self.number::<1>().map(|[byte]| byte)
    }

    fn u16(&mut self) -> Result<u16, HeadError> {
        self.number().map(u16::from_le_bytes)
    }

    fn u32(&mut self) -> Result<u32, HeadError> {
        self.number().map(u32::from_le_bytes)
    }

    fn uri(&mut self, len: usize) -> Result<Uri, HeadError> {
        const NO_URI: HeadError = HeadError("the target is not a URI");
        if let Some((to_path, authority)) = self.service(len) {
            self.take(to_path)?;
            let path = PathAndQuery::from_maybe_shared(self.share(len - to_path)?).map_err(|_| NO_URI)?;
            let mut parts = uri::Parts::default();
            parts.scheme = Some(Scheme::HTTP);
            parts.authority = Some(authority);
            parts.path_and_query = Some(path);
            return Uri::from_parts(parts).map_err(|_| NO_URI);
        }
        Uri::from_maybe_shared(self.share(len)?).map_err(|_| NO_URI)
    }

    /// The service in a target of this many bytes, and where its path begins.
    fn service(&self, len: usize) -> Option<(usize, Authority)> {
        // A longer one is checked as a whole.
        let target = self.left.get(..len).filter(|target| target.len() < 4096)?;
        let target = target.strip_prefix(HTTP)?;
        let end = target.iter().position(|byte| *byte == b'/')?;
        Some((HTTP.len() + end, known(&target[..end])?.authority.clone()?))
    }

    fn fields(&mut self) -> Result<HeaderMap, HeadError> {
        let count = usize::from(self.u16()?);
        // No more fields than could fit, whatever the count states.
        let mut headers = HeaderMap::with_capacity(count.min(self.left.len() / 5 + 1));
        for _ in 0..count {
            let (name, number) = match self.u8()? {
                0 => {
                    let len = usize::from(self.u16()?);
                    let name = names::of_text(self.take(len)?);
                    let name = name.map_err(|_| HeadError("a field name is not a token"))?;
                    // Another side may write out what has a number.
                    let number = names::number(&name);
                    (name, number)
                }
                number => {
                    let name = names::name(number);
                    (name.ok_or(HeadError("a field name has an unknown number"))?, number)
                }
            };
            self.rare.traceparent |= number == names::TRACEPARENT;
            self.rare.crossings |= number == names::CROSSINGS;
            self.rare.grpc_timeout |= number == names::GRPC_TIMEOUT;
            let is_caller = number == names::CALLER;
            let value_len = self.u32()?;
            let len = (value_len & !SENSITIVE) as usize;
            let caller = if is_caller { self.left.get(..len).and_then(known) } else { None };
            let mut value = match caller {
                Some(caller) => {
                    self.take(len)?;
                    caller.value.clone()
                }
                None => HeaderValue::from_maybe_shared(self.share(len)?)
                    .map_err(|_| HeadError("a field value holds a control character"))?,
            };
            value.set_sensitive(value_len & SENSITIVE != 0);
            // The kernel's field is the first; any later one is not from the kernel.
            if is_caller && headers.contains_key(CALLER) {
                continue;
            }
            headers.try_append(name, value).map_err(|_| HeadError("there are too many fields"))?;
        }
        #[cfg(feature = "next")]
        super::next::take_field(&mut headers);
        Ok(headers)
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_request_head_survives_the_crossing() {
        let mut secret = HeaderValue::from_static("Bearer abc");
        secret.set_sensitive(true);
        let request = http::Request::builder()
            .method("PATCH")
            .uri("http://storage/media/a%20b/source?x=1&y")
            .header("range", "bytes=0-1")
            .header("x-twice", "1")
            .header("x-twice", "2")
            .header("authorization", secret)
            .body(())
            .unwrap();
        let (parts, ()) = request.into_parts();
        let back = RequestHead::encode(&parts).decode().unwrap();
        assert_eq!(back.method, parts.method);
        assert_eq!(back.uri, parts.uri);
        assert_eq!(back.headers, parts.headers);
        assert!(back.headers["authorization"].is_sensitive());
    }

    fn stamped(mut head: RequestHead, caller: &str) -> HeaderMap {
        head.stamp(&Stamp::new(caller, false));
        head.decode().unwrap().headers
    }

    #[test]
    fn the_kernels_stamp_is_the_only_one_that_is_read() {
        let request = http::Request::get("http://database/x").header("accept", "a").header("x-own", "b");
        let forged = request.header(CALLER, "auth").header(CALLER, "metadata").body(()).unwrap();
        let (parts, ()) = forged.into_parts();
        let headers = stamped(RequestHead::encode(&parts), "prowler");
        assert_eq!(headers.get_all(CALLER).iter().collect::<Vec<_>>(), ["prowler"]);
        assert_eq!((&headers["accept"], &headers["x-own"]), (&"a".parse().unwrap(), &"b".parse().unwrap()));
    }

    #[test]
    fn a_head_without_room_is_stamped_all_the_same() {
        let (parts, ()) = http::Request::get("/").body(()).unwrap().into_parts();
        for caller in ["a", &"long-name-".repeat(20)] {
            let bytes = Bytes::copy_from_slice(RequestHead::encode(&parts).bytes.as_slice());
            assert_eq!(stamped(RequestHead::from_bytes(bytes), caller)[CALLER], caller);
            assert_eq!(stamped(RequestHead::encode(&parts), caller)[CALLER], caller);
        }
    }

    #[test]
    fn fields_behind_the_counted_ones_do_not_hide_the_stamp() {
        let (parts, ()) = http::Request::get("/").body(()).unwrap().into_parts();
        let mut bytes = RequestHead::encode(&parts).bytes.as_slice().to_vec();
        bytes.extend_from_slice(&Stamp::new("auth", false).0);
        assert_eq!(stamped(RequestHead::from_bytes(bytes.into()), "prowler")[CALLER], "prowler");
    }

    #[test]
    fn a_head_that_cannot_be_stamped_is_refused() {
        let (parts, ()) = http::Request::get("/").body(()).unwrap().into_parts();
        let whole = RequestHead::encode(&parts).bytes.as_slice().to_vec();
        let counted = |count: u16| {
            let mut bytes = whole.clone();
            let at = bytes.len() - 2;
            bytes[at..].copy_from_slice(&count.to_le_bytes());
            bytes
        };
        for bytes in [Vec::new(), vec![11; 9], whole[..whole.len() - 1].to_vec(), counted(u16::MAX)] {
            let mut head = RequestHead::from_bytes(bytes.into());
            head.stamp(&Stamp::new("prowler", false));
            assert!(head.decode().is_err());
        }
    }

    #[test]
    fn a_name_that_has_a_number_is_known_when_it_is_written_out() {
        let (parts, ()) = http::Request::get("/").body(()).unwrap().into_parts();
        let mut bytes = RequestHead::encode(&parts).bytes.as_slice().to_vec();
        let at = bytes.len() - 2;
        bytes[at..].copy_from_slice(&3u16.to_le_bytes());
        for (name, value) in [("x-streamgate-caller", "auth"), ("traceparent", "a"), ("grpc-timeout", "1S")] {
            bytes.put_u8(0);
            bytes.put_u16_le(name.len() as u16);
            bytes.put_slice(name.as_bytes());
            bytes.put_u32_le(value.len() as u32);
            bytes.put_slice(value.as_bytes());
        }
        let mut head = RequestHead::from_bytes(bytes.into());
        head.stamp(&Stamp::new("prowler", false));
        let (parts, rare) = head.decode_rare().unwrap();
        assert_eq!(rare, Rare { traceparent: true, crossings: false, grpc_timeout: true });
        assert_eq!(parts.headers.get_all(CALLER).iter().collect::<Vec<_>>(), ["prowler"]);
        assert_eq!(parts.headers["traceparent"], "a");
    }

    #[test]
    fn a_method_may_be_as_long_as_http_lets_it() {
        let method = "M".repeat(300);
        let (parts, ()) = http::Request::builder().method(&*method).body(()).unwrap().into_parts();
        assert_eq!(RequestHead::encode(&parts).decode().unwrap().method, parts.method);
    }

    #[test]
    fn a_target_without_scheme_stays_so() {
        for target in ["/", "/v/1/master.m3u8?token=a", "*"] {
            let (parts, ()) = http::Request::builder().uri(target).body(()).unwrap().into_parts();
            assert_eq!(RequestHead::encode(&parts).decode().unwrap().uri, parts.uri);
        }
    }

    /// As carried by HTTP/2.
    fn crossed(scheme: &'static str, authority: &'static str, path: &'static str) -> Uri {
        let uri = Uri::builder().scheme(scheme).authority(authority).path_and_query(path).build().unwrap();
        let (parts, ()) = http::Request::builder().uri(uri).body(()).unwrap().into_parts();
        RequestHead::encode(&parts).decode().unwrap().uri
    }

    #[test]
    fn what_only_http_2_can_say_is_said_as_everybody_reads_it() {
        let mut bare = http::uri::Parts::default();
        bare.path_and_query = Some("?x".parse().unwrap());
        let uri = Uri::from_parts(bare).unwrap();
        let (parts, ()) = http::Request::builder().uri(uri).body(()).unwrap().into_parts();
        assert_eq!(RequestHead::encode(&parts).decode().unwrap().uri, "/?x");
        assert_eq!(crossed("http", "a", "?x"), "http://a/?x");
        assert_eq!(crossed("http", "a", "*"), "*");
        assert_eq!(crossed("", "a", "/x"), "/x");
    }

    proptest! {
        #[test]
        fn any_bytes_are_read_or_refused_but_never_panic(bytes: Vec<u8>) {
            let mut stamped = RequestHead { bytes: Bytes::from(bytes.clone()).into() };
            stamped.stamp(&Stamp::new("prowler", false));
            if let Ok(parts) = stamped.decode() {
                prop_assert_eq!(&parts.headers[CALLER], "prowler");
            }
            let _ = RequestHead { bytes: Bytes::from(bytes.clone()).into() }.decode();
            let _ = ResponseHead { bytes: Bytes::from(bytes).into() }.decode();
        }

        #[test]
        fn a_damaged_head_is_refused_or_reads_alike_when_it_is_passed_on(
            damage in prop::collection::vec((0usize..160, any::<u8>()), 0..4),
        ) {
            let request = http::Request::builder().method("PUT").uri("http://storage/a/b?c=d");
            let request = request.header("content-type", "text/plain").header("x-own", "1");
            let response = http::Response::builder().header("etag", "\"1\"").header("x-own", "2");
            let heads = [
                RequestHead::encode(&request.body(()).unwrap().into_parts().0).bytes,
                ResponseHead::encode(&response.body(()).unwrap().into_parts().0).bytes,
            ];
            for head in heads {
                let mut bytes = head.as_slice().to_vec();
                for &(at, byte) in &damage {
                    let at = at % bytes.len();
                    bytes[at] = byte;
                }
                crate::fuzz::boundary_head(&bytes);
            }
        }

        #[test]
        fn every_response_head_survives_the_crossing(
            status in 100u16..1000,
            fields in prop::collection::vec(("[a-z][a-z0-9-]{0,20}", "[ -~]{0,40}"), 0..12),
        ) {
            let mut response = http::Response::builder().status(status);
            for (name, value) in &fields {
                response = response.header(name.as_str(), value.as_str());
            }
            let (parts, ()) = response.body(()).unwrap().into_parts();
            let back = ResponseHead::encode(&parts).decode().unwrap();
            prop_assert_eq!(back.status, parts.status);
            prop_assert_eq!(back.headers, parts.headers);
        }
    }
}
