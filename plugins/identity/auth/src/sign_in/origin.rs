//! Where this server is reached: the only sites that a message may be signed for, and whose pages
//! may change anything with a cookie. It comes from the settings, or from where the ingress listens,
//! never from a request's `Host`.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use crate::settings::Settings;

/// An origin (RFC 6454): scheme, host and port.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Origin {
    pub(crate) scheme: String,
    /// Host, and port unless it is the scheme's own.
    pub(crate) authority: String,
}

impl Origin {
    /// `https://host[:port]`, or `http://` for this machine, in the spelling that browsers use;
    /// `plain_http`: or for any.
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
                return Err(wrong("has a port that browsers leave away or write in another way"));
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

    /// As browsers send it in `Origin`.
    pub(crate) fn text(&self) -> String {
        format!("{}://{}", self.scheme, self.authority)
    }

    /// Whether an absolute URI lies in this origin.
    pub(crate) fn holds(&self, uri: &str) -> bool {
        let rest = uri.strip_prefix(&self.text());
        rest.is_some_and(|rest| rest.is_empty() || rest.starts_with(['/', '?', '#']))
    }
}

/// The origins of the settings; without `public_url` those of this machine at the ports of the
/// ingress, under the names that browsers have for it: `localhost` first, which is the one to print.
/// With `plain_http` also the address that the ingress is bound to, if it is one of the network.
pub(crate) fn all(settings: &Settings, ingress: &[SocketAddr]) -> Result<Vec<Origin>, String> {
    let mut texts = Vec::new();
    if settings.public_url.is_empty() {
        for address in ingress {
            let port = if address.port() == 80 { String::new() } else { format!(":{}", address.port()) };
            let names: &[&str] = match address.ip() {
                IpAddr::V4(ip) if ip.is_loopback() || ip.is_unspecified() => &["localhost", "127.0.0.1"],
                // One socket takes both kinds of addresses then.
                IpAddr::V6(ip) if ip.is_unspecified() => &["localhost", "127.0.0.1", "[::1]"],
                IpAddr::V6(ip) if ip.is_loopback() => &["localhost", "[::1]"],
                IpAddr::V4(ip) if settings.plain_http => &[&ip.to_string()],
                IpAddr::V6(ip) if settings.plain_http => &[&format!("[{ip}]")],
                _ => &[],
            };
            texts.extend(names.iter().map(|host| format!("http://{host}{port}")));
        }
    } else {
        texts.push(settings.public_url.clone());
    }
    texts.extend(settings.origins.iter().cloned());
    texts.iter().map(|text| Origin::parse(text, settings.plain_http)).collect()
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
    fn plain_http_of_another_machine_is_for_who_allows_it() {
        assert_eq!(Origin::parse("http://192.168.0.5:8080", true).unwrap().text(), "http://192.168.0.5:8080");
        assert!(Origin::parse("ftp://192.168.0.5", true).is_err());
    }

    #[test]
    fn without_an_address_in_the_settings_it_is_where_the_ingress_listens_on_this_machine() {
        let at = |texts: &[&str]| -> Vec<SocketAddr> { texts.iter().map(|it| it.parse().unwrap()).collect() };
        let of = |settings: &Settings, addresses: &[SocketAddr]| -> Vec<String> {
            all(settings, addresses).unwrap().iter().map(Origin::text).collect()
        };
        let open = Settings { public_url: String::new(), origins: Vec::new(), ..Settings::default() };
        let local = ["http://localhost:18472", "http://127.0.0.1:18472"];
        assert_eq!(of(&open, &at(&["127.0.0.1:18472"])), local);
        assert_eq!(of(&open, &at(&["0.0.0.0:18472"])), local);
        assert_eq!(of(&open, &at(&["[::1]:80"])), ["http://localhost", "http://[::1]"]);
        assert_eq!(
            of(&open, &at(&["[::]:8080"])),
            ["http://localhost:8080", "http://127.0.0.1:8080", "http://[::1]:8080"]
        );
        // Another machine's name for this one is a choice of the operator.
        assert!(of(&open, &at(&["192.168.0.5:8080"])).is_empty());
        let trusting = Settings { plain_http: true, ..open.clone() };
        assert_eq!(of(&trusting, &at(&["192.168.0.5:8080"])), ["http://192.168.0.5:8080"]);
        assert_eq!(of(&trusting, &at(&["[fd00::1]:80"])), ["http://[fd00::1]"]);
        assert_eq!(of(&trusting, &at(&["0.0.0.0:8080"]))[0], "http://localhost:8080");
        assert!(of(&open, &[]).is_empty());
        let set = Settings { public_url: "http://localhost:8080".into(), ..open };
        assert_eq!(of(&set, &at(&["127.0.0.1:18472"])), ["http://localhost:8080"]);
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
