//! A join string, or a secret alone, on the kernel's command line. Everybody on the host may read
//! `/proc/cmdline`, and so it is not taken from there.

use std::fmt;

/// The credential's name.
const JOIN: &str = "basalt.join";
/// The kernel arguments that somebody may take for a way to give one.
const ARGUMENTS: [&str; 3] = [JOIN, "basalt.token", "basalt.secret"];
/// By these systemd takes credentials from the command line (systemd(1)).
const CREDENTIALS: [&str; 2] = ["systemd.set_credential=", "systemd.set_credential_binary="];

/// How a join string came by the command line.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OnCmdline {
    /// As an argument of its own.
    Argument(&'static str),
    /// As a credential: systemd hands it on like one from a safe place.
    Credential,
}

impl fmt::Display for OnCmdline {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Argument(name) => write!(f, "{name}="),
            Self::Credential => f.write_str("systemd.set_credential=basalt.join:"),
        }
    }
}

/// How a join string is on this command line; none where it is not. The credential comes first: it
/// takes the place of one that came another way.
#[must_use]
pub fn join(cmdline: &str) -> Option<OnCmdline> {
    let ways = cmdline.split_ascii_whitespace().filter_map(way);
    ways.max_by_key(|way| *way == OnCmdline::Credential)
}

fn way(word: &str) -> Option<OnCmdline> {
    let word = word.trim_start_matches('"');
    let credential = CREDENTIALS.iter().find_map(|key| word.strip_prefix(key));
    match credential {
        Some(rest) => {
            let rest = rest.trim_start_matches('"').strip_prefix(JOIN)?;
            rest.starts_with(':').then_some(OnCmdline::Credential)
        }
        None => {
            let is =
                |name: &&str| word.strip_prefix(*name).is_some_and(|rest| rest.starts_with('='));
            ARGUMENTS.into_iter().find(is).map(OnCmdline::Argument)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_join_string_on_the_command_line_is_seen_whichever_way_it_came() {
        use OnCmdline::{Argument, Credential};
        for (cmdline, expected) in [
            ("", None),
            ("quiet androidboot.slot_suffix=_a ostree", None),
            ("basalt.joint=1 my.basalt.join=1 basalt.join", None),
            ("systemd.set_credential=basalt.joins:x", None),
            ("basalt.endpoint=https://x basalt.ca=12", None),
            ("basalt.join=basalt1.x", Some(Argument("basalt.join"))),
            ("quiet \"basalt.join=basalt1.x\" ostree\n", Some(Argument("basalt.join"))),
            ("basalt.token=x", Some(Argument("basalt.token"))),
            ("basalt.secret=x", Some(Argument("basalt.secret"))),
            ("systemd.set_credential=basalt.join:x", Some(Credential)),
            ("systemd.set_credential=\"basalt.join:x\"", Some(Credential)),
            ("systemd.set_credential_binary=basalt.join:eA== basalt.join=x", Some(Credential)),
        ] {
            assert_eq!(join(cmdline), expected, "{cmdline}");
        }
    }
}
