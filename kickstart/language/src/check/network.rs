//! Connections.

use std::collections::BTreeSet;

use super::twice;
use crate::diagnostic::Log;
use crate::model::{Device, Kickstart, Link, Network};

pub(super) fn check(kickstart: &Kickstart, log: &mut Log) {
    let own_names = kickstart.network.iter().map(|it| (own_name(it), it.span));
    twice(own_names, |name| format!("the device `{name}` is set up already"), log);
    let members = kickstart.network.iter().flat_map(|it| {
        let members = match &it.link {
            Link::Bond { members, .. } | Link::Bridge { members, .. } => members.as_slice(),
            _ => &[],
        };
        members.iter().map(|member| (member.as_str(), it.span))
    });
    let members: Vec<_> = members.collect();
    twice(
        members.iter().copied(),
        |name| format!("`{name}` is a member of another bond or bridge, or twice of this one"),
        log,
    );
    let plain = kickstart.network.iter().filter(|it| matches!(it.link, Link::Ethernet));
    let own: BTreeSet<String> = plain.map(|it| own_name(it)).collect();
    for (name, span) in members.iter().filter(|(name, _)| own.contains(*name)) {
        let message = format!("`{name}` is set up by itself, and is a member here");
        log.error(*span, message, "leave its own `network` away");
    }
}

/// The name that a connection's device has in the end.
fn own_name(network: &Network) -> String {
    let device = match &network.device {
        Device::Name(name) | Device::Mac(name) => name.clone(),
        Device::Link => "link".to_owned(),
        Device::BootIf => "bootif".to_owned(),
    };
    match &network.link {
        Link::Vlan { name: Some(name), .. } => name.clone(),
        Link::Vlan { id, .. } => format!("{device}.{id}"),
        _ => device,
    }
}
