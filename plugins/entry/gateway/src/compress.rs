//! Compression of text for clients that accept it. Small bodies with a strong entity tag are compressed once
//! and cached; streams are compressed on the fly. Ranges, media and already encoded bodies are left alone.

use std::io::Write;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use flate2::Compression;
use flate2::write::GzEncoder;
use http::header::{
    ACCEPT_ENCODING, ACCEPT_RANGES, AUTHORIZATION, CACHE_CONTROL, CONTENT_ENCODING, CONTENT_LENGTH,
    CONTENT_RANGE, CONTENT_TYPE, COOKIE, ETAG, HOST, IF_NONE_MATCH, VARY,
};
use http::request::Parts;
use http::{HeaderMap, HeaderValue, Method, Response, StatusCode};
use http_body::{Body as _, Frame};
use streamgate_plugin_api::{Body, BoxError};

use crate::body::Content;

/// Bodies up to this size are compressed as a whole; larger ones as they stream.
const WHOLE: u64 = 1 << 20;
/// Above this size, compressing a whole body moves off the threads that serve connections.
const ON_THE_SPOT: usize = 32 << 10;
/// Memory for compressed bodies.
const CACHE: u64 = 16 << 20;

/// A content coding (RFC 9110 §8.4.1).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Coding {
    Brotli,
    Gzip,
}

impl Coding {
    fn value(self) -> HeaderValue {
        HeaderValue::from_static(match self {
            Self::Brotli => "br",
            Self::Gzip => "gzip",
        })
    }
}

/// What compression depends on in a request.
#[derive(Debug)]
pub(crate) struct Wish {
    coding: Option<Coding>,
    head_only: bool,
    /// The client's tags, if some are weak: they may have been weakened here.
    known: Option<HeaderValue>,
    /// The response may be private to the sender, whatever the tag.
    credentials: bool,
    key: String,
}

/// What to do with a response.
pub(crate) enum Decision {
    /// It is sent unchanged.
    Settled(Response<Content>),
    /// It is to be compressed.
    Compress(Box<Work>),
}

/// A response that is to be compressed.
pub(crate) struct Work {
    wish: Wish,
    coding: Coding,
    parts: http::response::Parts,
    body: Body,
}

#[derive(Debug, Clone)]
struct ByBytes;

impl quick_cache::Weighter<Arc<str>, Bytes> for ByBytes {
    fn weight(&self, key: &Arc<str>, data: &Bytes) -> u64 {
        (key.len() + data.len() + 128) as u64
    }
}

/// Compresses responses.
#[derive(Debug)]
pub(crate) struct Compressor {
    min: u64,
    encode: Encode,
    cache: quick_cache::sync::Cache<Arc<str>, Bytes, ByBytes>,
}

impl Compressor {
    /// Leaves bodies below `min` bytes uncompressed.
    pub(crate) fn new(min: u64) -> Self {
        Self { min, encode, cache: quick_cache::sync::Cache::with_weighter(256, CACHE, ByBytes) }
    }

    /// What a request accepts; `None` if compression is impossible anyway.
    pub(crate) fn wish(&self, parts: &Parts) -> Option<Wish> {
        if !matches!(parts.method, Method::GET | Method::HEAD) {
            return None;
        }
        let accepted = parts.headers.get(ACCEPT_ENCODING)?;
        let coding = negotiate(accepted.to_str().unwrap_or_default());
        let known = parts
            .headers
            .get(IF_NONE_MATCH)
            .filter(|tags| tags.as_bytes().windows(2).any(|two| two == b"W/"));
        let host = parts.headers.get(HOST).and_then(|host| host.to_str().ok()).unwrap_or_default();
        let target = parts.uri.path_and_query().map_or("/", |target| target.as_str());
        Some(Wish {
            coding,
            head_only: parts.method == Method::HEAD,
            known: known.cloned(),
            credentials: [AUTHORIZATION, COOKIE].iter().any(|name| parts.headers.contains_key(name)),
            key: format!("{host}{target}"),
        })
    }

