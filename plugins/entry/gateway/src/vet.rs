//! Which requests are refused at once, and the effective method of each. Pure decisions, made before any
//! filter.

use http::header::{EXPECT, HOST};
use http::request::Parts;
use http::{HeaderName, HeaderValue, Method, Version};
use hyper::ext::Protocol;
use streamgate_plugin_api::{Problem, problems};

use crate::head::Survey;
use crate::websocket::is_websocket;

/// Method override fields. The first is that of tus 1.0 §Requests; frameworks obey the others.
const METHOD_OVERRIDES: [HeaderName; 3] = [
    HeaderName::from_static("x-http-method-override"),
    HeaderName::from_static("x-http-method"),
    HeaderName::from_static("x-method-override"),
];

/// Limits of a head.
#[derive(Debug, Clone, Copy)]
pub(crate) struct HeadLimits {
    pub(crate) fields: usize,
    pub(crate) bytes: usize,
}

/// Sets the effective method of a request before any check, and removes the override fields: what is checked
/// is what is executed. Only POST may become another method, and only PATCH, DELETE or HEAD.
pub(crate) fn settle_method(parts: &mut Parts, survey: &Survey) -> Result<(), Box<Problem>> {
    if !survey.overrides {
        return Ok(());
    }
    let asked: Vec<_> = METHOD_OVERRIDES
        .iter()
        .flat_map(|name| match parts.headers.entry(name) {
            http::header::Entry::Occupied(found) => found.remove_entry_mult().1.collect::<Vec<_>>(),
            http::header::Entry::Vacant(_) => Vec::new(),
        })
        .collect();
    let wanted = asked.first().map(HeaderValue::as_bytes).unwrap_or_default();
    let method = [Method::PATCH, Method::DELETE, Method::HEAD]
        .into_iter()
        .find(|method| wanted.eq_ignore_ascii_case(method.as_str().as_bytes()));
    match method {
        Some(method) if parts.method == Method::POST && asked.iter().all(|other| other == asked[0]) => {
            parts.method = method;
            Ok(())
        }
        _ => {
            let wanted: String = String::from_utf8_lossy(wanted).chars().take(32).collect();
            let detail = format!(
                "{} cannot be overridden with `{wanted}`. Send the method itself, or POST with one \
                 X-HTTP-Method-Override: PATCH, DELETE or HEAD.",
                parts.method
            );
            Err(Box::new(Problem::of(problems::INVALID_METHOD_OVERRIDE).detail(detail)))
        }
    }
}

/// Refuses a request whose head is too large, ambiguous or hostile.
pub(crate) fn vet(parts: &Parts, survey: &Survey, limits: &HeadLimits) -> Result<(), Box<Problem>> {
    let refused = |kind, detail: String| Err(Box::new(Problem::of(kind).detail(detail)));
    let malformed = |kind, detail: &str| refused(kind, detail.to_owned());
    let headers = &parts.headers;
    let target = parts.uri.path_and_query().map_or(0, |target| target.as_str().len());
    if headers.len() > limits.fields || target + survey.bytes > limits.bytes {
        let text =
            format!("At most {} fields with {} bytes in total are accepted.", limits.fields, limits.bytes);
        return refused(problems::HEADER_TOO_LARGE, text);
    }
    if matches!(parts.method, Method::CONNECT | Method::TRACE) && !is_websocket(parts) {
        if let Some(protocol) = parts.extensions.get::<Protocol>() {
            let protocol: String = protocol.as_str().chars().take(32).collect();
            let text = format!("The protocol `{protocol}` is not supported; `websocket` is.");
            return refused(problems::PROTOCOL_NOT_IMPLEMENTED, text);
        }
        let text = format!("The method {} is not supported.", parts.method);
        return refused(problems::METHOD_NOT_IMPLEMENTED, text);
    }
    let nameless = survey.hosts == 0 && parts.uri.authority().is_none() && parts.version == Version::HTTP_11;
    if survey.hosts > 1 || nameless {
        return malformed(problems::INVALID_HOST, "A request must name its host exactly once.");
    }
    if parts.version == Version::HTTP_2
        && let (Some(host), Some(authority)) = (headers.get(HOST), parts.uri.authority())
        && host.as_bytes() != authority.as_str().as_bytes()
    {
        return malformed(problems::INVALID_HOST, "The fields :authority and host differ.");
    }
    let named = parts.uri.authority().map(|authority| authority.as_str().as_bytes());
    if !headers.get(HOST).map(HeaderValue::as_bytes).into_iter().chain(named).all(is_host) {
        return malformed(
            problems::INVALID_HOST,
            "The host is not a name or an address, with or without a port.",
        );
    }
    // RFC 9112 §3.2, RFC 9113 §8.3.1.
    let path = parts.uri.path();
    let whole_server = path == "*" && parts.method == Method::OPTIONS;
    if !path.starts_with('/') && !whole_server {
        return malformed(problems::INVALID_PATH, "The path does not begin with '/'.");
    }
    if hostile(path) {
        let text = "The path contains '.' or '..' as a segment, encoded or not, or an encoded NUL.";
        return malformed(problems::INVALID_PATH, text);
    }
    let unmet = |expect: &HeaderValue| !expect.as_bytes().eq_ignore_ascii_case(b"100-continue");
    if survey.expect && headers.get_all(EXPECT).iter().any(unmet) {
        let text = "The only supported expectation is 100-continue.".to_owned();
        return refused(problems::UNKNOWN_EXPECTATION, text);
    }
    Ok(())
}

