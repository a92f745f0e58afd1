//! `ostreesetup`.

use super::{Command, once, public_url};
use crate::model::OsTreeSetup;
use crate::option::{Syntax, flag, value};

/// The name that the system has on every host's disk.
const OS_NAME: &str = "basalt";

pub(super) const OSTREESETUP: Command = Command {
    names: &["ostreesetup"],
    syntax: Syntax::new(
        (0, 0),
        &[
            value(&["--osname"]).anyway("every host has one and the same").required(),
            value(&["--url"]).required(),
            value(&["--ref"]).required(),
            value(&["--remote"]).moot("a host knows its archive by one name", "leave it away"),
            flag(&["--nogpg"]).refused(
                "a host takes nothing that is not signed",
                "sign the release, and trust its key: `basalt build --sign-key`, `--trust`",
            ),
        ],
    ),
    carry: |args, kickstart, log| {
        let values = (args.value("--osname"), args.value("--url"), args.value("--ref"));
        let (Some(osname), Some(url), Some(branch)) = values else { return };
        let schemes = ["http://", "https://", "file://"];
        let is_url = |rest: &str| !rest.is_empty() && !rest.contains(char::is_whitespace);
        if !schemes.iter().any(|it| url.text.strip_prefix(it).is_some_and(is_url)) {
            let hint = "as `https://images.example/site`, made by `basalt publish`";
            log.error(url.span, "this is no URL of an archive", hint);
        }
        let is_part = |part: &str| !part.is_empty() && part != "." && part != "..";
        let is_letter = |c: char| c.is_ascii_alphanumeric() || "._-/".contains(c);
        if !branch.text.split('/').all(is_part) || !branch.text.chars().all(is_letter) {
            log.error(branch.span, "this is no ref", "as `basalt/trixie/x86_64/base`");
        }
        for name in [Some(osname), args.value("--remote")].into_iter().flatten() {
            if !is_part(&name.text) || name.text.contains(|c| !is_letter(c) || c == '/') {
                log.error(name.span, "this is no name", "letters, digits, `.`, `_`, `-`");
            }
        }
        if osname.text != OS_NAME {
            let message = format!("`--osname` has no effect: every host has `{OS_NAME}`");
            log.warning(args.at("--osname"), message, "`--osname=basalt`");
        }
        let value = OsTreeSetup {
            osname: osname.text.clone(),
            remote: args.text("--remote").unwrap_or_else(|| osname.text.clone()),
            url: public_url(url, log),
            branch: branch.text.clone(),
        };
        once(&mut kickstart.ostreesetup, args, value, log);
    },
};
