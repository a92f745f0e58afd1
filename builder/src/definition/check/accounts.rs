//! Checks users and groups: ids and names used once, groups that exist.

use std::collections::BTreeMap;

use super::super::merge::{At, Group as RawGroup, User as RawUser};
use super::super::{Group, User};
use super::{Checker, rules};

/// The largest id: builders as users have no more, and 65535 means "none" to the kernel.
const MAX_ID: u32 = 65_534;
const NO_HOME: &str = "/nonexistent";
const NO_SHELL: &str = "/usr/sbin/nologin";
/// Groups that Debian's base-passwd makes, with ids that never change.
const STATIC_GROUPS: std::ops::RangeInclusive<u32> = 0..=100;
/// base-passwd's `nogroup`.
const NOGROUP: u32 = 65_534;

impl Checker<'_> {
    pub(super) fn accounts(
        &mut self,
        users: Vec<RawUser>,
        groups: Vec<RawGroup>,
    ) -> (Vec<User>, Vec<Group>) {
        self.once("user", "uid", users.iter().map(|user| (&user.name, &user.uid)));
        self.once("group", "gid", groups.iter().map(|group| (&group.name, &group.gid)));
        let names: Vec<String> = users.iter().map(|user| user.name.value.clone()).collect();
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
        let mut names = BTreeMap::new();
        let mut ids = BTreeMap::new();
        for (name, id) in accounts {
            if let Err((message, hint)) = rules::account(&name.value) {
                self.at(name, &message, hint);
            }
            if names.insert(name.value.clone(), ()).is_some() {
                self.at(name, &format!("the {what} `{}` is there twice", name.value), "");
            }
            if id.value > MAX_ID {
                self.at(id, &format!("the {key} {} is too large", id.value), "use at most 65534");
            }
            if let Some(other) = ids.insert(id.value, name.value.clone()) {
                let message = format!("the {key} {} is `{other}`'s already", id.value);
                self.at(id, &message, "give each its own, for ever");
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
        let mut field = |text, default: &str| {
            self.optional(text, rules::passwd_field).unwrap_or_else(|| default.to_owned())
        };
        User {
            comment: field(user.comment, &name),
            home: field(user.home, NO_HOME),
            shell: field(user.shell, NO_SHELL),
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
