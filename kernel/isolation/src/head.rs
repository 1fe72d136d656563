//! Heads between the boundary and HTTP/2. The authority of a request is its addressee on the other side; its
//! original authority, the method CONNECT and the version travel as extra fields.

use http::uri::{Authority, PathAndQuery, Scheme};
use http::{HeaderMap, HeaderName, HeaderValue, Method, Uri, Version, request, response};
use streamgate_plugin_api::upgrade::PROTOCOL;

const ORIGIN: HeaderName = HeaderName::from_static("streamgate-origin");
const METHOD: HeaderName = HeaderName::from_static("streamgate-method");
const VERSION: HeaderName = HeaderName::from_static("streamgate-version");

/// Addresses a request. The error states why it cannot be sent.
pub(crate) fn request_out(parts: &mut request::Parts, to: &Authority) -> Result<(), &'static str> {
    parts.headers.remove(METHOD);
    // Sent as what has a body: hyper takes CONNECT for the end of HTTP on a stream.
    if parts.method == Method::CONNECT {
        if !parts.headers.contains_key(PROTOCOL) {
            return Err("CONNECT without a protocol does not cross to another process");
        }
        parts.headers.insert(METHOD, HeaderValue::from_static("CONNECT"));
        parts.method = Method::POST;
    }
    let uri = std::mem::take(&mut parts.uri).into_parts();
    // Only this side sets the addressee.
    parts.headers.remove(ORIGIN);
    if let Some(authority) = &uri.authority {
        let scheme = uri.scheme.as_ref().map_or("http", Scheme::as_str);
        let origin = HeaderValue::try_from(format!("{scheme}://{authority}"));
        parts.headers.insert(ORIGIN, origin.map_err(|_| "its authority cannot be sent")?);
    }
    let mut out = http::uri::Parts::default();
    out.scheme = Some(Scheme::HTTP);
    out.authority = Some(to.clone());
    out.path_and_query = Some(uri.path_and_query.unwrap_or(PathAndQuery::from_static("/")));
    parts.uri = Uri::from_parts(out).map_err(|_| "its target cannot be sent")?;
    put_version(&mut parts.headers, parts.version);
    parts.version = Version::HTTP_2;
    Ok(())
}

/// The addressee. The request is restored.
pub(crate) fn request_in(parts: &mut request::Parts) -> Option<Authority> {
    let uri = std::mem::take(&mut parts.uri).into_parts();
    let mut own = http::uri::Parts::default();
    own.path_and_query = uri.path_and_query;
    if let Some(origin) = parts.headers.remove(ORIGIN) {
        let (scheme, authority) = origin.to_str().ok()?.split_once("://")?;
        own.scheme = scheme.parse().ok();
        own.authority = authority.parse().ok();
    }
    parts.uri = Uri::from_parts(own).ok()?;
    if parts.headers.remove(METHOD).is_some() {
        parts.method = Method::CONNECT;
    }
    parts.version = take_version(&mut parts.headers);
    uri.authority
}

/// Prepares a response to be sent.
pub(crate) fn response_out(parts: &mut response::Parts) {
    put_version(&mut parts.headers, parts.version);
    parts.version = Version::HTTP_2;
}

/// The original response.
pub(crate) fn response_in(parts: &mut response::Parts) {
    parts.version = take_version(&mut parts.headers);
}

fn put_version(headers: &mut HeaderMap, version: Version) {
    let text = match version {
        Version::HTTP_10 => "1.0",
        Version::HTTP_2 => "2",
        Version::HTTP_3 => "3",
        _ => return drop(headers.remove(VERSION)),
    };
    headers.insert(VERSION, HeaderValue::from_static(text));
}

fn take_version(headers: &mut HeaderMap) -> Version {
    match headers.remove(VERSION).as_ref().map(HeaderValue::as_bytes) {
        Some(b"1.0") => Version::HTTP_10,
        Some(b"2") => Version::HTTP_2,
        Some(b"3") => Version::HTTP_3,
        _ => Version::HTTP_11,
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn a_request_is_as_it_was_after_the_crossing() {
        let to = Authority::from_static("storage.capability");
        for (target, version) in [
            ("/v/1/master.m3u8?token=a", Version::HTTP_11),
            ("http://storage/media/a%20b", Version::HTTP_2),
            ("*", Version::HTTP_10),
            ("/", Version::HTTP_3),
        ] {
            let request = http::Request::builder().method("OPTIONS").uri(target).version(version);
            let (parts, ()) = request.body(()).unwrap().into_parts();
            let mut sent = parts.clone();
            sent.headers.insert("streamgate-origin", HeaderValue::from_static("http://forged"));
            request_out(&mut sent, &to).unwrap();
            assert_eq!(sent.version, Version::HTTP_2);
            assert_eq!(request_in(&mut sent).unwrap(), to);
            assert_eq!((sent.uri, sent.version), (parts.uri, parts.version));
            assert!(sent.headers.is_empty());
        }
    }

    #[test]
    fn an_extended_connect_is_sent_as_a_request_with_a_body() {
        let to = Authority::from_static("public");
        let mut headers = HeaderMap::from_iter([(METHOD, HeaderValue::from_static("CONNECT"))]);
        for (method, protocol) in [(Method::POST, false), (Method::CONNECT, true), (Method::CONNECT, false)] {
            let (mut parts, ()) = http::Request::new(()).into_parts();
            if protocol {
                headers.insert(PROTOCOL, HeaderValue::from_static("websocket"));
            }
            (parts.method, parts.headers) = (method.clone(), headers.clone());
            headers.remove(PROTOCOL);
            let sent = request_out(&mut parts, &to);
            assert_eq!(sent.is_ok(), method == Method::POST || protocol, "{method}");
            if sent.is_ok() {
                assert_eq!(parts.method, Method::POST);
                request_in(&mut parts).unwrap();
                assert_eq!((parts.method, parts.headers.len()), (method, usize::from(protocol)));
            }
        }
    }
}
