//! Addresses: of the client that sent a request, and which ones are on the public internet, for plugins that
//! connect to addresses from untrusted input: a URL may name something that only this machine can reach.
//!
//! A name may resolve to anything, and to something else a moment later. So check the address of each
//! connection, not the name.
//!
//! ```
//! use streamgate_plugin_api::address::not_public;
//!
//! assert_eq!(not_public("1.1.1.1".parse().unwrap()), None);
//! assert_eq!(not_public("::ffff:169.254.169.254".parse().unwrap()), Some("a link-local address"));
//! ```

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use http::{HeaderMap, HeaderName};

use crate::caller::may_tell_sender;

/// The client's address, set only by the ingress, as all fields of [`crate::principal::PREFIX`].
pub const CLIENT: HeaderName = HeaderName::from_static("x-streamgate-client");

/// The address of the client that sent a request, as the ingress determined it: that of the connection, or
/// the one stated by trusted proxies.
pub fn client(headers: &HeaderMap) -> Option<IpAddr> {
    if !may_tell_sender(headers) {
        return None;
    }
    headers.get(CLIENT)?.to_str().ok()?.parse().ok()
}

/// What counts as one client where slots are shared: an IPv4 address, or the /64 of an IPv6 one, which is the
/// minimum of one customer (RFC 6177 §2).
pub fn network(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(six) => Ipv6Addr::from_bits(six.to_bits() & !u128::from(u64::MAX)).into(),
        four => four,
    }
}

/// IANA's special-purpose registry for IPv4 (RFC 6890), as far as it is not globally reachable, multicast
/// (RFC 5771), and the relays of 6to4 (RFC 7526).
const V4: [(Ipv4Addr, u32, &str); 15] = [
    (Ipv4Addr::new(0, 0, 0, 0), 8, "an unspecified address"),
    // RFC 1918, like the other private ones.
    (Ipv4Addr::new(10, 0, 0, 0), 8, "a private address"),
    // RFC 6598.
    (Ipv4Addr::new(100, 64, 0, 0), 10, "an address of a carrier's own network"),
    (Ipv4Addr::new(127, 0, 0, 0), 8, "a loopback address"),
    // RFC 3927. Clouds serve instance credentials at 169.254.169.254.
    (Ipv4Addr::new(169, 254, 0, 0), 16, "a link-local address"),
    (Ipv4Addr::new(172, 16, 0, 0), 12, "a private address"),
    (Ipv4Addr::new(192, 0, 0, 0), 24, "an address for protocols"),
    (Ipv4Addr::new(192, 0, 2, 0), 24, "an address for documentation"),
    (Ipv4Addr::new(192, 88, 99, 0), 24, "an address of 6to4 relays"),
    (Ipv4Addr::new(192, 168, 0, 0), 16, "a private address"),
    (Ipv4Addr::new(198, 18, 0, 0), 15, "an address for benchmarks"),
    (Ipv4Addr::new(198, 51, 100, 0), 24, "an address for documentation"),
    (Ipv4Addr::new(203, 0, 113, 0), 24, "an address for documentation"),
    (Ipv4Addr::new(224, 0, 0, 0), 4, "a multicast address"),
    (Ipv4Addr::new(240, 0, 0, 0), 4, "a reserved address"),
];

/// The same for IPv6, within the global unicast addresses 2000::/3, and the sinks of AS112
/// (RFC 7534).
const V6: [(Ipv6Addr, u32, &str); 4] = [
    // Teredo (RFC 4380) and others.
    (Ipv6Addr::new(0x2001, 0, 0, 0, 0, 0, 0, 0), 23, "an address for protocols"),
    (Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 0), 32, "an address for documentation"),
    // RFC 9637.
    (Ipv6Addr::new(0x3fff, 0, 0, 0, 0, 0, 0, 0), 20, "an address for documentation"),
    (Ipv6Addr::new(0x2620, 0x4f, 0x8000, 0, 0, 0, 0, 0), 48, "an address for protocols"),
];

/// Why an address is not on the public internet: its kind, such as `a loopback address`. `None` if it is
/// public. An IPv6 address that represents an IPv4 one is checked as that.
pub fn not_public(address: IpAddr) -> Option<&'static str> {
    match address {
        IpAddr::V4(address) => not_public_v4(address),
        IpAddr::V6(address) => not_public_v6(address),
    }
}

fn not_public_v4(address: Ipv4Addr) -> Option<&'static str> {
    let bits = address.to_bits();
    let within = |network: Ipv4Addr, length: u32| (bits ^ network.to_bits()) >> (32 - length) == 0;
    V4.iter().find(|(network, length, _)| within(*network, *length)).map(|(_, _, what)| *what)
}

