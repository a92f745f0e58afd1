//! Mistakes, and how a person reads them.

use std::fmt;

use crate::Place;
use crate::place::printable;

/// Characters of a message that are shown.
const MESSAGE: usize = 300;

/// One mistake.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mistake {
    /// The file, as the person named it.
    pub name: String,
    /// Where in it, when one place is to blame.
    pub place: Option<Place>,
    /// What is wrong.
    pub message: String,
    /// What to do about it.
    pub hint: Option<String>,
}

/// All mistakes of a document, in the order of their places. Displays them one below the other,
/// all but the first after `error: `, which the caller puts before the whole.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub struct DocumentError {
    /// At least one.
    pub mistakes: Vec<Mistake>,
}

impl From<Mistake> for DocumentError {
    fn from(mistake: Mistake) -> Self {
        Self { mistakes: vec![mistake] }
    }
}

impl fmt::Display for Mistake {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (name, message) = (printable(&self.name), shortened(&printable(&self.message)));
        match &self.place {
            Some(place) => {
                write!(f, "{name}:{}:{}: {message}\n{place}", place.line, place.column)?;
            }
            None => write!(f, "{name}: {message}")?,
        }
        write_hint(f, self.hint.as_deref())
    }
}

impl fmt::Display for DocumentError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (number, mistake) in self.mistakes.iter().enumerate() {
            if number > 0 {
                f.write_str("\n\nerror: ")?;
            }
            mistake.fmt(f)?;
        }
        Ok(())
    }
}

/// A message may quote a value, and a value may be long.
fn shortened(message: &str) -> String {
    match message.char_indices().nth(MESSAGE) {
        Some((end, _)) => format!("{}…", &message[..end]),
        None => message.to_owned(),
    }
}

fn write_hint(f: &mut fmt::Formatter<'_>, hint: Option<&str>) -> fmt::Result {
    match hint {
        Some(hint) => write!(f, "\nhint: {}", printable(hint)),
        None => Ok(()),
    }
}
