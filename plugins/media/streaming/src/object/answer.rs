//! Answers over HTTP for things held in memory: ranges, preconditions, entity tags and
//! cross-origin fields (RFC 9110, RFC 9111, Fetch). Never does I/O.

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, Method, Response, StatusCode, header};
use streamgate_plugin_api::{Body, Problem};

use crate::object::conditions::{Verdict, judge};

/// Segments never change under their names, and one year is the customary "for ever".
pub(crate) const IMMUTABLE: HeaderValue = HeaderValue::from_static("public, max-age=31536000, immutable");
/// Of pictures that another encoding may replace.
pub(crate) const PICTURE: HeaderValue = HeaderValue::from_static("public, max-age=60");
/// Of what names its viewer.
const PERSONAL: HeaderValue = HeaderValue::from_static("private, no-store");

const ANY: HeaderValue = HeaderValue::from_static("*");
const BYTES: HeaderValue = HeaderValue::from_static("bytes");
/// What a script of another origin may read besides the safelisted fields.
const EXPOSED: HeaderValue =
    HeaderValue::from_static("Content-Length, Content-Range, Accept-Ranges, ETag, Last-Modified, Date");
const METHODS: HeaderValue = HeaderValue::from_static("GET, HEAD, OPTIONS");
/// `*` covers everything but `Authorization` in browsers that know it; the other names are for those
/// that do not.
const REQUEST_FIELDS: HeaderValue = HeaderValue::from_static(
    "*, Authorization, Range, If-Match, If-None-Match, If-Range, If-Modified-Since, If-Unmodified-Since, \
     Cache-Control, Pragma, Traceparent",
);

/// Any page may play from here.
pub(crate) fn allow_any_origin(headers: &mut HeaderMap) {
    headers.insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, ANY);
    headers.insert(header::ACCESS_CONTROL_EXPOSE_HEADERS, EXPOSED);
}

/// A strong entity tag of these bytes: their number and a 64-bit FNV-1a hash.
pub(crate) fn etag_of(body: &[u8]) -> HeaderValue {
    let hash = body.iter().fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
        (hash ^ u64::from(*byte)).wrapping_mul(0x100_0000_01b3)
    });
    HeaderValue::from_str(&format!("\"{:x}-{hash:016x}\"", body.len()))
        .expect("hexadecimal digits are visible ASCII")
}

/// Something complete in memory, with the header fields that go with it.
#[derive(Debug, Clone)]
pub(crate) struct Entity {
    pub(crate) body: Bytes,
    /// Of a whole answer: all but `Content-Length`.
    head: HeaderMap,
    etag: HeaderValue,
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
        Self { body, head, etag }
    }

    /// With the date that storage gives it.
    pub(crate) fn modified(mut self, date: Option<HeaderValue>) -> Self {
        self.head.extend(date.map(|date| (header::LAST_MODIFIED, date)));
        self
    }

    #[cfg(test)]
    pub(crate) fn field(&self, name: &str) -> Option<&str> {
        self.head.get(name)?.to_str().ok()
    }

    /// The answer to a GET or HEAD with these fields.
    pub(crate) fn answer(&self, method: &Method, request: &HeaderMap) -> Response<Body> {
        match judge(request, Some(&self.etag), self.head.get(header::LAST_MODIFIED)) {
            Verdict::Holds => {}
            Verdict::NotModified => return self.not_modified(),
            Verdict::Failed => return changed(Some(&self.etag)),
        }
        // Range is defined for GET alone (RFC 9110 §14.2).
        if method == Method::GET
            && let Some(range) = request.get(header::RANGE)
            && request.get(header::IF_RANGE).is_none_or(|tag| *tag == self.etag)
        {
            match Range::parse(range, self.body.len() as u64) {
                Range::Whole => {}
                Range::Part { first, last } => return self.part(first, last),
                Range::Unsatisfiable => return self.unsatisfiable(),
            }
        }
        let body = if method == Method::HEAD { Body::empty() } else { Body::from(self.body.clone()) };
        respond(StatusCode::OK, self.head.clone(), body)
    }

    fn not_modified(&self) -> Response<Body> {
        let mut head = self.head.clone();
        head.remove(header::CONTENT_LENGTH);
        head.remove(header::CONTENT_TYPE);
        respond(StatusCode::NOT_MODIFIED, head, Body::empty())
    }

    fn part(&self, first: u64, last: u64) -> Response<Body> {
        let mut head = self.head.clone();
        let range = format!("bytes {first}-{last}/{}", self.body.len());
        head.insert(header::CONTENT_RANGE, HeaderValue::from_str(&range).expect("digits are visible ASCII"));
        head.insert(header::CONTENT_LENGTH, HeaderValue::from(last - first + 1));
        let body = self.body.slice(first as usize..=last as usize);
        respond(StatusCode::PARTIAL_CONTENT, head, Body::from(body))
    }

    fn unsatisfiable(&self) -> Response<Body> {
        let length = self.body.len();
        problem(
            Problem::new(
                StatusCode::RANGE_NOT_SATISFIABLE,
                "range-not-satisfiable",
                "The range lies outside",
            )
            .detail(format!("There are {length} bytes, the first of which is byte 0."))
            .header(header::CONTENT_RANGE, format!("bytes */{length}")),
        )
    }
}

