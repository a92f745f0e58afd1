use basalt_kickstart::parse;

use super::*;
use crate::edge::tests::InMemory as Edge;
use crate::facts::{Card, Facts};
use crate::image::tests::InMemory as Image;

/// The files that `network` commands make, one behind the other; or what is wrong.
fn files(commands: &str) -> Result<String, String> {
    let text = format!("autopart --noswap\n{commands}\n");
    let parsed = parse("x.ks", &text, &mut |_| unreachable!("nothing is included"));
    assert!(parsed.is_good(), "{:?}", parsed.diagnostics);
    let card =
        |name: &str, mac: &str, has_cable| Card { name: name.into(), mac: mac.into(), has_cable };
    let facts = Facts {
        cards: vec![
            card("ens1", "52:54:00:00:00:01", false),
            card("ens2", "52:54:00:00:00:02", true),
        ],
        boot_mac: Some("52:54:00:00:00:01".to_owned()),
        ..Facts::default()
    };
    let (mut changes, mut problems) = (Vec::new(), Problems::default());
    let (image, mut edge) = (Image::default(), Edge::default());
    let ground = Ground { asked: &parsed.kickstart, image: &image, facts: &facts, edge: &mut edge };
    settings(&ground, &mut changes, &mut problems);
    if let Some(problem) = problems.0.first() {
        return Err(problem.message.clone());
    }
    let texts = changes.iter().map(|change| match change {
        Change::File { path, text, .. } => {
            let name = path.trim_start_matches("/etc/systemd/network/50-kickstart-");
            let text = text.0.trim_start_matches("# From the kickstart.\n").replace("\n\n", "\n");
            format!("{name}:{text}")
        }
        other => panic!("{other:?}"),
    });
    Ok(texts.collect())
}

#[track_caller]
fn check(commands: &str, expected: &str) {
    assert_eq!(files(commands).unwrap(), expected);
}

#[test]
fn a_card_with_an_address_of_its_own() {
    check(
        "network --device=ens1 --bootproto=static --ip=192.0.2.17 --netmask=255.255.255.0 \
         --gateway=192.0.2.1 --nameserver=192.0.2.53,2001:db8::53 --noipv6 --mtu=9000 \
         --ipv4-dns-search=example",
        "ens1.network:\n[Match]\nName=ens1\n[Link]\nRequiredForOnline=no\nMTUBytes=9000\n\
         [Network]\nDHCP=no\nIPv6AcceptRA=no\nLinkLocalAddressing=no\nAddress=192.0.2.17/24\n\
         Gateway=192.0.2.1\nDNS=192.0.2.53\nDNS=2001:db8::53\nDomains=example\n",
    );
}

#[test]
fn the_card_of_the_boot_and_the_one_with_a_cable_are_found() {
    assert!(files("network --device=bootif").unwrap().contains("Name=ens1\n"));
    assert!(files("network --device=link").unwrap().contains("Name=ens2\n"));
    assert!(files("network --device=52:54:00:00:00:02").unwrap().contains("Name=ens2\n"));
    let said = files("network --device=52:54:00:00:00:09").unwrap_err();
    assert_eq!(said, "no network card has the address 52:54:00:00:00:09");
}

#[test]
fn what_servers_and_routers_say_is_taken_as_it_was_asked_for() {
    check(
        "network --device=ens1 --bootproto=dhcp --nodns --nodefroute --onboot=no --dhcpclass=x",
        "ens1.network:\n[Match]\nName=ens1\n[Link]\nRequiredForOnline=no\nActivationPolicy=manual\n\
         [Network]\nDHCP=ipv4\nIPv6AcceptRA=yes\nLinkLocalAddressing=ipv6\n[DHCPv4]\nUseDomains=yes\n\
         UseDNS=no\nUseGateway=no\nVendorClassIdentifier=x\n[DHCPv6]\nUseDNS=no\n[IPv6AcceptRA]\n\
         UseDNS=no\nUseGateway=no\n",
    );
}

#[test]
fn a_bond_has_its_members_its_options_and_what_is_on_top_of_it() {
    check(
        "network --device=bond0 --bondslaves=ens1,ens2 --bondopts=mode=1,miimon=100,primary=ens2 \
         --noipv4 --noipv6\n\
         network --device=bond0 --vlanid=20 --interfacename=guests --noipv4 --noipv6\n\
         network --device=br0 --bridgeslaves=guests --bridgeopts=stp=no,forward-delay=2 --noipv4 --noipv6",
        "bond0.netdev:\n[NetDev]\nName=bond0\nKind=bond\n[Bond]\nMode=active-backup\nMIIMonitorSec=100ms\n\
         br0.netdev:\n[NetDev]\nName=br0\nKind=bridge\n[Bridge]\nSTP=no\nForwardDelaySec=2s\n\
         guests.netdev:\n[NetDev]\nName=guests\nKind=vlan\n[VLAN]\nId=20\n\
         bond0.network:\n[Match]\nName=bond0\n[Link]\nRequiredForOnline=no\n[Network]\nDHCP=no\n\
         IPv6AcceptRA=no\nLinkLocalAddressing=no\nVLAN=guests\n\
         br0.network:\n[Match]\nName=br0\n[Link]\nRequiredForOnline=no\n[Network]\nDHCP=no\n\
         IPv6AcceptRA=no\nLinkLocalAddressing=no\n\
         ens1.network:\n[Match]\nName=ens1\n[Link]\nRequiredForOnline=no\n[Network]\nBond=bond0\n\
         ens2.network:\n[Match]\nName=ens2\n[Link]\nRequiredForOnline=no\n[Network]\nBond=bond0\n\
         PrimarySlave=yes\n\
         guests.network:\n[Match]\nName=guests\n[Link]\nRequiredForOnline=no\n[Network]\nDHCP=no\n\
         IPv6AcceptRA=no\nLinkLocalAddressing=no\nBridge=br0\n",
    );
}

#[test]
fn an_option_that_nobody_has_is_told() {
    let said = files("network --device=b --bondslaves=ens1 --bondopts=mod=1").unwrap_err();
    assert_eq!(said, "there is no option `mod`");
    let said = files("network --device=b --bondslaves=ens1 --bondopts=mode=round").unwrap_err();
    assert_eq!(said, "a bond has no mode `round`");
    let said = files("network --device=b --bridgeslaves=ens1 --bridgeopts=stp=maybe").unwrap_err();
    assert_eq!(said, "`stp` cannot be `maybe`");
}
