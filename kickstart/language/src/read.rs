//! The state of a kickstart that is being read: commands, sections, and what they include.

use std::sync::Arc;

use basalt_document::{MAX_BYTES, nearest};

use crate::addon;
use crate::check;
use crate::command;
use crate::diagnostic::Log;
use crate::hide;
use crate::lex::{self, Hash, NoWords, Word};
use crate::lines::{Line, Lines, MAX_DEPTH, MAX_FILES, MAX_TOGETHER, Next, Origin};
use crate::model::{At, Kickstart, ScriptKind};
use crate::section;
use crate::source::{Sources, Span};

/// A file that a kickstart includes.
#[derive(Debug, Clone, Copy)]
pub struct Include<'a> {
    /// As it stands in the kickstart: a path or a URL.
    pub what: &'a str,
    /// The name of the file that it stands in.
    pub from: &'a str,
}

/// A file that was included.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Included {
    /// Its name for errors.
    pub name: String,
    /// What is in it.
    pub text: String,
}

/// Why a file was not included.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum NotRead {
    /// It is not there; a `%pre` script may write it.
    Missing(String),
    /// It is not looked at now, but when the installer runs.
    Later(String),
    /// It is there and is no kickstart.
    Broken(String),
}

/// Reads an included file, or says why it cannot.
pub type Resolve<'a> = dyn FnMut(&Include<'_>) -> Result<Included, NotRead> + 'a;

/// Commands whose mistakes make it idle to say what else of the layout is missing.
const LAYOUT: [&str; 5] = ["autopart", "part", "partition", "raid", "reqpart"];

const BYTE_ORDER_MARK: char = '\u{feff}';
/// What `%include` takes.
const CAN_BE_READ: &str = "a path, from here or from beside this file, or a URL: http or https";

pub(crate) struct Reader<'a> {
    pub(crate) sources: Sources,
    pub(crate) log: Log,
    pub(crate) kickstart: Kickstart,
    lines: Lines,
    resolve: &'a mut Resolve<'a>,
    bytes: usize,
    /// Whether the layout may be more than what was understood of it.
    unsure: bool,
    /// Files that were included and are not there, each with the reason.
    missing: Vec<(At<String>, String)>,
    /// Whether a `%pre` does not end, so that it is none of the scripts.
    pre_without_end: bool,
}

/// A section's body.
pub(crate) struct Body {
    pub(crate) lines: Vec<Line>,
}

impl<'a> Reader<'a> {
    pub(crate) fn new(name: &str, text: &str, resolve: &'a mut Resolve<'a>) -> Self {
        let mut reader = Self {
            sources: Sources::default(),
            log: Log::default(),
            kickstart: Kickstart::default(),
            lines: Lines::default(),
            resolve,
            bytes: 0,
            unsure: false,
            missing: Vec::new(),
            pre_without_end: false,
        };
        let start = Span::new(0, 0..0);
        reader.open(name, text, Origin::Whole, start);
        reader
    }

    pub(crate) fn run(&mut self) {
        while !self.log.is_full() {
            match self.lines.next() {
                Next::End => break,
                Next::Closed(_) => (),
                Next::Line(line) => self.line(&line),
            }
        }
        self.tell_of_missing();
        check::whole(&self.kickstart, self.unsure, &mut self.log);
    }

    fn line(&mut self, line: &Line) {
        if self.splice(line) || line.is_blank_or_comment() {
            return;
        }
        let Some(words) = self.words(line, Hash::BeginsComment) else { return };
        match words.first().map(|first| first.text.as_str()) {
            None => (),
            Some("") => {
                self.log.error(line.span(), "a command has a name", "leave the quotes away");
            }
            Some("%include") => self.include(&words, line),
            Some(first) if first.starts_with('%') => self.section(&words, line),
            Some(_) => self.command(words),
        }
    }

    fn command(&mut self, words: Vec<Word>) {
        let name = words[0].text.clone();
        let before = self.log.errors();
        command::read(words, &mut self.kickstart, &mut self.log);
        let failed = self.log.errors() > before;
        self.unsure |= failed && (LAYOUT.contains(&name.as_str()) || !command::is_known(&name));
    }

    /// The words of a line, whose secrets nothing shows from now on.
    fn words(&mut self, line: &Line, hash: Hash) -> Option<Vec<Word>> {
        match lex::words(line, hash) {
            Ok(words) => {
                hide::secrets(&words).into_iter().for_each(|span| self.sources.hide(span));
                Some(words)
            }
            Err((why, at)) => {
                hide::secrets_of_line(line).into_iter().for_each(|span| self.sources.hide(span));
                let (message, hint) = match why {
                    NoWords::Unclosed => ("the quotation does not end", "it ends on its line"),
                    NoWords::Continued => {
                        ("a line is not continued by a backslash", "write it as one line")
                    }
                    NoWords::Long => ("the line is too long", "at most 16384 bytes"),
                    NoWords::Control => ("a control character", "leave it away"),
                };
                self.log.error(at, message, hint);
                self.unsure = true;
                None
            }
        }
    }

