//! `timezone`, `timesource`, `keyboard`, `lang`, `services`, `selinux`.

use basalt_document::nearest;
use jiff::tz::TimeZoneDatabase;

use super::{Command, at, once};
use crate::diagnostic::Log;
use crate::lex::Word;
use crate::model::{
    At, Keyboard, Kickstart, Lang, SeLinux, Service, TimeSource, TimeSourceKind, TimeZone,
};
use crate::option::{Args, Syntax, flag, value};

const NO_POLICY: &str = "a host's system is Debian's, without a policy of SELinux";
const KEPT_IN: &str = "containers are kept in by namespaces and seccomp, machines by KVM, and /usr is \
                       read-only; `selinux --disabled` says what is";

pub(super) const TIMEZONE: Command = Command {
    names: &["timezone"],
    syntax: Syntax::new(
        (0, 1),
        &[flag(&["--utc", "--isUtc"]), flag(&["--nontp"]), value(&["--ntpservers"])],
    ),
    carry: timezone,
};

pub(super) const TIMESOURCE: Command = Command {
    names: &["timesource"],
    syntax: Syntax::new(
        (0, 0),
        &[
            value(&["--ntp-server"]),
            value(&["--ntp-pool"]),
            flag(&["--ntp-disable"]),
            flag(&["--nts"]).refused("the clock's service does not speak NTS", "leave it away"),
        ],
    ),
    carry: |args, kickstart, log| {
        args.only_one(&["--ntp-server", "--ntp-pool", "--ntp-disable"], log);
        let kind = match (args.text("--ntp-server"), args.text("--ntp-pool")) {
            (Some(server), _) => TimeSourceKind::Server(server),
            (_, Some(pool)) => TimeSourceKind::Pool(pool),
            _ if args.has("--ntp-disable") => TimeSourceKind::Disable,
            _ => {
                let hint = "`--ntp-server=`, `--ntp-pool=` or `--ntp-disable`";
                return log.error(args.span, "`timesource` says no source", hint);
            }
        };
        for name in ["--ntp-server", "--ntp-pool"] {
            args.value(name).into_iter().for_each(|word| check_host(word, log));
        }
        kickstart.timesource.push(at(args, TimeSource { kind }));
    },
};

pub(super) const KEYBOARD: Command = Command {
    names: &["keyboard"],
    syntax: Syntax::new(
        (0, 1),
        &[
            value(&["--vckeymap"]),
            value(&["--xlayouts"]),
            value(&["--switch"]).moot("the console has one layout", "leave it away"),
        ],
    ),
    carry: |args, kickstart, log| {
        let keymap = args.value("--vckeymap").filter(|word| !word.text.is_empty());
        let keymap = keymap.or(args.words.first());
        let xlayouts = args.list("--xlayouts");
        if keymap.is_none() && xlayouts.is_empty() {
            log.error(args.span, "`keyboard` says no layout", "as `keyboard us`");
        }
        if let Some(word) = keymap.filter(|word| !is_plain(&word.text)) {
            log.error(word.span, "this is no layout", "as `us` or `de-nodeadkeys`");
        }
        layouts(args, keymap, &xlayouts, log);
        let value = Keyboard {
            keymap: keymap.map(|word| word.text.clone()),
            xlayouts: xlayouts.into_iter().map(|word| word.text).collect(),
        };
        once(&mut kickstart.keyboard, args, value, log);
    },
};

pub(super) const LANG: Command = Command {
    names: &["lang"],
    syntax: Syntax::new(
        (1, 1),
        &[value(&["--addsupport"]).moot("a host's messages are in English", "leave it away")],
    ),
    carry: |args, kickstart, log| {
        let Some(word) = args.words.first() else { return };
        if !is_plain(&word.text) {
            log.error(word.span, "this is no language", "as `en_US.UTF-8`");
        }
        once(&mut kickstart.lang, args, Lang { lang: word.text.clone() }, log);
    },
};

