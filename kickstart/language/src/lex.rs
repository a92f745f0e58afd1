//! A line becomes words, as `shlex.split(line, comments=True)` of Python does it.
//!
//! The crate `shlex` follows a shell: for it a `#` begins a comment only where a word begins, and it
//! does not say where a word stood. Python's ends a word at a `#`, and pykickstart is the reference.

use std::ops::Range;

use crate::lines::Line;
use crate::source::Span;

/// A word without its quotes.
#[derive(Debug, Clone)]
pub(crate) struct Word {
    pub(crate) text: String,
    pub(crate) span: Span,
    /// Where each byte of the text stands in the file, and the end behind the last.
    offsets: Vec<usize>,
}

impl Word {
    /// A text as it stands somewhere.
    pub(crate) fn verbatim(text: &str, span: Span) -> Self {
        Self { text: text.to_owned(), span, offsets: (span.start..=span.end).collect() }
    }

    /// A part of it, as the value behind `=`.
    pub(crate) fn part(&self, range: Range<usize>) -> Self {
        let (start, end) = (self.offsets[range.start], self.offsets[range.end]);
        Self {
            text: self.text[range.clone()].to_owned(),
            span: Span::new(self.span.file, start..end),
            offsets: self.offsets[range.start..=range.end].to_vec(),
        }
    }

    /// Its parts between commas, without blanks around them; empty ones are left out.
    pub(crate) fn list(&self) -> Vec<Self> {
        self.split(',').into_iter().filter(|part| !part.text.is_empty()).collect()
    }

    /// All of its parts, without blanks around them.
    pub(crate) fn split(&self, separator: char) -> Vec<Self> {
        let mut parts = Vec::new();
        let mut start = 0;
        for part in self.text.split(separator) {
            let from = start + (part.len() - part.trim_start().len());
            let to = (start + part.trim_end().len()).max(from);
            parts.push(self.part(from..to));
            start += part.len() + separator.len_utf8();
        }
        parts
    }
}

/// Why a line is no words.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum NoWords {
    /// A quotation that does not end on its line.
    Unclosed,
    /// A backslash at the line's end.
    Continued,
    /// A character that moves a cursor.
    Control,
    /// More than anybody writes.
    Long,
}

/// What a `#` is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Hash {
    BeginsComment,
    IsLetter,
}

/// Bytes of a command. It bounds lists, which are compared with each other.
const MAX_LINE: usize = 16 << 10;

/// Splits a line.
///
/// # Errors
/// What is wrong, and where.
pub(crate) fn words(line: &Line, hash: Hash) -> Result<Vec<Word>, (NoWords, Span)> {
    if line.text().len() > MAX_LINE {
        return Err((NoWords::Long, line.span_of(0..0)));
    }
    let mut lexer = Lexer { line, words: Vec::new(), word: None, quote: None };
    let mut end = line.text().len();
    let mut chars = line.text().char_indices();
    while let Some((at, c)) = chars.next() {
        if c.is_control() && c != '\t' {
            return Err((NoWords::Control, line.span_of(at..at + c.len_utf8())));
        }
        match (lexer.quote, c) {
            (None, '#') if hash == Hash::BeginsComment => {
                end = at;
                break;
            }
            (None, '\\') => {
                let Some((next_at, next)) = chars.next() else {
                    return Err((NoWords::Continued, line.span_of(at..at + 1)));
                };
                lexer.push(next, next_at, at);
            }
            (None, ' ' | '\t') => lexer.end_word(at),
            (None, '"' | '\'') => lexer.open(c, at),
            (Some((quote, _)), c) if c == quote => lexer.quote = None,
            (Some(('"', _)), '\\') => lexer.escape_in_quotes(&mut chars, at),
            (_, c) => lexer.push(c, at, at),
        }
    }
    if let Some((_, at)) = lexer.quote {
        return Err((NoWords::Unclosed, line.span_of(at..line.text().len())));
    }
    lexer.end_word(end);
    Ok(lexer.words)
}

struct Lexer<'a> {
    line: &'a Line,
    words: Vec<Word>,
    word: Option<Word>,
    /// The quotation that is open, and where it began.
    quote: Option<(char, usize)>,
}

