//! Tells a person how far a step is: a moving line on a terminal, plain lines elsewhere; on stderr.
//!
//! `basalt build` has its own; it cannot be shared without making xtask depend on libostree.

use std::io::IsTerminal;
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressStyle};

/// How often a step that takes long says so where there is no terminal.
const PLAIN_INTERVAL: Duration = Duration::from_secs(10);

/// Where steps are shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Progress {
    /// One moving line a step.
    Bars,
    /// A line when a step begins, one every ten seconds, one when it ends.
    Lines,
}

impl Progress {
    pub(crate) fn for_stderr() -> Self {
        if std::io::stderr().is_terminal() { Self::Bars } else { Self::Lines }
    }

    /// Begins a step. It ends when the returned value is [finished](Step::finish) or dropped.
    pub(crate) fn step(self, name: &str) -> Step {
        let bar = match self {
            Self::Bars => spinner(name),
            Self::Lines => {
                eprintln!("{name} …");
                ProgressBar::hidden()
            }
        };
        let now = Instant::now();
        Step { how: self, name: name.to_owned(), began: now, said: now, bar }
    }

    /// Names what comes next and prints for itself.
    pub(crate) fn heading(self, text: &str) {
        match self {
            Self::Bars => eprintln!("\u{1b}[1m== {text}\u{1b}[0m"),
            Self::Lines => eprintln!("== {text}"),
        }
    }
}

/// One step that is under way.
pub(crate) struct Step {
    how: Progress,
    name: String,
    began: Instant,
    said: Instant,
    bar: ProgressBar,
}

impl Step {
    /// Says what is being done within the step.
    pub(crate) fn note(&mut self, text: &str) {
        self.bar.set_message(text.to_owned());
        if self.how == Progress::Lines && self.said.elapsed() >= PLAIN_INTERVAL {
            self.said = Instant::now();
            eprintln!("{} … {}: {text}", self.name, shown(self.began.elapsed()));
        }
    }

    /// Ends the step with a word about its result.
    pub(crate) fn finish(self, result: &str) {
        self.bar.finish_and_clear();
        eprintln!("{:<20} {result} ({})", self.name, shown(self.began.elapsed()));
    }
}

impl Drop for Step {
    fn drop(&mut self) {
        self.bar.finish_and_clear();
    }
}

fn spinner(name: &str) -> ProgressBar {
    let bar = ProgressBar::new_spinner();
    let style = ProgressStyle::with_template("{prefix:20} {spinner} {elapsed} {wide_msg}");
    bar.set_style(style.unwrap_or_else(|_| ProgressStyle::default_spinner()));
    bar.set_prefix(name.to_owned());
    bar.enable_steady_tick(Duration::from_millis(120));
    bar
}

/// A duration as a person says it: `0.4 s`, `42 s`, `3 min 05 s`.
pub(crate) fn shown(time: Duration) -> String {
    let seconds = time.as_secs();
    match seconds {
        0..10 => format!("{:.1} s", time.as_secs_f64()),
        10..60 => format!("{seconds} s"),
        _ => format!("{} min {:02} s", seconds / 60, seconds % 60),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_duration_is_as_exact_as_it_is_short() {
        let shown = |millis| shown(Duration::from_millis(millis));
        assert_eq!([shown(420), shown(9_949)], ["0.4 s", "9.9 s"]);
        assert_eq!([shown(59_999), shown(185_000)], ["59 s", "3 min 05 s"]);
    }
}
