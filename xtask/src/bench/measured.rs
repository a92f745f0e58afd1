//! Runs `tests/examples/measure`, which lives with the engines, the hosts and the endpoint of the
//! tests, and reads what it measured: nothing of them is linked here.

use std::time::Duration;

use anyhow::{Context, Result, bail};
use basalt_cmd::Cmd;

use super::{DEADLINE, Ground, Measure};
use crate::program::{self, Output};
use crate::session;

/// What each measuring takes at most, beside its rests.
const AT_MOST: Duration = Duration::from_secs(1800);

pub(super) fn run(ground: &Ground<'_>, name: &str) -> Result<Vec<Measure>> {
    compile(ground)?;
    let cmd = Cmd::new(ground.session.program("examples/measure"))
        .arg(name)
        .args(["--rest", &ground.rest.to_string()])
        .current_dir(&ground.session.root);
    let deadline = AT_MOST + 4 * Duration::from_secs(ground.rest.into());
    let lines = program::run(ground.session, cmd, Output::StdoutKept, deadline)?;
    let measures: Result<Vec<Measure>> = lines.iter().map(|line| measure(line)).collect();
    let measures = measures?;
    if measures.is_empty() {
        bail!("`measure {name}` measured nothing");
    }
    Ok(measures)
}

/// A line as it comes: JSON of a [`Measure`].
fn measure(line: &str) -> Result<Measure> {
    serde_json::from_str(line).with_context(|| format!("no measure: {line}"))
}

/// The programs that are measured, and the one that measures. Everything, as the tests have it: any
/// other choice of packages has other features, and compiles half of it anew.
fn compile(ground: &Ground<'_>) -> Result<()> {
    let cmd = Cmd::new(session::cargo())
        .args(["build", "--release", "--workspace", "--all-targets"])
        .current_dir(&ground.session.root);
    program::run(ground.session, cmd, Output::Shown, DEADLINE).map(|_| ())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_is_a_measure_with_or_without_an_aim() {
        let line = r#"{"what":"apply","value":1.1,"unit":"×","at_most":1.2}"#;
        assert_eq!(measure(line).unwrap(), Measure::new("apply", 1.1, "×").at_most(1.2));
        let line = r#"{"what":"apply","value":0.1,"unit":"s"}"#;
        assert_eq!(measure(line).unwrap(), Measure::new("apply", 0.1, "s"));
        assert!(measure("hello").unwrap_err().to_string().contains("hello"));
    }
}
