//! Which network machines are booted from.

use std::net::Ipv4Addr;

use anyhow::{Context, Result, bail};
use basalt_cmd::Cmd;
use serde::Deserialize;

/// A network card with an address.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Interface {
    /// Its name.
    pub(super) name: String,
    /// Its first address.
    pub(super) address: Ipv4Addr,
}

/// As `ip -json` tells of it.
#[derive(Debug, Deserialize)]
struct Listed {
    ifname: String,
    #[serde(default)]
    flags: Vec<String>,
    #[serde(default)]
    addr_info: Vec<Address>,
}

#[derive(Debug, Deserialize)]
struct Address {
    local: Ipv4Addr,
}

/// The one of this name, or the only one that there is.
///
/// # Errors
/// There is none, or there are several and none was named.
pub(super) fn find(asked: Option<&str>) -> Result<Interface> {
    let listed = Cmd::new("ip").args(["-json", "-4", "address", "show", "up"]).run();
    let listed = listed.context("cannot list network interfaces\nhint: install `iproute2`")?;
    choose(&listed.stdout_text(), asked)
}

/// The same of what `ip` printed. Pure.
fn choose(printed: &str, asked: Option<&str>) -> Result<Interface> {
    let listed: Vec<Listed> =
        serde_json::from_str(printed).context("cannot understand what `ip` printed")?;
    let all = listed.into_iter().filter_map(|one| {
        let loops = one.flags.iter().any(|flag| flag == "LOOPBACK");
        let address = one.addr_info.first().filter(|_| !loops)?.local;
        Some(Interface { name: one.ifname, address })
    });
    let all: Vec<Interface> = all.collect();
    let names = || all.iter().map(|one| format!("`{}`", one.name)).collect::<Vec<_>>().join(", ");
    if let Some(asked) = asked {
        let found = all.iter().find(|one| one.name == asked).cloned();
        return found.with_context(|| {
            format!(
                "`{asked}` is no interface that is up and has an IPv4 address\nhint: there are {}",
                names()
            )
        });
    }
    match &all[..] {
        [one] => Ok(one.clone()),
        [] => bail!("no network interface has an IPv4 address"),
        _ => bail!("there are several networks: {}\nhint: name one with `--interface`", names()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TWO: &str = r#"[
        {"ifname":"lo","flags":["LOOPBACK","UP"],"addr_info":[{"local":"127.0.0.1"}]},
        {"ifname":"eth0","flags":["UP"],"addr_info":[{"local":"10.1.0.2","prefixlen":24}]},
        {"ifname":"eth1","flags":["UP"],"addr_info":[{"local":"10.2.0.2"},{"local":"10.3.0.2"}]},
        {"ifname":"eth2","flags":["UP"],"addr_info":[]}, {}]"#;

    fn of(printed: &str, asked: Option<&str>) -> Result<Interface> {
        choose(&printed.replace(", {}]", "]"), asked)
    }

    #[test]
    fn the_only_one_is_meant_or_the_one_that_was_named() {
        let eth1 = of(TWO, Some("eth1")).unwrap();
        assert_eq!(eth1, Interface { name: "eth1".into(), address: [10, 2, 0, 2].into() });
        let told = of(TWO, None).unwrap_err().to_string();
        assert!(told.contains("`eth0`, `eth1`\nhint: name one with `--interface`"), "{told}");
        for none in ["eth2", "lo", "eth9"] {
            let told = of(TWO, Some(none)).unwrap_err().to_string();
            assert!(told.contains("hint: there are `eth0`, `eth1`"), "{told}");
        }
        let one = TWO
            .replace("10.1.0.2", "10.1.0.7")
            .replace("\"eth1\",\"flags\":[\"UP\"]", "\"lo1\",\"flags\":[\"LOOPBACK\"]");
        assert_eq!(of(&one, None).unwrap().address, Ipv4Addr::from([10, 1, 0, 7]));
        assert!(of("[]", None).is_err() && of("no JSON", None).is_err());
    }
}
