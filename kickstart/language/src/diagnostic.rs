//! What is said about a kickstart.

use basalt_document::Mistake;
use serde::Serialize;

use crate::source::{Sources, Span};

/// How bad it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    /// Nothing is installed by this file.
    Error,
    /// Something that was asked for has no effect here, or is unwise.
    Warning,
}

/// One thing that is said, and where.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Diagnostic {
    /// How bad it is.
    pub severity: Severity,
    /// What it is about.
    pub span: Span,
    /// The reason. Quotes no secret.
    pub message: String,
    /// What to do; may be empty.
    pub hint: String,
}

impl Diagnostic {
    /// As people read it: with its line, in which secrets are stars.
    #[must_use]
    pub fn mistake(&self, sources: &Sources) -> Mistake {
        let span = self.span.start..self.span.end;
        sources.source(self.span.file).mistake(span, &self.message, &self.hint)
    }
}

/// Nobody reads more, and each is looked up in its file.
const MOST: usize = 256;

/// Where diagnostics are collected: so many, and that there are more.
#[derive(Debug, Default)]
pub(crate) struct Log {
    pub(crate) said: Vec<Diagnostic>,
}

impl Log {
    pub(crate) fn error(&mut self, span: Span, message: impl Into<String>, hint: &str) {
        self.say(Severity::Error, span, message.into(), hint);
    }

    pub(crate) fn warning(&mut self, span: Span, message: impl Into<String>, hint: &str) {
        self.say(Severity::Warning, span, message.into(), hint);
    }

    /// Whether nothing more is taken; then there is an error.
    pub(crate) fn is_full(&self) -> bool {
        self.said.len() > MOST
    }

    fn say(&mut self, severity: Severity, span: Span, message: String, hint: &str) {
        match self.said.len() {
            len if len < MOST => {
                self.said.push(Diagnostic { severity, span, message, hint: hint.to_owned() });
            }
            MOST => self.said.push(Diagnostic {
                severity: Severity::Error,
                span,
                message: "there is more to say, from here on".to_owned(),
                hint: "mend what was said before".to_owned(),
            }),
            _ => (),
        }
    }

    pub(crate) fn errors(&self) -> usize {
        self.said.iter().filter(|it| it.severity == Severity::Error).count()
    }
}
