//! Asks the booted system what it is: a unit that only this boot has, printing to the second
//! serial port. Nothing of it is in the image.

use std::collections::BTreeMap;

/// What the system said, by the heading of the question.
pub(super) type Answers = BTreeMap<String, String>;

/// Name of the unit, without `.service`.
pub(super) const UNIT: &str = "basalt-demo";

/// What is asked, each part under a heading of its own. The first waits until the boot is over.
const QUESTIONS: &[(&str, &str)] = &[
    ("state", "systemctl is-system-running --wait"),
    ("failed", "systemctl --failed --plain --no-legend --no-pager"),
    ("boot", "systemd-analyze time --no-pager"),
    ("status", "hostctl status --json"),
    ("system", ". /etc/os-release; echo \"$PRETTY_NAME\""),
    ("usr", "findmnt -no OPTIONS /usr"),
    ("var", "findmnt -no FSTYPE,SIZE /var"),
];
/// The heading after which nothing follows.
const END: &str = "end";

/// The unit. It waits for nothing, so that the boot does not wait for it either.
pub(super) fn unit() -> String {
    format!(
        "[Unit]\nDescription=Tells what was booted\nAfter=multi-user.target\n\
         [Service]\nType=exec\nExecStart=/bin/sh -c '{}'\n\
         StandardOutput=tty\nStandardError=tty\nTTYPath=/dev/ttyS1\n",
        script()
    )
}

/// A drop-in that makes the boot start the unit.
pub(super) fn wanted_by_the_boot() -> String {
    format!("[Unit]\nWants={UNIT}.service\n")
}

/// In single quotes within the unit: it must hold none. systemd would expand `$` and `%`.
fn script() -> String {
    let ask = |(name, command): &(&str, &str)| format!("echo \"== {name}\"; {command}; ");
    let questions: String = QUESTIONS.iter().map(ask).collect();
    format!("{questions}echo \"== {END}\"")
        .replace('%', "%%")
        .replace('$', "$$")
        .replace('"', "\\\"")
}

/// The answers by their heading, once all are there; `None` while the system still talks. Pure.
pub(super) fn answers(serial: &str) -> Option<Answers> {
    let mut answers = Answers::new();
    let mut heading = None;
    for line in serial.lines().map(str::trim_end) {
        match line.strip_prefix("== ") {
            Some(END) => return Some(answers),
            Some(name) => heading = Some(answers.entry(name.to_owned()).or_default()),
            None => {
                if let Some(answer) = &mut heading {
                    if !answer.is_empty() {
                        answer.push('\n');
                    }
                    answer.push_str(line);
                }
            }
        }
    }
    None
}

/// The stages of the boot, as `systemd-analyze time` names them, and how long each took. Pure.
pub(super) fn stages(analyzed: &str) -> Vec<(&str, &str)> {
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
    fn answers_come_by_their_heading_whatever_the_line_ends() {
        let serial =
            "noise\r\n== state\r\nrunning\r\n== status\r\n{\r\n}\r\n== failed\r\n== end\r\n";
        let answers = answers(serial).unwrap();
        let expected = [("failed", ""), ("state", "running"), ("status", "{\n}")];
        assert!(answers.iter().map(|(name, text)| (name.as_str(), text.as_str())).eq(expected));
    }

    #[test]
    fn half_an_answer_is_none() {
        assert_eq!(answers("== state\nrunning\n== status\n{\n"), None);
    }

    #[test]
    fn the_stages_of_a_boot_are_told_apart() {
        let text = "Startup finished in 2.134s (firmware) + 1min 1.2s (loader) + 3.5s (kernel) + \
                    5.1s (initrd) + 12.3s (userspace) = 1min 24.2s \ngraphical.target reached";
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

    #[test]
    fn the_script_survives_the_quotes_of_its_unit() {
        assert!(!script().contains('\''));
        assert!(script().contains("$$PRETTY_NAME"));
    }
}
