//! `rootpw`, `user`, `group`, `sshkey`.

use basalt_host_toml::is_key;

use super::{Command, at, once};
use crate::diagnostic::Log;
use crate::lex::Word;
use crate::model::{At, Group, Kickstart, Password, RootPassword, SshKey, User};
use crate::option::{Args, Syntax, flag, value};
use crate::secret::Secret;

/// useradd(8).
const MAX_NAME: usize = 32;
const PLAIN: &str = "a password is plain unless it is `--iscrypted`";
/// What stands in `shadow` where nobody comes in by a password.
const LOCKED: [&str; 5] = ["!", "!!", "*", "!*", "x"];

pub(super) const ROOTPW: Command = Command {
    names: &["rootpw"],
    syntax: Syntax::new(
        (0, 1),
        &[
            flag(&["--iscrypted"]),
            flag(&["--plaintext"]).anyway(PLAIN),
            flag(&["--lock"]),
            flag(&["--allow-ssh"]).refused(
                "nobody comes in by ssh with a password",
                "give root a key: `sshkey --username=root \"ssh-ed25519 …\"`",
            ),
        ],
    ),
    carry: |args, kickstart, log| {
        let word = args.words.first();
        if word.is_none() && !args.has("--lock") {
            log.error(args.span, "`rootpw` needs a password, or `--lock`", "`rootpw --lock`");
        }
        let password = word.and_then(|word| password(word, args, log));
        let value = RootPassword { password, lock: args.has("--lock") };
        once(&mut kickstart.rootpw, args, value, log);
    },
};

pub(super) const USER: Command = Command {
    names: &["user"],
    syntax: Syntax::new(
        (0, 0),
        &[
            value(&["--name"]).required(),
            value(&["--uid"]),
            value(&["--gid"]),
            value(&["--groups"]),
            value(&["--homedir"]),
            value(&["--shell"]),
            value(&["--gecos"]),
            value(&["--password"]),
            flag(&["--iscrypted"]),
            flag(&["--plaintext"]).anyway(PLAIN),
            flag(&["--lock"]),
        ],
    ),
    carry: user,
};

pub(super) const GROUP: Command = Command {
    names: &["group"],
    syntax: Syntax::new((0, 0), &[value(&["--name"]).required(), value(&["--gid"])]),
    carry: |args, kickstart, log| {
        let Some(name) = args.value("--name") else { return };
        check_name(name, log);
        let gid = args.small("--gid", 0..=u32::MAX - 1, log);
        kickstart.group.push(at(args, Group { name: name.text.clone(), gid }));
    },
};

pub(super) const SSHKEY: Command = Command {
    names: &["sshkey"],
    syntax: Syntax::new((1, 1), &[value(&["--username"]).required()]),
    carry: |args, kickstart, log| {
        let (Some(name), Some(key)) = (args.value("--username"), args.words.first()) else {
            return;
        };
        if !is_key(&key.text) {
            let hint = "it is one line of a `.pub` file in quotes, as `\"ssh-ed25519 AAAA… name\"`";
            log.error(key.span, "this is not a public key of SSH", hint);
        }
        let key = key.text.trim().to_owned();
        kickstart.sshkey.push(at(args, SshKey { username: name.text.clone(), key }));
    },
};

fn user(args: &Args, kickstart: &mut Kickstart, log: &mut Log) {
    let Some(name) = args.value("--name") else { return };
    check_name(name, log);
    let groups = args.list("--groups");
    groups.iter().for_each(|group| check_name(group, log));
    for option in ["--homedir", "--shell"] {
        if let Some(path) = args.value(option).filter(|path| !path.text.starts_with('/')) {
            log.error(path.span, format!("`{option}` takes a whole path"), "it begins with `/`");
        }
    }
    if let Some(gecos) = args.value("--gecos").filter(|it| it.text.contains(':')) {
        log.error(gecos.span, "a name cannot have a `:`", "leave it away");
    }
    let password = args.value("--password").and_then(|word| password(word, args, log));
    let user = User {
        name: name.text.clone(),
        uid: args.small("--uid", 0..=u32::MAX - 1, log),
        gid: args.small("--gid", 0..=u32::MAX - 1, log),
        groups: groups.into_iter().map(|it| At { value: it.text, span: it.span }).collect(),
        homedir: args.text("--homedir"),
        shell: args.text("--shell"),
        gecos: args.text("--gecos"),
        password,
        lock: args.has("--lock"),
    };
    kickstart.user.push(at(args, user));
}

/// Quotes nothing of the password.
fn password(word: &Word, args: &Args, log: &mut Log) -> Option<Password> {
    args.only_one(&["--iscrypted", "--plaintext"], log);
    if word.text.is_empty() || word.text.contains('\n') {
        log.error(word.span, "the password is empty", "leave it away, or lock the account");
        return None;
    }
    if args.has("--iscrypted") {
        let is_hash = word.text.starts_with('$') && word.text.matches('$').count() >= 3;
        let is_known = ["$6$", "$5$", "$y$", "$7$", "$2b$", "$gy$"]
            .iter()
            .any(|kind| word.text.starts_with(kind));
        if !is_hash || !is_known || word.text.contains([':', ' ']) {
            log.error(word.span, "this is no hash of a password", no_hash(word, args));
        }
        return Some(Password::Crypted(Secret::new(&word.text)));
    }
    log.warning(
        word.span,
        "the password stands in this file for whoever can read it",
        "`--iscrypted` takes what `openssl passwd -6` prints",
    );
    Some(Password::Plain(Secret::new(&word.text)))
}

/// What to write in place of what is no hash.
fn no_hash(word: &Word, args: &Args) -> &'static str {
    let is_lock = LOCKED.contains(&word.text.as_str());
    match (is_lock, args.command.text.as_str()) {
        (true, "rootpw") => "`rootpw --lock` lets nobody in by a password",
        (true, _) => "`--lock`, without `--password=`, lets nobody in by a password",
        _ => "`openssl passwd -6` prints one, as `$6$…`; it stands in single quotes",
    }
}

fn check_name(name: &Word, log: &mut Log) {
    let text = &name.text;
    let is_first = |c: char| c.is_ascii_lowercase() || c == '_';
    let is_next = |c: char| is_first(c) || c.is_ascii_digit() || "-.".contains(c);
    let is_good = text.starts_with(is_first)
        && text.trim_end_matches('$').chars().all(is_next)
        && text.len() <= MAX_NAME;
    if !is_good {
        let hint = "small letters, digits, `_`, `-`, `.`, at most 32 of them";
        log.error(name.span, format!("`{text}` is no name of an account"), hint);
    }
}