/// RFC 9112 §3.2: a field that is not `uri-host [ ":" port ]` is refused, and so is userinfo (RFC 9110
/// §4.2.4).
fn is_host(value: &[u8]) -> bool {
    let plain = |byte: &u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'-');
    let is_port = |port: &[u8]| {
        port.is_empty()
            || std::str::from_utf8(port)
                .is_ok_and(|port| !port.starts_with('+') && port.parse::<u16>().is_ok())
    };
    let name = value.iter().take_while(|byte| plain(byte)).count();
    match &value[name..] {
        [] => true,
        [b':', port @ ..] => is_port(port),
        _ => {
            let Ok(authority) = http::uri::Authority::try_from(value) else { return false };
            let port = value.get(authority.host().len()..).unwrap_or_default();
            !value.contains(&b'@') && (port.is_empty() || port.strip_prefix(b":").is_some_and(is_port))
        }
    }
}

/// Whether a less strict reader could take a path for another one.
fn hostile(path: &str) -> bool {
    // Most paths are not suspect, and each is checked: no branch per byte.
    let suspect =
        |pair: &[u8]| (pair[0] == b'%') | ((pair[1] == b'.') & ((pair[0] == b'/') | (pair[0] == b'\\')));
    if !path.as_bytes().windows(2).fold(false, |found, pair| found | suspect(pair)) {
        return false;
    }
    let lower = path.to_ascii_lowercase();
    lower.contains("%00")
        || lower.replace("%2e", ".").split(['/', '\\']).any(|segment| matches!(segment, "." | ".."))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::head::tests::request;

    const LIMITS: HeadLimits = HeadLimits { fields: 10, bytes: 1000 };

    #[test]
    fn a_host_is_a_name_or_an_address_with_or_without_a_port() {
        for good in ["", "h", "h:", "h:80", "a-b.c_d", "127.0.0.1:8080", "[::1]", "[::1]:65535", "xn--p1ai"] {
            assert!(is_host(good.as_bytes()), "{good}");
        }
        for bad in [
            "a b",
            "h/x",
            "u@h",
            "h, evil",
            "[::1",
            "h:99999999",
            "h:+1",
            "h:8x",
            "h?x",
            "h#x",
            "[::1]x",
            "\\h",
        ] {
            assert!(!is_host(bad.as_bytes()), "{bad}");
        }
        assert!(!is_host(b"h\xff"));
    }

    #[test]
    fn a_method_is_overridden_from_post_to_patch_delete_or_head_and_nothing_else() {
        let settled = |method: &str, fields: &[(&str, &str)]| {
            let mut parts = request(fields);
            parts.method = method.parse().unwrap();
            let survey = Survey::of(&parts.headers);
            let outcome = settle_method(&mut parts, &survey);
            assert!(METHOD_OVERRIDES.iter().all(|name| !parts.headers.contains_key(name)));
            outcome.map(|()| parts.method.to_string()).map_err(|problem| problem.status().as_u16())
        };
        assert_eq!(settled("OPTIONS", &[]).unwrap(), "OPTIONS");
        for name in ["x-http-method-override", "X-HTTP-Method", "x-method-override"] {
            for method in ["PATCH", "DELETE", "HEAD", "delete"] {
                assert_eq!(settled("POST", &[(name, method)]).unwrap(), method.to_uppercase(), "{name}");
                for sent in ["OPTIONS", "GET", "HEAD", "PUT", "PATCH", "DELETE", "PURGE"] {
                    assert_eq!(settled(sent, &[(name, method)]).unwrap_err(), 400, "{sent} {name}: {method}");
                }
            }
            for method in ["GET", "PUT", "POST", "OPTIONS", "CONNECT", "TRACE", "", "PATCH, GET", " PA TCH"] {
                assert_eq!(settled("POST", &[(name, method)]).unwrap_err(), 400, "{name}: {method}");
            }
        }
        let both = [("x-http-method-override", "PATCH"), ("x-http-method", "DELETE")];
        assert_eq!(settled("POST", &both).unwrap_err(), 400, "two that differ");
        let twice = [("x-http-method-override", "PATCH"), ("x-http-method-override", "DELETE")];
        assert_eq!(settled("POST", &twice).unwrap_err(), 400, "two of one name that differ");
    }

    #[test]
    fn ambiguous_and_hostile_heads_are_refused() {
        let status = |parts: &Parts| {
            vet(parts, &Survey::of(&parts.headers), &LIMITS).err().map(|problem| problem.status().as_u16())
        };
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
        let mut connect = request(&[("host", "h")]);
        connect.method = Method::CONNECT;
        assert_eq!(status(&connect), Some(501));
        for (protocol, expected) in [("websocket", None), ("connect-udp", Some(501))] {
            connect.extensions.insert(Protocol::from(protocol));
            assert_eq!(status(&connect), expected, "{protocol}");
        }
        for path in
            ["/a/../b", "/a/..", "/./a", "/%2e%2e/a", "/a/%2E./b", "/a%00", "/a/..\\b", "/a\\..\\b", "/%2e"]
        {
            let mut parts = request(&[("host", "h")]);
            parts.uri = path.parse().unwrap();
            assert_eq!(status(&parts), Some(400), "{path}");
        }
        for target in ["*", "h:80"] {
            let mut parts = request(&[("host", "h")]);
            parts.uri = target.parse().unwrap();
            assert_eq!(status(&parts), Some(400), "{target}");
            parts.method = Method::OPTIONS;
            assert_eq!(status(&parts).is_none(), target == "*", "{target}");
        }
        for path in ["/a..b", "/a/...", "/.well-known/x", "/a%20b", "/%252e%252e/a"] {
            let mut parts = request(&[("host", "h")]);
            parts.uri = path.parse().unwrap();
            assert_eq!(status(&parts), None, "{path}");
        }
    }
}
