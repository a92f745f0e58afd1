//! `network`.

mod address;

use basalt_host_toml::is_hostname;

use super::{Command, at};
use crate::diagnostic::Log;
use crate::lex::Word;
use crate::model::{At, Device, Ipv4, Ipv6, Kickstart, Link, Network};
use crate::option::{Args, Syntax, flag, value};

/// Bytes of an interface's name, without its end: `IFNAMSIZ`.
const MAX_NAME: usize = 15;
const STAYS: &str = "the installer's own network stays as it is";
const NO_WIRELESS: &str = "there is no wireless network on a host";
const NAMES_VLAN: &str = "it is the name of a VLAN";
const NO_TEAM: &str = "there is no team here";
const BOND: &str = "a bond does the same: `--bondslaves=`, `--bondopts=`";

pub(super) const NETWORK: Command = Command {
    names: &["network"],
    syntax: Syntax::new(
        (0, 0),
        &[
            value(&["--bootproto"]),
            value(&["--device"]),
            value(&["--hostname"]),
            value(&["--ip"]),
            value(&["--netmask"]),
            value(&["--gateway"]),
            value(&["--nameserver"]),
            value(&["--ipv6"]),
            value(&["--ipv6gateway"]),
            flag(&["--noipv4"]),
            flag(&["--noipv6"]),
            flag(&["--nodns"]),
            flag(&["--nodefroute"]),
            value(&["--ipv4-dns-search"]),
            value(&["--ipv6-dns-search"]),
            flag(&["--ipv4-ignore-auto-dns"]),
            flag(&["--ipv6-ignore-auto-dns"]),
            value(&["--onboot"]),
            flag(&["--activate"]).moot(STAYS, "the kernel argument `ip=` sets that up"),
            flag(&["--no-activate"]).anyway(STAYS),
            value(&["--mtu"]),
            value(&["--dhcpclass"]),
            value(&["--bondslaves"]),
            value(&["--bondopts"]),
            value(&["--bridgeslaves"]),
            value(&["--bridgeopts"]),
            value(&["--vlanid"]),
            value(&["--interfacename"]),
            value(&["--bindto"]).moot(
                "a connection is bound to the device's name",
                "a `.link` file in the image gives a card its name by its address: systemd.link(5)",
            ),
            value(&["--teamslaves"]).refused(NO_TEAM, BOND),
            value(&["--teamconfig"]).refused(NO_TEAM, BOND),
            value(&["--essid"]).refused(NO_WIRELESS, "leave it away"),
            value(&["--wepkey"]).refused(NO_WIRELESS, "leave it away"),
            value(&["--wpakey"]).refused(NO_WIRELESS, "leave it away"),
            value(&["--ethtool"]).refused(
                "what it says is not known here",
                "a `.link` file in the image says it: systemd.link(5)",
            ),
            flag(&["--notksdevice"]).moot("the kickstart is there already", "leave it away"),
        ],
    ),
    carry: network,
};

/// Not in the language, and written by many who think that it is.
pub(super) const HOSTNAME: Command = Command {
    names: &["hostname"],
    syntax: Syntax::new((1, 1), &[]),
    carry: |args, kickstart, log| {
        let Some(name) = args.words.first() else { return };
        let message = "Anaconda knows no `hostname`, and would refuse this file";
        let hint = format!("`network --hostname={}` says the same everywhere", name.text);
        log.warning(args.span, message, &hint);
        hostname(name, args, kickstart, log);
    },
};

fn hostname(name: &Word, args: &Args, kickstart: &mut Kickstart, log: &mut Log) {
    check_hostname(name, log);
    let said = kickstart.hostname.as_ref().filter(|before| before.value != name.text);
    if said.is_some() {
        log.error(name.span, "the host has another name already", "leave one of them away");
    }
    kickstart.hostname = Some(At { value: name.text.clone(), span: args.span });
}

