//! Answers over HTTP for things held in memory: ranges, preconditions, entity tags and
//! cross-origin fields (RFC 9110, RFC 9111, Fetch). Never does I/O.

use std::time::SystemTime;

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, Method, Response, StatusCode, header};
use streamgate_plugin_api::conditional::{self, Validators, Verdict};
use streamgate_plugin_api::cors::Cors;
use streamgate_plugin_api::range::Part;
use streamgate_plugin_api::{Body, Problem, problems};

/// Segments never change under their names; one year is the customary "forever".
pub(crate) const IMMUTABLE: HeaderValue = HeaderValue::from_static("public, max-age=31536000, immutable");
/// For pictures that another encoding may replace.
pub(crate) const PICTURE: HeaderValue = HeaderValue::from_static("public, max-age=60");
/// For what contains a viewer's token.
const PERSONAL: HeaderValue = HeaderValue::from_static("private, no-store");

const ANY: HeaderValue = HeaderValue::from_static("*");
const BYTES: HeaderValue = HeaderValue::from_static("bytes");
const METHODS: HeaderValue = HeaderValue::from_static("GET, HEAD, OPTIONS");
/// `*` covers everything but `Authorization` in browsers that support it; the other names are for those that
/// do not.
static CORS: Cors = Cors {
    methods: METHODS,
    fields: HeaderValue::from_static(
        "*, Authorization, Range, If-Match, If-None-Match, If-Range, If-Modified-Since, If-Unmodified-Since, \
         Cache-Control, Pragma, Traceparent",
    ),
    exposed: HeaderValue::from_static(
        "Content-Length, Content-Range, Accept-Ranges, ETag, Last-Modified, Date",
    ),
    max_age: HeaderValue::from_static("86400"),
};

/// Any page may play from here.
pub(crate) fn allow_any_origin(headers: &mut HeaderMap) {
    CORS.expose(Some(ANY), headers);
}

/// A strong entity tag of these bytes: their number and a 64-bit FNV-1a hash.
pub(crate) fn etag_of(body: &[u8]) -> HeaderValue {
    let hash = body.iter().fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
        (hash ^ u64::from(*byte)).wrapping_mul(0x100_0000_01b3)
    });
    HeaderValue::from_str(&format!("\"{:x}-{hash:016x}\"", body.len()))
        .expect("hexadecimal digits are visible ASCII")
}

/// A complete object in memory, with its header fields.
#[derive(Debug, Clone)]
pub(crate) struct Entity {
    pub(crate) body: Bytes,
    /// Header fields of a whole answer, except `Content-Length`.
    head: HeaderMap,
    etag: HeaderValue,
    modified: Option<SystemTime>,
}

impl Entity {
    pub(crate) fn new(
        body: Bytes,
        media_type: HeaderValue,
        cache_control: HeaderValue,
        etag: HeaderValue,
    ) -> Self {
        let mut head = HeaderMap::with_capacity(8);
        head.insert(header::CONTENT_TYPE, media_type);
        head.insert(header::CACHE_CONTROL, cache_control);
        head.insert(header::ETAG, etag.clone());
        head.insert(header::ACCEPT_RANGES, BYTES);
        head.insert(header::CONTENT_LENGTH, HeaderValue::from(body.len()));
        allow_any_origin(&mut head);
        Self { body, head, etag, modified: None }
    }

    /// With the date from storage.
    pub(crate) fn modified(mut self, date: Option<HeaderValue>) -> Self {
        self.modified = date.as_ref().and_then(conditional::date);
        self.head.extend(date.map(|date| (header::LAST_MODIFIED, date)));
        self
    }

    #[cfg(test)]
    pub(crate) fn field(&self, name: &str) -> Option<&str> {
        self.head.get(name)?.to_str().ok()
    }

    /// The answer to a GET or HEAD with these fields.
    pub(crate) fn answer(&self, method: &Method, request: &HeaderMap) -> Response<Body> {
        let validators = Validators { etag: Some(&self.etag), modified: self.modified };
        match validators.judge(request) {
            Verdict::Holds => {}
            Verdict::NotModified => return self.not_modified(),
            Verdict::Failed => return changed(Some(&self.etag)),
        }
        let part = Part::of(method, request, &validators, self.body.len() as u64);
        let mut head = self.head.clone();
        head.extend(part.content_range(self.body.len() as u64).map(|range| (header::CONTENT_RANGE, range)));
        match part {
            Part::Unsatisfiable => self.unsatisfiable(),
            Part::Slice(first, end) => {
                head.insert(header::CONTENT_LENGTH, HeaderValue::from(end - first));
                let body = self.body.slice(first as usize..end as usize);
                respond(StatusCode::PARTIAL_CONTENT, head, Body::from(body))
            }
            Part::Whole if method == Method::HEAD => respond(StatusCode::OK, head, Body::empty()),
            Part::Whole => respond(StatusCode::OK, head, Body::from(self.body.clone())),
        }
    }

