//! The principal of a request, as determined by the ingress: fields that clients cannot set.

use http::header::HeaderName;
use http::{HeaderMap, HeaderValue};

use crate::caller::may_tell_sender;

/// The prefix of all fields of the ingress. It removes every such field that clients send.
pub const PREFIX: &str = "x-streamgate-";

pub(crate) const PRINCIPAL: HeaderName = HeaderName::from_static("x-streamgate-principal");
pub(crate) const ROLES: HeaderName = HeaderName::from_static("x-streamgate-roles");
pub(crate) const SCOPES: HeaderName = HeaderName::from_static("x-streamgate-scopes");
pub(crate) const WALLETS: HeaderName = HeaderName::from_static("x-streamgate-wallets");
pub(crate) const CREDENTIAL: HeaderName = HeaderName::from_static("x-streamgate-credential");

/// The principal of a request. Only the ingress can set it: a plugin that finds it in a request of its public
/// routes may rely on it; without it the request is not authenticated.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Principal {
    /// A UUID, the same over all wallets and sessions.
    pub id: String,
    /// `viewer`, `creator`, `admin`.
    pub roles: Vec<String>,
    /// `content:read`, `content:write`, `admin`.
    pub scopes: Vec<String>,
    /// As CAIP-10 without the chain: `eip155:0x…`, `solana:…`. Contract wallets include it, because another
    /// contract may have their address on another chain: `eip155:137:0x…`.
    pub wallets: Vec<String>,
    /// Of the session or the API key, such as `session:0190…`.
    pub credential: String,
}

impl Principal {
    /// The principal of a request with these fields; `None`: not authenticated. They are ignored in requests
    /// of a plugin that is not an ingress.
    pub fn of(headers: &HeaderMap) -> Option<Self> {
        if !may_tell_sender(headers) {
            return None;
        }
        let text = |name: HeaderName| headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or("");
        let list = |name| text(name).split(',').filter(|item| !item.is_empty()).map(str::to_owned).collect();
        let id = text(PRINCIPAL);
        (!id.is_empty()).then(|| Self {
            id: id.to_owned(),
            roles: list(ROLES),
            scopes: list(SCOPES),
            wallets: list(WALLETS),
            credential: text(CREDENTIAL).to_owned(),
        })
    }

    /// Whether it has a scope, such as `content:write`.
    pub fn may(&self, scope: &str) -> bool {
        self.scopes.iter().any(|held| held == scope)
    }

    /// Sets it on a request or a filter's response. A value that is invalid in a field is left out.
    pub fn put_on(&self, headers: &mut HeaderMap) {
        let mut put = |name: HeaderName, value: &str| {
            if let Ok(value) = HeaderValue::from_str(value) {
                headers.insert(name, value);
            }
        };
        put(PRINCIPAL, &self.id);
        put(ROLES, &self.roles.join(","));
        put(SCOPES, &self.scopes.join(","));
        put(WALLETS, &self.wallets.join(","));
        put(CREDENTIAL, &self.credential);
    }
}

/// Removes every field that only the ingress may set.
pub fn strip(headers: &mut HeaderMap) {
    let forged: Vec<_> = headers.keys().filter(|name| name.as_str().starts_with(PREFIX)).cloned().collect();
    for name in forged {
        while headers.remove(&name).is_some() {}
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn a_principal_survives_the_way_through_fields() {
        let principal = Principal {
            id: "0190".into(),
            roles: vec!["viewer".into(), "admin".into()],
            scopes: vec!["content:write".into()],
            wallets: vec!["eip155:0xab".into()],
            credential: "session:1".into(),
        };
        let mut headers = HeaderMap::new();
        principal.put_on(&mut headers);
        assert_eq!(Principal::of(&headers), Some(principal.clone()));
        assert!(principal.may("content:write") && !principal.may("admin"));
        strip(&mut headers);
        assert_eq!(Principal::of(&headers), None);
    }

    #[test]
    fn only_an_ingress_is_believed() {
        let principal = Principal { id: "0190".into(), ..Principal::default() };
        let mut headers = HeaderMap::new();
        principal.put_on(&mut headers);
        headers.insert(crate::address::CLIENT, HeaderValue::from_static("192.0.2.1"));
        for (caller, believed) in [("gateway;ingress", true), ("prowler", false), ("", false)] {
            headers.insert(crate::caller::CALLER, HeaderValue::from_static(caller));
            assert_eq!(Principal::of(&headers).is_some(), believed, "{caller}");
            assert_eq!(crate::address::client(&headers).is_some(), believed, "{caller}");
        }
    }

    #[test]
    fn what_a_client_forged_is_taken_off_and_nothing_else() {
        let mut headers = HeaderMap::new();
        headers.append("x-streamgate-principal", HeaderValue::from_static("a"));
        headers.append("x-streamgate-principal", HeaderValue::from_static("b"));
        headers.append("x-streamgate-anything", HeaderValue::from_static("c"));
        headers.append("x-stream", HeaderValue::from_static("d"));
        strip(&mut headers);
        assert_eq!(headers.keys().map(HeaderName::as_str).collect::<Vec<_>>(), ["x-stream"]);
    }
}
