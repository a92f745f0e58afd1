//! The addresses of a connection.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::str::FromStr;

use crate::diagnostic::Log;
use crate::lex::Word;
use crate::model::{Ipv4, Ipv6};
use crate::option::Args;

const NEAR: &str = "it is another address of the same network";

pub(super) fn ipv4(args: &Args, log: &mut Log) -> Ipv4 {
    let protocol = args.value("--bootproto");
    let name = protocol.map_or("dhcp", |word| word.text.as_str());
    if let Some(word) = protocol {
        check_protocol(word, log);
    }
    if name == "static" {
        return by_hand(args, log);
    }
    for option in ["--netmask", "--gateway"] {
        if args.has(option) && !args.has("--ip") {
            let message = format!("`{option}=` goes with an address");
            log.error(args.at(option), message, "`--bootproto=static --ip=…`, or leave it away");
        }
    }
    if args.has("--ip") {
        let hint = "`--bootproto=static`, or leave `--ip=` away";
        log.error(args.at("--ip"), "an address by hand and by DHCP", hint);
    }
    if args.has("--noipv4") { Ipv4::Off } else { Ipv4::Dhcp }
}

fn check_protocol(word: &Word, log: &mut Log) {
    match word.text.as_str() {
        "dhcp" | "bootp" | "static" => (),
        "ibft" => log.error(word.span, "there is no boot by iSCSI here", "`dhcp` or `static`"),
        "query" => log.error(word.span, "nobody is asked here", "`dhcp` or `static`"),
        _ => log.error(word.span, "there is no such protocol", "`dhcp` or `static`"),
    }
}

fn by_hand(args: &Args, log: &mut Log) -> Ipv4 {
    if args.has("--noipv4") {
        log.error(args.at("--noipv4"), "an address, and no IPv4", "leave one of them away");
    }
    let Some(ip) = args.value("--ip") else {
        log.error(args.span, "`--bootproto=static` needs `--ip=`", "as `--ip=192.0.2.10/24`");
        return Ipv4::Off;
    };
    let (address, slash) = match ip.text.split_once('/') {
        Some((address, bits)) => (address, Some(bits)),
        None => (ip.text.as_str(), None),
    };
    let address = parsed::<Ipv4Addr>(address, ip, "as `192.0.2.10`", log);
    let mask = args.value("--netmask");
    let prefix = match (slash, mask) {
        (Some(_), Some(mask)) => {
            log.error(mask.span, "the network is said twice", "leave `--netmask=` away");
            None
        }
        (Some(bits), None) => number_of_bits(bits, 32, ip, log),
        (None, Some(mask)) => bits_of(mask, log),
        (None, None) => {
            log.error(ip.span, "the address needs a `--netmask=`", "as `--netmask=255.255.255.0`");
            None
        }
    };
    let gateway = args.value("--gateway");
    let gateway = gateway.and_then(|it| parsed::<Ipv4Addr>(&it.text, it, "as `192.0.2.1`", log));
    if let (Some(address), Some(prefix), Some(gateway)) = (address, prefix, gateway) {
        check_reach(args, (address, prefix), gateway, log);
    }
    Ipv4::Static {
        address: address.unwrap_or(Ipv4Addr::UNSPECIFIED),
        prefix: prefix.unwrap_or(0),
        gateway,
    }
}

/// A gateway outside the network cannot be reached, but over a network of one address.
fn check_reach(args: &Args, own: (Ipv4Addr, u8), gateway: Ipv4Addr, log: &mut Log) {
    let (address, prefix) = own;
    let mask = u32::MAX.checked_shl(32 - u32::from(prefix)).unwrap_or(0);
    let is_near = address.to_bits() & mask == gateway.to_bits() & mask;
    if address == gateway {
        log.error(args.at("--gateway"), "the host is no gateway of itself", NEAR);
    } else if prefix < 32 && !is_near {
        let message = format!("the gateway is not in the network {address}/{prefix}");
        log.error(args.at("--gateway"), message, NEAR);
    }
}

fn bits_of(mask: &Word, log: &mut Log) -> Option<u8> {
    let bits = mask.text.parse::<Ipv4Addr>().ok().map(Ipv4Addr::to_bits);
    let Some(bits) = bits.filter(|bits| bits.leading_ones() + bits.trailing_zeros() >= 32) else {
        log.error(mask.span, "this is no netmask", "as `255.255.255.0`");
        return None;
    };
    u8::try_from(bits.leading_ones()).ok()
}

pub(super) fn ipv6(args: &Args, log: &mut Log) -> Ipv6 {
    let word = args.value("--ipv6");
    if args.has("--noipv6") {
        if let Some(word) = word {
            log.error(word.span, "an address, and no IPv6", "leave one of them away");
        }
        return Ipv6::Off;
    }
    let gateway = args.value("--ipv6gateway");
    let gateway = gateway.and_then(|it| parsed::<Ipv6Addr>(&it.text, it, "as `2001:db8::1`", log));
    match word.map(|word| (word, word.text.as_str())) {
        None | Some((_, "auto")) => Ipv6::Auto,
        Some((_, "dhcp")) => Ipv6::Dhcp,
        Some((word, text)) => {
            let (address, bits) = text.split_once('/').unwrap_or((text, "64"));
            let hint = "`auto`, `dhcp`, or an address, as `2001:db8::10/64`";
            let address = parsed::<Ipv6Addr>(address, word, hint, log);
            let prefix = number_of_bits(bits, 128, word, log);
            Ipv6::Static {
                address: address.unwrap_or(Ipv6Addr::UNSPECIFIED),
                prefix: prefix.unwrap_or(0),
                gateway,
            }
        }
    }
}

pub(super) fn name_servers(args: &Args, log: &mut Log) -> Vec<IpAddr> {
    let words = args.list("--nameserver");
    if args.has("--nodns") && !words.is_empty() {
        log.error(args.at("--nodns"), "name servers, and none", "leave one of them away");
    }
    words.iter().filter_map(|it| parsed::<IpAddr>(&it.text, it, "as `192.0.2.53`", log)).collect()
}

fn number_of_bits(text: &str, most: u8, word: &Word, log: &mut Log) -> Option<u8> {
    let bits = text.parse::<u8>().ok().filter(|bits| *bits <= most);
    if bits.is_none() {
        log.error(word.span, format!("a network has at most {most} bits"), "as `/24`");
    }
    bits
}

fn parsed<T: FromStr>(text: &str, word: &Word, hint: &str, log: &mut Log) -> Option<T> {
    let address = text.parse().ok();
    if address.is_none() {
        log.error(word.span, "this is no address", hint);
    }
    address
}