fn network(args: &Args, kickstart: &mut Kickstart, log: &mut Log) {
    match args.value("--hostname") {
        Some(name) if name.text.is_empty() => {
            let message = "`--hostname` has no effect: it says no name";
            log.warning(args.at("--hostname"), message, "leave it away");
        }
        Some(name) => hostname(name, args, kickstart, log),
        None => (),
    }
    if args.has("--hostname") && args.has_only("--hostname") {
        return;
    }
    args.only_one(&["--activate", "--no-activate"], log);
    args.only_one(&["--bondslaves", "--bridgeslaves", "--vlanid"], log);
    let value = Network {
        device: args.value("--device").map_or(Device::Link, |word| device(word, log)),
        link: link(args, log),
        ipv4: address::ipv4(args, log),
        ipv6: address::ipv6(args, log),
        nameserver: address::name_servers(args, log),
        dns_search: search(args, log),
        ignore_auto_dns_v4: args.has("--ipv4-ignore-auto-dns"),
        ignore_auto_dns_v6: args.has("--ipv6-ignore-auto-dns"),
        nodns: args.has("--nodns"),
        nodefroute: args.has("--nodefroute"),
        mtu: args.small("--mtu", 68..=65535, log),
        onboot: args.value("--onboot").is_none_or(|word| boolean(word, log)),
        activate: activate(args),
        dhcpclass: args.text("--dhcpclass"),
        bind_to_mac: args.value("--bindto").is_some_and(|word| bind_to_mac(word, log)),
    };
    check_device(args, &value, log);
    tell_of_no_effect(args, &value, log);
    kickstart.network.push(at(args, value));
}

fn activate(args: &Args) -> Option<bool> {
    match (args.has("--activate"), args.has("--no-activate")) {
        (true, _) => Some(true),
        (_, true) => Some(false),
        _ => None,
    }
}

fn device(word: &Word, log: &mut Log) -> Device {
    let text = word.text.as_str();
    match text {
        "link" | "" => return Device::Link,
        "bootif" => return Device::BootIf,
        _ => (),
    }
    let pieces: Vec<&str> = text.split([':', '-']).collect();
    let is_hex = |part: &&str| part.len() == 2 && part.bytes().all(|c| c.is_ascii_hexdigit());
    if pieces.len() == 6 && pieces.iter().all(is_hex) {
        return Device::Mac(text.to_lowercase().replace('-', ":"));
    }
    check_name(word, log);
    Device::Name(text.to_owned())
}

fn check_name(word: &Word, log: &mut Log) {
    let is_good = |c: char| !c.is_whitespace() && !c.is_control() && !"/:".contains(c);
    let text = &word.text;
    let is_long = text.len() > MAX_NAME;
    if text.is_empty() || is_long || text == "." || text == ".." || !text.chars().all(is_good) {
        let hint = "a name of at most 15 letters, a MAC address, `link` or `bootif`";
        log.error(word.span, format!("`{text}` is no device of a network"), hint);
    }
}

fn link(args: &Args, log: &mut Log) -> Link {
    let members = |name: &str, log: &mut Log| -> Vec<String> {
        let words = args.list(name);
        if words.is_empty() {
            log.error(args.at(name), format!("`{name}` names none"), "as `ens1,ens2`");
        }
        words.iter().for_each(|word| check_name(word, log));
        words.into_iter().map(|word| word.text).collect()
    };
    for (options, slaves) in [("--bondopts", "--bondslaves"), ("--bridgeopts", "--bridgeslaves")] {
        if args.has(options) && !args.has(slaves) {
            log.error(
                args.at(options),
                format!("`{options}=` needs `{slaves}=`"),
                "as `ens1,ens2`",
            );
        }
    }
    if args.has("--bondslaves") {
        let options = args.value("--bondopts").map(|word| pairs(word, log));
        return Link::Bond {
            members: members("--bondslaves", log),
            options: options.unwrap_or_default(),
        };
    }
    if args.has("--bridgeslaves") {
        let options = args.value("--bridgeopts").map(|word| pairs(word, log));
        return Link::Bridge {
            members: members("--bridgeslaves", log),
            options: options.unwrap_or_default(),
        };
    }
    if args.has("--vlanid") {
        let id = args.number("--vlanid", 1..=4094, log).and_then(|id| u16::try_from(id).ok());
        let name = args.value("--interfacename");
        name.into_iter().for_each(|word| check_name(word, log));
        return Link::Vlan { id: id.unwrap_or(0), name: name.map(|word| word.text.clone()) };
    }
    if args.has("--interfacename") {
        log.error(args.at("--interfacename"), "`--interfacename=` needs `--vlanid=`", NAMES_VLAN);
    }
    Link::Ethernet
}

