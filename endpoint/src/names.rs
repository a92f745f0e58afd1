//! URLs under which the endpoint is reached, and the names for its certificate.

use std::net::{IpAddr, SocketAddr};

use anyhow::{Result, bail};

/// A URL of the endpoint: `https://HOST[:PORT]`, without a path.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EndpointUrl {
    /// The name or address, without brackets.
    pub host: String,
    /// The port.
    pub port: u16,
}

/// The port of a URL that does not say.
const HTTPS: u16 = 443;

impl EndpointUrl {
    /// The URL of an address.
    #[must_use]
    pub fn of(address: SocketAddr) -> Self {
        Self { host: address.ip().to_string(), port: address.port() }
    }
}

impl std::str::FromStr for EndpointUrl {
    type Err = anyhow::Error;

    fn from_str(text: &str) -> Result<Self> {
        let Some(rest) = text.strip_prefix("https://") else {
            bail!("`{text}` does not begin with `https://`");
        };
        let rest = rest.strip_suffix('/').unwrap_or(rest);
        let (host, port) = match rest.rsplit_once(':') {
            Some((host, port)) if !port.contains(']') => (host, Some(port)),
            _ => (rest, None),
        };
        let port = match port.map(str::parse) {
            None => HTTPS,
            Some(Ok(port)) if port > 0 => port,
            Some(_) => bail!("`{text}` has no good port"),
        };
        let bare = host.strip_prefix('[').and_then(|host| host.strip_suffix(']'));
        let is_good = match bare {
            Some(address) => address.parse::<std::net::Ipv6Addr>().is_ok(),
            None => is_name(host),
        };
        if !is_good {
            bail!("`{text}` is no URL of the form `https://HOST:PORT`");
        }
        Ok(Self { host: bare.unwrap_or(host).to_owned(), port })
    }
}

impl std::fmt::Display for EndpointUrl {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { host, port } = self;
        if host.contains(':') {
            write!(f, "https://[{host}]:{port}")
        } else {
            write!(f, "https://{host}:{port}")
        }
    }
}

fn is_name(text: &str) -> bool {
    (1..=253).contains(&text.len())
        && text.bytes().all(|c| c.is_ascii_alphanumeric() || b".-".contains(&c))
        && !text.starts_with(['.', '-'])
}

/// The URLs that hosts are told: those that were named, or one for the address listened on. Who
/// listens on every address is reached by the machine's name.
#[must_use]
pub fn advertised(named: &[EndpointUrl], listening: SocketAddr, machine: &str) -> Vec<EndpointUrl> {
    if !named.is_empty() {
        return named.to_vec();
    }
    let own = EndpointUrl::of(listening);
    if listening.ip().is_unspecified() {
        return vec![EndpointUrl { host: machine.to_owned(), ..own }];
    }
    vec![own]
}

/// The names and addresses that the server's certificate is for.
#[must_use]
pub fn certified(advertised: &[EndpointUrl], listening: SocketAddr) -> Vec<String> {
    let mut names: Vec<String> = advertised.iter().map(|url| url.host.clone()).collect();
    let local = [IpAddr::from([127, 0, 0, 1]), IpAddr::from(std::net::Ipv6Addr::LOCALHOST)];
    names.extend(local.iter().map(ToString::to_string));
    names.push("localhost".to_owned());
    if !listening.ip().is_unspecified() {
        names.push(listening.ip().to_string());
    }
    names.sort();
    names.dedup();
    names
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(text: &str, expected: &str) {
        let url = text.parse::<EndpointUrl>().map(|url| url.to_string());
        assert_eq!(url.unwrap_or_else(|error| error.to_string()), expected);
    }

    #[test]
    fn a_url_is_a_scheme_a_host_and_a_port() {
        check("https://a.example", "https://a.example:443");
        check("https://10.0.2.2:8443/", "https://10.0.2.2:8443");
        check("https://[::1]:8443", "https://[::1]:8443");
        check("https://[::1]", "https://[::1]:443");
        check("http://a", "`http://a` does not begin with `https://`");
        check("https://a:0", "`https://a:0` has no good port");
        check("https://a/b", "`https://a/b` is no URL of the form `https://HOST:PORT`");
        check("https://a@b:1", "`https://a@b:1` is no URL of the form `https://HOST:PORT`");
    }

    #[test]
    fn who_listens_everywhere_is_reached_by_name() {
        let everywhere: SocketAddr = "0.0.0.0:8443".parse().unwrap();
        let shown =
            |urls: Vec<EndpointUrl>| urls.iter().map(ToString::to_string).collect::<Vec<_>>();
        assert_eq!(shown(advertised(&[], everywhere, "box")), ["https://box:8443"]);
        let named = ["https://e.example".parse().unwrap()];
        assert_eq!(shown(advertised(&named, everywhere, "box")), ["https://e.example:443"]);
        let names = certified(&named, everywhere);
        assert_eq!(names, ["127.0.0.1", "::1", "e.example", "localhost"]);
    }

    #[test]
    fn fuzz_url_and_span_of_time() {
        let seeds = ["https://a.example:8443", "https://[::1]:443/", "12h", "30d"];
        basalt_fuzz::run_on_text!(&seeds, |text| {
            if let Ok(url) = text.parse::<EndpointUrl>() {
                assert_eq!(url.to_string().parse::<EndpointUrl>().unwrap(), url);
            }
            crate::duration::parse(text)
        });
    }
}