    fn not_modified(&self) -> Response<Body> {
        let mut head = self.head.clone();
        head.remove(header::CONTENT_LENGTH);
        head.remove(header::CONTENT_TYPE);
        respond(StatusCode::NOT_MODIFIED, head, Body::empty())
    }

    fn unsatisfiable(&self) -> Response<Body> {
        let length = self.body.len();
        problem(
            Problem::of(problems::RANGE_NOT_SATISFIABLE)
                .detail(format!("There are {length} bytes, the first of which is byte 0."))
                .header(header::CONTENT_RANGE, format!("bytes */{length}")),
        )
    }
}

pub(crate) fn respond(status: StatusCode, head: HeaderMap, body: Body) -> Response<Body> {
    let mut response = Response::new(body);
    *response.status_mut() = status;
    *response.headers_mut() = head;
    response
}

/// A precondition failed (RFC 9110 §15.5.13).
pub(crate) fn changed(etag: Option<&HeaderValue>) -> Response<Body> {
    let now = etag.and_then(|tag| tag.to_str().ok()).map(|tag| format!(" Its current tag is {tag}."));
    let detail = format!(
        "The request's If-Match or If-Unmodified-Since names another state of the resource.{} Repeat the request without the condition.",
        now.unwrap_or_default()
    );
    problem(Problem::of(problems::PRECONDITION_FAILED).detail(detail))
}

/// A problem that pages of any origin can read.
pub(crate) fn problem(problem: Problem) -> Response<Body> {
    let mut response = problem.into_http();
    allow_any_origin(response.headers_mut());
    response
}

/// The answer to OPTIONS, a CORS preflight in most cases.
pub(crate) fn options() -> Response<Body> {
    let mut head = HeaderMap::new();
    head.insert(header::ALLOW, METHODS);
    CORS.preflight(Some(ANY), &mut head);
    allow_any_origin(&mut head);
    respond(StatusCode::NO_CONTENT, head, Body::empty())
}

/// The answer to a writing method.
pub(crate) fn method_not_allowed(method: &Method) -> Response<Body> {
    problem(
        Problem::of(problems::METHOD_NOT_ALLOWED)
            .detail(format!("{method} is not; GET, HEAD and OPTIONS are."))
            .header(header::ALLOW, METHODS),
    )
}

/// The answer with a text for one viewer: never cached, without ranges or a tag.
pub(crate) fn personal(
    request: &HeaderMap,
    method: &Method,
    text: String,
    media_type: &'static str,
    vary: HeaderValue,
) -> Response<Body> {
    if Validators::default().judge(request) == Verdict::Failed {
        return changed(None);
    }
    let mut head = HeaderMap::with_capacity(6);
    head.insert(header::CONTENT_TYPE, HeaderValue::from_static(media_type));
    head.insert(header::CACHE_CONTROL, PERSONAL);
    head.insert(header::VARY, vary);
    head.insert(header::CONTENT_LENGTH, HeaderValue::from(text.len()));
    allow_any_origin(&mut head);
    let body = if method == Method::HEAD { Body::empty() } else { Body::from(text) };
    respond(StatusCode::OK, head, body)
}