impl Lexer<'_> {
    /// Takes a character at `at` into the word, which begins at `begins` if it is the first.
    fn push(&mut self, c: char, at: usize, begins: usize) {
        let at = self.line.start() + at;
        let end = at + c.len_utf8();
        let word = self.begin(begins);
        word.text.push(c);
        word.offsets.extend(at..end);
        word.span.end = end;
    }

    fn begin(&mut self, at: usize) -> &mut Word {
        let span = self.line.span_of(at..at);
        self.word.get_or_insert_with(|| Word { text: String::new(), span, offsets: Vec::new() })
    }

    fn open(&mut self, quote: char, at: usize) {
        self.begin(at);
        self.quote = Some((quote, at));
    }

    /// In double quotes a backslash escapes the quote and itself, and is a letter else.
    fn escape_in_quotes(&mut self, chars: &mut std::str::CharIndices<'_>, at: usize) {
        let mut ahead = chars.clone();
        match ahead.next() {
            Some((next_at, next @ ('"' | '\\'))) => {
                *chars = ahead;
                self.push(next, next_at, at);
            }
            _ => self.push('\\', at, at),
        }
    }

    /// Ends the word before `at`, if there is one: quotes may stand behind its last letter.
    fn end_word(&mut self, at: usize) {
        if let Some(mut word) = self.word.take() {
            let end = self.line.start() + at;
            word.span.end = end.max(word.span.start);
            let behind = word.offsets.last().map_or(end, |last| last + 1);
            word.offsets.push(behind.max(word.span.start));
            self.words.push(word);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(text: &str, expected: &[&str]) {
        let found = words(&Line::of_text(text), Hash::BeginsComment).unwrap();
        let texts: Vec<_> = found.iter().map(|word| word.text.as_str()).collect();
        assert_eq!(texts, expected, "{text}");
    }

    #[test]
    fn words_are_those_of_pythons_shlex() {
        check("part / --size=1", &["part", "/", "--size=1"]);
        check("  a\t'b c'  ", &["a", "b c"]);
        check("a \"b \\\" \\\\ \\n\"", &["a", "b \" \\ \\n"]);
        check("a 'b\\' c", &["a", "b\\", "c"]);
        check("a\\ b c\\#d", &["a b", "c#d"]);
        check("--x=\"a b\"c'd'", &["--x=a bcd"]);
        check("a '' \"\"", &["a", "", ""]);
        check("a # b", &["a"]);
        // Not as in a shell: it ends a word, too.
        check("a#b", &["a"]);
        check("'a#b' c", &["a#b", "c"]);
    }

    #[test]
    fn what_does_not_end_is_told_with_its_place() {
        let wrong = |text| words(&Line::of_text(text), Hash::BeginsComment).unwrap_err();
        assert_eq!(wrong("rootpw don't"), (NoWords::Unclosed, Span::new(0, 10..12)));
        assert_eq!(wrong("a \\"), (NoWords::Continued, Span::new(0, 2..3)));
        assert_eq!(wrong("a\u{b}b"), (NoWords::Control, Span::new(0, 1..2)));
    }

    #[test]
    fn a_part_of_a_word_stands_where_it_stood() {
        let text = "part --x=\"ä\"b,'c d' e";
        let found = words(&Line::of_text(text), Hash::BeginsComment).unwrap();
        let word = &found[1];
        assert_eq!(word.text, "--x=äb,c d");
        assert_eq!(&text[word.span.start..word.span.end], "--x=\"ä\"b,'c d'");
        let list = word.part(4..word.text.len()).list();
        let shown: Vec<_> = list.iter().map(|part| &text[part.span.start..part.span.end]).collect();
        assert_eq!(shown, ["ä\"b", "c d"]);
    }

    #[test]
    fn empty_parts_of_a_list_are_left_out() {
        let found = words(&Line::of_text("' a ,, b,'"), Hash::BeginsComment).unwrap();
        let list = found[0].list();
        let texts: Vec<_> = list.iter().map(|part| part.text.as_str()).collect();
        assert_eq!(texts, ["a", "b"]);
    }
}
