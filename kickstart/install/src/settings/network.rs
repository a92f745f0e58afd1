//! `network`: files for systemd-networkd.

mod options;
mod text;

use std::collections::BTreeMap;

use basalt_kickstart::Span;
use basalt_kickstart::model::{Device, Ipv4, Ipv6, Link, Network};

use super::{Change, Ground};
use crate::problems::Problems;
use text::Sections;

/// Before the image's own `80-…`, which asks DHCP at every card.
const FOLDER: &str = "/etc/systemd/network";

/// The files of the devices, by their names.
#[derive(Default)]
struct Files {
    networks: BTreeMap<String, Sections>,
    netdevs: BTreeMap<String, Sections>,
}

pub(super) fn settings(ground: &Ground<'_>, changes: &mut Vec<Change>, problems: &mut Problems) {
    let mut files = Files::default();
    for network in &ground.asked.network {
        let Some(name) = device(ground, network, network.span, problems) else { continue };
        connection(&mut files, &name, network, network.span, problems);
    }
    for (kind, all) in [("netdev", files.netdevs), ("network", files.networks)] {
        for (name, sections) in all {
            let path = format!("{FOLDER}/50-kickstart-{name}.{kind}");
            changes.push(Change::public(&path, sections.render()));
        }
    }
}

/// The kernel's name of the device that is meant, or its address.
fn device(
    ground: &Ground<'_>,
    network: &Network,
    span: Span,
    problems: &mut Problems,
) -> Option<String> {
    let cards = &ground.facts.cards;
    match &network.device {
        Device::Name(name) => Some(name.clone()),
        Device::Mac(mac) => {
            let card = cards.iter().find(|card| card.mac == *mac);
            if card.is_none() {
                let message = format!("no network card has the address {mac}");
                problems.error(span, message, "`ip link` shows what there is");
            }
            card.map(|card| card.name.clone())
        }
        Device::Link => {
            let card = cards.iter().find(|card| card.has_cable);
            if card.is_none() {
                let message = "no network card has a cable in it";
                problems.error(span, message, "name the card: `--device=ens1`, or by its address");
            }
            card.map(|card| card.name.clone())
        }
        Device::BootIf => {
            let mac = ground.facts.boot_mac.as_ref();
            let card = mac.and_then(|mac| cards.iter().find(|card| card.mac == *mac));
            if card.is_none() {
                let message = "nothing says which card this machine was booted over";
                problems.error(span, message, "the kernel argument `BOOTIF=01-…` says it");
            }
            card.map(|card| card.name.clone())
        }
    }
}

fn connection(
    files: &mut Files,
    device: &str,
    network: &Network,
    span: Span,
    problems: &mut Problems,
) {
    let name = match &network.link {
        Link::Vlan { name: Some(name), .. } => name.clone(),
        Link::Vlan { id, .. } => format!("{device}.{id}"),
        _ => device.to_owned(),
    };
    match &network.link {
        Link::Ethernet => (),
        Link::Bond { members, options } => {
            let mut netdev = text::netdev(&name, "bond");
            options::bond(options, &mut netdev, span, problems);
            files.netdevs.insert(name.clone(), netdev);
            let primary = options.iter().find(|(key, _)| key == "primary");
            for member in members {
                let of = files.of(member);
                of.put("Network", "Bond", &name);
                if primary.is_some_and(|(_, primary)| primary == member) {
                    of.put("Network", "PrimarySlave", "yes");
                }
            }
        }
        Link::Bridge { members, options } => {
            let mut netdev = text::netdev(&name, "bridge");
            options::bridge(options, &mut netdev, span, problems);
            files.netdevs.insert(name.clone(), netdev);
            for member in members {
                files.of(member).put("Network", "Bridge", &name);
            }
        }
        Link::Vlan { id, .. } => {
            let mut netdev = text::netdev(&name, "vlan");
            netdev.put("VLAN", "Id", &id.to_string());
            files.netdevs.insert(name.clone(), netdev);
            files.of(device).put("Network", "VLAN", &name);
        }
    }
    own(files.of(&name), network);
}

