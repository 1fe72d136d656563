//! The credentials of a request: a bearer token, an API key, cookies, and its origin.

use http::header::{AUTHORIZATION, COOKIE, ORIGIN, USER_AGENT};
use http::{HeaderMap, HeaderName, Method};

use streamgate_plugin_api::address;

use crate::error::{AuthError, Why};
use crate::origin::Origin;

/// The prefix of API keys.
pub(crate) const KEY_PREFIX: &str = "sgk_";
const SESSION: &str = "streamgate_session";
const REFRESH: &str = "streamgate_refresh";
const MAX_USER_AGENT: usize = 200;

/// The fields of a request that identify its sender. Empty: the field is missing.
#[derive(Debug, Clone, Default)]
pub(crate) struct Credentials {
    pub(crate) authorization: String,
    pub(crate) cookie: String,
    pub(crate) method: String,
    pub(crate) origin: String,
    pub(crate) sec_fetch_site: String,
    /// The client's address, according to the gateway.
    pub(crate) address: String,
    pub(crate) user_agent: String,
}

/// The effective one.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Given<'a> {
    Bearer(&'a str),
    ApiKey(&'a str),
    Cookie(&'a str),
}

impl Credentials {
    /// Those of a request that came through the gateway.
    pub(crate) fn of(method: &Method, headers: &HeaderMap) -> Self {
        // With two lines of a field it is ambiguous which one counts: then neither does.
        let one = |name: HeaderName| {
            let mut all = headers.get_all(name).iter();
            let value = all.next().and_then(|value| value.to_str().ok()).unwrap_or_default();
            if all.next().is_some() { String::new() } else { value.to_owned() }
        };
        let agent = one(USER_AGENT);
        let cookies: Vec<_> =
            headers.get_all(COOKIE).iter().filter_map(|value| value.to_str().ok()).collect();
        Self {
            authorization: one(AUTHORIZATION),
            cookie: cookies.join("; "),
            method: method.as_str().to_owned(),
            origin: one(ORIGIN),
            sec_fetch_site: one(HeaderName::from_static("sec-fetch-site")),
            address: address::client(headers).map(|address| address.to_string()).unwrap_or_default(),
            user_agent: agent.chars().take(MAX_USER_AGENT).collect(),
        }
    }

    /// The effective credential: the field `Authorization` if there is one, else the cookie.
    pub(crate) fn given(&self, secure: bool) -> Result<Option<Given<'_>>, AuthError> {
        if !self.authorization.is_empty() {
            let token = self.authorization.split_once(' ').filter(|(s, _)| s.eq_ignore_ascii_case("bearer"));
            let token = token.map(|(_, token)| token.trim()).filter(|token| !token.is_empty());
            let token = token.ok_or_else(|| {
                Why::InvalidToken.because("The field `Authorization` must be `Bearer` with a token.")
            })?;
            return Ok(Some(match token.starts_with(KEY_PREFIX) {
                true => Given::ApiKey(token),
                false => Given::Bearer(token),
            }));
        }
        Ok(self.find(&session_cookie(secure))?.map(Given::Cookie))
    }

    /// The refresh token of the cookie.
    pub(crate) fn refresh(&self, secure: bool) -> Result<Option<&str>, AuthError> {
        self.find(&refresh_cookie(secure))
    }

    /// Refuses a change that a page of another site may have sent: the browser states the origin, in `Origin`
    /// or at least in `Sec-Fetch-Site`, and pages cannot set either.
    pub(crate) fn same_site(&self, origins: &[Origin]) -> Result<(), AuthError> {
        if matches!(self.method.as_str(), "GET" | "HEAD" | "OPTIONS") {
            return Ok(());
        }
        let ours = origins.iter().any(|origin| origin.text() == self.origin);
        if ours || self.origin.is_empty() && self.sec_fetch_site == "same-origin" {
            return Ok(());
        }
        let detail = "With a cookie, changes are taken from this server's own pages only (settings \
                      `public_url` and `origins`). Programs use a bearer token.";
        Err(Why::CrossSite.because(detail))
    }

    /// RFC 6265 §4.2.1. A duplicate name may come from another site: it counts as none.
    fn find(&self, name: &str) -> Result<Option<&str>, AuthError> {
        let pairs = self.cookie.split(';').filter_map(|pair| pair.trim().split_once('='));
        let mut values = pairs.filter(|(key, _)| *key == name).map(|(_, value)| value);
        match (values.next(), values.next()) {
            (Some(_), Some(_)) => {
                Err(Why::InvalidToken.because(format!("The cookie `{name}` was sent more than once.")))
            }
            (value, _) => Ok(value.filter(|value| !value.is_empty())),
        }
    }
}

fn session_cookie(secure: bool) -> String {
    named(SESSION, secure)
}

fn refresh_cookie(secure: bool) -> String {
    named(REFRESH, secure)
}

/// `__Host-`: no subdomain and no plain-http page can set or see it.
fn named(name: &str, secure: bool) -> String {
    if secure { format!("__Host-{name}") } else { name.to_owned() }
}

/// `Set-Cookie` of both tokens; `seconds` of zero removes them.
pub(crate) fn set(access: &str, refresh: &str, seconds: i64, secure: bool) -> [String; 2] {
    let attributes = if secure { "; Secure" } else { "" };
    [(session_cookie(secure), access), (refresh_cookie(secure), refresh)].map(|(name, value)| {
        format!("{name}={value}; Path=/; Max-Age={seconds}; HttpOnly; SameSite=Lax{attributes}")
    })
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn with(cookie: &str) -> Credentials {
        Credentials { cookie: cookie.into(), ..Credentials::default() }
    }

    #[test]
    fn the_header_goes_before_the_cookie_and_nothing_is_guessed() {
        let both = Credentials { authorization: "Bearer x".into(), ..with("streamgate_session=y") };
        assert_eq!(both.given(false).unwrap(), Some(Given::Bearer("x")));
        let key = Credentials { authorization: "bearer sgk_x".into(), ..Credentials::default() };
        assert_eq!(key.given(false).unwrap(), Some(Given::ApiKey("sgk_x")));
        for bad in ["Basic eA==", "Bearer", "Bearer ", "x"] {
            let bad = Credentials { authorization: bad.into(), ..with("streamgate_session=y") };
            assert!(bad.given(false).is_err());
        }
        assert_eq!(with("a=b; streamgate_session=y").given(false).unwrap(), Some(Given::Cookie("y")));
        assert_eq!(with("streamgate_session=y").given(true).unwrap(), None);
        assert_eq!(with("__Host-streamgate_session=y").given(true).unwrap(), Some(Given::Cookie("y")));
        assert!(with("streamgate_session=y; streamgate_session=z").given(false).is_err());
        assert_eq!(Credentials::default().given(true).unwrap(), None);
    }

    #[test]
    fn changes_come_from_our_own_pages_only() {
        let origins = [Origin::parse("https://a.example", false).unwrap()];
        let asked = |method: &str, origin: &str, site: &str| {
            let credentials = Credentials {
                method: method.into(),
                origin: origin.into(),
                sec_fetch_site: site.into(),
                ..Credentials::default()
            };
            credentials.same_site(&origins).is_ok()
        };
        assert!(asked("POST", "https://a.example", "same-origin"));
        assert!(asked("POST", "https://a.example", ""));
        assert!(asked("DELETE", "", "same-origin"));
        assert!(asked("CONNECT", "https://a.example", ""));
        assert!(asked("GET", "https://evil.example", "cross-site"));
        for (origin, site) in [
            ("https://evil.example", "cross-site"),
            ("https://evil.example", "same-origin"),
            ("https://sub.a.example", "same-site"),
            ("http://a.example", "same-site"),
            ("null", "cross-site"),
            ("null", "same-origin"),
            ("", ""),
            ("", "none"),
            ("", "same-site"),
        ] {
            assert!(!asked("POST", origin, site), "{origin} {site}");
            assert!(!asked("", origin, site), "{origin} {site}");
            // A WebSocket: browsers open one from any page, with cookies and without asking first.
            assert!(!asked("CONNECT", origin, site), "{origin} {site}");
        }
    }

    #[test]
    fn the_address_is_the_one_that_the_gateway_put_on_and_no_other_field_is_looked_at() {
        let mut headers = HeaderMap::new();
        headers.insert("x-forwarded-for", "203.0.113.7, 10.0.0.8, 10.0.0.9".parse().unwrap());
        assert_eq!(Credentials::of(&Method::GET, &headers).address, "");
        headers.insert(address::CLIENT, "203.0.113.7".parse().unwrap());
        assert_eq!(Credentials::of(&Method::GET, &headers).address, "203.0.113.7");
    }

    #[test]
    fn cookies_are_for_the_host_alone_and_out_of_reach_of_pages() {
        let [access, refresh] = set("a", "b", 60, true);
        assert_eq!(access, "__Host-streamgate_session=a; Path=/; Max-Age=60; HttpOnly; SameSite=Lax; Secure");
        assert!(refresh.starts_with("__Host-streamgate_refresh=b;"));
        let [plain, _] = set("a", "b", 60, false);
        assert!(plain.starts_with("streamgate_session=a;") && !plain.contains("Secure"));
    }
}
