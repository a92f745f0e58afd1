//! Waits until networkd has an address, and tells libc whom to ask for names.

use std::fs;
use std::path::Path;
use std::thread::sleep;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};

use crate::console::say;

/// What networkd says of all links together, as libsystemd reads it.
const STATE: &str = "/run/systemd/netif/state";
const RESOLV_CONF: &str = "/etc/resolv.conf";
const LINKS: &str = "/sys/class/net";
/// A switch may take half a minute until it lets anything through, a server of addresses some more.
const PATIENCE: Duration = Duration::from_secs(180);
/// How often it is said that there is none yet.
const SAY: Duration = Duration::from_secs(15);
const PAUSE: Duration = Duration::from_millis(250);
/// libc asks three at most.
const SERVERS: usize = 3;

/// Waits for an address by which others can be reached.
///
/// # Errors
/// There is none for minutes; the error has the links.
pub fn wait() -> Result<()> {
    let (began, mut said) = (Instant::now(), Instant::now());
    loop {
        let state = fs::read_to_string(STATE).unwrap_or_default();
        if is_routable(&state) {
            return fs::write(RESOLV_CONF, resolv_conf(&state))
                .with_context(|| format!("cannot write `{RESOLV_CONF}`"));
        }
        if began.elapsed() >= PATIENCE {
            bail!(
                "no address came in {} s: {}\nhint: check the cable and the DHCP server, or give \
                 an address by `ip=`",
                PATIENCE.as_secs(),
                describe(&links())
            );
        }
        if said.elapsed() >= SAY {
            said = Instant::now();
            say(&format!("waiting for an address: {}", describe(&links())));
        }
        sleep(PAUSE);
    }
}

/// Whether networkd has an address that reaches further than its link.
fn is_routable(state: &str) -> bool {
    value(state, "ADDRESS_STATE") == Some("routable")
}

/// What libc goes by, from what networkd heard.
fn resolv_conf(state: &str) -> String {
    let servers = value(state, "DNS").unwrap_or_default().split_whitespace();
    let mut text: String =
        servers.take(SERVERS).map(|server| format!("nameserver {server}\n")).collect();
    let domains = value(state, "DOMAINS").unwrap_or_default();
    if !domains.is_empty() {
        text.push_str(&format!("search {domains}\n"));
    }
    text
}

fn value<'t>(state: &'t str, key: &str) -> Option<&'t str> {
    let mut pairs = state.lines().filter_map(|line| line.split_once('='));
    pairs.find(|(name, _)| *name == key).map(|(_, value)| value)
}

/// Network cards, each with what `carrier` says; it cannot be read of one that is down.
fn links() -> Vec<(String, Option<String>)> {
    let entries = fs::read_dir(LINKS).into_iter().flatten().flatten();
    let names = entries.map(|entry| entry.file_name().to_string_lossy().into_owned());
    let real = names.filter(|name| name != "lo");
    let mut links: Vec<_> = real
        .map(|name| {
            let carrier = fs::read_to_string(Path::new(LINKS).join(&name).join("carrier")).ok();
            (name, carrier)
        })
        .collect();
    links.sort();
    links
}

fn describe(links: &[(String, Option<String>)]) -> String {
    if links.is_empty() {
        return "there is no network card that the initrd has a driver for".to_owned();
    }
    let one = |(name, carrier): &(String, Option<String>)| match carrier.as_deref().map(str::trim) {
        Some("1") => format!("`{name}` has a carrier and no address"),
        Some(_) => format!("`{name}` has no carrier"),
        None => format!("`{name}` is down"),
    };
    links.iter().map(one).collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    const NETWORKD: &str = "# This is private data. Do not parse.\nOPER_STATE=routable\n\
        CARRIER_STATE=carrier\nADDRESS_STATE=routable\nDNS=10.0.2.3 fec0::3 a b\nDOMAINS=x.example\n";

    #[test]
    fn an_address_counts_once_it_reaches_further_than_its_link() {
        assert!(is_routable(NETWORKD));
        assert!(!is_routable(
            &NETWORKD.replace("ADDRESS_STATE=routable", "ADDRESS_STATE=degraded")
        ));
        assert!(!is_routable("") && !is_routable("OPER_STATE=routable\n"));
    }

    #[test]
    fn names_are_asked_of_the_servers_that_networkd_heard_of() {
        let expected = "nameserver 10.0.2.3\nnameserver fec0::3\nnameserver a\nsearch x.example\n";
        assert_eq!(resolv_conf(NETWORKD), expected);
        assert_eq!(resolv_conf("ADDRESS_STATE=routable\n"), "");
    }

    #[test]
    fn what_keeps_a_link_from_an_address_is_told() {
        let link =
            |name: &str, carrier: Option<&str>| (name.to_owned(), carrier.map(str::to_owned));
        let told = describe(&[link("a", Some("1\n")), link("b", Some("0\n")), link("c", None)]);
        assert_eq!(told, "`a` has a carrier and no address, `b` has no carrier, `c` is down");
        assert!(describe(&[]).contains("no network card"));
    }

    #[test]
    fn fuzz_state_of_networkd() {
        basalt_fuzz::run_on_text!(&[NETWORKD], |text| (is_routable(text), resolv_conf(text)));
    }
}
