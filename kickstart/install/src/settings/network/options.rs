//! Options of bonds and bridges: by the names of the kernel and of NetworkManager in a kickstart, by
//! those of systemd.netdev(5) in a file of networkd's.

use basalt_document::nearest;
use basalt_kickstart::Span;

use super::text::Sections;
use crate::problems::Problems;

/// How a value is written there.
#[derive(Clone, Copy)]
enum As {
    /// As it is.
    Same,
    /// A number of milliseconds.
    Milliseconds,
    /// A number of seconds.
    Seconds,
    /// `1` and `yes` are the same.
    YesNo,
    /// A list divided by blanks.
    Words,
    /// Of a member's own file.
    Elsewhere,
}

const BOND: [(&str, &str, As); 20] = [
    ("mode", "Mode", As::Same),
    ("miimon", "MIIMonitorSec", As::Milliseconds),
    ("updelay", "UpDelaySec", As::Milliseconds),
    ("downdelay", "DownDelaySec", As::Milliseconds),
    ("lacp_rate", "LACPTransmitRate", As::Same),
    ("xmit_hash_policy", "TransmitHashPolicy", As::Same),
    ("ad_select", "AdSelect", As::Same),
    ("ad_actor_sys_prio", "AdActorSystemPriority", As::Same),
    ("ad_user_port_key", "AdUserPortKey", As::Same),
    ("min_links", "MinLinks", As::Same),
    ("fail_over_mac", "FailOverMACPolicy", As::Same),
    ("arp_interval", "ARPIntervalSec", As::Milliseconds),
    ("arp_ip_target", "ARPIPTargets", As::Words),
    ("arp_validate", "ARPValidate", As::Same),
    ("arp_all_targets", "ARPAllTargets", As::Same),
    ("primary_reselect", "PrimaryReselectPolicy", As::Same),
    ("resend_igmp", "ResendIGMP", As::Same),
    ("packets_per_slave", "PacketsPerSlave", As::Same),
    ("all_slaves_active", "AllSlavesActive", As::YesNo),
    ("primary", "", As::Elsewhere),
];
const BRIDGE: [(&str, &str, As); 7] = [
    ("stp", "STP", As::YesNo),
    ("priority", "Priority", As::Same),
    ("forward-delay", "ForwardDelaySec", As::Seconds),
    ("hello-time", "HelloTimeSec", As::Seconds),
    ("max-age", "MaxAgeSec", As::Seconds),
    ("ageing-time", "AgeingTimeSec", As::Seconds),
    ("multicast-snooping", "MulticastSnooping", As::YesNo),
];
/// Modes that the kernel also knows by number.
const MODES: [&str; 7] = [
    "balance-rr",
    "active-backup",
    "balance-xor",
    "broadcast",
    "802.3ad",
    "balance-tlb",
    "balance-alb",
];

pub(super) fn bond(
    options: &[(String, String)],
    netdev: &mut Sections,
    span: Span,
    problems: &mut Problems,
) {
    let options = options.iter().map(|(key, value)| {
        let mode = value.parse::<usize>().ok().and_then(|number| MODES.get(number));
        match (key.as_str(), mode, value.as_str()) {
            ("mode", Some(mode), _) => (key.as_str(), (*mode).to_owned()),
            ("lacp_rate", _, "1") => ("lacp_rate", "fast".to_owned()),
            ("lacp_rate", _, "0") => ("lacp_rate", "slow".to_owned()),
            _ => (key.as_str(), value.clone()),
        }
    });
    let options: Vec<_> = options.collect();
    if let Some((_, mode)) =
        options.iter().find(|(key, mode)| *key == "mode" && !MODES.contains(&mode.as_str()))
    {
        problems.error(span, format!("a bond has no mode `{mode}`"), &nearest(mode, &MODES));
    }
    put("Bond", &BOND, &options, netdev, (span, problems));
}

pub(super) fn bridge(
    options: &[(String, String)],
    netdev: &mut Sections,
    span: Span,
    problems: &mut Problems,
) {
    let options: Vec<_> =
        options.iter().map(|(key, value)| (key.as_str(), value.clone())).collect();
    put("Bridge", &BRIDGE, &options, netdev, (span, problems));
}

fn put(
    section: &'static str,
    known: &[(&'static str, &'static str, As)],
    options: &[(&str, String)],
    netdev: &mut Sections,
    (span, problems): (Span, &mut Problems),
) {
    for (key, value) in options {
        let plain = key.replace('-', "_");
        let found = known.iter().find(|(name, ..)| name.replace('-', "_") == plain);
        let Some((_, name, form)) = found else {
            let names: Vec<&str> = known.iter().map(|(name, ..)| *name).collect();
            problems.error(span, format!("there is no option `{key}`"), &nearest(key, &names));
            continue;
        };
        match written(value, *form) {
            Some(value) => netdev.put(section, name, &value),
            None if matches!(form, As::Elsewhere) => (),
            None => {
                let message = format!("`{key}` cannot be `{value}`");
                problems.error(span, message, "a number, or `yes` and `no`");
            }
        }
    }
}

fn written(value: &str, form: As) -> Option<String> {
    let number = || value.parse::<u32>().ok();
    match form {
        As::Same => Some(value.to_owned()),
        As::Milliseconds => number().map(|number| format!("{number}ms")),
        As::Seconds => number().map(|number| format!("{number}s")),
        As::YesNo => match value.to_lowercase().as_str() {
            "1" | "yes" | "on" | "true" => Some("yes".to_owned()),
            "0" | "no" | "off" | "false" => Some("no".to_owned()),
            _ => None,
        },
        As::Words => Some(value.replace(['+', ' '], " ")),
        As::Elsewhere => None,
    }
}
