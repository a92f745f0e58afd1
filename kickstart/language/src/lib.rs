//! The kickstart language, as users of Anaconda write it, with what a host of ours makes of it.
//!
//! Pure: a text becomes a [`Kickstart`] that an installer carries out, and everything that is wrong
//! with it is told, each with its line and column. pykickstart is the reference of the language: a
//! test reads the same files with both. Nothing is ignored in silence: a command that cannot be
//! carried out here is an error or a warning with its reason.

mod addon;
mod check;
mod command;
mod diagnostic;
pub mod disk;
#[cfg(test)]
mod fuzz;
mod hide;
mod lex;
mod lines;
pub mod model;
mod option;
mod read;
mod secret;
mod section;
mod source;
#[cfg(test)]
mod tests;

pub use diagnostic::{Diagnostic, Severity};
pub use model::Kickstart;
pub use option::{Accepted, Fate};
pub use read::{Include, Included, NotRead, Resolve};
pub use secret::Secret;
pub use source::{Sources, Span};

/// A kickstart that was read.
#[derive(Debug)]
pub struct Parsed {
    /// What it asks for; only a part of that where there are errors.
    pub kickstart: Kickstart,
    /// All that is said about it, in the order of the lines.
    pub diagnostics: Vec<Diagnostic>,
    /// The files that were read.
    pub sources: Sources,
}

impl Parsed {
    /// Whether it can be carried out.
    #[must_use]
    pub fn is_good(&self) -> bool {
        self.diagnostics.iter().all(|it| it.severity == Severity::Warning)
    }
}

/// All options of commands and sections that are taken, and what becomes of each.
pub fn options() -> impl Iterator<Item = Accepted> {
    command::options().chain(section::options())
}

/// Reads a kickstart. `name` is the file as a person named it; `resolve` reads what it includes.
pub fn parse<'a>(name: &str, text: &str, resolve: &'a mut Resolve<'a>) -> Parsed {
    let mut reader = read::Reader::new(name, text, resolve);
    reader.run();
    let mut diagnostics = reader.log.said;
    diagnostics.sort_by_key(|it| (it.span.file, it.span.start));
    Parsed { kickstart: reader.kickstart, diagnostics, sources: reader.sources }
}
