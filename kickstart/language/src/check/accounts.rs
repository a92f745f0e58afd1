//! Users, groups, keys.

use std::collections::BTreeSet;

use super::twice;
use crate::diagnostic::Log;
use crate::model::Kickstart;

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
    let names: BTreeSet<&str> = users().map(|user| user.name.as_str()).chain(["root"]).collect();
    for key in &kickstart.sshkey {
        if !names.contains(key.username.as_str()) {
            let message = format!("there is no user `{}`", key.username);
            log.error(key.span, message, &format!("`user --name={}`", key.username));
        }
    }
}
