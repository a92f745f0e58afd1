//! Users, groups, passwords, and keys that open ssh.

mod files;

use std::collections::BTreeMap;

use anyhow::Result;
use basalt_document::nearest;
use basalt_kickstart::Span;
use basalt_kickstart::model::{Password, User};

use super::{Change, Ground, Owner, PRIVATE, ROOT, Text};
use crate::problems::Problems;
use files::Accounts;

/// Numbers of people, as Debian gives them.
const FIRST_ID: u32 = 1000;
const LAST_ID: u32 = 59_999;
/// Whose keys let sshd run.
const ROOT_KEYS: &str = "/var/roothome/.ssh/authorized_keys";
const FILES: [(&str, u32); 4] =
    [("etc/passwd", 0o644), ("etc/group", 0o644), ("etc/shadow", 0o640), ("etc/gshadow", 0o640)];

pub(super) fn settings(
    ground: &mut Ground<'_>,
    changes: &mut Vec<Change>,
    problems: &mut Problems,
) -> Result<()> {
    let [passwd, group, shadow, gshadow] = FILES.map(|(path, _)| ground.image.text(path));
    let before = Accounts { passwd: passwd?, group: group?, shadow: shadow?, gshadow: gshadow? };
    let mut accounts = before.clone();
    for group in &ground.asked.group {
        add_group(&mut accounts, &group.name, group.gid, group.span, problems);
    }
    let mut homes = BTreeMap::from([("root", ("/var/roothome".to_owned(), ROOT))]);
    for user in &ground.asked.user {
        let Some(owner) = add_user(ground, &mut accounts, user, user.span, problems)? else {
            continue;
        };
        let home = in_var(user.homedir.as_deref(), &user.name);
        if !home.starts_with("/var/") {
            let message = format!("`{home}` is no place for a home");
            problems.error(user.span, message, "as `/var/home/NAME`, or leave `--homedir` away");
            continue;
        }
        changes.push(Change::Folder { path: home.clone(), mode: 0o700, owner });
        homes.insert(&user.name, (home, owner));
    }
    if let Some(root) = &ground.asked.rootpw {
        let hash = hash(ground, root.password.as_ref(), root.lock)?;
        accounts.set_password("root", &hash);
    }
    changes.splice(0..0, files_of(&before, accounts));
    keys(ground, &homes, changes);
    Ok(())
}

/// The files that changed.
fn files_of(before: &Accounts, after: Accounts) -> Vec<Change> {
    let before = [&before.passwd, &before.group, &before.shadow, &before.gshadow];
    let after = [after.passwd, after.group, after.shadow, after.gshadow];
    let pairs = FILES.into_iter().zip(before.into_iter().zip(after));
    let changed = pairs.filter(|(_, (before, after))| **before != *after);
    let files = changed.map(|((path, mode), (_, text))| Change::File {
        path: format!("/{path}"),
        mode,
        // Debian's group `shadow` reads the last two, and has this number everywhere.
        owner: Owner { uid: 0, gid: if mode == 0o640 { 42 } else { 0 } },
        text: Text(text),
    });
    files.collect()
}

fn add_group(
    accounts: &mut Accounts,
    name: &str,
    gid: Option<u32>,
    span: Span,
    problems: &mut Problems,
) -> Option<u32> {
    if let Some(there) = accounts.group_id(name) {
        if gid.is_some_and(|gid| gid != there) {
            let message = format!("the image has a group `{name}` with the number {there}");
            problems.error(span, message, "leave `--gid` away, or take another name");
        }
        return Some(there);
    }
    let taken = accounts.group_ids();
    let Some(gid) = gid.or_else(|| (FIRST_ID..=LAST_ID).find(|id| !taken.contains(id))) else {
        problems.error(span, "there is no number left for a group", "");
        return None;
    };
    if taken.contains(&gid) {
        let message = format!("another group has the number {gid}");
        problems.error(span, message, "leave `--gid` away, or take another number");
        return None;
    }
    accounts.add_group(name, gid);
    Some(gid)
}