    /// Decides at once what to do with a response. Only compression takes time, and a future.
    pub(crate) fn decide(&self, wish: Option<Wish>, response: Response<Body>) -> Decision {
        let (mut parts, body) = response.into_parts();
        let plain = |parts, body| Decision::Settled(Response::from_parts(parts, Content::Plain(body)));
        if parts.status == StatusCode::NOT_MODIFIED {
            // The client compared a tag that was weakened here: it gets back the tag that it knows.
            if let Some(known) = wish.as_ref().and_then(|wish| wish.known.as_ref())
                && let Some(weak) = parts.headers.get(ETAG).and_then(weaken)
                && contains(known.as_bytes(), weak.as_bytes())
            {
                parts.headers.insert(ETAG, weak);
                vary(&mut parts.headers);
            }
            return plain(parts, body);
        }
        if !self.worth_it(parts.status, &parts.headers, &body) {
            return plain(parts, body);
        }
        vary(&mut parts.headers);
        match wish.and_then(|wish| wish.coding.map(|coding| (wish, coding))) {
            None => plain(parts, body),
            Some((wish, coding)) => Decision::Compress(Box::new(Work { wish, coding, parts, body })),
        }
    }

    /// Compresses.
    pub(crate) async fn compress(&self, work: Box<Work>) -> Response<Content> {
        let Work { wish, mut coding, mut parts, body } = *work;
        let size = body.size_hint().exact().filter(|size| *size <= WHOLE);
        if size.is_none() && !wish.head_only {
            coding = Coding::Gzip;
        }
        // RFC 9111 §3.5.
        let is_public = || parts.headers.get_all(CACHE_CONTROL).iter().any(|it| says(it, b"public"));
        let shared = !wish.credentials || is_public();
        let strong = parts.headers.get(ETAG).filter(|tag| shared && tag.as_bytes().starts_with(b"\""));
        let key = strong.map(|tag| Arc::from(format!("{coding:?} {tag:?} {}", wish.key)));
        let content = match (size, wish.head_only) {
            (_, true) => Content::Plain(body),
            (None, false) => Content::Gzip(Box::new(Gzip::new(body))),
            (Some(size), false) => match self.whole(coding, key, body, size as usize).await {
                Ok(data) => Content::Whole(data),
                Err(plain) => return Response::from_parts(parts, Content::Plain(plain)),
            },
        };
        match &content {
            Content::Whole(data) => drop(parts.headers.insert(CONTENT_LENGTH, data.len().into())),
            _ => drop(parts.headers.remove(CONTENT_LENGTH)),
        }
        parts.headers.insert(CONTENT_ENCODING, coding.value());
        parts.headers.remove(ACCEPT_RANGES);
        if let Some(weak) = parts.headers.get(ETAG).and_then(weaken) {
            parts.headers.insert(ETAG, weak);
        }
        Response::from_parts(parts, content)
    }

    fn worth_it(&self, status: StatusCode, headers: &HeaderMap, body: &Body) -> bool {
        if matches!(
            status,
            StatusCode::PARTIAL_CONTENT | StatusCode::NO_CONTENT | StatusCode::RANGE_NOT_SATISFIABLE
        ) {
            return false;
        }
        let mut text = false;
        let mut size = None;
        for (name, value) in headers {
            match *name {
                CONTENT_TYPE => text = compressible(value),
                CONTENT_LENGTH => size = value.to_str().ok().and_then(|length| length.parse::<u64>().ok()),
                CONTENT_ENCODING | CONTENT_RANGE => return false,
                CACHE_CONTROL if says(value, b"no-transform") => return false,
                _ => {}
            }
        }
        text && size.or_else(|| body.size_hint().exact()).is_none_or(|size| size >= self.min)
    }