pub(super) const SERVICES: Command = Command {
    names: &["services"],
    syntax: Syntax::new((0, 0), &[value(&["--enabled"]), value(&["--disabled"])]),
    carry: |args, kickstart, log| {
        let (enabled, disabled) = (args.list("--enabled"), args.list("--disabled"));
        if enabled.is_empty() && disabled.is_empty() {
            log.error(args.span, "`services` names none", "`--enabled=` or `--disabled=`");
        }
        for (name, is_enabled) in [("--enabled", true), ("--disabled", false)] {
            let mut said = kickstart.services.said.iter();
            let again = said.any(|it| matches!(it.value, Service::Enabled(_)) == is_enabled);
            if again && args.has(name) {
                let message = format!("`{name}=` again: Anaconda would forget what stood before");
                log.error(args.at(name), message, "name all of them in one command");
            }
        }
        let enabled = enabled.into_iter().map(|it| (it.span, Service::Enabled(it.text)));
        let disabled = disabled.into_iter().map(|it| (it.span, Service::Disabled(it.text)));
        for (span, value) in enabled.chain(disabled) {
            let (Service::Enabled(name) | Service::Disabled(name)) = &value;
            if !is_plain(name) {
                log.error(span, "this is no unit", "as `podman.socket` or `tuned`");
            }
            kickstart.services.said.push(At { value, span });
        }
    },
};

pub(super) const SELINUX: Command = Command {
    names: &["selinux"],
    syntax: Syntax::new(
        (0, 0),
        &[
            flag(&["--enforcing"]).moot(NO_POLICY, KEPT_IN),
            flag(&["--permissive"]).moot(NO_POLICY, KEPT_IN),
            flag(&["--disabled"]).anyway(NO_POLICY),
        ],
    ),
    carry: |args, kickstart, log| {
        args.only_one(&["--enforcing", "--permissive", "--disabled"], log);
        if args.has_none() {
            return log.error(args.span, "`selinux` says nothing", "`selinux --disabled`");
        }
        let value = match () {
            () if args.has("--disabled") => SeLinux::Disabled,
            () if args.has("--permissive") => SeLinux::Permissive,
            () => SeLinux::Enforcing,
        };
        once(&mut kickstart.selinux, args, value, log);
    },
};

/// Of the layouts of a desktop the first serves the console where nothing else does.
fn layouts(args: &Args, keymap: Option<&Word>, xlayouts: &[Word], log: &mut Log) {
    let message = match (keymap, xlayouts) {
        (Some(_), [_, ..]) => "`--xlayouts` has no effect: a host has no desktop",
        (None, [_, _, ..]) => "`--xlayouts`: only the first has an effect, at the console",
        _ => return,
    };
    log.warning(args.at("--xlayouts"), message, "`--vckeymap=` alone says the console's layout");
}

fn timezone(args: &Args, kickstart: &mut Kickstart, log: &mut Log) {
    let word = args.words.first();
    if word.is_none() && args.span == args.command.span {
        return log.error(
            args.span,
            "`timezone` says nothing",
            "as `timezone Europe/Berlin --utc`",
        );
    }
    if let Some(word) = word {
        check_zone(word, log);
    }
    args.only_one(&["--nontp", "--ntpservers"], log);
    let old = "Anaconda removes it";
    if args.has("--nontp") {
        log.warning(args.at("--nontp"), old, "`timesource --ntp-disable`");
    }
    if args.has("--nontp") && !args.has("--ntpservers") {
        kickstart.timesource.push(at(args, TimeSource { kind: TimeSourceKind::Disable }));
    }
    if args.has("--ntpservers") {
        log.warning(args.at("--ntpservers"), old, "`timesource --ntp-server=NAME`, for each");
    }
    for server in args.list("--ntpservers") {
        check_host(&server, log);
        let kind = TimeSourceKind::Server(server.text);
        kickstart.timesource.push(at(args, TimeSource { kind }));
    }
    let value = TimeZone { name: word.map(|word| word.text.clone()), utc: args.has("--utc") };
    once(&mut kickstart.timezone, args, value, log);
}

fn check_zone(word: &Word, log: &mut Log) {
    let zones = TimeZoneDatabase::bundled();
    if zones.get(&word.text).is_ok() {
        return;
    }
    let known: Vec<String> = zones.available().map(|name| name.to_string()).collect();
    let known: Vec<&str> = known.iter().map(String::as_str).collect();
    let message = format!("there is no time zone `{}`", word.text);
    log.error(word.span, message, &nearest(&word.text, &known));
}

/// A name or an address.
fn check_host(word: &Word, log: &mut Log) {
    let is_good = |c: char| c.is_ascii_alphanumeric() || "-._:[]".contains(c);
    if word.text.is_empty() || !word.text.chars().all(is_good) {
        log.error(word.span, "this is no host's name", "as `ntp.example`");
    }
}

/// A name without blanks, quotes and slashes.
fn is_plain(text: &str) -> bool {
    let is_good = |c: char| c.is_ascii_alphanumeric() || "._-@:+()".contains(c);
    !text.is_empty() && !text.starts_with('-') && text.chars().all(is_good)
}
