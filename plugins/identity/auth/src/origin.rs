//! An origin (RFC 6454) in the form that browsers use.

use std::net::{Ipv4Addr, Ipv6Addr};

/// Scheme, host and port.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Origin {
    pub(crate) scheme: String,
    /// Host, and port unless it is the scheme's own.
    pub(crate) authority: String,
}

impl Origin {
    /// `https://host[:port]`, or `http://` for this machine, in the form that browsers use; `plain_http`: or
    /// for any.
    pub(crate) fn parse(text: &str, plain_http: bool) -> Result<Self, String> {
        let wrong =
            |reason: &str| format!("`{text}` {reason}; write, for example, \"https://video.example.org\"");
        let (scheme, authority) = text.split_once("://").ok_or_else(|| wrong("has no scheme"))?;
        if !matches!(scheme, "http" | "https") {
            return Err(wrong("has another scheme than https or http"));
        }
        let plain = |b: u8| {
            b.is_ascii_lowercase() || b.is_ascii_digit() || matches!(b, b'-' | b'.' | b':' | b'[' | b']')
        };
        if authority.is_empty() || authority.len() > 255 || !authority.bytes().all(plain) {
            return Err(wrong("is more or less than scheme, host in lower case, and port"));
        }
        let (host, port) = match authority.rsplit_once(':') {
            Some((host, port)) if !port.ends_with(']') => (host, Some(port)),
            _ => (authority, None),
        };
        if let Some(port) = port {
            let number = port.parse::<u16>().map_err(|_| wrong("has no port after its colon"))?;
            let own = if scheme == "https" { 443 } else { 80 };
            if number == own || number == 0 || number.to_string() != port {
                return Err(wrong("has a port that browsers omit or write differently"));
            }
        }
        let literal = host.strip_prefix('[').and_then(|rest| rest.strip_suffix(']'));
        let v6 = literal.map(|inner| inner.parse::<Ipv6Addr>().ok());
        if v6 == Some(None) || literal.is_none() && (host.is_empty() || host.contains(['[', ']', ':'])) {
            return Err(wrong("has no host"));
        }
        let local = host == "localhost"
            || v6.flatten().is_some_and(|address| address.is_loopback())
            || host.parse::<Ipv4Addr>().is_ok_and(|address| address.is_loopback());
        if scheme == "http" && !local && !plain_http {
            return Err(wrong(
                "would send sessions in the clear: plain http is for this machine alone, or for a network \
                 that you trust with `plain_http = true`",
            ));
        }
        Ok(Self { scheme: scheme.into(), authority: authority.into() })
    }

    /// In the form that browsers send in `Origin`.
    pub(crate) fn text(&self) -> String {
        format!("{}://{}", self.scheme, self.authority)
    }

    /// Whether an absolute URI is in this origin.
    pub(crate) fn holds(&self, uri: &str) -> bool {
        let rest = uri.strip_prefix(&self.text());
        rest.is_some_and(|rest| rest.is_empty() || rest.starts_with(['/', '?', '#']))
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn https_anywhere_and_http_on_this_machine_only() {
        for good in [
            "https://video.example.org",
            "https://video.example.org:8443",
            "http://localhost:8080",
            "http://127.0.0.1:8080",
            "http://[::1]:8080",
            "https://[2001:db8::1]",
        ] {
            assert_eq!(Origin::parse(good, false).unwrap().text(), good);
        }
        for bad in [
            "http://video.example.org",
            "http://192.168.0.5:8080",
            "video.example.org",
            "ftp://localhost",
            "https://",
            "https://Video.example.org",
            "https://a.example/",
            "https://user@a.example",
            "https://a.example:443",
            "http://localhost:080",
            "https://a.example:",
            "https://[::1",
            "https://::1",
            "https://a example",
            "http://localhost.evil.example",
        ] {
            assert!(Origin::parse(bad, false).is_err(), "{bad}");
        }
    }

    #[test]
    fn plain_http_of_another_machine_must_be_allowed() {
        assert_eq!(Origin::parse("http://192.168.0.5:8080", true).unwrap().text(), "http://192.168.0.5:8080");
        assert!(Origin::parse("ftp://192.168.0.5", true).is_err());
    }

    #[test]
    fn an_uri_of_a_site_that_only_begins_alike_is_not_ours() {
        let origin = Origin::parse("https://a.example", false).unwrap();
        for ours in
            ["https://a.example", "https://a.example/login", "https://a.example?x", "https://a.example#x"]
        {
            assert!(origin.holds(ours), "{ours}");
        }
        for other in [
            "https://a.example.evil.org",
            "https://a.example:8443/",
            "https://a.example@evil.org",
            "http://a.example/",
        ] {
            assert!(!origin.holds(other), "{other}");
        }
    }
}