    fn section(&mut self, words: &[Word], line: &Line) {
        let header = line.span();
        let name = &words[0];
        if name.text == "%end" {
            return self.log.error(header, "`%end` without a section", "leave it away");
        }
        if !section::is_known(&name.text) {
            let hint = nearest(&name.text, &section::NAMES);
            self.log.error(name.span, format!("unknown section `{}`", name.text), &hint);
        }
        let Some(body) = self.body(name) else { return };
        match name.text.as_str() {
            "%addon" => {
                addon::secrets(&body).into_iter().for_each(|span| self.sources.hide(span));
                addon::read(words, header, &body, &mut self.kickstart, &mut self.log);
            }
            _ => section::read(words, header, &body, &mut self.kickstart, &mut self.log),
        }
    }

    /// All lines up to `%end`; what is included there is a part of it.
    fn body(&mut self, name: &Word) -> Option<Body> {
        let whole = self.lines.whole();
        let mut lines = Vec::new();
        let mut ends_elsewhere = false;
        loop {
            let line = match self.lines.next() {
                Next::Line(line) => line,
                Next::Closed(open) if open >= whole => continue,
                Next::Closed(_) | Next::End => break,
            };
            if self.splice(&line) {
                continue;
            }
            match line.text().split_whitespace().next() {
                Some("%end") if self.lines.whole() == whole => return Some(Body { lines }),
                Some("%end") if !ends_elsewhere => {
                    let message = "a section ends in the file that it begins in";
                    self.log.error(line.span(), message, "leave it away");
                    ends_elsewhere = true;
                }
                Some("%end") => (),
                Some("%include") => {
                    let words = self.words(&line, Hash::IsLetter).unwrap_or_default();
                    self.include(&words, &line);
                }
                Some(first) if section::is_known(first) => {
                    self.lines.put_back(line);
                    break;
                }
                _ => lines.push(line),
            }
        }
        let message = format!("`{}` does not end", name.text);
        self.log.error(name.span, message, "`%end` on a line of its own ends it");
        self.unsure = true;
        self.pre_without_end |= name.text == "%pre";
        None
    }

    fn include(&mut self, words: &[Word], line: &Line) {
        match words.get(1).filter(|word| !word.text.is_empty()) {
            Some(what) => self.read_file(&what.text.clone(), what.span, Origin::Whole),
            None => self.log.error(line.span(), "`%include` needs a file", CAN_BE_READ),
        }
    }

    /// `%ksappend`: whatever it stands in, the file's lines stand in its place.
    fn splice(&mut self, line: &Line) -> bool {
        let span = line.span();
        let text = line.text().trim();
        let Some(rest) = text.strip_prefix("%ksappend") else { return false };
        match rest.split_whitespace().next() {
            _ if self.lines.in_spliced() => {
                let message = "`%ksappend` in a file that was appended does nothing";
                self.log.error(span, message, "append the other file in the kickstart itself");
            }
            Some(what) => self.read_file(what, span, Origin::Spliced),
            None => self.log.error(span, "`%ksappend` needs a file or a URL", CAN_BE_READ),
        }
        true
    }

    fn read_file(&mut self, what: &str, span: Span, origin: Origin) {
        if self.lines.depth() >= MAX_DEPTH || self.sources.count() >= MAX_FILES {
            self.unsure = true;
            let message =
                format!("more than {MAX_DEPTH} files in each other, or {MAX_FILES} in all");
            return self.log.error(span, message, "does a file include itself?");
        }
        let from = self.sources.name(span.file).to_owned();
        match (self.resolve)(&Include { what, from: &from }) {
            Ok(Included { name, text }) => self.open(&name, &text, origin, span),
            Err(why) => self.not_read(what, why, span),
        }
    }

    fn not_read(&mut self, what: &str, why: NotRead, span: Span) {
        self.unsure = true;
        let file = At { value: what.to_owned(), span };
        match why {
            NotRead::Missing(why) => self.missing.push((file, why)),
            NotRead::Later(why) => {
                let hint = "what it says is checked at the installation";
                self.log.warning(span, format!("`{what}` is not read: {why}"), hint);
                self.kickstart.unread.push(file);
            }
            NotRead::Broken(why) => {
                self.log.error(span, format!("`{what}` cannot be read: {why}"), CAN_BE_READ);
            }
        }
    }

    /// A `%pre` script may write what is not there yet, as many do; it may stand anywhere.
    fn tell_of_missing(&mut self) {
        let mut scripts = self.kickstart.scripts.iter();
        let has_pre = self.pre_without_end || scripts.any(|it| it.kind == ScriptKind::Pre);
        for (file, why) in std::mem::take(&mut self.missing) {
            let message = format!("`{}` cannot be read: {why}", file.value);
            if has_pre {
                let hint = "written by a `%pre`? what it says is checked at the installation";
                self.log.warning(file.span, message, hint);
                self.kickstart.unread.push(file);
            } else {
                self.log.error(file.span, message, CAN_BE_READ);
            }
        }
    }

    fn open(&mut self, name: &str, text: &str, origin: Origin, span: Span) {
        self.bytes += text.len();
        if text.len() > MAX_BYTES || self.bytes > MAX_TOGETHER {
            self.unsure = true;
            let at = if self.sources.count() == 0 {
                self.sources.add(name, &"".into())
            } else {
                span.file
            };
            let message = format!("`{name}` is too long: at most {MAX_BYTES} bytes are read");
            return self.log.error(Span { file: at, ..span }, message, "divide it in two");
        }
        // Editors of Windows write one; it is no letter.
        let text: Arc<str> = Arc::from(text.strip_prefix(BYTE_ORDER_MARK).unwrap_or(text));
        let file = self.sources.add(name, &text);
        self.lines.open(file, text, origin);
    }
}
