//! Entries for the fuzz targets, not an API: bytes from a client, and what must hold for all of them.

use std::net::Ipv4Addr;

use http::header::{CONNECTION, CONTENT_LENGTH, HOST};
use http::{HeaderMap, HeaderName, HeaderValue, Method, Uri, Version};

use crate::compress::Compressor;
use crate::head::{self, Peer, Survey};
use crate::vet::{self, HeadLimits};

/// A target, then header fields in the form of HTTP/1.1, one per line.
pub fn head(data: &[u8]) {
    let mut lines = data.split(|byte| *byte == b'\n');
    let target = lines.next().unwrap_or_default();
    // HTTP/2 splits the target itself, and less strictly.
    let split = || Uri::builder().scheme("http").authority("a").path_and_query(target).build().ok();
    let http2 = data.len() % 2 == 1;
    let Some(target) = (if http2 { split() } else { Uri::try_from(target).ok() }) else { return };
    let mut sent = HeaderMap::new();
    for line in lines {
        let Some(colon) = line.iter().position(|byte| *byte == b':') else { continue };
        if let (Ok(name), Ok(value)) =
            (HeaderName::from_bytes(&line[..colon]), HeaderValue::from_bytes(line[colon + 1..].trim_ascii()))
        {
            sent.append(name, value);
        }
    }
    let (mut parts, ()) = http::Request::new(()).into_parts();
    (parts.uri, parts.headers) = (target, sent.clone());
    if http2 {
        parts.version = Version::HTTP_2;
    }
    let survey = Survey::of(&parts.headers);
    parts.method = if data.len() % 3 == 1 { Method::POST } else { Method::OPTIONS };
    let before = parts.method.clone();
    let settled = vet::settle_method(&mut parts, &survey);
    assert!(parts.method == before || before == Method::POST, "{before} became {}", parts.method);
    if settled.is_err() {
        return;
    }
    let _ = Compressor::new(0).wish(&parts);
    if vet::vet(&parts, &survey, &HeadLimits { fields: 100, bytes: 16 << 10 }).is_err() {
        return;
    }
    assert!(sent.get_all(HOST).iter().count() <= 1);
    let path = parts.uri.path().to_ascii_lowercase().replace("%2e", ".");
    let leaves = path.split(['/', '\\']).any(|segment| matches!(segment, "." | ".."));
    assert!(path.starts_with('/'), "{path:?} went through");
    assert!(!leaves && !path.contains("%00"), "{path:?} went through");

    let id = head::put_on(&mut parts, &survey, &Peer::new(Ipv4Addr::LOCALHOST.into(), &[].into()));
    let headers = &mut parts.headers;
    let one = |headers: &HeaderMap, name: &str| match headers.get_all(name).iter().collect::<Vec<_>>()[..] {
        [value] => value.clone(),
        ref values => panic!("{name}: {values:?}"),
    };
    assert!(one(headers, "x-forwarded-for") == "127.0.0.1" && one(headers, "x-forwarded-proto") == "http");
    assert!(!headers.contains_key("forwarded") && !headers.contains_key("x-forwarded-host"));
    assert!(one(headers, "x-request-id") == id && id.to_str().is_ok_and(|id| (1..=128).contains(&id.len())));
    assert!(
        streamgate_plugin_api::trace::TraceContext::from_bytes(one(headers, "traceparent").as_bytes())
            .is_ok()
    );
    assert!(!headers.keys().any(|name| name.as_str().starts_with(streamgate_plugin_api::principal::PREFIX)));
    for name in ["connection", "transfer-encoding", "te", "trailer", "upgrade", "keep-alive", "expect"] {
        assert!(!headers.contains_key(name), "{name} went through");
    }
    // RFC 9110 §7.6.1: the fields listed in any line of Connection are for the connection.
    let kept = |name: &HeaderName| {
        let own = ["accept-encoding", "x-forwarded-for", "x-forwarded-proto", "x-request-id", "traceparent"];
        *name == HOST || *name == CONTENT_LENGTH || own.contains(&name.as_str())
    };
    for listed in sent.get_all(CONNECTION) {
        let names = listed.to_str().unwrap_or_default().split(',');
        for name in names.filter_map(|name| HeaderName::try_from(name.trim()).ok()) {
            assert!(kept(&name) || !headers.contains_key(&name), "{name} went through");
        }
    }
    head::finish(headers, id.clone());
    assert!(one(headers, "x-request-id") == id);
}
