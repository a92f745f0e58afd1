//! Which addresses an image may be fetched from: none that only this host can reach, and would
//! reach for whoever wrote a URL. Pure.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// Why no connection is made to an address; none where one may be.
#[must_use]
pub fn refusal(address: IpAddr, own: &[IpAddr]) -> Option<&'static str> {
    let address = plain(address);
    match address {
        IpAddr::V4(v4) if v4.is_loopback() || v4.octets()[0] == 0 => Some("is this host itself"),
        IpAddr::V6(v6) if v6.is_loopback() || v6.is_unspecified() => Some("is this host itself"),
        IpAddr::V4(v4) if v4.is_link_local() => Some("is of this host's own link only"),
        IpAddr::V6(v6) if v6.is_unicast_link_local() => Some("is of this host's own link only"),
        IpAddr::V4(v4) if v4.is_multicast() || v4.is_broadcast() => Some("is no single host's"),
        IpAddr::V6(v6) if v6.is_multicast() => Some("is no single host's"),
        _ if own.iter().any(|own| plain(*own) == address) => Some("is this host's own address"),
        _ => None,
    }
}

/// Whether a list of `NAME`, `NAME:PORT` and addresses names this host and port.
#[must_use]
pub fn names(list: &[String], host: &str, port: u16) -> bool {
    let host = bare(host);
    list.iter().any(|entry| {
        let (name, wanted) = split(entry);
        bare(name).eq_ignore_ascii_case(host) && wanted.is_none_or(|wanted| wanted == port)
    })
}

/// An IPv4 address that came as an IPv6 one is that IPv4 address.
fn plain(address: IpAddr) -> IpAddr {
    let embedded = |v6: Ipv6Addr| {
        let high = v6.segments();
        // `::a.b.c.d`, deprecated and still connected to by some; `::` and `::1` are their own.
        let is_compatible = high[..6] == [0; 6] && high[6] != 0;
        // `64:ff9b::a.b.c.d`, which a translator leads to the IPv4 address (RFC 6052).
        let is_translated = high[..6] == [0x64, 0xff9b, 0, 0, 0, 0];
        (is_compatible || is_translated).then(|| {
            let [.., a, b, c, d] = v6.octets();
            Ipv4Addr::new(a, b, c, d)
        })
    };
    match address {
        IpAddr::V6(v6) => v6.to_ipv4_mapped().or_else(|| embedded(v6)).map_or(address, IpAddr::V4),
        IpAddr::V4(_) => address,
    }
}

/// Without the brackets that stand round an IPv6 address, and the dot that may end a name.
fn bare(host: &str) -> &str {
    let host = host.strip_suffix('.').unwrap_or(host);
    host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host)
}

fn split(entry: &str) -> (&str, Option<u16>) {
    if entry.parse::<Ipv6Addr>().is_ok() {
        return (entry, None);
    }
    match entry.rsplit_once(':').map(|(name, port)| (name, port.parse())) {
        Some((name, Ok(port))) => (name, Some(port)),
        _ => (entry, None),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const OWN: [&str; 2] = ["192.0.2.7", "2001:db8::7"];

    fn check(addresses: &[&str], expected: Option<&str>) {
        let own = OWN.map(|own| own.parse().unwrap());
        for address in addresses {
            assert_eq!(refusal(address.parse().unwrap(), &own), expected, "{address}");
        }
    }

    #[test]
    fn the_host_itself_is_refused_however_it_is_written() {
        let itself = ["127.0.0.1", "127.9.9.9", "0.0.0.0", "0.1.2.3", "::1", "::"];
        check(&itself, Some("is this host itself"));
        check(&["::ffff:127.0.0.1", "64:ff9b::7f00:1", "::127.0.0.1"], Some("is this host itself"));
        check(
            &["192.0.2.7", "::ffff:192.0.2.7", "2001:db8::7"],
            Some("is this host's own address"),
        );
    }

    #[test]
    fn what_only_this_link_has_is_refused() {
        let link = ["169.254.169.254", "::ffff:169.254.169.254", "fe80::1", "febf::1"];
        check(&link, Some("is of this host's own link only"));
        check(&["224.0.0.1", "255.255.255.255", "ff02::1"], Some("is no single host's"));
    }

    #[test]
    fn everywhere_else_is_allowed() {
        check(&["192.0.2.8", "10.0.0.1", "2001:db8::8", "fec0::1", "fd00::1"], None);
    }

    #[test]
    fn a_list_names_hosts_and_perhaps_ports() {
        let list = ["localhost", "mirror.example:8080", "::1", "[2001:db8::1]:80", "10.0.0.1:81"];
        let list = list.map(str::to_owned);
        let named = [
            ("localhost", 1),
            ("LocalHost", 80),
            ("localhost.", 80),
            ("mirror.example", 8080),
            ("[::1]", 443),
            ("[2001:db8::1]", 80),
            ("10.0.0.1", 81),
        ];
        for (host, port) in named {
            assert!(names(&list, host, port), "{host}:{port}");
        }
        let others = [
            ("mirror.example", 80),
            ("example", 8080),
            ("[2001:db8::1]", 81),
            ("10.0.0.1", 80),
            ("localhost.example", 80),
            ("", 80),
        ];
        for (host, port) in others {
            assert!(!names(&list, host, port), "{host}:{port}");
        }
    }
}
