//! All that speaks against a kickstart on this machine, each with its place in it. It is said at
//! once, and before anything is written.

use basalt_document::Mistake;
use basalt_kickstart::{Diagnostic, Severity, Sources, Span};

/// What was found so far.
#[derive(Debug, Default)]
pub struct Problems(pub Vec<Diagnostic>);

impl Problems {
    /// Nothing is installed.
    pub fn error(&mut self, span: Span, message: impl Into<String>, hint: &str) {
        self.say(Severity::Error, span, message.into(), hint);
    }

    /// Something has no effect on this machine or by this image.
    pub fn warning(&mut self, span: Span, message: impl Into<String>, hint: &str) {
        self.say(Severity::Warning, span, message.into(), hint);
    }

    /// Whether nothing may be installed.
    #[must_use]
    pub fn has_errors(&self) -> bool {
        self.0.iter().any(|it| it.severity == Severity::Error)
    }

    /// Those of a severity, as people read them.
    #[must_use]
    pub fn mistakes(&self, severity: Severity, sources: &Sources) -> Vec<Mistake> {
        let of = self.0.iter().filter(|it| it.severity == severity);
        of.map(|it| it.mistake(sources)).collect()
    }

    fn say(&mut self, severity: Severity, span: Span, message: String, hint: &str) {
        self.0.push(Diagnostic { severity, span, message, hint: hint.to_owned() });
    }
}
