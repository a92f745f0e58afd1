//! Users, groups, keys.

use std::collections::BTreeSet;

use super::twice;
use crate::diagnostic::Log;
use crate::model::Kickstart;

/// Groups that the base image has: those of Debian's `base-passwd`, and those of `images/base.toml`.
const OF_THE_BASE: [&str; 54] = [
    "_ssh",
    "adm",
    "audio",
    "backup",
    "basalt",
    "bin",
    "cdrom",
    "clock",
    "daemon",
    "dialout",
    "dip",
    "disk",
    "fax",
    "floppy",
    "games",
    "input",
    "irc",
    "kmem",
    "kvm",
    "libvirt",
    "libvirt-qemu",
    "list",
    "lp",
    "mail",
    "man",
    "messagebus",
    "news",
    "nogroup",
    "operator",
    "plugdev",
    "polkitd",
    "proxy",
    "rdma",
    "render",
    "root",
    "sasl",
    "sgx",
    "shadow",
    "src",
    "staff",
    "sudo",
    "sys",
    "systemd-journal",
    "systemd-network",
    "systemd-resolve",
    "systemd-timesync",
    "tape",
    "tty",
    "users",
    "utmp",
    "uucp",
    "video",
    "voice",
    "www-data",
];
/// What other distributions call the group of administrators.
const ADMINISTRATORS: [&str; 2] = ["wheel", "admin"];

pub(super) fn check(kickstart: &Kickstart, log: &mut Log) {
    let users = || kickstart.user.iter();
    twice(
        users().map(|user| (user.name.as_str(), user.span)),
        |name| format!("there is a user `{name}` already"),
        log,
    );
    twice(
        users().filter_map(|user| user.uid.map(|uid| (uid, user.span))),
        |uid| format!("another user has the number {uid}"),
        log,
    );
    let groups = || kickstart.group.iter();
    twice(
        groups().map(|group| (group.name.as_str(), group.span)),
        |name| format!("there is a group `{name}` already"),
        log,
    );
    twice(
        groups().filter_map(|group| group.gid.map(|gid| (gid, group.span))),
        |gid| format!("another group has the number {gid}"),
        log,
    );
    for root in users().filter(|user| user.name == "root") {
        log.error(root.span, "root is there already", "`rootpw` and `sshkey --username=root`");
    }
    unknown_groups(kickstart, log);
    let names: BTreeSet<&str> = users().map(|user| user.name.as_str()).chain(["root"]).collect();
    for key in &kickstart.sshkey {
        if !names.contains(key.username.as_str()) {
            let message = format!("there is no user `{}`", key.username);
            log.error(key.span, message, &format!("`user --name={}`", key.username));
        }
    }
}

/// Whether an image has a group, the image alone says; most have the base image's and no other.
fn unknown_groups(kickstart: &Kickstart, log: &mut Log) {
    let made = kickstart.group.iter().map(|group| group.name.as_str());
    let own = kickstart.user.iter().map(|user| user.name.as_str());
    let known: BTreeSet<&str> = made.chain(own).chain(OF_THE_BASE).collect();
    for group in kickstart.user.iter().flat_map(|user| &user.groups) {
        let name = group.value.as_str();
        if !known.contains(name) {
            let message = format!("the base image has no group `{name}`: does yours?");
            log.warning(group.span, message, &instead_of(name));
        }
    }
}

fn instead_of(group: &str) -> String {
    match ADMINISTRATORS.contains(&group) {
        true => "Debian calls it `sudo`: who is in it and has a password becomes root by `run0`; \
                 there is no program `sudo` in the base image"
            .to_owned(),
        false => format!("`group --name={group}` makes it, or the image's definition"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_groups_of_the_base_image_are_known() {
        let definition = concat!(env!("CARGO_MANIFEST_DIR"), "/../../images/base.toml");
        let text = std::fs::read_to_string(definition).unwrap();
        let tables = text.split("[[").filter(|table| {
            table.starts_with("group]]") || table.starts_with("user]]") && !table.contains("gid =")
        });
        let names: Vec<&str> = tables.filter_map(|table| table.split('"').nth(1)).collect();
        assert!(names.len() > 10, "{names:?}");
        let unknown: Vec<_> = names.iter().filter(|name| !OF_THE_BASE.contains(name)).collect();
        assert!(unknown.is_empty(), "{unknown:?}");
    }
}
