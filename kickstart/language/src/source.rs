//! The files that were read, and places in them.

use std::fmt;
use std::ops::Range;
use std::sync::Arc;

use basalt_document::{Place, Source};

/// A place in one of the files of a kickstart.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Span {
    /// Which file, in the order in which they were read; the kickstart itself is 0.
    pub file: usize,
    /// Its first byte.
    pub start: usize,
    /// The byte after its last one.
    pub end: usize,
}

/// The files of a kickstart, in the order in which they were read.
#[derive(Debug, Default)]
pub struct Sources {
    files: Vec<File>,
}

struct File {
    name: String,
    /// Secrets are stars in it; every byte stands where it stood.
    shown: String,
}

/// Without what is in it: scripts may hold passwords.
impl fmt::Debug for File {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {} bytes", self.name, self.shown.len())
    }
}

impl Sources {
    pub(crate) fn add(&mut self, name: &str, text: &Arc<str>) -> usize {
        self.files.push(File { name: name.to_owned(), shown: text.to_string() });
        self.files.len() - 1
    }

    /// Files that were read.
    #[must_use]
    pub fn count(&self) -> usize {
        self.files.len()
    }

    /// A file's name, as whoever wrote the kickstart named it.
    #[must_use]
    pub fn name(&self, file: usize) -> &str {
        self.files.get(file).map_or("", |file| &file.name)
    }

    /// A file as it may be shown: without its secrets.
    #[must_use]
    pub fn shown(&self, file: usize) -> &str {
        self.files.get(file).map_or("", |file| &file.shown)
    }

    /// The line and column of a place, and its line without secrets.
    #[must_use]
    pub fn place(&self, span: Span) -> Place {
        Place::of(self.shown(span.file), span.start..span.end)
    }

    pub(crate) fn source(&self, file: usize) -> Source<'_> {
        Source { name: self.name(file), text: self.shown(file) }
    }

    /// Nothing shows any more what stands there.
    pub(crate) fn hide(&mut self, span: Span) {
        let Some(file) = self.files.get_mut(span.file) else { return };
        let Some(secret) = file.shown.get(span.start..span.end) else { return };
        let stars: String = secret.chars().map(star).collect();
        file.shown.replace_range(span.start..span.end, &stars);
    }
}

impl Span {
    pub(crate) fn new(file: usize, range: Range<usize>) -> Self {
        Self { file, start: range.start, end: range.end.max(range.start) }
    }

    /// From the beginning of this to the end of another, of the same file.
    pub(crate) fn to(self, other: Self) -> Self {
        Self { end: other.end.max(self.end), ..self }
    }
}

/// A star of as many bytes as the character, so that places stay what they are.
fn star(secret: char) -> char {
    match (secret, secret.len_utf8()) {
        ('\n' | '\r', _) => secret,
        (_, 1) => '*',
        (_, 2) => '\u{b7}',
        (_, 3) => '\u{2022}',
        _ => '\u{1f784}',
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_hidden_moves_no_place() {
        let mut sources = Sources::default();
        let text = "rootpw äß€𝄞x end\nnext";
        sources.add("a.ks", &Arc::from(text));
        let secret = 7..text.find(" end").unwrap();
        sources.hide(Span::new(0, secret));
        let shown = sources.shown(0);
        assert_eq!(shown.len(), text.len());
        assert!(shown.starts_with("rootpw ") && shown.ends_with(" end\nnext"), "{shown}");
        assert!(!shown.contains('x') || shown.ends_with("next"), "{shown}");
        assert!(!shown.contains('ä'), "{shown}");
    }
}
