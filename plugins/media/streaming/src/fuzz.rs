//! Entries for the fuzz targets, not an API: bytes as a client may send them, and what must hold whatever they are.

use bytes::Bytes;
use futures_util::FutureExt as _;
use http::{HeaderMap, HeaderValue, Method, StatusCode, header};
use streamgate_contracts::renditions::folder;

use crate::gate::token::{Claims, Key};
use crate::object::answer::{Entity, IMMUTABLE, etag_of};
use crate::object::path::{self, ContentId, Item};

const HERE: &str = "0199c3a4-5b6c-7d8e-9f01-23456789abcd";
const THERE: &str = "0199c3a4-5b6c-7d8e-9f01-23456789abce";

/// A request path: an item has exactly one path.
pub fn stream_path(data: &[u8]) {
    let Ok(given) = std::str::from_utf8(data) else { return };
    let Some((id, item)) = path::parse(given) else { return };
    let rest = match item {
        Item::Multivariant => "master.m3u8".to_owned(),
        Item::Manifest => "manifest.mpd".to_owned(),
        Item::Playlist(rendition) => format!("{rendition}/index.m3u8"),
        Item::IFrames(rendition) => format!("{rendition}/iframes.m3u8"),
        Item::Init(it) => format!("{}/init.mp4", folder(it.name, it.generation)),
        Item::Segment(it, number) => format!("{}/{number}.m4s", folder(it.name, it.generation)),
        Item::Text(text, version) => format!("{text}/{version}.vtt"),
        Item::Chapters => "chapters.vtt".to_owned(),
        Item::Poster => "poster.jpg".to_owned(),
        Item::Thumbnails => "thumbnails.vtt".to_owned(),
        Item::ThumbnailSheet(number) => format!("thumbnails-{number}.jpg"),
    };
    assert!(given == format!("/v/{id}/{rest}"), "{given:?} is not the one path of {item:?}");
}

/// A query string with a token in it: only tokens made by this key are accepted, and only for their own
/// content.
pub fn stream_token(data: &[u8]) {
    let key = Key::new(&[7; 32]);
    let (Some(here), Some(there)) = (ContentId::parse(HERE), ContentId::parse(THERE)) else { return };
    if let Ok(query) = std::str::from_utf8(data) {
        assert!(key.claims(here, Some(query)).is_none(), "{query:?} was forged");
    }
    let mut bytes = data.iter().copied().chain(std::iter::repeat(0));
    let claims = Claims {
        playback: std::array::from_fn(|_| bytes.next().unwrap_or(0)),
        principal: std::array::from_fn(|_| bytes.next().unwrap_or(0)),
        generation: u64::from_be_bytes(std::array::from_fn(|_| bytes.next().unwrap_or(0))),
        issued_at: bytes.by_ref().take(5).fold(0, |all, byte| all << 8 | u64::from(byte)),
    };
    let token = key.mint(here, &claims);
    assert!(key.read(here, &token) == Some(claims));
    assert!(key.read(there, &token).is_none());
    // Changes one of its bytes.
    let (place, mask) = (bytes.next().unwrap_or(0), bytes.next().unwrap_or(0) & 0x7f);
    let mut forged = token.clone().into_bytes();
    let at = usize::from(place) % forged.len();
    forged[at] ^= mask;
    if let (Ok(forged), true) = (String::from_utf8(forged), mask != 0) {
        assert!(key.read(here, &forged).is_none(), "{forged:?} was forged from {token:?}");
    }
}

/// A byte for the number of bytes in memory, then `Range`, `If-Range` and `If-None-Match`, one per line.
pub fn range(data: &[u8]) {
    let Some((size, fields)) = data.split_first() else { return };
    let size = usize::from(*size);
    let body = Bytes::from(vec![7; size]);
    let mut headers = HeaderMap::new();
    let names = [header::RANGE, header::IF_RANGE, header::IF_NONE_MATCH];
    for (name, line) in names.into_iter().zip(fields.split(|byte| *byte == b'\n')) {
        if let (false, Ok(value)) = (line.is_empty(), HeaderValue::from_bytes(line)) {
            headers.insert(name, value);
        }
    }
    let etag = etag_of(&body);
    let entity = Entity::new(body, HeaderValue::from_static("video/mp4"), IMMUTABLE, etag);
    for method in [Method::GET, Method::HEAD] {
        let answer = entity.answer(&method, &headers);
        let (answer, body) = answer.into_parts();
        let sent = body.collect_bytes(1 << 10).now_or_never().and_then(Result::ok).map(|sent| sent.len());
        let announced = answer.headers.get(header::CONTENT_LENGTH).and_then(|value| value.to_str().ok());
        match answer.status {
            StatusCode::OK if method == Method::GET => assert!(sent == Some(size)),
            StatusCode::OK => assert!(sent == Some(0)),
            StatusCode::PARTIAL_CONTENT => {
                assert!(method == Method::GET);
                assert!(sent.is_some_and(|sent| (1..=size).contains(&sent)));
                assert!(announced == sent.map(|sent| sent.to_string()).as_deref());
            }
            StatusCode::NOT_MODIFIED => assert!(headers.contains_key(header::IF_NONE_MATCH)),
            StatusCode::RANGE_NOT_SATISFIABLE => assert!(headers.contains_key(header::RANGE)),
            other => panic!("{other}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn no_query_opens_anything(data in proptest::collection::vec(any::<u8>(), 0..120)) {
            super::stream_token(&data);
            super::stream_token(&[b"t=", data.as_slice()].concat());
        }
    }
}
