//! Shows a command as a person would type it, without its secrets.

use std::ffi::{OsStr, OsString};

/// One argument, and whether it may be shown.
pub(crate) enum Arg {
    Shown(OsString),
    Redacted(OsString),
}

impl Arg {
    pub(crate) fn value(&self) -> &OsStr {
        match self {
            Self::Shown(value) | Self::Redacted(value) => value,
        }
    }
}

pub(crate) fn render(program: &OsStr, args: &[Arg]) -> String {
    let mut line = quote(program);
    for arg in args {
        line.push(' ');
        match arg {
            Arg::Shown(value) => line.push_str(&quote(value)),
            Arg::Redacted(_) => line.push_str("***"),
        }
    }
    line
}

fn quote(word: &OsStr) -> String {
    let word = word.to_string_lossy();
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_./=:,+@%".contains(c);
    if !word.is_empty() && word.chars().all(plain) {
        word.into_owned()
    } else {
        format!("'{}'", word.replace('\'', r"'\''"))
    }
}
