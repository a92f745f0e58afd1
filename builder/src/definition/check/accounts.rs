//! Checks users and groups: ids and names used once, groups that exist.

use std::collections::BTreeMap;

use super::super::merge::{At, Group as RawGroup, User as RawUser};
use super::super::{Group, User};
use super::{Checker, rules};

/// The largest id: builders as users have no more, and 65535 means "none" to the kernel.
const MAX_ID: u32 = 65_534;
const NO_HOME: &str = "/nonexistent";
const NO_SHELL: &str = "/usr/sbin/nologin";
/// Users and groups that Debian's base-passwd makes.
const BASE_USERS: &str = "root daemon bin sys sync games man lp mail news uucp proxy www-data \
                          backup list irc _apt nobody";
const BASE_GROUPS: &str = "root daemon bin sys adm tty disk lp mail news uucp man proxy kmem \
                           dialout fax voice cdrom floppy tape sudo audio dip www-data backup \
                           operator list irc src shadow utmp video sasl plugdev staff games \
                           users nogroup";
/// Ids of these, which never change.
const STATIC_GROUPS: std::ops::RangeInclusive<u32> = 0..=100;
/// base-passwd's `nogroup`.
const NOGROUP: u32 = 65_534;
/// The hint where another id is needed.
const FREE_IDS: &str = "use one from 101 to 65533";

impl Checker<'_> {
    pub(super) fn accounts(
        &mut self,
        users: Vec<RawUser>,
        groups: Vec<RawGroup>,
    ) -> (Vec<User>, Vec<Group>) {
        self.once("user", "uid", users.iter().map(|user| (&user.name, &user.uid)));
        self.once("group", "gid", groups.iter().map(|group| (&group.name, &group.gid)));
        let names: Vec<String> = users.iter().map(|user| user.name.value.clone()).collect();
        for user in &users {
            self.own_group(user, &groups);
        }
        let gids: Vec<u32> = groups.iter().map(|group| group.gid.value).collect();
        let users = users.into_iter().map(|user| self.user(user, &gids)).collect();
        let groups = groups.into_iter().map(|group| self.group(group, &names)).collect();
        (users, groups)
    }

    /// Every name and every id once.
    fn once<'a>(
        &mut self,
        what: &str,
        key: &str,
        accounts: impl Iterator<Item = (&'a At<String>, &'a At<u32>)>,
    ) {
        let base = if what == "user" { BASE_USERS } else { BASE_GROUPS };
        let mut names = BTreeMap::new();
        let mut ids = BTreeMap::new();
        for (name, id) in accounts {
            if let Err((message, hint)) = rules::account(&name.value) {
                self.at(name, &message, hint);
            }
            if names.insert(name.value.clone(), ()).is_some() {
                self.at(name, &format!("the {what} `{}` is there twice", name.value), "");
            }
            if base.split_whitespace().any(|known| known == name.value) {
                let message = format!("the {what} `{}` is Debian's own", name.value);
                self.at(name, &message, "every image has it already");
            }
            if STATIC_GROUPS.contains(&id.value) || id.value == NOGROUP {
                let message = format!("the {key} {} is Debian's own", id.value);
                self.at(id, &message, FREE_IDS);
            }
            if id.value > MAX_ID {
                self.at(id, &format!("the {key} {} is too large", id.value), FREE_IDS);
            }
            if let Some(other) = ids.insert(id.value, name.value.clone()) {
                let message = format!("the {key} {} is `{other}`'s already", id.value);
                self.at(id, &message, "give each its own, for ever");
            }
        }
    }

    /// A user that names no group gets one of its own name and id; nobody else may have either.
    fn own_group(&mut self, user: &RawUser, groups: &[RawGroup]) {
        if user.gid.as_ref().is_some_and(|gid| gid.value != user.uid.value) {
            return;
        }
        let (name, id) = (&user.name.value, user.uid.value);
        for group in groups {
            let (same_name, same_id) = (group.name.value == *name, group.gid.value == id);
            let other = &group.name.value;
            if same_id && !same_name && user.gid.is_none() {
                let message =
                    format!("`{name}` would be in the group `{other}`, which has gid {id}");
                self.at(&user.uid, &message, "use another uid, or say `gid` if that is meant");
            }
            if same_name && !same_id {
                let message = format!("the group `{other}` has gid {}, not {id}", group.gid.value);
                self.at(&user.uid, &message, "give them one id, or say the user's `gid`");
            }
        }
    }

    fn user(&mut self, user: RawUser, gids: &[u32]) -> User {
        let gid = user.gid.as_ref().map_or(user.uid.value, |gid| gid.value);
        if let Some(at) = &user.gid {
            let known = gids.contains(&gid) || STATIC_GROUPS.contains(&gid) || gid == NOGROUP;
            if !known && gid != user.uid.value {
                let message = format!("there is no group with the gid {gid}");
                self.at(at, &message, "add a `[[group]]` with it, or leave `gid` out");
            }
        }
        let name = user.name.value;
        let mut field = |text, rule, default: &str| {
            self.optional(text, rule).unwrap_or_else(|| default.to_owned())
        };
        User {
            comment: field(user.comment, rules::passwd_field, &name),
            home: field(user.home, rules::passwd_path, NO_HOME),
            shell: field(user.shell, rules::passwd_path, NO_SHELL),
            uid: user.uid.value,
            gid,
            name,
        }
    }

    fn group(&mut self, group: RawGroup, users: &[String]) -> Group {
        for member in &group.members {
            if !users.contains(&member.value) {
                let message = format!("there is no user `{}`", member.value);
                self.at(member, &message, "add a `[[user]]` with that name");
            }
        }
        Group {
            name: group.name.value,
            gid: group.gid.value,
            members: group.members.into_iter().map(|member| member.value).collect(),
        }
    }
}
