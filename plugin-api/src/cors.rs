//! Which pages of other origins may call a plugin and read its answers (Fetch standard §3.2). Authentication
//! and authorization happen elsewhere.

use http::{HeaderMap, HeaderValue, header};

use crate::SettingsProblem;

const ANY: HeaderValue = HeaderValue::from_static("*");

/// What scripts of allowed origins may send, and which fields of an answer they may read.
#[derive(Debug)]
pub struct Cors {
    /// `Access-Control-Allow-Methods`.
    pub methods: HeaderValue,
    /// `Access-Control-Allow-Headers`.
    pub fields: HeaderValue,
    /// `Access-Control-Expose-Headers`.
    pub exposed: HeaderValue,
    /// Seconds for which a browser may cache a preflight: `Access-Control-Max-Age`.
    pub max_age: HeaderValue,
}

impl Cors {
    /// Added to any answer except that to a preflight. `origin` is from [`allowed`].
    pub fn expose(&self, origin: Option<HeaderValue>, answer: &mut HeaderMap) {
        if let Some(origin) = origin {
            answer.insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, origin);
            answer.insert(header::ACCESS_CONTROL_EXPOSE_HEADERS, self.exposed.clone());
        }
    }

    /// Added to the answer to a preflight. `origin` is from [`allowed`].
    pub fn preflight(&self, origin: Option<HeaderValue>, answer: &mut HeaderMap) {
        if let Some(origin) = origin {
            answer.insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, origin);
            answer.insert(header::ACCESS_CONTROL_ALLOW_METHODS, self.methods.clone());
            answer.insert(header::ACCESS_CONTROL_ALLOW_HEADERS, self.fields.clone());
            answer.insert(header::ACCESS_CONTROL_MAX_AGE, self.max_age.clone());
        }
    }
}

/// `Access-Control-Allow-Origin` of an answer to a page of `origin`, if it is in the list. `*` is every
/// origin.
pub fn allowed(origins: &[String], origin: Option<&HeaderValue>) -> Option<HeaderValue> {
    if is_any(origins) {
        return Some(ANY);
    }
    let origin = origin?;
    origins.iter().any(|allowed| allowed.as_bytes() == origin.as_bytes()).then(|| origin.clone())
}

/// Whether the list contains every origin.
pub fn is_any(origins: &[String]) -> bool {
    origins.iter().any(|origin| origin == "*")
}

/// Caches must keep the answers to different origins apart.
pub fn vary(answer: &mut HeaderMap) {
    answer.append(header::VARY, HeaderValue::from_static("Origin"));
}

/// Scripts of any origin may read this answer, unless it states otherwise.
pub fn allow_any(answer: &mut HeaderMap) {
    answer.entry(header::ACCESS_CONTROL_ALLOW_ORIGIN).or_insert(ANY);
}

/// The problem of a setting that lists origins, if any: each is `*`, or a scheme, a host and optionally a
/// port (RFC 6454 §6.2).
pub fn check<'a>(key: &'a str, origins: &'a [String]) -> impl Iterator<Item = SettingsProblem> + 'a {
    origins.iter().filter(|origin| !is_origin(origin)).map(move |origin| {
        let text =
            format!("`{origin}` is not an origin; write \"*\" or, for example, \"https://example.org\"");
        SettingsProblem::new(key, text)
    })
}

fn is_origin(text: &str) -> bool {
    let host = text.strip_prefix("https://").or_else(|| text.strip_prefix("http://"));
    let fits = |byte: u8| byte.is_ascii_graphic() && !matches!(byte, b'/' | b'?' | b'#' | b'@' | b'*');
    text == "*" || host.is_some_and(|host| !host.is_empty() && host.bytes().all(fits))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    static CORS: Cors = Cors {
        methods: HeaderValue::from_static("GET"),
        fields: HeaderValue::from_static("Authorization"),
        exposed: HeaderValue::from_static("ETag"),
        max_age: HeaderValue::from_static("600"),
    };

    fn answers(origins: &[&str], origin: Option<&'static str>) -> [HeaderMap; 2] {
        let origins: Vec<String> = origins.iter().map(|origin| (*origin).to_owned()).collect();
        let origin = origin.map(HeaderValue::from_static);
        let (mut preflight, mut other) = (HeaderMap::new(), HeaderMap::new());
        CORS.preflight(allowed(&origins, origin.as_ref()), &mut preflight);
        CORS.expose(allowed(&origins, origin.as_ref()), &mut other);
        [preflight, other]
    }

    #[test]
    fn an_allowed_origin_gets_the_headers_it_may_send_and_read() {
        for (origins, said) in [(["*"], "*"), (["https://a.example"], "https://a.example")] {
            let [preflight, other] = answers(&origins, Some("https://a.example"));
            assert_eq!(preflight[header::ACCESS_CONTROL_ALLOW_ORIGIN], said);
            assert_eq!(preflight[header::ACCESS_CONTROL_ALLOW_METHODS], "GET");
            assert_eq!(preflight[header::ACCESS_CONTROL_ALLOW_HEADERS], "Authorization");
            assert_eq!(preflight[header::ACCESS_CONTROL_MAX_AGE], "600");
            assert_eq!(other[header::ACCESS_CONTROL_ALLOW_ORIGIN], said);
            assert_eq!(other[header::ACCESS_CONTROL_EXPOSE_HEADERS], "ETag");
        }
    }

    #[test]
    fn with_named_origins_others_get_nothing() {
        for origin in [None, Some("https://b.example"), Some("http://a.example"), Some("null")] {
            assert!(answers(&["https://a.example"], origin).iter().all(HeaderMap::is_empty), "{origin:?}");
        }
    }

    #[test]
    fn what_an_answer_says_for_itself_stays() {
        let mut answer = HeaderMap::new();
        allow_any(&mut answer);
        assert_eq!(answer[header::ACCESS_CONTROL_ALLOW_ORIGIN], "*");
        answer.insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, HeaderValue::from_static("https://a.example"));
        allow_any(&mut answer);
        assert_eq!(answer[header::ACCESS_CONTROL_ALLOW_ORIGIN], "https://a.example");
    }

    #[test]
    fn a_setting_names_origins_and_nothing_else() {
        let fine = ["*", "https://a.example", "http://localhost:5173"].map(str::to_owned);
        assert_eq!(check("cors_origins", &fine).count(), 0);
        for wrong in ["a.example", "https://", "https://a.example/", "https://*.a.example", "https://u@a"] {
            let wrong = [wrong.to_owned()];
            assert_eq!(check("cors_origins", &wrong).count(), 1, "{wrong:?}");
        }
    }
}