fn add_user(
    ground: &Ground<'_>,
    accounts: &mut Accounts,
    user: &User,
    span: Span,
    problems: &mut Problems,
) -> Result<Option<Owner>> {
    if accounts.user_ids().contains_key(user.name.as_str()) {
        let message = format!("the image has a user `{}` already", user.name);
        problems.error(span, message, "take another name");
        return Ok(None);
    }
    let taken: Vec<u32> = accounts.user_ids().into_values().collect();
    // The group's number serves for both where it is free.
    let free = |id: &u32| !taken.contains(id) && !accounts.group_ids().contains(id);
    let uid = user.uid.or_else(|| (FIRST_ID..=LAST_ID).find(free));
    let Some(uid) = uid.filter(|uid| !taken.contains(uid)) else {
        problems.error(span, "another user has this number", "leave `--uid` away");
        return Ok(None);
    };
    let own_gid = user.gid.or_else(|| Some(uid).filter(|id| !accounts.group_ids().contains(id)));
    let Some(gid) = add_group(accounts, &user.name, own_gid, span, problems) else {
        return Ok(None);
    };
    for group in &user.groups {
        if !accounts.add_member(group, &user.name) {
            let names = accounts.group_names();
            let names: Vec<&str> = names.iter().map(String::as_str).collect();
            let message = format!("there is no group `{}`", group.value);
            problems.error(group.span, message, &nearest(group, &names));
        }
    }
    let shell = user.shell.as_deref().unwrap_or("/bin/bash");
    check_shell(ground, shell, span, problems)?;
    let home = user.homedir.clone().unwrap_or_else(|| format!("/var/home/{}", user.name));
    let gecos = user.gecos.as_deref().unwrap_or_default();
    let line = format!("{}:x:{uid}:{gid}:{gecos}:{home}:{shell}", user.name);
    let hash = hash(ground, user.password.as_ref(), user.lock)?;
    accounts.add_user(&line, &user.name, &hash);
    Ok(Some(Owner { uid, gid }))
}

fn check_shell(
    ground: &Ground<'_>,
    shell: &str,
    span: Span,
    problems: &mut Problems,
) -> Result<()> {
    if !ground.image.has_program(shell)? {
        let message = format!("the image has no `{shell}`");
        problems.error(span, message, "name a shell that it has with `--shell`, as `/bin/sh`");
    }
    Ok(())
}

/// What stands in `shadow`; `*` lets nobody in by a password.
fn hash(ground: &Ground<'_>, password: Option<&Password>, is_locked: bool) -> Result<String> {
    let hash = match password {
        None => "*".to_owned(),
        Some(Password::Crypted(hash)) => hash.reveal().to_owned(),
        Some(Password::Plain(plain)) => ground.edge.hash(plain.reveal())?,
    };
    Ok(if is_locked { format!("!{hash}") } else { hash })
}

/// Where a home lies: what leads to `/var` on a host is written there.
fn in_var(home: Option<&str>, name: &str) -> String {
    let Some(home) = home else { return format!("/var/home/{name}") };
    match home.strip_prefix("/home/") {
        Some(rest) => format!("/var/home/{rest}"),
        None => home.to_owned(),
    }
}

fn keys(ground: &Ground<'_>, homes: &BTreeMap<&str, (String, Owner)>, changes: &mut Vec<Change>) {
    let mut lines: BTreeMap<&str, String> = BTreeMap::new();
    for key in &ground.asked.sshkey {
        let line = format!("{}\n", key.key);
        lines.entry(&key.username).or_default().push_str(&line);
    }
    let mut others = Vec::new();
    for (name, text) in lines {
        // Who has no home was told.
        let Some((home, owner)) = homes.get(name) else { continue };
        let (folder, owner) = (format!("{home}/.ssh"), *owner);
        let path = format!("{folder}/authorized_keys");
        if path != ROOT_KEYS {
            others.push(path.clone());
        }
        changes.push(Change::Folder { path: home.clone(), mode: 0o700, owner });
        changes.push(Change::Folder { path: folder, mode: 0o700, owner });
        changes.push(Change::File { path, mode: PRIVATE, owner, text: Text(text) });
    }
    if !others.is_empty() {
        changes.extend(let_ssh_run(&others));
    }
}

/// The image's sshd runs once root has a key; from now on it does once any of these is there.
fn let_ssh_run(keys: &[String]) -> [Change; 2] {
    let any: String = [ROOT_KEYS.to_owned()]
        .iter()
        .chain(keys)
        .map(|path| format!("ConditionPathExists=|{path}\n"))
        .collect();
    let unit = |name: &str, more: &str| {
        let path = format!("/etc/systemd/system/{name}.d/50-kickstart.conf");
        // An empty one takes back all conditions of before.
        Change::public(&path, format!("[Unit]\nConditionPathExists=\n{any}{more}"))
    };
    let no_key_yet = "ConditionFileNotEmpty=!/etc/ssh/ssh_host_ed25519_key\n";
    [unit("ssh.service", ""), unit("basalt-ssh-keys.service", no_key_yet)]
}