fn not_public_v6(address: Ipv6Addr) -> Option<&'static str> {
    if let Some(inner) = embedded(address) {
        return not_public_v4(inner);
    }
    let bits = address.to_bits();
    let within = |network: Ipv6Addr, length: u32| (bits ^ network.to_bits()) >> (128 - length) == 0;
    if let Some((_, _, what)) = V6.iter().find(|(network, length, _)| within(*network, *length)) {
        return Some(what);
    }
    match address.segments()[0] {
        0x2000..=0x3fff => None,
        // RFC 4193, and RFC 3879, which ended fec0::/10.
        0xfc00..=0xfdff | 0xfec0..=0xfeff => Some("a private address"),
        0xfe80..=0xfebf => Some("a link-local address"),
        0xff00..=0xffff => Some("a multicast address"),
        _ if address.is_loopback() => Some("a loopback address"),
        _ if address.is_unspecified() => Some("an unspecified address"),
        _ => Some("no global unicast address"),
    }
}

/// The IPv4 address that packets to this one reach: IPv4-mapped (RFC 4291), NAT64 (RFC 6052) and 6to4 (RFC
/// 3056). A translator's own prefix (RFC 8215) is not a global unicast address.
fn embedded(address: Ipv6Addr) -> Option<Ipv4Addr> {
    let from = |high: u16, low: u16| Ipv4Addr::from_bits(u32::from(high) << 16 | u32::from(low));
    match address.segments() {
        [0, 0, 0, 0, 0, 0xffff, high, low] | [0x64, 0xff9b, 0, 0, 0, 0, high, low] => Some(from(high, low)),
        [0x2002, high, low, ..] => Some(from(high, low)),
        _ => None,
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn addresses_of_the_public_internet_are_taken() {
        let four = "1.1.1.1 93.184.215.14 100.63.0.1 100.128.0.1 172.15.0.1 172.32.0.1 192.0.1.1";
        let six = "2606:4700::1111 2001:4860:4860::8888 2a00::1";
        let embedded = "::ffff:8.8.8.8 64:ff9b::8.8.8.8 2002:808:808::1";
        for address in [four, six, embedded].iter().flat_map(|some| some.split(' ')) {
            assert_eq!(not_public(address.parse().unwrap()), None, "{address}");
        }
    }

    #[test]
    fn every_other_kind_is_named() {
        for (what, addresses) in [
            ("loopback", "127.0.0.1 127.255.255.254 ::1 ::ffff:127.0.0.1 2002:7f00:1::"),
            ("unspecified", "0.0.0.0 0.1.2.3 ::"),
            ("private", "10.0.0.1 172.16.0.1 172.31.255.255 192.168.1.1 fc00::1 fdff::1 fec0::1"),
            ("private", "::ffff:192.168.0.1 2002:a00:1::"),
            ("link-local", "169.254.169.254 fe80::1 64:ff9b::169.254.169.254"),
            ("carrier", "100.64.0.1 100.127.255.255"),
            ("benchmarks", "198.18.0.1 198.19.0.1"),
            ("documentation", "192.0.2.1 198.51.100.1 203.0.113.9 2001:db8::1 3fff::1"),
            ("protocols", "192.0.0.8 2001::1"),
            ("6to4", "192.88.99.1"),
            ("multicast", "224.0.0.1 ff02::1"),
            ("reserved", "240.0.0.1 255.255.255.255"),
            ("no global unicast", "::127.0.0.1 100::1 64:ff9b:1::10.0.0.1"),
        ] {
            for address in addresses.split(' ') {
                let found = not_public(address.parse().unwrap());
                assert!(found.is_some_and(|found| found.contains(what)), "{address}: {found:?}");
            }
        }
    }

    proptest! {
        #[test]
        fn an_address_within_another_is_judged_as_itself(bits: u32) {
            let inner = Ipv4Addr::from_bits(bits);
            let [a, b, c, d] = inner.octets().map(u16::from);
            let (high, low) = (a << 8 | b, c << 8 | d);
            let alone = not_public(inner.into());
            for outer in [
                inner.to_ipv6_mapped(),
                Ipv6Addr::new(0x64, 0xff9b, 0, 0, 0, 0, high, low),
                Ipv6Addr::new(0x2002, high, low, 0, 0, 0, 0, 1),
            ] {
                prop_assert_eq!(not_public(outer.into()), alone, "{}", outer);
            }
        }

        #[test]
        fn what_the_standard_library_knows_as_local_is_never_public(bits: u128, four: u32) {
            let (six, four) = (Ipv6Addr::from_bits(bits), Ipv4Addr::from_bits(four));
            if six.is_loopback() || six.is_multicast() || six.is_unique_local() || six.is_unicast_link_local() {
                prop_assert!(not_public(six.into()).is_some());
            }
            if four.is_private() || four.is_loopback() || four.is_link_local() || four.is_multicast() {
                prop_assert!(not_public(four.into()).is_some());
            }
        }
    }
}
