//! The processor time that a machine had taken at every moment of a boot.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use anyhow::{Result, bail};
use basalt_vm::Processor;

/// Between two looks; a stage is known no better than that.
const PAUSE: Duration = Duration::from_millis(50);

/// Looks at the processor time again and again, in a thread of its own.
pub(super) struct Recorder {
    enough: Arc<AtomicBool>,
    thread: JoinHandle<Result<Timeline>>,
}

/// What was seen: seconds since the beginning, and processor seconds since then; in order.
#[derive(Debug, PartialEq)]
pub(super) struct Timeline(Vec<(f64, f64)>);

impl Recorder {
    /// `cpu_before` is what had been used when the boot began.
    pub(super) fn start(processor: Processor, cpu_before: f64) -> Self {
        let enough = Arc::new(AtomicBool::new(false));
        let asked = Arc::clone(&enough);
        let thread = thread::spawn(move || {
            let (began, mut seen) = (Instant::now(), Vec::new());
            loop {
                // Asked before the look, so that the last one is from after the end.
                let last = asked.load(Ordering::Relaxed);
                seen.push((began.elapsed().as_secs_f64(), processor.seconds()? - cpu_before));
                if last {
                    return Ok(Timeline(seen));
                }
                thread::sleep(PAUSE);
            }
        });
        Self { enough, thread }
    }

    /// What it saw until now.
    pub(super) fn finish(self) -> Result<Timeline> {
        self.enough.store(true, Ordering::Relaxed);
        let Ok(timeline) = self.thread.join() else { bail!("the recorder of times is gone") };
        timeline
    }
}

impl Timeline {
    #[cfg(test)]
    pub(super) fn of(seen: &[(f64, f64)]) -> Self {
        Self(seen.to_vec())
    }

    /// Seconds and processor seconds at the end.
    pub(super) fn end(&self) -> (f64, f64) {
        self.0.last().copied().unwrap_or_default()
    }

    /// Processor seconds at this moment, between two looks in proportion. Pure.
    pub(super) fn cpu_at(&self, seconds: f64) -> f64 {
        let after = self.0.partition_point(|(moment, _)| *moment < seconds);
        let Some((next, next_cpu)) = self.0.get(after).copied() else { return self.end().1 };
        let Some((last, last_cpu)) = after.checked_sub(1).and_then(|at| self.0.get(at)) else {
            return next_cpu;
        };
        last_cpu + (next_cpu - last_cpu) * (seconds - last) / (next - last)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn between_two_looks_it_is_in_proportion() {
        let timeline = Timeline::of(&[(0.0, 0.1), (1.0, 1.1), (2.0, 3.1)]);
        let seen = [0.0, 0.5, 1.0, 1.5, 2.0, 9.0].map(|moment| timeline.cpu_at(moment));
        assert_eq!(seen.map(|cpu| (cpu * 10.0).round() / 10.0), [0.1, 0.6, 1.1, 2.1, 3.1, 3.1]);
        assert_eq!(timeline.end(), (2.0, 3.1));
    }
}
