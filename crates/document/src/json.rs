//! Where serde_json's errors stand. It names the end of what it read last; a person looks for the
//! beginning of the token.

use std::ops::Range;

/// The error's words without its place.
pub(crate) fn message(error: &serde_json::Error) -> String {
    let text = error.to_string();
    let place = format!(" at line {} column {}", error.line(), error.column());
    text.strip_suffix(&place).unwrap_or(&text).to_owned()
}

/// The token at which `error` was found, in bytes of `text`.
pub(crate) fn span(text: &str, error: &serde_json::Error) -> Range<usize> {
    let at = offset(text, error);
    let mut start = 0;
    while start < text.len() {
        let end = start + token_len(&text[start..]);
        if at < end {
            return start..end;
        }
        start = end;
    }
    text.len()..text.len()
}

/// The byte that the error names: columns are bytes from 1, and 0 is the newline before the line.
fn offset(text: &str, error: &serde_json::Error) -> usize {
    let before = error.line().saturating_sub(1);
    let line_start: usize = text.split_inclusive('\n').take(before).map(str::len).sum();
    (line_start + error.column()).saturating_sub(1)
}

/// Length of the token, or of the character between tokens, that `text` begins with.
pub(crate) fn token_len(text: &str) -> usize {
    let bytes = text.as_bytes();
    match bytes.first() {
        Some(b'"') => string_len(bytes),
        Some(byte) if is_word(*byte) => {
            bytes.iter().position(|byte| !is_word(*byte)).unwrap_or(bytes.len())
        }
        _ => text.chars().next().map_or(1, char::len_utf8),
    }
}

fn string_len(bytes: &[u8]) -> usize {
    let mut at = 1;
    while at < bytes.len() {
        match bytes[at] {
            b'"' => return at + 1,
            b'\n' => return at,
            b'\\' => at += 2,
            _ => at += 1,
        }
    }
    bytes.len()
}

fn is_word(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"+-._".contains(&byte)
}
