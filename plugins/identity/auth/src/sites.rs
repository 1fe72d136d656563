//! The addresses of this server: the only sites that a message may be signed for, and whose pages may use
//! cookies for changes. They come from the settings, or from where the ingress listens, never from a
//! request's `Host`.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use parking_lot::RwLock;

use crate::origin::Origin;
use crate::settings::Settings;

/// See the module.
pub(crate) struct Sites {
    settings: Arc<Settings>,
    /// That of `public_url` first, or those that follow the ingress.
    ours: RwLock<Arc<[Origin]>>,
    guests: Vec<Origin>,
}

impl Sites {
    /// # Errors
    /// A setting that `check` would have found.
    pub(crate) fn new(settings: Arc<Settings>) -> Result<Self, String> {
        let ours = RwLock::new(all(&settings, &[])?.into());
        let guests = settings.allowed_origins.iter().map(|text| Origin::parse(text, settings.plain_http));
        let guests = guests.collect::<Result<_, _>>()?;
        Ok(Self { settings, ours, guests })
    }

    /// The current ones.
    pub(crate) fn ours(&self) -> Arc<[Origin]> {
        self.ours.read().clone()
    }

    /// Other sites whose pages may sign people in, without cookies.
    pub(crate) fn guests(&self) -> &[Origin] {
        &self.guests
    }

    /// All sites that a message may be signed for: ours first.
    pub(crate) fn all(&self) -> Vec<Origin> {
        self.ours().iter().chain(self.guests()).cloned().collect()
    }

    /// The public address.
    pub(crate) fn main(&self) -> Option<String> {
        self.ours().first().map(Origin::text)
    }

    /// Whether cookies are `Secure`.
    pub(crate) fn is_secure(&self) -> bool {
        self.settings.public_url.starts_with("https://")
    }

    /// Sets where the ingress listens, which applies if no `public_url` is set. Returns the public address,
    /// if there is one.
    ///
    /// # Errors
    /// A setting that `check` would have found.
    pub(crate) fn listens_at(&self, addresses: &[SocketAddr]) -> Result<Option<String>, String> {
        *self.ours.write() = all(&self.settings, addresses)?.into();
        Ok(self.main())
    }
}

/// The origins of the settings; without `public_url` those of this machine at the ports of the ingress, under
/// the names that browsers use for it: `localhost` first, which is printed. With `plain_http` also the
/// address that the ingress is bound to, if it is one of the network.
fn all(settings: &Settings, ingress: &[SocketAddr]) -> Result<Vec<Origin>, String> {
    let mut texts = Vec::new();
    if settings.public_url.is_empty() {
        for address in ingress {
            let port = if address.port() == 80 { String::new() } else { format!(":{}", address.port()) };
            let names: &[&str] = match address.ip() {
                IpAddr::V4(ip) if ip.is_loopback() || ip.is_unspecified() => &["localhost", "127.0.0.1"],
                // One socket accepts both kinds of addresses then.
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
        // Another machine's name for this one is up to the operator.
        assert!(of(&open, &at(&["192.168.0.5:8080"])).is_empty());
        let trusting = Settings { plain_http: true, ..open.clone() };
        assert_eq!(of(&trusting, &at(&["192.168.0.5:8080"])), ["http://192.168.0.5:8080"]);
        assert_eq!(of(&trusting, &at(&["[fd00::1]:80"])), ["http://[fd00::1]"]);
        assert_eq!(of(&trusting, &at(&["0.0.0.0:8080"]))[0], "http://localhost:8080");
        assert!(of(&open, &[]).is_empty());
        let set = Settings { public_url: "http://localhost:8080".into(), ..open };
        assert_eq!(of(&set, &at(&["127.0.0.1:18472"])), ["http://localhost:8080"]);
    }
}
