//! Entries for the fuzz targets, not an API: bytes from a client, a plugin or a person, and what must hold
//! for all of them.

use std::fmt::{Debug, Display};
use std::time::UNIX_EPOCH;

use bytes::Bytes;
use http::uri::{Authority, Scheme};
use http::{HeaderMap, HeaderName, HeaderValue, Method, Uri, Version, header};
use serde::de::IntoDeserializer;

use crate::abi::{RequestHead, ResponseHead};
use crate::conditional::{Validators, Verdict};
use crate::range::Part;
use crate::settings::{ByteSize, Duration};
use crate::trace::TraceContext;

/// A `traceparent`: a parsed one is passed on unchanged.
pub fn traceparent(data: &[u8]) {
    let Ok(context) = TraceContext::from_bytes(data) else { return };
    let passed_on = context.to_header();
    assert!(TraceContext::from_bytes(passed_on.as_bytes()) == Ok(context));
    assert!(context.to_string().as_bytes() == passed_on.as_bytes());
    assert!(data[3..52] == passed_on.as_bytes()[3..52]);
    assert!(TraceContext::from_bytes(context.child().to_header().as_bytes()).is_ok());
}

/// Heads from the other side: a decoded one encodes to an equal one.
pub fn boundary_head(data: &[u8]) {
    let bytes = Bytes::copy_from_slice(data);
    if let Ok(parts) = RequestHead::from_bytes(bytes.clone()).decode() {
        assert_crosses(&parts);
    }
    if let Ok(parts) = ResponseHead::from_bytes(bytes).decode() {
        let back = ResponseHead::encode(&parts).decode().expect("what was written is read");
        assert!((back.status, back.version) == (parts.status, parts.version));
        assert_same(&back.headers, &parts.headers);
    }
}

/// A byte for the number of bytes, then header fields, one per line: a byte that selects the name, and the
/// value.
pub fn range(data: &[u8]) {
    let names = [
        header::RANGE,
        header::IF_RANGE,
        header::IF_MATCH,
        header::IF_NONE_MATCH,
        header::IF_MODIFIED_SINCE,
        header::IF_UNMODIFIED_SINCE,
    ];
    let Some((size, fields)) = data.split_first() else { return };
    let size = u64::from(*size);
    let mut request = HeaderMap::new();
    for line in fields.split(|byte| *byte == b'\n') {
        let Some((name, value)) = line.split_first() else { continue };
        if let Ok(value) = HeaderValue::from_bytes(value) {
            request.append(names[usize::from(*name) % names.len()].clone(), value);
        }
    }
    let etag = HeaderValue::from_static("\"abc\"");
    let modified = UNIX_EPOCH + std::time::Duration::from_secs(1_700_000_000);
    let validators = Validators { etag: Some(&etag), modified: Some(modified) };
    if validators.judge(&request) != Verdict::Holds {
        assert!(names[2..].iter().any(|name| request.contains_key(name)));
    }
    match Part::of(&Method::GET, &request, &validators, size) {
        Part::Slice(first, end) => assert!(first < end && end <= size, "{first}..{end} of {size}"),
        Part::Unsatisfiable => assert!(request.contains_key(header::RANGE)),
        Part::Whole => {}
    }
}

/// A request from a client, over the boundary: method, scheme, authority, path and fields, one per line.
pub fn boundary_request(data: &[u8]) {
    let mut lines = data.split(|byte| *byte == b'\n');
    let mut next = || lines.next().unwrap_or_default();
    let (mut parts, ()) = http::Request::new(()).into_parts();
    parts.method = Method::from_bytes(next()).unwrap_or_default();
    let mut uri = http::uri::Parts::default();
    uri.scheme = Scheme::try_from(next()).ok();
    uri.authority = Authority::try_from(next()).ok().filter(|authority| authority != "*");
    uri.path_and_query = Some(next()).filter(|path| !path.is_empty()).and_then(|path| path.try_into().ok());
    let Ok(uri) = Uri::from_parts(uri) else { return };
    parts.uri = uri;
    parts.version = if data.len().is_multiple_of(2) { Version::HTTP_11 } else { Version::HTTP_2 };
    for line in lines {
        let Some(colon) = line.iter().position(|byte| *byte == b':') else { continue };
        if let (Ok(name), Ok(mut value)) =
            (HeaderName::from_bytes(&line[..colon]), HeaderValue::from_bytes(&line[colon + 1..]))
        {
            value.set_sensitive(line.len() % 2 == 0);
            parts.headers.append(name, value);
        }
    }
    assert_crosses(&parts);
}

fn assert_crosses(parts: &http::request::Parts) {
    let back = RequestHead::encode(parts).decode().unwrap_or_else(|error| panic!("{parts:?}: {error}"));
    assert!(back.method == parts.method, "{} has become {}", parts.method, back.method);
    let (sent, read) = (&parts.uri, &back.uri);
    let alike = read.path() == sent.path() || read.path().strip_prefix('/') == Some(sent.path());
    let dropped = sent.path() == "*" || sent.scheme_str() == Some("");
    let host = dropped || (read.scheme(), read.authority()) == (sent.scheme(), sent.authority());
    assert!(alike && host && read.query() == sent.query(), "{sent:?} has become {read:?}");
    assert!(back.version == parts.version);
    assert_same(&back.headers, &parts.headers);
}

fn assert_same(one: &HeaderMap, other: &HeaderMap) {
    assert!(one == other, "{one:?} is not {other:?}");
    let sensitive = |headers: &HeaderMap| headers.values().filter(|value| value.is_sensitive()).count();
    assert!(sensitive(one) == sensitive(other));
}

/// A duration and a size, as text: a parsed one is written as an equal one.
pub fn config(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    reads_alike::<Duration>(text);
    reads_alike::<ByteSize>(text);
}

fn reads_alike<T: serde::de::DeserializeOwned + Display + Debug + PartialEq>(text: &str) {
    let read =
        |text: &str| T::deserialize(IntoDeserializer::<serde::de::value::Error>::into_deserializer(text));
    let Ok(value) = read(text) else { return };
    let again = read(&value.to_string());
    assert!(again.as_ref() == Ok(&value), "{text:?} is {value}, then {again:?}");
}
