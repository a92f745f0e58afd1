//! Tells a person how far the work is: bars on a terminal, plain lines elsewhere, on stderr.

use std::io::IsTerminal;
use std::sync::Mutex;
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressStyle};

/// How often a step that takes long says so where there is no terminal.
const PLAIN_INTERVAL: Duration = Duration::from_secs(5);

/// Where steps are shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Progress {
    /// Moving bars, one line a step.
    Bars,
    /// A line when a step begins, one every five seconds, one when it ends.
    Lines,
    /// Nothing.
    Silent,
}

impl Progress {
    /// Bars when stderr is a terminal, lines otherwise.
    #[must_use]
    pub fn for_stderr() -> Self {
        if std::io::stderr().is_terminal() { Self::Bars } else { Self::Lines }
    }

    /// Begins a step. It ends when the returned value is [finished](Step::finish) or dropped.
    #[must_use]
    pub fn step(self, name: &str) -> Step {
        let bar = match self {
            Self::Bars => spinner(name),
            Self::Lines | Self::Silent => ProgressBar::hidden(),
        };
        if self == Self::Lines {
            eprintln!("{name} …");
        }
        let now = Instant::now();
        Step { how: self, name: name.to_owned(), began: now, bar, said: Mutex::new(now) }
    }

    /// Says one line.
    pub fn say(self, text: &str) {
        if self != Self::Silent {
            eprintln!("{text}");
        }
    }
}

/// One step that is under way.
pub struct Step {
    how: Progress,
    name: String,
    began: Instant,
    bar: ProgressBar,
    said: Mutex<Instant>,
}

impl Step {
    /// Says what is being done within the step.
    pub fn note(&self, text: &str) {
        self.bar.set_message(text.to_owned());
        self.plainly(|| text.to_owned());
    }

    /// Says something that is to stay on the screen.
    pub fn say(&self, text: &str) {
        self.bar.suspend(|| self.how.say(text));
    }

    /// Says how much of how much is done, in bytes.
    pub fn bytes(&self, done: u64, of: u64) {
        if self.bar.length() != Some(of) {
            self.bar.set_length(of);
            self.bar.set_style(style(
                "{prefix:20} {bar:30} {bytes}/{total_bytes} {bytes_per_sec} {eta}",
            ));
        }
        self.bar.set_position(done);
        self.plainly(|| plain_bytes(done, of, self.began.elapsed()));
    }

    /// Ends the step with a word about its result.
    pub fn finish(self, result: &str) {
        let seconds = self.began.elapsed().as_secs_f64();
        let line = format!("{:<20} {result} ({seconds:.1} s)", self.name);
        self.bar.finish_and_clear();
        self.how.say(&line);
    }

    fn plainly(&self, text: impl FnOnce() -> String) {
        if self.how != Progress::Lines {
            return;
        }
        // A poisoned lock only means that another thread died while it spoke.
        let mut said = self.said.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        if said.elapsed() >= PLAIN_INTERVAL {
            *said = Instant::now();
            eprintln!("{} … {:.0} s: {}", self.name, self.began.elapsed().as_secs_f64(), text());
        }
    }
}

impl Drop for Step {
    fn drop(&mut self) {
        self.bar.finish_and_clear();
    }
}

/// How much of how much, how fast, and how long the rest takes at that rate.
fn plain_bytes(done: u64, of: u64, elapsed: Duration) -> String {
    let rate = done as f64 / elapsed.as_secs_f64().max(0.001);
    let left = of.saturating_sub(done) as f64 / rate.max(1.0);
    let (done, of) = (done / 1_000_000, of / 1_000_000);
    format!("{done} of {of} MB, {:.0} MB/s, {left:.0} s left", rate / 1e6)
}

fn spinner(name: &str) -> ProgressBar {
    let bar = ProgressBar::new_spinner();
    bar.set_style(style("{prefix:20} {spinner} {elapsed} {wide_msg}"));
    bar.set_prefix(name.to_owned());
    bar.enable_steady_tick(Duration::from_millis(120));
    bar
}

fn style(template: &str) -> ProgressStyle {
    ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_bar())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn without_a_terminal_rate_and_remaining_time_are_said() {
        let said = |done, seconds| plain_bytes(done, 12_000_000_000, Duration::from_secs(seconds));
        assert_eq!(said(3_000_000_000, 30), "3000 of 12000 MB, 100 MB/s, 90 s left");
        assert_eq!(said(12_000_000_000, 60), "12000 of 12000 MB, 200 MB/s, 0 s left");
    }
}
