//! What `--format` asks for.

use std::str::FromStr;

use anyhow::{Result, bail};

use crate::definition::{Format, UnknownFormat};

/// A word of `--format`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Word {
    /// The commit alone, which hosts are updated to.
    None,
    Format(Format),
}

impl FromStr for Word {
    type Err = UnknownFormat;

    fn from_str(word: &str) -> Result<Self, UnknownFormat> {
        if word == "none" { Ok(Self::None) } else { word.parse().map(Self::Format) }
    }
}

/// The formats that were typed; none of them for `none`.
///
/// # Errors
/// `none` was typed beside another.
pub(super) fn formats(words: &[Word]) -> Result<Vec<Format>> {
    if words.len() > 1 && words.contains(&Word::None) {
        bail!("`none` cannot be asked for together with a format\nhint: leave one of them out");
    }
    let format = |word: &Word| match word {
        Word::None => None,
        Word::Format(format) => Some(*format),
    };
    Ok(words.iter().filter_map(format).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn typed(text: &str) -> Result<Vec<Format>> {
        let words: Result<Vec<Word>, _> = text.split(',').map(str::parse).collect();
        formats(&words?)
    }

    #[test]
    fn what_is_typed_is_made_and_none_is_the_commit_alone() {
        assert_eq!(typed("raw,live").unwrap(), [Format::Raw, Format::Live]);
        assert_eq!(typed("none").unwrap(), []);
    }

    #[test]
    fn none_beside_another_and_unknown_words_are_refused() {
        let said = typed("raw,none").unwrap_err().to_string();
        assert!(said.starts_with("`none` cannot be asked for together"), "{said}");
        let said = typed("vhd").unwrap_err().to_string();
        assert!(said.contains("`vhd` is not known"), "{said}");
    }
}
