//! Mistakes in documents, as people read them.

use std::fmt;

use crate::place::Place;

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

/// All mistakes of a document, in the order of their places.
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
        let Some(place) = &self.place else {
            write!(f, "{}: {}", self.name, self.message)?;
            return self.write_hint(f);
        };
        let Place { line, column, text, length } = place;
        writeln!(f, "{}:{line}:{column}: {}", self.name, self.message)?;
        let number = line.to_string();
        let blank = " ".repeat(number.len());
        writeln!(f, " {number} | {text}")?;
        let room = text.chars().count().saturating_sub(column - 1);
        let carets = "^".repeat((*length).min(room).max(1));
        write!(f, " {blank} | {}{carets}", " ".repeat(column - 1))?;
        self.write_hint(f)
    }
}

impl Mistake {
    fn write_hint(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.hint {
            Some(hint) => write!(f, "\nhint: {hint}"),
            None => Ok(()),
        }
    }
}

impl fmt::Display for DocumentError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, mistake) in self.mistakes.iter().enumerate() {
            if index > 0 {
                writeln!(f)?;
            }
            write!(f, "{mistake}")?;
        }
        Ok(())
    }
}
