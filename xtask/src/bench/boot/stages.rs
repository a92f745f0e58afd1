//! The stages of a boot: where each begins and ends, by what the guest says of its own clock.

use anyhow::{Context, Result, bail};

use super::timeline::Timeline;
use crate::bench::results::Measure;
use crate::demo::probe;

/// Where a boot came to the mark, and what the guest said about itself.
pub(super) struct Told<'a> {
    /// The guest's console.
    pub(super) console: &'a str,
    /// What the mark is, on the console.
    pub(super) mark: &'a str,
    /// `systemd-analyze time`.
    pub(super) analyzed: &'a str,
}

/// Time and processor time of each stage, from the first to the mark. Pure.
///
/// # Errors
/// The guest did not say when the kernel or the system began.
pub(super) fn measures(timeline: &Timeline, told: &Told<'_>) -> Result<Vec<Measure>> {
    let (end, _) = timeline.end();
    let uptime = uptime(told.console, told.mark)?;
    let stage = |name: &str| stage(told.analyzed, name);
    let kernel = end - uptime;
    let initrd = kernel + stage("kernel")?;
    let system = initrd + stage("initrd")?;
    let stages = [
        ("firmware and loader", 0.0, kernel),
        ("kernel", kernel, initrd),
        ("initramfs", initrd, system),
        ("system, to hostd ready", system, end),
    ];
    let both = |(name, from, to): (&str, f64, f64)| {
        let cpu = timeline.cpu_at(to) - timeline.cpu_at(from);
        [
            Measure::new(format!("  {name}"), to - from, "s"),
            Measure::new(format!("  {name}: processor time"), cpu, "s"),
        ]
    };
    Ok(stages.into_iter().flat_map(both).collect())
}

/// Seconds from the kernel's start to the last mark, which stands behind the kernel's own time:
/// `[   17.345678] MARK`.
fn uptime(console: &str, mark: &str) -> Result<f64> {
    let line = console.lines().rev().find(|line| line.contains(mark));
    let line = line.with_context(|| format!("no `{mark}` on the console"))?;
    let time = line.split_once('[').and_then(|(_, rest)| rest.split_once(']'));
    let time = time.and_then(|(time, _)| time.trim().parse().ok());
    time.with_context(|| format!("`{line}` does not tell the kernel's time"))
}

fn stage(analyzed: &str, name: &str) -> Result<f64> {
    let stages = probe::stages(analyzed);
    let Some((_, time)) = stages.iter().find(|(known, _)| *known == name) else {
        bail!("the boot is not over, or has no stage `{name}`: {analyzed}");
    };
    seconds(time).with_context(|| format!("`{time}` is no time"))
}

/// A time as systemd-analyze writes it: `1min 24.2s`, `890ms`. Pure.
fn seconds(text: &str) -> Option<f64> {
    let part = |word: &str| {
        let digits = word.trim_end_matches(char::is_alphabetic);
        let factor = match &word[digits.len()..] {
            "h" => 3600.0,
            "min" => 60.0,
            "s" => 1.0,
            "ms" => 0.001,
            "us" => 0.000_001,
            _ => return None,
        };
        Some(digits.parse::<f64>().ok()? * factor)
    };
    text.split_whitespace().map(part).sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_of_systemd_are_seconds() {
        assert_eq!(seconds("1min 24.5s"), Some(84.5));
        assert_eq!(seconds("890ms"), Some(0.89));
        assert_eq!(seconds("soon"), None);
    }

    #[test]
    fn stages_follow_each_other_from_the_firmware_to_the_mark() {
        let told = Told {
            console: "[    3.0] reached\n[   10.000000] reached\n",
            mark: "reached",
            analyzed: "Startup finished in 2s (kernel) + 3s (initrd) + 20s (userspace) = 25s",
        };
        let timeline = Timeline::of(&[(0.0, 0.0), (16.0, 32.0)]);
        let expected = [6.0, 12.0, 2.0, 4.0, 3.0, 6.0, 5.0, 10.0];
        let measures = measures(&timeline, &told).unwrap();
        assert_eq!(measures.iter().map(Measure::value).collect::<Vec<_>>(), expected);
    }

    #[test]
    fn a_boot_that_is_not_over_has_no_stages() {
        let told = Told { console: "[ 3.0] reached", mark: "reached", analyzed: "not yet" };
        assert!(measures(&Timeline::of(&[(9.0, 9.0)]), &told).is_err());
        assert!(uptime("reached", "reached").is_err());
    }
}
