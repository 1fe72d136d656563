//! The operator's settings of the gateway. Never resolves a name or opens a socket.

use std::borrow::Cow;
use std::net::{IpAddr, SocketAddr};

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Serialize};
use streamgate_plugin_api::SettingsProblem;
use streamgate_plugin_api::settings::{ByteSize, Duration, outside};

use crate::filters::Stage;

/// Settings of `gateway`.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Settings {
    /// Address and port to listen on, or a list of them: "127.0.0.1:8080", "[::]:8080".
    pub listen: Listen,
    /// Threads that serve connections; 0 means one per core.
    pub threads: usize,
    /// Maximum concurrent connections. When all are taken, a new one displaces the oldest
    /// connection of the address (IPv6: the /64) with the most; an address that itself has the most
    /// gets 503. The same number of concurrent HTTP/2 streams is shared the same way.
    pub max_connections: usize,
    /// How long a client may take to send the head of a request.
    pub header_timeout: Duration,
    /// How long a request's body may stall.
    pub body_timeout: Duration,
    /// Minimum rate of a request's body in bytes per second, averaged over `body_timeout` of
    /// waiting for the client; 0: any.
    pub min_body_rate: ByteSize,
    /// How long a plugin may take to begin its response without reading the request's body; then
    /// the request is aborted with 504.
    pub answer_timeout: Duration,
    /// How long a client may read nothing of a response, per HTTP/1.1 connection or HTTP/2 stream.
    /// PINGs do not count as reading, and time in which other streams of the connection are served
    /// does not count as waiting. Reading is seen in steps of up to 128 KiB: with 30 seconds, a
    /// connection must read about 4 KiB per second; if it was fast before, 20 KiB per second until
    /// it is known to be slow. A response that has nothing to send for 3 seconds ends if its client
    /// has closed its sending side.
    pub write_timeout: Duration,
    /// How long an idle connection is kept. HTTP/2 PINGs do not keep it. A client that reads the
    /// end of an HTTP/2 response in pieces below 1 KiB counts as idle.
    pub keep_alive: Duration,
    /// Maximum concurrent WebSockets. When all are taken, a new one displaces the oldest of the caller
    /// (principal, or address) with the most; a caller that itself has the most gets 503.
    pub max_sockets: usize,
    /// Maximum concurrent WebSockets of one caller; more get 429.
    pub sockets_per_client: usize,
    /// After how much silence of its client a WebSocket is sent a ping; after as much again without
    /// an answer it is closed.
    pub socket_ping: Duration,
    /// How often the filters judge an open WebSocket again. One whose credential has expired by then
    /// is closed; a sign-out or a revocation closes it at once.
    pub socket_recheck: Duration,
    /// How long running requests may continue when the gateway stops.
    pub drain_timeout: Duration,
    /// Maximum size of a request's head, all fields together.
    pub max_header_bytes: ByteSize,
    /// Maximum number of header fields of a request, at most 100.
    pub max_headers: usize,
    /// Maximum size of a request's body, except for the paths in `unlimited_bodies`.
    pub max_body: ByteSize,
    /// Path prefixes where the plugin itself limits bodies; the gateway only enforces that they
    /// progress.
    pub unlimited_bodies: Vec<String>,
    /// Compress text for clients that accept br or gzip.
    pub compression: bool,
    /// Minimum size of a body to compress.
    pub compress_min: ByteSize,
    /// Which requests are logged: "off", "errors" (failed and slow ones) or "all".
    pub access_log: AccessLog,
    /// With access_log = "errors": a request is slow if its first byte takes longer.
    pub slow_request: Duration,
    /// Proxies (addresses or networks such as "10.0.0.0/8") whose X-Forwarded-For, -Proto and -Host
    /// are trusted.
    pub trusted_proxies: Vec<String>,
    /// Filters that a request must pass before it reaches a plugin: "authenticate" (identify the
    /// caller), "authorize" (check permissions) and "limit" (rate limit), each provided by a
    /// plugin. A listed filter that no plugin provides is answered 503. Default: none.
    pub filters: Vec<Stage>,
    /// Path prefixes whose plugins check credentials themselves: "authenticate" and "authorize" are
    /// skipped.
    pub own_authentication: Vec<String>,
    /// How long a filter may take; then the request is answered 503.
    pub filter_timeout: Duration,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            listen: Listen(vec!["127.0.0.1:8080".into()]),
            threads: 0,
            max_connections: 10_000,
            header_timeout: Duration::secs(10),
            body_timeout: Duration::secs(30),
            min_body_rate: ByteSize::bytes(256),
            answer_timeout: Duration::secs(120),
            write_timeout: Duration::secs(30),
            keep_alive: Duration::secs(75),
            max_sockets: 1_000,
            sockets_per_client: 50,
            socket_ping: Duration::secs(30),
            socket_recheck: Duration::secs(60),
            drain_timeout: Duration::secs(20),
            max_header_bytes: ByteSize::kib(32),
            max_headers: 80,
            max_body: ByteSize::mib(4),
            unlimited_bodies: vec!["/files".into()],
            compression: true,
            compress_min: ByteSize::bytes(860),
            access_log: AccessLog::Errors,
            slow_request: Duration::secs(5),
            trusted_proxies: Vec::new(),
            filters: Vec::new(),
            own_authentication: ["/v", "/api/v1/auth", "/.well-known"].map(String::from).into(),
            filter_timeout: Duration::secs(10),
        }
    }
}