impl Files {
    /// The file of a device; one of which nothing else is said has no address of its own.
    fn of(&mut self, name: &str) -> &mut Sections {
        self.networks.entry(name.to_owned()).or_insert_with(|| {
            let mut sections = Sections::default();
            sections.put("Match", "Name", name);
            sections.put("Link", "RequiredForOnline", "no");
            sections
        })
    }
}

/// Its addresses, and what goes with them.
fn own(file: &mut Sections, network: &Network) {
    if !network.onboot {
        file.put("Link", "ActivationPolicy", "manual");
    }
    if let Some(mtu) = network.mtu {
        file.put("Link", "MTUBytes", &mtu.to_string());
    }
    let by_dhcp = (network.ipv4 == Ipv4::Dhcp, network.ipv6 == Ipv6::Dhcp);
    let dhcp = match by_dhcp {
        (true, true) => "yes",
        (true, false) => "ipv4",
        (false, true) => "ipv6",
        (false, false) => "no",
    };
    file.put("Network", "DHCP", dhcp);
    let accepts = matches!(network.ipv6, Ipv6::Auto | Ipv6::Dhcp);
    file.put("Network", "IPv6AcceptRA", if accepts { "yes" } else { "no" });
    let link_local = if network.ipv6 == Ipv6::Off { "no" } else { "ipv6" };
    file.put("Network", "LinkLocalAddressing", link_local);
    if let Ipv4::Static { address, prefix, .. } = &network.ipv4 {
        file.put("Network", "Address", &format!("{address}/{prefix}"));
    }
    if let Ipv6::Static { address, prefix, .. } = &network.ipv6 {
        file.put("Network", "Address", &format!("{address}/{prefix}"));
    }
    for gateway in gateways(network) {
        file.put("Network", "Gateway", &gateway);
    }
    if !network.nodns {
        for server in &network.nameserver {
            file.put("Network", "DNS", &server.to_string());
        }
    }
    if !network.dns_search.is_empty() {
        file.put("Network", "Domains", &network.dns_search.join(" "));
    }
    automatic(file, network);
}

fn gateways(network: &Network) -> Vec<String> {
    if network.nodefroute {
        return Vec::new();
    }
    let v4 = match &network.ipv4 {
        Ipv4::Static { gateway, .. } => gateway.map(|it| it.to_string()),
        _ => None,
    };
    let v6 = match &network.ipv6 {
        Ipv6::Static { gateway, .. } => gateway.map(|it| it.to_string()),
        _ => None,
    };
    v4.into_iter().chain(v6).collect()
}

/// What is taken of servers and routers.
fn automatic(file: &mut Sections, network: &Network) {
    let no_dns_v4 = network.ignore_auto_dns_v4 || network.nodns;
    let no_dns_v6 = network.ignore_auto_dns_v6 || network.nodns;
    if network.ipv4 == Ipv4::Dhcp {
        file.put("DHCPv4", "UseDomains", "yes");
        if no_dns_v4 {
            file.put("DHCPv4", "UseDNS", "no");
        }
        if network.nodefroute {
            file.put("DHCPv4", "UseGateway", "no");
        }
        if let Some(class) = &network.dhcpclass {
            file.put("DHCPv4", "VendorClassIdentifier", class);
        }
    }
    if matches!(network.ipv6, Ipv6::Auto | Ipv6::Dhcp) {
        if no_dns_v6 {
            file.put("DHCPv6", "UseDNS", "no");
            file.put("IPv6AcceptRA", "UseDNS", "no");
        }
        if network.nodefroute {
            file.put("IPv6AcceptRA", "UseGateway", "no");
        }
    }
}

#[cfg(test)]
mod tests;
