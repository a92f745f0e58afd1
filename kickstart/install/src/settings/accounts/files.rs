//! `passwd`, `group` and their shadows as texts. Pure; lines that nobody changes stay as they are.

use std::collections::BTreeMap;

/// The four files.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Accounts {
    pub(super) passwd: String,
    pub(super) group: String,
    pub(super) shadow: String,
    pub(super) gshadow: String,
}

impl Accounts {
    /// Users and their numbers.
    pub(super) fn user_ids(&self) -> BTreeMap<&str, u32> {
        ids(&self.passwd).collect()
    }

    /// Numbers of groups.
    pub(super) fn group_ids(&self) -> Vec<u32> {
        ids(&self.group).map(|(_, id)| id).collect()
    }

    /// Names of groups.
    pub(super) fn group_names(&self) -> Vec<String> {
        ids(&self.group).map(|(name, _)| name.to_owned()).collect()
    }

    /// The number of a group.
    pub(super) fn group_id(&self, name: &str) -> Option<u32> {
        ids(&self.group).find(|(group, _)| *group == name).map(|(_, id)| id)
    }

    /// A new group without members.
    pub(super) fn add_group(&mut self, name: &str, gid: u32) {
        push(&mut self.group, &format!("{name}:x:{gid}:"));
        push(&mut self.gshadow, &format!("{name}:!::"));
    }

    /// A new user by its line of `passwd`.
    pub(super) fn add_user(&mut self, line: &str, name: &str, hash: &str) {
        push(&mut self.passwd, line);
        push(&mut self.shadow, &shadow_line(name, hash));
    }

    /// Puts a user into a group; `false`: there is no such group.
    pub(super) fn add_member(&mut self, group: &str, user: &str) -> bool {
        if self.group_id(group).is_none() {
            return false;
        }
        for text in [&mut self.group, &mut self.gshadow] {
            *text = with_line(text, group, |line| match line.ends_with([':', ',']) {
                true => format!("{line}{user}"),
                false => format!("{line},{user}"),
            });
        }
        true
    }

    /// Gives a user another password.
    pub(super) fn set_password(&mut self, name: &str, hash: &str) {
        if !self.shadow.lines().any(|line| is_of(line, name)) {
            return push(&mut self.shadow, &shadow_line(name, hash));
        }
        self.shadow = with_line(&self.shadow, name, |line| {
            let rest = line.splitn(3, ':').nth(2).unwrap_or(":0:99999:7:::");
            format!("{name}:{hash}:{rest}")
        });
    }
}

/// The password does not expire: nobody says when it was changed.
fn shadow_line(name: &str, hash: &str) -> String {
    format!("{name}:{hash}::0:99999:7:::")
}

fn ids(text: &str) -> impl Iterator<Item = (&str, u32)> {
    text.lines().filter_map(|line| {
        let mut fields = line.split(':');
        Some((fields.next()?, fields.nth(1)?.parse().ok()?))
    })
}

fn is_of(line: &str, name: &str) -> bool {
    line.split(':').next() == Some(name)
}

fn with_line(text: &str, name: &str, change: impl Fn(&str) -> String) -> String {
    let lines = text.lines().map(|line| match is_of(line, name) {
        true => change(line) + "\n",
        false => format!("{line}\n"),
    });
    lines.collect()
}

fn push(text: &mut String, line: &str) {
    if !text.is_empty() && !text.ends_with('\n') {
        text.push('\n');
    }
    text.push_str(line);
    text.push('\n');
}

#[cfg(test)]
mod tests {
    use super::*;

    fn accounts() -> Accounts {
        Accounts {
            passwd: "root:x:0:0:root:/root:/bin/bash\n".to_owned(),
            group: "root:x:0:\nwheel:x:10:a\n".to_owned(),
            shadow: "root:*:20000:0:99999:7:::\n".to_owned(),
            gshadow: "root:*::\nwheel:!::a\n".to_owned(),
        }
    }

    #[test]
    fn a_user_is_added_and_put_into_groups() {
        let mut it = accounts();
        it.add_group("me", 1000);
        it.add_user("me:x:1000:1000::/var/home/me:/bin/sh", "me", "$6$a$b");
        assert!(it.add_member("wheel", "me") && it.add_member("me", "x"));
        assert!(!it.add_member("nobody", "me"));
        assert_eq!(it.group, "root:x:0:\nwheel:x:10:a,me\nme:x:1000:x\n");
        assert_eq!(it.gshadow, "root:*::\nwheel:!::a,me\nme:!::x\n");
        assert_eq!(it.shadow.lines().last(), Some("me:$6$a$b::0:99999:7:::"));
        assert_eq!(it.user_ids(), [("me", 1000), ("root", 0)].into());
    }

    #[test]
    fn another_password_leaves_the_rest_of_the_line() {
        let mut it = accounts();
        it.set_password("root", "$6$x$y");
        assert_eq!(it.shadow, "root:$6$x$y:20000:0:99999:7:::\n");
        it.set_password("new", "*");
        assert_eq!(it.shadow.lines().last(), Some("new:*::0:99999:7:::"));
    }
}
