//! What a serial console shows, as text that a person or a test can read.

use std::fs;
use std::path::{Path, PathBuf};

/// Lines of the console that an error shows.
const LAST_LINES: usize = 25;

/// The file into which QEMU writes a console, while it is written.
#[derive(Debug, Clone)]
pub(crate) struct ConsoleLog {
    path: PathBuf,
}

impl ConsoleLog {
    pub(crate) fn new(path: PathBuf) -> Self {
        Self { path }
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// Bytes so far; a file that is not there yet has none.
    pub(crate) fn length(&self) -> u64 {
        fs::metadata(&self.path).map_or(0, |data| data.len())
    }

    /// Everything so far, without terminal control sequences.
    pub(crate) fn text(&self) -> String {
        let bytes = fs::read(&self.path).unwrap_or_default();
        plain(&String::from_utf8_lossy(&bytes))
    }

    /// The last lines, as an error shows them.
    pub(crate) fn tail(&self) -> String {
        last_lines(&self.text(), LAST_LINES)
    }
}

/// The text without what moves a terminal's cursor, colours it or names its window. Pure.
///
/// A sequence that is cut off at the end gives nothing, so the plain text of a console only ever
/// grows at its end.
#[must_use]
pub fn plain(raw: &str) -> String {
    let mut text = String::with_capacity(raw.len());
    let mut chars = raw.chars();
    while let Some(char) = chars.next() {
        match char {
            '\u{1b}' => skip_sequence(&mut chars),
            '\n' | '\t' => text.push(char),
            _ if char.is_control() => (),
            _ => text.push(char),
        }
    }
    text
}

/// The last `count` lines that are not empty. Pure.
#[must_use]
pub fn last_lines(text: &str, count: usize) -> String {
    let lines: Vec<&str> =
        text.lines().map(str::trim_end).filter(|line| !line.is_empty()).collect();
    let from = lines.len().saturating_sub(count);
    lines.get(from..).unwrap_or_default().join("\n")
}

/// Skips what follows an escape character (ECMA-48).
fn skip_sequence(chars: &mut std::str::Chars<'_>) {
    let _ = match chars.next() {
        // Cursor and colours: until a final byte.
        Some('[') => chars.find(|char| ('@'..='~').contains(char)),
        // Titles and contexts: until a bell or `ESC \`.
        Some(']' | 'P' | 'X' | '^' | '_') => chars
            .find(|char| matches!(char, '\u{7}' | '\u{1b}'))
            .filter(|char| *char == '\u{1b}')
            .and_then(|_| chars.next()),
        // Character sets: one character more.
        Some('(' | ')' | '*' | '+' | '#' | '%' | ' ') => chars.next(),
        other => other,
    };
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(raw: &str, expected: &str) {
        assert_eq!(plain(raw), expected, "of {raw:?}");
    }

    #[test]
    fn a_console_is_text_without_colours_and_carriage_returns() {
        check(
            "\u{1b}[2J\u{1b}[01;01H[\u{1b}[0;32m  OK  \u{1b}[0m] Started\r\nnext\u{1b}c",
            "[  OK  ] Started\nnext",
        );
    }

    #[test]
    fn titles_and_character_sets_vanish_with_their_text() {
        check("a\u{1b}]0;title\u{7}b\u{1b}]3008;start=1\u{1b}\\c\u{1b}(Bd", "abcd");
    }

    #[test]
    fn a_sequence_that_is_cut_off_gives_nothing() {
        let raw = "one\u{1b}[0;32mtwo\u{1b}]0;t\u{7}three\u{1b}(B";
        let whole = plain(raw);
        for (end, _) in raw.char_indices() {
            assert!(whole.starts_with(&plain(&raw[..end])), "cut at {end}");
        }
    }

    #[test]
    fn the_last_lines_are_those_with_text() {
        assert_eq!(last_lines("a\n\nb  \n\nc\n\n", 2), "b\nc");
        assert_eq!(last_lines("a", 9), "a");
        assert_eq!(last_lines("", 9), "");
    }
}
