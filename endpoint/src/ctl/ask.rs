//! Has somebody confirm something at a terminal.

use std::io::{self, BufRead, IsTerminal, Write};

use anyhow::{Context, Result, bail};

/// Asks; `without` says what `--yes` does where nobody can be asked.
///
/// # Errors
/// Nobody can be asked, or the answer is no.
pub(super) fn confirm(question: &str, without: &str) -> Result<()> {
    if !io::stdin().is_terminal() {
        bail!("nobody can be asked here\nhint: `--yes` {without} without asking");
    }
    eprint!("{question} [y/N] ");
    io::stderr().flush().context("cannot ask")?;
    let mut answer = String::new();
    io::stdin().lock().read_line(&mut answer).context("cannot read the answer")?;
    if !matches!(answer.trim(), "y" | "Y" | "yes") {
        bail!("nothing was changed");
    }
    Ok(())
}
