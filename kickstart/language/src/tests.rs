//! What is said about a kickstart, by its text.

mod commands;
mod files;
mod no_effect;
mod secrets;
mod whole;

use crate::{Included, NotRead, Parsed, Severity, parse};

/// A layout, so that none is missing.
const LAYOUT: &str = "autopart --noswap\n";

fn read(text: &str) -> Parsed {
    parse("a.ks", text, &mut |include| Err(NotRead::Missing(format!("no `{}` here", include.what))))
}

/// Each thing that is said, as `line:column: message`, after `W` where it is a warning.
fn said(parsed: &Parsed) -> Vec<String> {
    let one = |it: &crate::Diagnostic| {
        let place = parsed.sources.place(it.span);
        assert!(!it.hint.is_empty(), "nothing says what to do: {}", it.message);
        let sign = if it.severity == Severity::Warning { "W " } else { "" };
        format!("{sign}{}:{}: {}", place.line, place.column, it.message)
    };
    parsed.diagnostics.iter().map(one).collect()
}

/// Checks a text behind a layout; lines and columns count from its own first line.
fn check(text: &str, expected: &[&str]) {
    let parsed = read(&format!("{text}\n{LAYOUT}"));
    assert_eq!(said(&parsed), expected, "{text}");
}

fn good(text: &str) -> crate::Kickstart {
    let parsed = read(&format!("{text}\n{LAYOUT}"));
    assert_eq!(said(&parsed), Vec::<String>::new(), "{text}");
    parsed.kickstart
}

/// Reads a text that may include these files.
fn with_files(text: &str, files: &[(&str, &str)]) -> Parsed {
    parse("a.ks", text, &mut |include| {
        let found = files.iter().find(|(name, _)| *name == include.what);
        let (name, text) = found.ok_or_else(|| NotRead::Later("it is not there".to_owned()))?;
        Ok(Included { name: (*name).to_owned(), text: (*text).to_owned() })
    })
}
