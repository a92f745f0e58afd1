//! How long each phase took, beside how long it should.

use std::fmt;
use std::time::Duration;

use crate::progress::shown;

/// A part of `cargo xtask test` that has an aim.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Phase {
    Compile,
    Tests,
    Image,
    Qemu,
    Fuzz,
}

impl Phase {
    fn name(self) -> &'static str {
        match self {
            Self::Compile => "compile",
            Self::Tests => "tests",
            Self::Image => "image",
            Self::Qemu => "QEMU",
            Self::Fuzz => "fuzz",
        }
    }

    /// On two cores, with nothing cached.
    fn aim(self) -> Duration {
        let minutes = match self {
            Self::Compile | Self::Tests | Self::Qemu => 12,
            Self::Image => 6,
            Self::Fuzz => 6,
        };
        Duration::from_secs(minutes * 60)
    }
}

/// What was measured so far; prints as a table.
#[derive(Debug, Default)]
pub(super) struct Timing {
    taken: Vec<(Phase, Duration)>,
}

impl Timing {
    pub(super) fn add(&mut self, phase: Phase, taken: Duration) {
        match self.taken.iter_mut().find(|(known, _)| *known == phase) {
            Some((_, sum)) => *sum += taken,
            None => self.taken.push((phase, taken)),
        }
    }
}

impl fmt::Display for Timing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{:<10}{:>14}{:>14}", "", "took", "aim")?;
        for &(phase, taken) in &self.taken {
            write!(f, "{:<10}{:>14}{:>14}", phase.name(), shown(taken), shown(phase.aim()))?;
            match taken.checked_sub(phase.aim()) {
                Some(over) if !over.is_zero() => writeln!(f, "  {} too long", shown(over))?,
                _ => writeln!(f)?,
            }
        }
        let total: Duration = self.taken.iter().map(|(_, taken)| *taken).sum();
        writeln!(f, "{:<10}{:>14}", "together", shown(total))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_phase_that_missed_its_aim_says_by_how_much() {
        let mut timing = Timing::default();
        timing.add(Phase::Compile, Duration::from_secs(431));
        timing.add(Phase::Image, Duration::from_secs(375));
        let expected = "
                    took           aim
compile       7 min 11 s   12 min 00 s
image         6 min 15 s    6 min 00 s  15 s too long
together     13 min 26 s
";
        assert_eq!(format!("\n{timing}"), expected);
    }

    #[test]
    fn a_phase_that_comes_twice_is_summed() {
        let mut timing = Timing::default();
        timing.add(Phase::Tests, Duration::from_secs(20));
        timing.add(Phase::Tests, Duration::from_secs(25));
        assert!(timing.to_string().contains("tests               45 s"), "{timing}");
    }

    #[test]
    fn a_phase_that_never_began_has_no_line() {
        assert!(!Timing::default().to_string().contains("QEMU"));
    }
}
