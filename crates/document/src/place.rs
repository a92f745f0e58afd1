//! A place in a text: line, column, and the line itself.

use std::ops::Range;

/// Characters of a line that are shown at most.
const SHOWN: usize = 120;

/// Where something stands in a text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Place {
    /// Line, from 1.
    pub line: usize,
    /// Column in characters, from 1.
    pub column: usize,
    /// The line, without its end and cut at 120 characters.
    pub text: String,
    /// How many characters of the line are meant; at least 1.
    pub length: usize,
}

impl Place {
    /// The place of the bytes `span` in `text`; what lies outside it counts as its end.
    #[must_use]
    pub fn of(text: &str, span: Range<usize>) -> Self {
        let start = floor(text, span.start);
        let end = floor(text, span.end).max(start);
        let line_start = text[..start].rfind('\n').map_or(0, |at| at + 1);
        let line = text[line_start..].lines().next().unwrap_or_default();
        let column = text[line_start..start].chars().count() + 1;
        let meant = text[start..end].lines().next().unwrap_or_default().chars().count();
        Self {
            line: text[..start].matches('\n').count() + 1,
            column,
            text: line.chars().take(SHOWN).map(printable).collect(),
            length: meant.clamp(1, SHOWN),
        }
    }

    /// The place at a line and column, both from 1, as a parser counts them.
    #[must_use]
    pub fn at(text: &str, line: usize, column: usize) -> Self {
        let start: usize =
            text.split_inclusive('\n').take(line.saturating_sub(1)).map(str::len).sum();
        let at = start + column.saturating_sub(1);
        Self::of(text, at..at + 1)
    }
}

/// The nearest character boundary at or before a byte.
fn floor(text: &str, at: usize) -> usize {
    let mut at = at.min(text.len());
    while !text.is_char_boundary(at) {
        at -= 1;
    }
    at
}

/// Control characters would move the reader's cursor.
fn printable(c: char) -> char {
    if c == '\t' {
        ' '
    } else if c.is_control() {
        '\u{fffd}'
    } else {
        c
    }
}