/// Header fields of storage that are passed on.
pub(crate) const PASSED_ON: [HeaderName; 5] = [
    header::CONTENT_LENGTH,
    header::CONTENT_RANGE,
    header::ACCEPT_RANGES,
    header::ETAG,
    header::LAST_MODIFIED,
];

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn entity() -> Entity {
        Entity::new(
            Bytes::from_static(b"0123456789"),
            HeaderValue::from_static("video/mp4"),
            IMMUTABLE,
            HeaderValue::from_static("\"tag\""),
        )
    }

    fn get(fields: &[(&'static str, &str)]) -> Response<Body> {
        let fields = fields.iter().map(|(n, v)| (HeaderName::from_static(n), v.parse().unwrap())).collect();
        entity().answer(&Method::GET, &fields)
    }

    #[test]
    fn a_range_beyond_the_end_cannot_be_satisfied() {
        let response = get(&[("range", "bytes=10-")]);
        assert_eq!(response.status(), StatusCode::RANGE_NOT_SATISFIABLE);
        assert_eq!(response.headers()[header::CONTENT_RANGE], "bytes */10");
    }

    #[test]
    fn several_ranges_and_nonsense_give_the_whole() {
        for field in [
            "bytes=0-1,3-4",
            "bytes=5-4",
            "bytes=",
            "bytes=-",
            "bytes=a-b",
            "bytes=1-b",
            "lines=0-1",
            "0-1",
            "bytes=+1-2",
        ] {
            assert_eq!(get(&[("range", field)]).status(), StatusCode::OK, "{field}");
        }
    }

    #[test]
    fn a_part_has_its_range_and_length() {
        let response = get(&[("range", "bytes=2-4")]);
        assert_eq!(response.status(), StatusCode::PARTIAL_CONTENT);
        assert_eq!(response.headers()[header::CONTENT_RANGE], "bytes 2-4/10");
        assert_eq!(response.headers()[header::CONTENT_LENGTH], "3");
    }

    #[test]
    fn a_range_holds_only_while_if_range_names_the_tag() {
        assert_eq!(
            get(&[("range", "bytes=0-1"), ("if-range", "\"tag\"")]).status(),
            StatusCode::PARTIAL_CONTENT
        );
        for other in ["\"old\"", "W/\"tag\"", "Wed, 21 Oct 2015 07:28:00 GMT"] {
            assert_eq!(get(&[("range", "bytes=0-1"), ("if-range", other)]).status(), StatusCode::OK);
        }
    }

    #[test]
    fn a_known_tag_is_answered_without_a_body_before_any_range() {
        for tags in ["\"tag\"", "W/\"tag\"", "\"a\", \"tag\"", "*"] {
            let response = get(&[("if-none-match", tags), ("range", "bytes=0-1")]);
            assert_eq!(response.status(), StatusCode::NOT_MODIFIED, "{tags}");
            assert_eq!(response.headers()[header::ETAG], "\"tag\"");
            assert!(!response.headers().contains_key(header::CONTENT_LENGTH));
            assert_eq!(response.headers()[header::CACHE_CONTROL], IMMUTABLE);
        }
        assert_eq!(get(&[("if-none-match", "\"other\"")]).status(), StatusCode::OK);
    }

    #[test]
    fn head_tells_the_length_and_ignores_ranges() {
        let fields = HeaderMap::from_iter([(header::RANGE, HeaderValue::from_static("bytes=0-1"))]);
        let response = entity().answer(&Method::HEAD, &fields);
        assert_eq!(response.status(), StatusCode::OK);
        assert_eq!(response.headers()[header::CONTENT_LENGTH], "10");
    }

    #[test]
    fn other_bytes_have_another_tag() {
        assert_eq!(etag_of(b"a"), etag_of(b"a"));
        assert_ne!(etag_of(b"a"), etag_of(b"b"));
    }

    #[test]
    fn a_condition_that_does_not_hold_is_412_with_the_tag_that_would() {
        let response = get(&[("if-match", "\"old\""), ("range", "bytes=0-1")]);
        assert_eq!(response.status(), StatusCode::PRECONDITION_FAILED);
        assert_eq!(response.headers()[header::CONTENT_TYPE], "application/problem+json");
        assert!(!response.headers().contains_key(header::CONTENT_RANGE));
        assert_eq!(
            get(&[("if-match", "\"tag\""), ("range", "bytes=0-1")]).status(),
            StatusCode::PARTIAL_CONTENT
        );
        // A date counts for what has one.
        let date = "Tue, 14 Nov 2023 22:13:20 GMT";
        assert_eq!(get(&[("if-modified-since", date)]).status(), StatusCode::OK);
        let dated = entity().modified(Some(HeaderValue::from_static("Tue, 14 Nov 2023 22:13:20 GMT")));
        let fields = HeaderMap::from_iter([(header::IF_MODIFIED_SINCE, date.parse().unwrap())]);
        assert_eq!(dated.answer(&Method::GET, &fields).status(), StatusCode::NOT_MODIFIED);
    }

    #[test]
    fn what_is_for_one_viewer_heeds_conditions_too() {
        let answer = |tags: &'static str| {
            let fields = HeaderMap::from_iter([(header::IF_MATCH, HeaderValue::from_static(tags))]);
            let vary = HeaderValue::from_static("cookie");
            personal(&fields, &Method::GET, "#EXTM3U".into(), "text/plain", vary).status()
        };
        assert_eq!(answer("\"x\""), StatusCode::PRECONDITION_FAILED);
        assert_eq!(answer("*"), StatusCode::OK);
    }
}