/// `mode=active-backup,miimon=100`; with a `;` in it, that stands between.
fn pairs(word: &Word, log: &mut Log) -> Vec<(String, String)> {
    let separator = if word.text.contains(';') { ';' } else { ',' };
    let mut found = Vec::new();
    for part in word.split(separator) {
        match part.text.split_once('=') {
            Some((key, value)) if !key.is_empty() && !value.is_empty() && !value.contains('=') => {
                found.push((key.to_owned(), value.to_owned()));
            }
            _ => log.error(part.span, "this is no option", "as `mode=active-backup,miimon=100`"),
        }
    }
    found
}

fn search(args: &Args, log: &mut Log) -> Vec<String> {
    let words: Vec<Word> = ["--ipv4-dns-search", "--ipv6-dns-search"]
        .iter()
        .flat_map(|name| args.list(name))
        .collect();
    words.iter().for_each(|word| check_hostname(word, log));
    words.into_iter().map(|word| word.text).collect()
}

fn boolean(word: &Word, log: &mut Log) -> bool {
    match word.text.to_lowercase().as_str() {
        "on" | "yes" | "true" | "1" => true,
        "off" | "no" | "false" | "0" => false,
        _ => {
            log.error(word.span, "this is neither yes nor no", "`yes` or `no`");
            true
        }
    }
}

fn bind_to_mac(word: &Word, log: &mut Log) -> bool {
    if word.text != "mac" {
        log.error(word.span, "a connection is bound to a MAC address or to nothing", "`mac`");
    }
    true
}

fn check_device(args: &Args, network: &Network, log: &mut Log) {
    let made = !matches!(network.link, Link::Ethernet);
    if made && !matches!(network.device, Device::Name(_)) {
        let hint = match network.link {
            Link::Vlan { .. } => "`--device=` names the card under it, as `ens1`",
            _ => "`--device=` is the name that it gets, as `bond0`",
        };
        log.error(args.span, "a bond, bridge or VLAN needs a device by name", hint);
    }
    let is_vlan = matches!(network.link, Link::Vlan { .. });
    if network.bind_to_mac && is_vlan {
        log.error(args.at("--bindto"), "a VLAN has the address of its card", "leave it away");
    }
    let options = [
        "--ipv4-dns-search",
        "--ipv6-dns-search",
        "--ipv4-ignore-auto-dns",
        "--ipv6-ignore-auto-dns",
    ];
    for option in options.iter().filter(|it| args.has(it) && !args.has("--device")) {
        log.error(args.at(option), format!("`{option}` needs `--device=`"), "as `--device=ens1`");
    }
}

/// Options that have an effect, but not beside what else is said.
fn tell_of_no_effect(args: &Args, network: &Network, log: &mut Log) {
    let by_hand_v6 = matches!(network.ipv6, Ipv6::Static { .. });
    let no_route = network.nodefroute;
    let options = [
        ("--gateway", no_route, "`--nodefroute` says that this is no way to everywhere"),
        ("--ipv6gateway", no_route, "`--nodefroute` says that this is no way to everywhere"),
        ("--ipv6gateway", !no_route && !by_hand_v6, "it goes with an address by `--ipv6=`"),
        ("--dhcpclass", network.ipv4 != Ipv4::Dhcp, "no DHCP is asked for IPv4"),
    ];
    for (option, is_moot, why) in options {
        if is_moot && args.has(option) {
            let message = format!("`{option}` has no effect: {why}");
            log.warning(args.at(option), message, "leave one of them away");
        }
    }
}

fn check_hostname(word: &Word, log: &mut Log) {
    if !is_hostname(&word.text) {
        let hint = "labels of letters, digits and dashes with dots between, at most 64 characters";
        log.error(word.span, "this is not a host's name", hint);
    }
}
