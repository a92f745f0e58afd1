//! The lines of a kickstart, over what it includes.

use std::ops::Range;
use std::sync::Arc;

use crate::lex::Word;
use crate::source::Span;

/// Files that may lie in each other.
pub(crate) const MAX_DEPTH: usize = 16;
/// Files that may be included in all, and bytes that they may have in all.
pub(crate) const MAX_FILES: usize = 256;
/// 4 MiB.
pub(crate) const MAX_TOGETHER: usize = 4 << 20;

/// A line without its end.
#[derive(Debug, Clone)]
pub(crate) struct Line {
    file: usize,
    of: Arc<str>,
    range: Range<usize>,
}

impl Line {
    pub(crate) fn text(&self) -> &str {
        &self.of[self.range.clone()]
    }

    pub(crate) fn start(&self) -> usize {
        self.range.start
    }

    /// The place of bytes of the line.
    pub(crate) fn span_of(&self, range: Range<usize>) -> Span {
        let start = self.range.start;
        Span::new(self.file, start + range.start..start + range.end)
    }

    /// These bytes of it, as a line.
    pub(crate) fn part(&self, range: Range<usize>) -> Self {
        let start = self.range.start;
        Self { range: start + range.start..start + range.end, ..self.clone() }
    }

    /// What stands at a place of it, as one word.
    pub(crate) fn word(&self, span: Span) -> Word {
        Word::verbatim(&self.of[span.start..span.end], span)
    }

    /// What of it is no blank.
    pub(crate) fn span(&self) -> Span {
        let text = self.text();
        let start = text.len() - text.trim_start().len();
        self.span_of(start..text.trim_end().len().max(start))
    }

    pub(crate) fn is_blank_or_comment(&self) -> bool {
        let text = self.text().trim_start();
        text.is_empty() || text.starts_with('#')
    }

    #[cfg(test)]
    pub(crate) fn of_text(text: &str) -> Self {
        Self { file: 0, of: Arc::from(text), range: 0..text.len() }
    }
}

/// How a file came to be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Origin {
    /// The kickstart, or `%include`: what begins in it ends in it.
    Whole,
    /// `%ksappend`: its lines stand in the file around it.
    Spliced,
}

/// What comes next.
pub(crate) enum Next {
    Line(Line),
    /// An included file is over; so many are open.
    Closed(usize),
    End,
}

#[derive(Debug)]
struct Frame {
    file: usize,
    text: Arc<str>,
    at: usize,
    origin: Origin,
}

#[derive(Debug, Default)]
pub(crate) struct Lines {
    frames: Vec<Frame>,
    /// A line that was read too far.
    again: Option<Line>,
}

impl Lines {
    pub(crate) fn open(&mut self, file: usize, text: Arc<str>, origin: Origin) {
        self.frames.push(Frame { file, text, at: 0, origin });
    }

    /// Files that are open, spliced ones too.
    pub(crate) fn depth(&self) -> usize {
        self.frames.len()
    }

    /// Files that are open, without the spliced ones: what a section must end in.
    pub(crate) fn whole(&self) -> usize {
        self.frames.iter().filter(|frame| frame.origin == Origin::Whole).count()
    }

    /// Whether a spliced file is open.
    pub(crate) fn in_spliced(&self) -> bool {
        self.frames.iter().any(|frame| frame.origin == Origin::Spliced)
    }

    /// Reads a line again.
    pub(crate) fn put_back(&mut self, line: Line) {
        self.again = Some(line);
    }

    pub(crate) fn next(&mut self) -> Next {
        if let Some(line) = self.again.take() {
            return Next::Line(line);
        }
        loop {
            let Some(frame) = self.frames.last_mut() else { return Next::End };
            if frame.at < frame.text.len() {
                return Next::Line(frame.line());
            }
            let origin = frame.origin;
            self.frames.pop();
            if origin == Origin::Whole {
                return Next::Closed(self.whole());
            }
        }
    }
}

impl Frame {
    fn line(&mut self) -> Line {
        let start = self.at;
        let end = self.text[start..].find('\n').map_or(self.text.len(), |at| start + at);
        self.at = end + 1;
        let without_cr = self.text[start..end].strip_suffix('\r').map_or(end, |_| end - 1);
        Line { file: self.file, of: Arc::clone(&self.text), range: start..without_cr }
    }
}
