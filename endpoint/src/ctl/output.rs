//! Printing: data to stdout, JSON where it was asked for.

use std::io::{self, Write};

use anyhow::{Context, Result};
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