    /// The compressed body, from memory if it was compressed before. The error is the body to be sent
    /// instead: an interrupted body ends with its error here too, and one that could not be compressed is
    /// whole.
    async fn whole(
        &self,
        coding: Coding,
        key: Option<Arc<str>>,
        body: Body,
        size: usize,
    ) -> Result<Bytes, Body> {
        if let Some(data) = key.as_ref().and_then(|key| self.cache.get(key)) {
            return Ok(data);
        }
        let data = match body.collect_bytes(size).await {
            Ok(data) => data,
            Err(error) => return Err(Body::from_stream(futures_util::stream::iter([Err(error)]))),
        };
        let effort = if key.is_some() { Effort::Kept } else { Effort::Once };
        let (encode, input) = (self.encode, data.clone());
        let work = move || encode(coding, effort, &input);
        let compressed = if data.len() <= ON_THE_SPOT {
            catch_unwind(AssertUnwindSafe(work)).map_err(|_| "it panicked".to_owned())
        } else {
            tokio::task::spawn_blocking(work).await.map_err(|error| error.to_string())
        };
        let compressed = match compressed {
            Ok(compressed) => compressed,
            Err(reason) => {
                tracing::error!(
                    ?coding,
                    bytes = data.len(),
                    reason,
                    "a body could not be compressed; it is sent as it is"
                );
                return Err(Body::from(data));
            }
        };
        if let Some(key) = key {
            self.cache.insert(key, compressed.clone());
        }
        Ok(compressed)
    }
}

/// Compresses a whole body.
type Encode = fn(Coding, Effort, &[u8]) -> Bytes;

/// Compression level.
#[derive(Debug, Clone, Copy)]
enum Effort {
    /// The result is cached.
    Kept,
    /// The result is sent once.
    Once,
}

fn encode(coding: Coding, effort: Effort, data: &[u8]) -> Bytes {
    let mut out = Vec::with_capacity(data.len() / 3 + 64);
    // Writing to memory never fails.
    match coding {
        Coding::Brotli => {
            let quality = match effort {
                Effort::Kept => 5,
                Effort::Once => 2,
            };
            let mut writer = brotli::CompressorWriter::new(&mut out, 4096, quality, 20);
            let _ = writer.write_all(data);
        }
        Coding::Gzip => {
            let level = match effort {
                Effort::Kept => Compression::new(6),
                Effort::Once => Compression::new(2),
            };
            let mut writer = GzEncoder::new(&mut out, level);
            let _ = writer.write_all(data);
            let _ = writer.finish();
        }
    }
    out.into()
}

/// A body that is compressed as it streams.
pub(crate) struct Gzip {
    body: Body,
    encoder: Option<GzEncoder<Vec<u8>>>,
    /// Whether something was written and not flushed yet.
    dirty: bool,
}

impl Gzip {
    fn new(body: Body) -> Self {
        Self { body, encoder: Some(GzEncoder::new(Vec::new(), Compression::new(2))), dirty: false }
    }

    pub(crate) fn poll_frame(
        &mut self,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        loop {
            let Some(encoder) = &mut self.encoder else { return Poll::Ready(None) };
            let frame = match Pin::new(&mut self.body).poll_frame(cx) {
                Poll::Pending => {
                    // Received bytes must not be held back: they are sent before the next wait.
                    if std::mem::take(&mut self.dirty) && encoder.flush().is_ok() {
                        return Poll::Ready(Some(Ok(Frame::data(std::mem::take(encoder.get_mut()).into()))));
                    }
                    return Poll::Pending;
                }
                ready => ready!(ready),
            };
            match frame {
                Some(Ok(frame)) => {
                    let Ok(data) = frame.into_data() else { continue };
                    encoder.write_all(&data)?;
                    self.dirty = true;
                    if encoder.get_ref().len() >= 8 << 10 {
                        return Poll::Ready(Some(Ok(Frame::data(std::mem::take(encoder.get_mut()).into()))));
                    }
                }
                Some(Err(error)) => {
                    self.encoder = None;
                    return Poll::Ready(Some(Err(error.into())));
                }
                None => {
                    let rest = self.encoder.take().map(GzEncoder::finish).transpose()?.unwrap_or_default();
                    return Poll::Ready(Some(Ok(Frame::data(rest.into()))));
                }
            }
        }
    }
}

