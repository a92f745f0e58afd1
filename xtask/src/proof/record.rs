//! What was proven of a commit, piece by piece: a JSON file.

use std::fmt;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use anyhow::{Context, Result};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::origin::Origin;
use crate::session::Session;

/// What was proven.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Record {
    proof: String,
    #[serde(flatten)]
    origin: Origin,
    pieces: Vec<Piece>,
    #[serde(skip)]
    file: PathBuf,
}

/// A piece of it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Piece {
    /// Which chances it took.
    pub(crate) seed: u64,
    /// Whether everything held.
    pub(crate) held: bool,
    /// What was done, in the words of the programs that did it.
    pub(crate) runs: Vec<Value>,
}

impl Record {
    /// Takes up what was proven of the same commit on the same machine, whatever the day.
    pub(crate) fn begin(session: &Session, proof: &str, now: SystemTime) -> Result<Self> {
        let origin = Origin::of(session, now)?;
        let folder = session.root.join("proofs");
        if let Some(earlier) = earlier(&folder, proof, &origin)? {
            return Ok(earlier);
        }
        let file = folder.join(format!("{}-{proof}.json", origin.name()));
        Ok(Self { proof: proof.to_owned(), origin, pieces: Vec::new(), file })
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.pieces.is_empty()
    }

    /// Sum of a number over every run of the pieces that held.
    pub(crate) fn sum(&self, key: &str) -> u64 {
        let runs = self.pieces.iter().filter(|piece| piece.held).flat_map(|piece| &piece.runs);
        runs.filter_map(|run| run[key].as_u64()).sum()
    }

    /// The same over the pieces of one seed.
    pub(crate) fn sum_of(&self, seed: u64, key: &str) -> u64 {
        let pieces = self.pieces.iter().filter(|piece| piece.held && piece.seed == seed);
        pieces.flat_map(|piece| &piece.runs).filter_map(|run| run[key].as_u64()).sum()
    }

    /// Whether this piece, by its name, held.
    pub(crate) fn has(&self, name: &str) -> bool {
        let held = self.pieces.iter().filter(|piece| piece.held);
        held.flat_map(|piece| &piece.runs).any(|run| run["piece"] == name)
    }

    /// Adds a piece and writes the file.
    pub(crate) fn add(&mut self, piece: Piece) -> Result<()> {
        self.pieces.push(piece);
        fs::create_dir_all(self.file.parent().context("no folder for proofs")?)?;
        let text = serde_json::to_string_pretty(self)? + "\n";
        // Whole or not at all: a proof of hours is not lost with its last piece.
        let new = self.file.with_extension("new");
        fs::write(&new, text)?;
        fs::rename(&new, &self.file)
            .with_context(|| format!("cannot write `{}`", self.file.display()))
    }
}

/// The newest file of the same proof, commit and machine.
fn earlier(folder: &Path, proof: &str, origin: &Origin) -> Result<Option<Record>> {
    if !folder.exists() {
        return Ok(None);
    }
    let mut files: Vec<PathBuf> =
        fs::read_dir(folder)?.map(|entry| Ok(entry?.path())).collect::<Result<_>>()?;
    files.retain(|file| file.to_string_lossy().ends_with(&format!("-{proof}.json")));
    files.sort();
    for file in files.into_iter().rev() {
        let text = fs::read(&file).with_context(|| format!("cannot read `{}`", file.display()))?;
        let record: Record = serde_json::from_slice(&text)
            .with_context(|| format!("`{}` is damaged", file.display()))?;
        if record.origin.is_same_but_for_the_day(origin) {
            return Ok(Some(Record { file, ..record }));
        }
    }
    Ok(None)
}

impl fmt::Display for Record {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{}", self.origin)?;
        for piece in &self.pieces {
            let held = if piece.held { "held" } else { "FAILED" };
            writeln!(f, "seed {}: {held}", piece.seed)?;
            for run in &piece.runs {
                writeln!(f, "  {run}")?;
            }
        }
        write!(f, "kept in {}", self.file.display())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    impl Record {
        pub(crate) fn example(folder: &Path, proof: &str) -> Self {
            let file = folder.join(format!("1976-03-04-abc-{proof}.json"));
            Self { proof: proof.to_owned(), origin: Origin::example(), pieces: Vec::new(), file }
        }
    }

    fn piece(seed: u64, held: bool) -> Piece {
        Piece { seed, held, runs: vec![serde_json::json!({ "kills": 20 })] }
    }

    #[test]
    fn a_proof_that_was_interrupted_goes_on_where_it_was() {
        let folder = tempfile::tempdir().unwrap();
        let mut first = Record::example(folder.path(), "kills");
        first.add(piece(1, true)).unwrap();
        first.add(piece(2, false)).unwrap();
        let origin = Origin::example();
        let mut found = earlier(folder.path(), "kills", &origin).unwrap().unwrap();
        assert_eq!((found.pieces.len(), found.sum("kills")), (2, 20));
        assert_eq!((found.sum_of(1, "kills"), found.sum_of(2, "kills")), (20, 0));
        found.add(piece(3, true)).unwrap();
        let found = earlier(folder.path(), "kills", &origin).unwrap().unwrap();
        assert_eq!(found.sum("kills"), 40);
        assert!(earlier(folder.path(), "others", &origin).unwrap().is_none());
    }
}