/// What a `Range` field asks for (RFC 9110 §14.1).
#[derive(Debug, PartialEq, Eq)]
enum Range {
    /// No range, several, or one that must be ignored.
    Whole,
    /// Both included.
    Part {
        first: u64,
        last: u64,
    },
    Unsatisfiable,
}

impl Range {
    fn parse(field: &HeaderValue, length: u64) -> Self {
        let Ok(field) = field.to_str() else { return Self::Whole };
        let Some((unit, range)) = field.split_once('=') else { return Self::Whole };
        let Some((first, last)) = range.trim().split_once('-') else { return Self::Whole };
        if !unit.trim().eq_ignore_ascii_case("bytes") {
            return Self::Whole;
        }
        // More digits than a u64 holds lie beyond any end.
        let number = |text: &str| {
            let digits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
            digits.then(|| text.parse().unwrap_or(u64::MAX))
        };
        match (number(first), number(last)) {
            (Some(first), Some(last)) if first > last => Self::Whole,
            (Some(first), _) if first >= length && (last.is_empty() || number(last).is_some()) => {
                Self::Unsatisfiable
            }
            (Some(first), Some(last)) => Self::Part { first, last: last.min(length - 1) },
            (Some(first), None) if last.is_empty() => Self::Part { first, last: length - 1 },
            (None, Some(suffix)) if first.is_empty() => match suffix.min(length) {
                0 => Self::Unsatisfiable,
                suffix => Self::Part { first: length - suffix, last: length - 1 },
            },
            _ => Self::Whole,
        }
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
    let now = etag.and_then(|tag| tag.to_str().ok()).map(|tag| format!(" It has the tag {tag} now."));
    let detail = format!(
        "The request's If-Match or If-Unmodified-Since names another state of it.{} Ask again without the condition.",
        now.unwrap_or_default()
    );
    let failed = StatusCode::PRECONDITION_FAILED;
    problem(Problem::new(failed, "precondition-failed", "It is not what the condition says").detail(detail))
}

/// A problem that scripts of any origin can read.
pub(crate) fn problem(problem: Problem) -> Response<Body> {
    let mut response = problem.into_http();
    allow_any_origin(response.headers_mut());
    response
}

/// The answer to OPTIONS, a CORS preflight in most cases.
pub(crate) fn options() -> Response<Body> {
    let mut head = HeaderMap::new();
    head.insert(header::ALLOW, METHODS);
    head.insert(header::ACCESS_CONTROL_ALLOW_METHODS, METHODS);
    head.insert(header::ACCESS_CONTROL_ALLOW_HEADERS, REQUEST_FIELDS);
    head.insert(header::ACCESS_CONTROL_MAX_AGE, HeaderValue::from_static("86400"));
    allow_any_origin(&mut head);
    respond(StatusCode::NO_CONTENT, head, Body::empty())
}

/// The answer to any method that only a writer would use.
pub(crate) fn method_not_allowed(method: &Method) -> Response<Body> {
    problem(
        Problem::new(StatusCode::METHOD_NOT_ALLOWED, "method-not-allowed", "Only reading is possible here")
            .detail(format!("{method} is not; GET, HEAD and OPTIONS are."))
            .header(header::ALLOW, METHODS),
    )
}

/// The answer with a text that is for one viewer alone: nobody keeps it, and it has no parts and no tag.
pub(crate) fn personal(
    request: &HeaderMap,
    method: &Method,
    text: String,
    media_type: &'static str,
    vary: HeaderValue,
) -> Response<Body> {
    if judge(request, None, None) == Verdict::Failed {
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

/// Fields that storage answers with and that hold for us too.
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
    use proptest::prelude::*;

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

    fn range(field: &str) -> Range {
        Range::parse(&HeaderValue::from_str(field).unwrap(), 10)
    }

    #[test]
    fn a_single_range_is_cut_to_what_there_is() {
        assert_eq!(range("bytes=0-0"), Range::Part { first: 0, last: 0 });
        assert_eq!(range("bytes=2-"), Range::Part { first: 2, last: 9 });
        assert_eq!(range("bytes=-3"), Range::Part { first: 7, last: 9 });
        assert_eq!(range("Bytes = 4-99999999999999999999999"), Range::Part { first: 4, last: 9 });
        assert_eq!(range("bytes=-100"), Range::Part { first: 0, last: 9 });
    }

    #[test]
    fn a_range_beyond_the_end_cannot_be_satisfied() {
        for field in ["bytes=10-", "bytes=10-12", "bytes=-0", "bytes=99999999999999999999-"] {
            assert_eq!(range(field), Range::Unsatisfiable, "{field}");
        }
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
            assert_eq!(range(field), Range::Whole, "{field}");
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

    proptest! {
        #[test]
        fn no_range_field_makes_it_panic_or_reach_outside(field in "\\PC{0,40}|bytes=[0-9]{0,25}-[0-9]{0,25}", length in 0_u64..50) {
            if let Ok(field) = HeaderValue::from_str(&field)
                && let Range::Part { first, last } = Range::parse(&field, length)
            {
                prop_assert!(first <= last && last < length);
            }
        }
    }
}