/// The best of our codings that `Accept-Encoding` allows (RFC 9110 §12.5.3).
fn negotiate(accepted: &str) -> Option<Coding> {
    let (mut brotli, mut gzip, mut any) = (None, None, None);
    for item in accepted.split(',') {
        let mut parts = item.split(';');
        let name = parts.next().unwrap_or_default().trim();
        let quality = parts
            .find_map(|parameter| parameter.trim().strip_prefix("q=").or(parameter.trim().strip_prefix("Q=")))
            .map_or(1.0, |quality| quality.trim().parse::<f32>().unwrap_or(0.0));
        let slot = if name.eq_ignore_ascii_case("br") {
            &mut brotli
        } else if name.eq_ignore_ascii_case("gzip") || name.eq_ignore_ascii_case("x-gzip") {
            &mut gzip
        } else if name == "*" {
            &mut any
        } else {
            continue;
        };
        *slot = Some(quality);
    }
    let brotli = brotli.or(any).unwrap_or(0.0);
    let gzip = gzip.or(any).unwrap_or(0.0);
    if brotli > 0.0 && brotli >= gzip { Some(Coding::Brotli) } else { (gzip > 0.0).then_some(Coding::Gzip) }
}

/// Text and text-like types; not server-sent events, which must not wait for a compressor.
fn compressible(content_type: &HeaderValue) -> bool {
    let Ok(content_type) = content_type.to_str() else { return false };
    let kind = content_type.split(';').next().unwrap_or_default().trim();
    let starts =
        |prefix: &str| kind.get(..prefix.len()).is_some_and(|start| start.eq_ignore_ascii_case(prefix));
    let ends = |suffix: &str| {
        kind.len()
            .checked_sub(suffix.len())
            .and_then(|at| kind.get(at..))
            .is_some_and(|end| end.eq_ignore_ascii_case(suffix))
    };
    let is = |name: &str| kind.eq_ignore_ascii_case(name);
    (starts("text/") && !is("text/event-stream"))
        || ends("+json")
        || ends("+xml")
        || [
            "application/json",
            "application/javascript",
            "application/xml",
            "application/wasm",
            "application/x-mpegurl",
            "application/vnd.apple.mpegurl",
        ]
        .iter()
        .any(|name| is(name))
}

/// Whether a `Cache-Control` has a directive (RFC 9111 §5.2.2).
fn says(control: &HeaderValue, wanted: &[u8]) -> bool {
    let mut directives = control.as_bytes().split(|&b| b == b',').map(<[u8]>::trim_ascii);
    directives.any(|directive| directive.eq_ignore_ascii_case(wanted))
}

fn contains(hay: &[u8], needle: &[u8]) -> bool {
    hay.windows(needle.len()).any(|window| window.eq_ignore_ascii_case(needle))
}

/// The weak form of a strong tag; `None` if it is weak already or not a tag.
fn weaken(tag: &HeaderValue) -> Option<HeaderValue> {
    tag.as_bytes()
        .starts_with(b"\"")
        .then(|| HeaderValue::from_bytes(&[b"W/", tag.as_bytes()].concat()).ok())?
}

