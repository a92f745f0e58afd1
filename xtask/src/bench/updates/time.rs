//! What an update takes on a booted host, beside what `ostree` alone takes.

use std::fs;

use anyhow::{Context, Result, ensure};
use basalt_cmd::Cmd;
use serde::Deserialize;

use super::super::{DEADLINE, Ground, Measure};
use crate::program::{self, Output};
use crate::session;

/// The test that measures.
const TEST: &str = "an_update_is_timed_beside_what_ostree_takes";

/// What it reports.
#[derive(Deserialize)]
struct Report {
    ours_s: Vec<f64>,
    ostree_s: Vec<f64>,
    hostd_grown_kib: Vec<f64>,
}

pub(super) fn measures(ground: &Ground<'_>) -> Result<Vec<Measure>> {
    let report = ground.work.join("timed.json");
    let cmd = Cmd::new(session::cargo())
        .args(["test", "--release", "--workspace", "--test", "proof", "--", TEST])
        .env("BASALT_IMAGE_DIR", &ground.image()?.folder)
        .env("BASALT_NO_SKIP", "1")
        .env("BASALT_TIMED_REPORT", &report)
        .current_dir(&ground.session.root);
    program::run(ground.session, cmd, Output::Shown, DEADLINE)?;
    let text = fs::read_to_string(&report).context("nothing was measured")?;
    let Report { ours_s, ostree_s, hostd_grown_kib } = serde_json::from_str(&text)?;
    let (ours, ostree) = (median(ours_s)?, median(ostree_s)?);
    Ok(vec![
        Measure::new("hostctl os update, until it may reboot", ours, "s"),
        Measure::new("ostree pull and ostree admin deploy", ostree, "s"),
        Measure::new("hostctl os update over ostree alone", ours / ostree, "×").at_most(1.2),
        Measure::new("hostd, grown by an update", median(hostd_grown_kib)? / 1024.0, "MiB")
            .at_most(0.5),
    ])
}

fn median(mut values: Vec<f64>) -> Result<f64> {
    ensure!(!values.is_empty(), "nothing was measured");
    values.sort_by(f64::total_cmp);
    Ok(values[values.len() / 2])
}

#[cfg(test)]
mod tests {
    #[test]
    fn the_one_in_the_middle_counts() {
        assert!((super::median(vec![9.0, 1.0, 2.0]).unwrap() - 2.0).abs() < 1e-9);
        assert!(super::median(Vec::new()).is_err());
    }
}
