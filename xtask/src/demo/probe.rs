//! What is asked of a booted system, over a shell that only this boot has.

use std::collections::BTreeMap;
use std::time::Duration;

use anyhow::Result;
use basalt_vm::Shell;

/// What the system said, by the name of the question.
pub(crate) type Answers = BTreeMap<&'static str, String>;

/// The first waits until the boot is over, and for what the gate says about it.
const QUESTIONS: &[(&str, &str)] = &[
    ("state", "systemctl is-system-running --wait"),
    ("failed", "systemctl --failed --plain --no-legend --no-pager"),
    ("boot", "systemd-analyze time --no-pager"),
    ("status", "hostctl gate >/dev/null 2>&1; hostctl status --json"),
    ("system", ". /etc/os-release; echo \"$PRETTY_NAME\""),
    ("usr", "findmnt -no OPTIONS /usr"),
    ("uptime", "cut -d ' ' -f 1 /proc/uptime"),
    ("var", "findmnt -no FSTYPE,SIZE /var"),
];
/// A boot that is not over by then is a boot that hangs.
const DEADLINE: Duration = Duration::from_secs(300);

/// Asks everything. What a command says when it fails is an answer too.
pub(crate) fn ask(shell: &mut Shell) -> Result<Answers> {
    let ask =
        |(name, command): &(&'static str, &str)| Ok((*name, shell.run(command, DEADLINE)?.text));
    QUESTIONS.iter().map(ask).collect()
}

/// The stages of the boot, as `systemd-analyze time` names them, and how long each took. Pure.
pub(crate) fn stages(analyzed: &str) -> Vec<(&str, &str)> {
    let line = analyzed.lines().next().unwrap_or_default();
    let line = line.strip_prefix("Startup finished in ").unwrap_or_default();
    let (stages, total) = line.rsplit_once(" = ").unwrap_or((line, ""));
    let stage = |part| -> Option<(&str, &str)> {
        let (time, name) = str::split_once(part, " (")?;
        Some((name.trim_end_matches([')', ' ']), time.trim()))
    };
    let mut found: Vec<(&str, &str)> = stages.split(" + ").filter_map(stage).collect();
    if !total.is_empty() {
        found.push(("together", total.trim()));
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_stages_of_a_boot_are_told_apart() {
        let text = "Startup finished in 2.134s (firmware) + 1min 1.2s (loader) + 3.5s (kernel) + \
                    5.1s (initrd) + 12.3s (userspace) = 1min 24.2s \nmulti-user.target reached";
        let expected = [
            ("firmware", "2.134s"),
            ("loader", "1min 1.2s"),
            ("kernel", "3.5s"),
            ("initrd", "5.1s"),
            ("userspace", "12.3s"),
            ("together", "1min 24.2s"),
        ];
        assert_eq!(stages(text), expected);
    }

    #[test]
    fn a_boot_that_is_not_over_has_no_stages() {
        assert_eq!(stages("Bootup is not yet finished (org.freedesktop.systemd1…)."), []);
    }
}
