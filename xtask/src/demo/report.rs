//! What a demo proved, for a person; and whether all of it is as it should be.

use std::fmt;

use anyhow::{Result, bail};
use serde_json::Value;

use super::probe::{self, Answers};
use crate::image::Image;

/// Lines of a name and a value, and what is wrong.
#[derive(Debug, Default)]
pub(super) struct Report {
    lines: Vec<(String, String)>,
    wrong: Vec<String>,
}

/// Draws the conclusions, with lines of what the host did. Pure.
pub(super) fn report(
    image: &Image,
    answers: &Answers,
    work: Vec<(&'static str, String)>,
) -> Report {
    let mut report = Report::default();
    let short = &image.commit[..image.commit.len().min(12)];
    let (size, allocated) = (image.size / 1_000_000, image.allocated / 1_000_000);
    let Image { name, version, release, .. } = image;
    report.line("image", format!("{name} {version}, {release} release, commit {short}"));
    report.line("disk", format!("{}, {allocated} MB of {size} MB", image.disk.display()));
    let answer = |name: &str| answers.get(name).map_or("", String::as_str).trim();
    report.line("system", answer("system").to_owned());
    report.boot(answer("boot"), before_kernel(answer("on"), answer("uptime")));
    report.state(answer("state"), answer("failed"));
    report.status(answer("status"));
    report.mounts(answer("usr"), answer("var"));
    for (name, line) in work {
        report.line(name, line);
    }
    report
}

impl Report {
    /// Fails with everything that is wrong.
    pub(super) fn verdict(&self) -> Result<()> {
        if !self.wrong.is_empty() {
            bail!("not as it should be: {}", self.wrong.join("; "));
        }
        Ok(())
    }

    fn line(&mut self, name: &str, value: String) {
        self.lines.push((name.to_owned(), value));
    }

    fn boot(&mut self, analyzed: &str, before_kernel: Option<f64>) {
        let stages = probe::stages(analyzed);
        if stages.is_empty() {
            self.wrong.push(format!("the boot is not over: {analyzed}"));
        }
        let first = before_kernel.map(|seconds| format!("firmware and loader {seconds:.1}s"));
        let stages = stages.iter().map(|(name, time)| format!("{name} {time}"));
        self.line("boot", first.into_iter().chain(stages).collect::<Vec<_>>().join(", "));
    }

    fn state(&mut self, state: &str, failed: &str) {
        let failed: Vec<&str> =
            failed.lines().filter_map(|line| line.split_whitespace().next()).collect();
        if state != "running" || !failed.is_empty() {
            self.wrong.push(format!("the system is {state}, failed units: {}", failed.join(" ")));
        }
        self.line("state", format!("{state}, {} failed units", failed.len()));
    }

    /// The slot and whether it is blessed, and what else `hostctl status` says.
    fn status(&mut self, status: &str) {
        let Ok(status) = serde_json::from_str::<Value>(status) else {
            self.wrong.push(format!("`hostctl status --json` said: {status}"));
            return;
        };
        let word = |name: &str| status[name].as_str().unwrap_or("unknown").to_owned();
        let [slot, boot, state] = ["slot", "boot", "state"].map(word);
        for (name, value, expected) in [("boot", &boot, "blessed"), ("hostd", &state, "ready")] {
            if value != expected {
                self.wrong.push(format!("{name} is {value}: {}", status["problems"]));
            }
        }
        if slot == "unknown" {
            self.wrong.push("hostd does not know its slot".to_owned());
        }
        self.line("slot", format!("{slot}, {boot}"));
        self.line("hostd", state);
    }

    fn mounts(&mut self, usr: &str, var: &str) {
        let is_read_only = usr.split(',').any(|option| option == "ro");
        if !is_read_only {
            self.wrong.push("/usr is not read-only".to_owned());
        }
        if !var.contains("ext4") {
            self.wrong.push("/var is no file system of its own".to_owned());
        }
        let usr = if is_read_only { "read-only" } else { "writable" };
        let var = var.split_whitespace().collect::<Vec<_>>().join(" ");
        self.line("/usr", usr.to_owned());
        self.line("/var", var);
    }
}

/// Seconds from power-on to the kernel: how long the machine is on, less what the kernel counts.
/// Firmware that QEMU emulates tells systemd nothing of it. Pure.
fn before_kernel(on: &str, uptime: &str) -> Option<f64> {
    let seconds = on.parse::<f64>().ok()? - uptime.parse::<f64>().ok()?;
    Some(seconds.max(0.0))
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (name, value) in &self.lines {
            writeln!(f, "{name:<8} {value}")?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn image() -> Image {
        Image {
            name: "base".to_owned(),
            version: "3".to_owned(),
            commit: "0335d20a6e91d3b7".to_owned(),
            release: "unsigned".to_owned(),
            folder: "out/base/3".into(),
            disk: "out/base/3/disk.raw".into(),
            size: 12_884_901_888,
            allocated: 803_864_576,
        }
    }

    const GOOD: &str = r#"{"slot": "a", "boot": "blessed", "state": "ready", "problems": []}"#;

    /// A good boot, but for one answer; `wrong` is part of the verdict, empty when all is well.
    fn check(name: &'static str, answer: &str, wrong: &str) {
        let good = [
            ("state", "running"),
            ("failed", ""),
            ("boot", "Startup finished in 1s (kernel) + 2s (userspace) = 3s"),
            ("status", GOOD),
            ("system", "Basalt 3 (base)"),
            ("usr", "ro,relatime"),
            ("var", "ext4  6.9G"),
        ];
        let mut answers: Answers =
            good.map(|(name, text)| (name, text.to_owned())).into_iter().collect();
        answers.insert(name, answer.to_owned());
        let verdict = report(&image(), &answers, Vec::new()).verdict();
        let verdict = verdict.map_or_else(|error| error.to_string(), |()| String::new());
        assert!(verdict.contains(wrong) && verdict.is_empty() == wrong.is_empty(), "{verdict}");
    }

    #[test]
    fn a_good_boot_is_good() {
        check("system", "Basalt 3 (base)", "");
    }

    #[test]
    fn a_failed_unit_is_named() {
        check("failed", "x.service loaded failed failed X", "failed units: x.service");
    }

    #[test]
    fn a_system_that_is_only_degraded_is_not_good() {
        check("state", "degraded", "the system is degraded");
    }

    #[test]
    fn a_hostctl_that_prints_no_json_is_quoted() {
        check("status", "sh: hostctl: not found", "said: sh: hostctl: not found");
    }

    #[test]
    fn a_writable_usr_is_wrong() {
        check("usr", "rw,relatime,errors=remount-ro", "/usr is not read-only");
    }

    #[test]
    fn a_var_that_is_a_folder_is_wrong() {
        check("var", "", "/var is no file system of its own");
    }

    #[test]
    fn the_time_before_the_kernel_is_what_the_kernel_does_not_count() {
        assert_eq!(before_kernel("37.5", "29.25"), Some(8.25));
        assert_eq!(before_kernel("37.5", ""), None);
    }

    #[test]
    fn a_host_on_trial_or_with_a_problem_is_wrong() {
        check("status", &GOOD.replace("blessed", "trial"), "boot is trial");
        check("status", &GOOD.replace("ready", "degraded"), "hostd is degraded");
        check("status", &GOOD.replace("slot", "lost"), "hostd does not know its slot");
    }

    #[test]
    fn slot_and_blessing_are_shown() {
        let answers = Answers::from([("status", GOOD.to_owned())]);
        let work = vec![("web", "container, running".to_owned())];
        let text = report(&image(), &answers, work).to_string();
        assert!(text.ends_with("web      container, running\n"), "{text}");
        assert!(text.contains("slot     a, blessed\nhostd    ready\n"), "{text}");
        assert!(text.contains("disk     out/base/3/disk.raw, 803 MB of 12884 MB"), "{text}");
    }
}