fn vary(headers: &mut HeaderMap) {
    let named = headers
        .get_all(VARY)
        .iter()
        .any(|value| contains(value.as_bytes(), b"accept-encoding") || value.as_bytes() == b"*");
    if !named {
        headers.append(VARY, HeaderValue::from_static("accept-encoding"));
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use http::HeaderName;
    use proptest::prelude::*;
    use std::io::Read;

    #[test]
    fn the_client_chooses_and_brotli_wins_a_draw() {
        for (accepted, coding) in [
            ("gzip, deflate, br", Some(Coding::Brotli)),
            ("gzip", Some(Coding::Gzip)),
            ("br;q=0.5, gzip;q=0.9", Some(Coding::Gzip)),
            ("br;q=0, gzip;q=0", None),
            ("*", Some(Coding::Brotli)),
            ("*;q=0.1, br;q=0", Some(Coding::Gzip)),
            ("identity", None),
            ("", None),
            ("gzip;q=nonsense", None),
        ] {
            assert_eq!(negotiate(accepted), coding, "{accepted}");
        }
    }

    #[test]
    fn text_is_compressible_and_media_is_not() {
        for (kind, expected) in [
            ("text/html; charset=utf-8", true),
            ("application/vnd.apple.mpegurl", true),
            ("application/dash+xml", true),
            ("image/svg+xml", true),
            ("application/problem+json", true),
            ("text/event-stream", false),
            ("video/mp4", false),
            ("image/jpeg", false),
            ("", false),
        ] {
            assert_eq!(compressible(&HeaderValue::from_static(kind)), expected, "{kind}");
        }
    }

    fn text(data: &Bytes) -> Response<Body> {
        let response = Response::builder()
            .header(CONTENT_TYPE, "text/plain")
            .header(CONTENT_LENGTH, data.len())
            .header(ETAG, "\"1\"");
        response.body(data.clone().into()).unwrap()
    }

    async fn compressed(compressor: &Compressor, data: &Bytes) -> (HeaderMap, Bytes) {
        compressed_for(compressor, data, &[]).await
    }

    async fn compressed_for(
        compressor: &Compressor,
        data: &Bytes,
        fields: &[(HeaderName, &str)],
    ) -> (HeaderMap, Bytes) {
        let mut request = http::Request::get("/a").header(ACCEPT_ENCODING, "br");
        for (name, value) in fields {
            request = request.header(name, *value);
        }
        let request = request.body(()).unwrap();
        let wish = compressor.wish(&request.into_parts().0);
        let Decision::Compress(work) = compressor.decide(wish, text(data)) else { panic!("it is worth it") };
        let (parts, content) = compressor.compress(work).await.into_parts();
        let data = match content {
            Content::Whole(data) => data,
            Content::Plain(body) => body.collect_bytes(data.len()).await.unwrap(),
            Content::Gzip(_) => panic!("it is not streamed"),
        };
        (parts.headers, data)
    }

    #[tokio::test]
    async fn a_response_to_credentials_is_not_sent_to_another_caller_with_the_same_tag() {
        let compressor = Compressor::new(1);
        let (theirs, everybodys) = (Bytes::from(vec![b'a'; 1_000]), Bytes::from(vec![b'b'; 1_000]));
        for fields in [[(AUTHORIZATION, "Bearer ann")], [(COOKIE, "session=ann")]] {
            for (fields, data) in [(&fields[..], &theirs), (&[], &everybodys), (&fields, &theirs)] {
                let (_, sent) = compressed_for(&compressor, data, fields).await;
                assert_eq!(decode(Coding::Brotli, &sent), **data, "{fields:?}");
            }
        }
    }

    #[tokio::test]
    async fn a_body_that_cannot_be_compressed_is_sent_as_it_is_and_none_is_kept_in_its_place() {
        for size in [1_000, ON_THE_SPOT + 1] {
            let data = Bytes::from(vec![b'a'; size]);
            let mut compressor = Compressor::new(1);
            compressor.encode = |_, _, _| panic!("the encoder fails");
            let (headers, sent) = compressed(&compressor, &data).await;
            assert_eq!(sent, data);
            assert!(!headers.contains_key(CONTENT_ENCODING), "{headers:?}");
            assert_eq!((&headers[CONTENT_LENGTH], &headers[ETAG]), (&size.into(), &"\"1\"".parse().unwrap()));

            compressor.encode = encode;
            let (headers, sent) = compressed(&compressor, &data).await;
            assert_eq!(
                (&headers[CONTENT_ENCODING], &headers[CONTENT_LENGTH]),
                (&"br".parse().unwrap(), &sent.len().into())
            );
            assert_eq!(decode(Coding::Brotli, &sent), data);
        }
    }

    fn decode(coding: Coding, data: &[u8]) -> Vec<u8> {
        let mut out = Vec::new();
        match coding {
            Coding::Brotli => brotli::Decompressor::new(data, 4096).read_to_end(&mut out).unwrap(),
            Coding::Gzip => flate2::read::GzDecoder::new(data).read_to_end(&mut out).unwrap(),
        };
        out
    }

    proptest! {
        #[test]
        fn what_is_compressed_comes_back_as_it_was(data: Vec<u8>) {
            for coding in [Coding::Brotli, Coding::Gzip] {
                for effort in [Effort::Kept, Effort::Once] {
                    prop_assert_eq!(&decode(coding, &encode(coding, effort, &data)), &data);
                }
            }
        }

        #[test]
        fn no_accept_encoding_makes_the_choice_panic(accepted in ".{0,60}") {
            let _ = negotiate(&accepted);
        }
    }
}