/// Which requests are logged.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum AccessLog {
    /// None.
    Off,
    /// Those that failed on our side, and slow ones.
    Errors,
    /// All.
    All,
}

/// One address or several.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Listen(pub Vec<String>);

impl<'de> Deserialize<'de> for Listen {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        #[serde(untagged, expecting = "an address such as \"127.0.0.1:8080\", or a list of them")]
        enum Either {
            One(String),
            Many(Vec<String>),
        }
        Ok(Self(match Either::deserialize(deserializer)? {
            Either::One(address) => vec![address],
            Either::Many(addresses) => addresses,
        }))
    }
}

impl Serialize for Listen {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match &self.0[..] {
            [one] => serializer.serialize_str(one),
            many => many.serialize(serializer),
        }
    }
}

impl JsonSchema for Listen {
    fn schema_name() -> Cow<'static, str> {
        "Listen".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        // `format` applies to strings and `items` to lists, so both can be present.
        json_schema!({
            "type": ["string", "array"],
            "format": "listen-address",
            "items": { "type": "string", "format": "listen-address" },
            "minItems": 1,
        })
    }
}

/// A network of proxies.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Network {
    address: IpAddr,
    prefix: u8,
}

impl Network {
    pub(crate) fn parse(text: &str) -> Option<Self> {
        let (address, prefix) =
            text.split_once('/').map_or((text, None), |(address, prefix)| (address, Some(prefix)));
        let address: IpAddr = address.trim().parse().ok()?;
        let bits = if address.is_ipv4() { 32 } else { 128 };
        let prefix = prefix.map_or(Some(bits), |prefix| prefix.trim().parse().ok())?;
        (prefix <= bits).then_some(Self { address, prefix })
    }

    pub(crate) fn contains(&self, address: IpAddr) -> bool {
        let bits = |address: IpAddr| match address {
            IpAddr::V4(address) => (u128::from(address.to_bits()) << 96, true),
            IpAddr::V6(address) => (address.to_bits(), false),
        };
        let ((own, own_v4), (other, other_v4)) = (bits(self.address), bits(address));
        let mask = u128::MAX.checked_shl(128 - u32::from(self.prefix)).unwrap_or(0);
        own_v4 == other_v4 && own & mask == other & mask
    }
}

impl Settings {
    /// The addresses to listen on.
    pub(crate) fn addresses(&self) -> Vec<SocketAddr> {
        self.listen.0.iter().filter_map(|address| parse_address(address)).collect()
    }

