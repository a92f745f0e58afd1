//! Printing: data to stdout, JSON where it was asked for.

use std::io::{self, Write};
use std::path::Path;

use anyhow::{Context, Result};
use basalt_api::id::Name;
use serde::Serialize;

/// How to print.
#[derive(Debug, Clone, Copy)]
pub(super) struct Output {
    pub(super) is_json: bool,
}

impl Output {
    /// Prints `value` as JSON, or the text for people.
    pub(super) fn show<T: Serialize>(
        self,
        value: &T,
        for_people: impl FnOnce(&T) -> String,
    ) -> Result<()> {
        let text = if self.is_json {
            serde_json::to_string_pretty(value)? + "\n"
        } else {
            for_people(value)
        };
        print(text.as_bytes())
    }

    /// Tells what was done: as JSON, or a person in a sentence, which is no data.
    pub(super) fn tell<T: Serialize>(self, done: &Done<T>, for_people: &str) -> Result<()> {
        if self.is_json {
            return self.show(done, |_| String::new());
        }
        eprintln!("{for_people}");
        Ok(())
    }

    /// Prints a script for a shell.
    pub(super) fn script(self, script: &[u8]) -> Result<()> {
        if !self.is_json {
            return print(script);
        }
        let script = String::from_utf8_lossy(script).into_owned();
        self.show(&Script { script }, |shown| shown.script.clone())
    }

    /// Tells that man pages were written to this folder.
    pub(super) fn pages(self, folder: &Path) -> Result<()> {
        let told = format!("the man pages are in `{}`", folder.display());
        self.tell(&Done::new("wrote", Pages { folder }), &told)
    }
}

#[derive(Debug, Serialize)]
struct Script {
    script: String,
}

#[derive(Debug, Serialize)]
struct Pages<'a> {
    folder: &'a Path,
}

/// What a command has done that the endpoint has nothing to say of.
#[derive(Debug, Serialize)]
pub(super) struct Done<T: Serialize> {
    /// What, in a word: `deleted`.
    did: &'static str,
    /// To what.
    #[serde(flatten)]
    what: T,
}

impl<T: Serialize> Done<T> {
    pub(super) fn new(did: &'static str, what: T) -> Self {
        Self { did, what }
    }
}

/// What has a name.
#[derive(Debug, Serialize)]
pub(super) struct Named<'a> {
    pub(super) name: &'a Name,
}

/// Prints bytes.
pub(super) fn print(bytes: &[u8]) -> Result<()> {
    let mut stdout = io::stdout().lock();
    match stdout.write_all(bytes).and_then(|()| stdout.flush()) {
        // Whoever reads has seen enough, as `head` does.
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        result => result.context("cannot print"),
    }
}
