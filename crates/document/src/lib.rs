//! A person's TOML or JSON becomes a type, and every mistake in it an error that shows the place.
//!
//! Pure: the caller reads the file. An error names the file, line and column, shows the line, and
//! says which key was probably meant.

mod error;
mod json;
mod locate;
mod nearest;
mod parse;
mod place;
mod strict;

use std::ops::Range;

pub use error::{DocumentError, Mistake};
pub use locate::{locate_json, locate_toml};
pub use nearest::{is_like, nearest};
pub use parse::{parse_json, parse_json_strictly, parse_toml, parse_toml_strictly};
pub use place::Place;

/// Bytes a document may have. People write kilobytes; more is a mistake or an attack.
pub const MAX_BYTES: usize = 1 << 20;

/// A text and its name, to point into.
#[derive(Debug, Clone, Copy)]
pub struct Source<'a> {
    /// The file as the person named it.
    pub name: &'a str,
    /// What is in it.
    pub text: &'a str,
}

impl Source<'_> {
    /// A mistake at the bytes `span` of the text, with a hint or an empty one.
    #[must_use]
    pub fn mistake(&self, span: Range<usize>, message: &str, hint: &str) -> Mistake {
        Mistake {
            name: self.name.to_owned(),
            place: Some(Place::of(self.text, span)),
            message: message.to_owned(),
            hint: (!hint.is_empty()).then(|| hint.to_owned()),
        }
    }
}