    /// Problems beyond types.
    pub(crate) fn problems(&self) -> Vec<SettingsProblem> {
        let bytes = self.max_header_bytes;
        let mut problems: Vec<_> = outside("max_headers", self.max_headers, 1, 100).into_iter().collect();
        problems.extend(outside("max_header_bytes", bytes, ByteSize::kib(1), ByteSize::kib(256)));
        let mut problem = |key: &str, text: String| problems.push(SettingsProblem::new(key, text));
        if self.listen.0.is_empty() {
            problem("listen", "contains no address; set one such as \"127.0.0.1:8080\"".into());
        }
        for address in self.listen.0.iter().filter(|address| parse_address(address).is_none()) {
            problem(
                "listen",
                format!("\"{address}\" is not an address with a port, such as \"127.0.0.1:8080\""),
            );
        }
        if self.max_connections == 0 {
            problem("max_connections", "is 0, which refuses every connection".into());
        }
        for (key, value) in
            [("max_sockets", self.max_sockets), ("sockets_per_client", self.sockets_per_client)]
        {
            if value == 0 {
                problem(key, "is 0, which refuses every WebSocket; give a number such as 50".into());
            }
        }
        for (key, value) in [
            ("header_timeout", self.header_timeout),
            ("body_timeout", self.body_timeout),
            ("answer_timeout", self.answer_timeout),
            ("write_timeout", self.write_timeout),
            ("keep_alive", self.keep_alive),
            ("filter_timeout", self.filter_timeout),
            ("socket_ping", self.socket_ping),
            ("socket_recheck", self.socket_recheck),
        ] {
            if value.is_zero() {
                problem(key, "is 0, which closes every connection; set a duration such as \"30s\"".into());
            }
        }
        for (key, prefixes) in
            [("unlimited_bodies", &self.unlimited_bodies), ("own_authentication", &self.own_authentication)]
        {
            for prefix in prefixes.iter().filter(|prefix| !prefix.starts_with('/')) {
                problem(key, format!("\"{prefix}\" does not begin with a slash"));
            }
        }
        if self.filters.contains(&Stage::Authenticate)
            && self.own_authentication.iter().any(|prefix| prefix.trim_end_matches('/').is_empty())
        {
            problem(
                "own_authentication",
                "\"/\" matches every path, so no request would be authenticated".into(),
            );
        }
        for (place, stage) in self.filters.iter().enumerate() {
            if self.filters[..place].contains(stage) {
                problem("filters", format!("\"{}\" is listed twice", stage.name()));
            }
        }
        if self.filters.contains(&Stage::Authorize) && !self.filters.contains(&Stage::Authenticate) {
            problem(
                "filters",
                "\"authorize\" needs the caller that \"authenticate\" identifies; list both".into(),
            );
        }
        for proxy in self.trusted_proxies.iter().filter(|proxy| Network::parse(proxy).is_none()) {
            problem(
                "trusted_proxies",
                format!("\"{proxy}\" is neither an address nor a network such as 10.0.0.0/8"),
            );
        }
        problems
    }
}

fn parse_address(text: &str) -> Option<SocketAddr> {
    let text = text.trim();
    match text.strip_prefix("localhost:") {
        Some(port) => Some(SocketAddr::from(([127, 0, 0, 1], port.parse().ok()?))),
        None => text.parse().ok(),
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn one_address_and_a_list_are_both_taken() {
        let one: Settings = serde_json::from_str(r#"{"listen": "127.0.0.1:1"}"#).unwrap();
        let two: Settings = serde_json::from_str(r#"{"listen": ["127.0.0.1:1", "[::1]:2"]}"#).unwrap();
        assert_eq!((one.addresses().len(), two.addresses().len()), (1, 2));
        assert!(serde_json::from_str::<Settings>(r#"{"listen": 8080}"#).is_err());
        assert!(serde_json::from_str::<Settings>(r#"{"lisen": "x"}"#).is_err());
    }

    #[test]
    fn the_defaults_have_no_problem_and_every_mistake_is_found_at_once() {
        assert_eq!(Settings::default().problems(), []);
        let wrong = Settings {
            listen: Listen(vec!["nowhere".into()]),
            max_headers: 0,
            max_connections: 0,
            max_sockets: 0,
            keep_alive: Duration::secs(0),
            socket_ping: Duration::secs(0),
            unlimited_bodies: vec!["files".into()],
            trusted_proxies: vec!["10.0.0.0/33".into()],
            filters: vec![Stage::Authorize, Stage::Authorize],
            own_authentication: vec!["v".into()],
            ..Settings::default()
        };
        let keys: Vec<_> = wrong.problems().into_iter().map(|problem| problem.key).collect();
        assert_eq!(
            keys,
            [
                "max_headers",
                "listen",
                "max_connections",
                "max_sockets",
                "keep_alive",
                "socket_ping",
                "unlimited_bodies",
                "own_authentication",
                "filters",
                "filters",
                "trusted_proxies"
            ]
        );
        let nobody = r#"{"filters": ["authenticate", "authorize"], "own_authentication": ["/"]}"#;
        let nobody: Settings = serde_json::from_str(nobody).unwrap();
        assert_eq!(nobody.problems()[0].key, "own_authentication");
        assert!(serde_json::from_str::<Settings>(r#"{"filters": ["authentikate"]}"#).is_err());
    }

    #[test]
    fn a_network_holds_its_own_addresses_only() {
        let network = Network::parse("10.1.0.0/16").unwrap();
        assert!(network.contains("10.1.255.1".parse().unwrap()));
        assert!(!network.contains("10.2.0.1".parse().unwrap()));
        assert!(!network.contains("::1".parse().unwrap()));
        assert!(Network::parse("0.0.0.0/0").unwrap().contains("8.8.8.8".parse().unwrap()));
        assert!(Network::parse("::1").unwrap().contains("::1".parse().unwrap()));
    }
}
