//! Heads between the boundary and HTTP/2. The authority of a request is its addressee on the other side; its
//! original authority, and the version, travel as extra fields.

use http::uri::{Authority, PathAndQuery, Scheme};
use http::{HeaderMap, HeaderName, HeaderValue, Method, Uri, Version, request, response};

const ORIGIN: HeaderName = HeaderName::from_static("streamgate-origin");
const VERSION: HeaderName = HeaderName::from_static("streamgate-version");

/// Addresses a request. The error states why it cannot be sent.
pub(crate) fn request_out(parts: &mut request::Parts, to: &Authority) -> Result<(), &'static str> {
    if parts.method == Method::CONNECT {
        return Err("CONNECT does not cross to another process");
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
}
