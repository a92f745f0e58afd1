//! The system users and groups of an image, with ids that never change.
//!
//! Debian's packages pick ids in the order they are installed. A file's owner on a host is a
//! number, so the definition fixes them: they are there before any package asks for one, and
//! `sysusers.d` brings new ones to hosts whose `/etc/passwd` was changed.

use std::fmt::Write;

use crate::definition::{Definition, Group, User};

/// Lines to append to the four account files of `/etc`.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct AccountLines {
    /// For `passwd`.
    pub passwd: String,
    /// For `group`.
    pub group: String,
    /// For `shadow`: no password, ever.
    pub shadow: String,
    /// For `gshadow`.
    pub gshadow: String,
}

/// The account lines of a definition.
#[must_use]
pub fn lines(definition: &Definition) -> AccountLines {
    let mut lines = AccountLines::default();
    for group in groups(definition) {
        let members = group.members.join(",");
        // Writing to a String cannot fail.
        let _ = writeln!(lines.group, "{}:x:{}:{members}", group.name, group.gid);
        let _ = writeln!(lines.gshadow, "{}:!*::{members}", group.name);
    }
    for user in &definition.users {
        let _ = writeln!(
            lines.passwd,
            "{}:x:{}:{}:{}:{}:{}",
            user.name, user.uid, user.gid, user.comment, user.home, user.shell
        );
        // 1 is the day of the last change: 0 would ask for a new password.
        let _ = writeln!(lines.shadow, "{}:!*:1::::::", user.name);
    }
    lines
}

/// The same accounts as a `sysusers.d` file.
#[must_use]
pub fn sysusers(definition: &Definition) -> String {
    let mut text = String::from("# Made by the image builder: every account has a fixed id.\n");
    for group in groups(definition) {
        let _ = writeln!(text, "g {} {}", group.name, group.gid);
    }
    for User { name, uid, gid, comment, home, shell } in &definition.users {
        let _ = writeln!(text, "u {name} {uid}:{gid} \"{comment}\" {home} {shell}");
    }
    for group in groups(definition) {
        for member in &group.members {
            let _ = writeln!(text, "m {member} {}", group.name);
        }
    }
    text
}

/// The groups of the definition, and one for each user whose group it does not list.
fn groups(definition: &Definition) -> Vec<Group> {
    let mut groups = definition.groups.clone();
    for user in &definition.users {
        let known = groups.iter().any(|group| group.gid == user.gid);
        if !known && user.gid == user.uid {
            groups.push(Group { name: user.name.clone(), gid: user.gid, members: Vec::new() });
        }
    }
    groups
}
