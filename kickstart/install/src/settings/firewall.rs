//! `firewall`: what may come in beside what the image lets in, as rules that its own include.

use std::fmt::Write;

use basalt_kickstart::model::{Firewall, Protocol};

use super::{Change, Ground};
use crate::problems::Problems;

/// The image's `nftables.conf` reads whatever lies there after its own rules.
const PATH: &str = "/etc/nftables.d/50-kickstart.nft";
/// Services by the names that firewalld gives them, and what they speak.
const SERVICES: [(&str, &[(u16, Protocol)]); 19] = [
    ("cockpit", &[(9090, Protocol::Tcp)]),
    ("dns", &[(53, Protocol::Tcp), (53, Protocol::Udp)]),
    ("ftp", &[(21, Protocol::Tcp)]),
    ("http", &[(80, Protocol::Tcp)]),
    ("https", &[(443, Protocol::Tcp)]),
    ("imaps", &[(993, Protocol::Tcp)]),
    ("iscsi-target", &[(3260, Protocol::Tcp)]),
    ("ldap", &[(389, Protocol::Tcp)]),
    ("ldaps", &[(636, Protocol::Tcp)]),
    ("mysql", &[(3306, Protocol::Tcp)]),
    ("nfs", &[(2049, Protocol::Tcp)]),
    ("ntp", &[(123, Protocol::Udp)]),
    ("postgresql", &[(5432, Protocol::Tcp)]),
    ("prometheus", &[(9090, Protocol::Tcp)]),
    ("smtp", &[(25, Protocol::Tcp)]),
    ("snmp", &[(161, Protocol::Udp)]),
    ("ssh", &[(22, Protocol::Tcp)]),
    ("syslog", &[(514, Protocol::Udp)]),
    ("tftp", &[(69, Protocol::Udp)]),
];

pub(super) fn settings(ground: &Ground<'_>, changes: &mut Vec<Change>, problems: &mut Problems) {
    let Some(firewall) = &ground.asked.firewall else { return };
    for name in &firewall.services {
        if !SERVICES.iter().any(|(known, _)| known == name) {
            let names = SERVICES.map(|(name, _)| name);
            let hint = basalt_document::nearest(name, &names);
            let message = format!("the ports of the service `{name}` are not known");
            problems.error(firewall.span, message, &format!("{hint}; or `--port=`"));
        }
    }
    if let Some(text) = rules(firewall) {
        changes.push(Change::public(PATH, text));
    }
}

/// The rules; none where the image's own say all.
fn rules(firewall: &Firewall) -> Option<String> {
    if firewall.use_system_defaults {
        return None;
    }
    let mut text = "# From the kickstart.\n".to_owned();
    if !firewall.enabled {
        text.push_str("insert rule inet basalt input accept\n");
        return Some(text);
    }
    let known = SERVICES.iter().filter(|(name, _)| firewall.services.iter().any(|it| it == name));
    let of_services =
        known.flat_map(|(_, ports)| ports.iter().map(|(port, by)| (*port, *port, *by)));
    let named = firewall.ports.iter().map(|it| (it.port, it.to, it.protocol));
    let ports: Vec<_> = of_services.chain(named).collect();
    for (set, by) in [("open_tcp", Protocol::Tcp), ("open_udp", Protocol::Udp)] {
        let words =
            ports.iter().filter(|(.., it)| *it == by).map(|(from, to, _)| match from == to {
                true => from.to_string(),
                false => format!("{from}-{to}"),
            });
        let words: Vec<String> = words.collect();
        if !words.is_empty() {
            // Writing to a `String` does not fail.
            let _ = writeln!(text, "add element inet basalt {set} {{ {} }}", words.join(", "));
        }
    }
    for device in &firewall.trust {
        let _ = writeln!(text, "insert rule inet basalt input iifname \"{device}\" accept");
    }
    Some(text).filter(|text| text.lines().count() > 1)
}

#[cfg(test)]
mod tests {
    use basalt_kickstart::model::Port;

    use super::*;

    fn firewall() -> Firewall {
        Firewall {
            enabled: true,
            use_system_defaults: false,
            ports: Vec::new(),
            services: Vec::new(),
            remove_services: Vec::new(),
            trust: Vec::new(),
        }
    }

    #[test]
    fn what_is_open_is_added_to_the_images_own_sets() {
        let port = |port, to, protocol| Port { port, to, protocol };
        let rules = rules(&Firewall {
            ports: vec![port(8080, 8080, Protocol::Tcp), port(6000, 6010, Protocol::Udp)],
            services: vec!["dns".to_owned(), "ssh".to_owned()],
            trust: vec!["ens2".to_owned()],
            ..firewall()
        });
        let expected = "# From the kickstart.\n\
            add element inet basalt open_tcp { 53, 22, 8080 }\n\
            add element inet basalt open_udp { 53, 6000-6010 }\n\
            insert rule inet basalt input iifname \"ens2\" accept\n";
        assert_eq!(rules.as_deref(), Some(expected));
    }

    #[test]
    fn one_that_says_nothing_changes_nothing_and_one_that_is_off_lets_all_in() {
        assert_eq!(rules(&firewall()), None);
        assert_eq!(rules(&Firewall { use_system_defaults: true, ..firewall() }), None);
        let off = rules(&Firewall { enabled: false, ..firewall() }).unwrap();
        assert!(off.ends_with("insert rule inet basalt input accept\n"), "{off}");
    }
}
