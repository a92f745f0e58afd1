//! Two ways to the same end, timed in turns on the same machine, and what comes of it.

use std::time::Duration;

use crate::print::measure;

/// Seconds of each time, in order.
#[derive(Debug, Default)]
pub(crate) struct Times(Vec<f64>);

impl Times {
    pub(crate) fn add(&mut self, time: Duration) {
        self.0.push(time.as_secs_f64());
        self.0.sort_by(f64::total_cmp);
    }

    /// The time that so many hundredths are not above.
    pub(crate) fn percentile(&self, hundredths: usize) -> f64 {
        let last = self.0.len() - 1;
        self.0[(last * hundredths).div_ceil(100)]
    }

    pub(crate) fn median(&self) -> f64 {
        self.percentile(50)
    }

    /// Prints its median and its 95th percentile.
    pub(crate) fn print(&self, what: &str) {
        measure(&format!("{what}, median"), self.median(), "s", None);
        measure(&format!("{what}, p95"), self.percentile(95), "s", None);
    }
}

/// Times both so many times, each first every other time.
pub(crate) fn alternate(
    rounds: u32,
    mut ours: impl FnMut() -> Duration,
    mut other: impl FnMut() -> Duration,
) -> (Times, Times) {
    let (mut first, mut second) = (Times::default(), Times::default());
    for round in 0..rounds {
        if round % 2 == 0 {
            first.add(ours());
            second.add(other());
        } else {
            second.add(other());
            first.add(ours());
        }
        eprint!(".");
    }
    eprintln!();
    (first, second)
}
