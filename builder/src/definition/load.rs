//! Reads a definition and those it inherits from.

use std::fs;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use basalt_document::{DocumentError, MAX_BYTES, Source, parse_toml};

use super::merge::Merged;
use super::{Definition, check, raw};

/// Definitions that may inherit from each other: more is a loop that links hide.
const MAX_CHAIN: usize = 16;

/// Why a definition cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum DefinitionError {
    /// A definition file cannot be read.
    #[error("cannot read the definition `{}`", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: io::Error,
    },
    /// A definition has mistakes.
    #[error(transparent)]
    Mistakes(#[from] DocumentError),
}

/// A file of the chain, in memory.
pub(super) struct Loaded {
    pub(super) name: String,
    pub(super) folder: PathBuf,
    pub(super) text: String,
}

impl Loaded {
    pub(super) fn source(&self) -> Source<'_> {
        Source { name: &self.name, text: &self.text }
    }
}

impl Definition {
    /// Reads the definition at `path` with all it inherits, merges and checks it.
    ///
    /// # Errors
    /// A file cannot be read, or there are mistakes; the error shows each with its place.
    pub fn load(path: &Path) -> Result<Self, DefinitionError> {
        let (mut files, mut raws) = (Vec::new(), Vec::new());
        let mut next = Some(path.to_owned());
        while let Some(path) = next.take() {
            let (loaded, raw) = read(&path)?;
            next = inherited(&loaded, &raw, &files)?;
            files.push(loaded);
            raws.push(raw);
        }
        let mut merged = Merged::default();
        for (index, raw) in raws.into_iter().enumerate().rev() {
            merged.add(index, raw);
        }
        Ok(check::check(merged, &files)?)
    }
}

fn read(path: &Path) -> Result<(Loaded, raw::File), DefinitionError> {
    let failed = |source| DefinitionError::Read { path: path.to_owned(), source };
    let mut text = String::new();
    // One byte more than fits, so that the parser refuses it and memory is not filled before.
    let limit = MAX_BYTES as u64 + 1;
    let file = fs::File::open(path).map_err(failed)?;
    file.take(limit).read_to_string(&mut text).map_err(failed)?;
    let name = path.display().to_string();
    let raw = parse_toml(&name, &text)?;
    let folder = path.parent().unwrap_or(Path::new("")).to_owned();
    Ok((Loaded { name, folder, text }, raw))
}

/// The file that a definition inherits from, if any.
fn inherited(
    file: &Loaded,
    raw: &raw::File,
    before: &[Loaded],
) -> Result<Option<PathBuf>, DefinitionError> {
    let Some(parent) = &raw.inherit else { return Ok(None) };
    let path = file.folder.join(parent.get_ref());
    let wrong = |message: &str, hint: &str| {
        DefinitionError::from(DocumentError::from(file.source().mistake(
            parent.span(),
            message,
            hint,
        )))
    };
    if !path.is_file() {
        let message = format!("there is no definition `{}`", path.display());
        return Err(wrong(&message, "`inherit` is relative to the file that says it"));
    }
    let same =
        |other: &Loaded| Path::new(&other.name).canonicalize().ok() == path.canonicalize().ok();
    if same(file) || before.iter().any(same) || before.len() >= MAX_CHAIN {
        return Err(wrong("definitions inherit from each other in a circle", ""));
    }
    Ok(Some(path))
}
