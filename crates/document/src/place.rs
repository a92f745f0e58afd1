//! Where something stands in a text, and how that looks.

use std::fmt;
use std::ops::Range;

/// Characters of a line that are shown.
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
        let line_start = text[..start].rfind('\n').map_or(0, |newline| newline + 1);
        let line_end = text[start..].find('\n').map_or(text.len(), |newline| start + newline);
        let end = floor(text, span.end).clamp(start, line_end);
        let line = text[line_start..line_end].trim_end_matches('\r');
        Self {
            line: text[..line_start].matches('\n').count() + 1,
            column: text[line_start..start].chars().count() + 1,
            text: printable(line).chars().take(SHOWN).collect(),
            length: text[start..end].chars().count().max(1),
        }
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let number = self.line.to_string();
        let gutter = " ".repeat(number.len());
        let indent = (self.column - 1).min(SHOWN);
        let marks = self.length.min(SHOWN - indent).max(1);
        let shown = format!(" {number} | {}", self.text);
        write!(f, "{}\n {gutter} | ", shown.trim_end())?;
        write!(f, "{}{}", " ".repeat(indent), "^".repeat(marks))
    }
}

/// The text with blanks for tabs and line ends and a mark for every other control character: a
/// file must not move the cursor of the terminal that shows it.
pub(crate) fn printable(text: &str) -> String {
    let visible = |c: char| match c {
        '\t' | '\n' => ' ',
        c if c.is_control() => '\u{fffd}',
        c => c,
    };
    text.chars().map(visible).collect()
}

/// The last character boundary up to `at`.
fn floor(text: &str, at: usize) -> usize {
    let mut at = at.min(text.len());
    while !text.is_char_boundary(at) {
        at -= 1;
    }
    at
}
