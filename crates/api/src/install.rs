//! What an installer tells an endpoint of an installation that is under way.

use std::fmt;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Where it tells it. Needs no client certificate: there is no host yet.
pub const INSTALL_PATH: &str = "/v1/installations";
/// Characters of a machine's name.
const MAX_MACHINE: usize = 64;
/// Characters of what happens on it.
const MAX_WHAT: usize = 300;

/// How an installation is.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct InstallReport {
    /// The token that the host will enrol by.
    pub secret: String,
    /// The machine: the name that the host gets, or the address of a network card. At most 64
    /// characters.
    pub machine: String,
    /// How far it is.
    pub state: InstallState,
    /// What is being done, or what went wrong: a line of at most 300 characters.
    pub what: String,
}

/// How far an installation is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum InstallState {
    /// It goes on.
    Installing,
    /// It is done.
    Installed,
    /// It does not go on.
    Failed,
}

impl InstallState {
    /// All there are.
    pub const ALL: [Self; 3] = [Self::Installing, Self::Installed, Self::Failed];

    /// The kind of the event that tells operators of it.
    #[must_use]
    pub fn event(self) -> &'static str {
        match self {
            Self::Installing => "installing",
            Self::Installed => "installed",
            Self::Failed => "install_failed",
        }
    }
}

impl InstallReport {
    /// A report that [`problem`](Self::problem) takes for good: what is too long is cut off, and of
    /// several lines the first is told.
    #[must_use]
    pub fn new(secret: &str, machine: &str, state: InstallState, what: &str) -> Self {
        let line = |text: &str, most: usize| -> String {
            let cut = |line: &str| line.chars().filter(|c| !c.is_control()).take(most).collect();
            let mut lines = text.lines().map(cut);
            lines.find(|line: &String| !line.trim().is_empty()).unwrap_or_else(|| "?".to_owned())
        };
        let (machine, what) = (line(machine, MAX_MACHINE), line(what, MAX_WHAT));
        Self { secret: secret.to_owned(), machine, state, what }
    }

    /// What speaks against telling operators of it.
    #[must_use]
    pub fn problem(&self) -> Option<String> {
        let is_line = |text: &str, most: usize| {
            let length = text.chars().count();
            (1..=most).contains(&length) && !text.chars().any(char::is_control)
        };
        let check = |name: &str, text: &str, most: usize| {
            (!is_line(text, most)).then(|| format!("`{name}` is no line of 1 to {most} characters"))
        };
        check("machine", &self.machine, MAX_MACHINE).or_else(|| check("what", &self.what, MAX_WHAT))
    }
}

impl fmt::Debug for InstallReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut shown = f.debug_struct("InstallReport");
        shown.field("machine", &self.machine).field("state", &self.state);
        shown.field("what", &self.what).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn report(machine: &str, what: &str) -> InstallReport {
        InstallReport::new("s3cret", machine, InstallState::Failed, what)
    }

    #[test]
    fn whatever_is_to_be_told_becomes_a_line() {
        let told = report("rack4", "error: a disk\nhint: another").what;
        assert_eq!(told, "error: a disk");
        for what in ["", "\n\n", "\u{7}", "\u{1b}[2J", &"ä".repeat(1000)] {
            let made = report(what, what);
            assert_eq!(made.problem(), None, "{made:?}");
        }
        assert!(!format!("{:?}", report("a", "b")).contains("s3cret"));
    }

    #[test]
    fn what_is_no_line_is_refused() {
        let check = |change: &dyn Fn(&mut InstallReport), expected: &str| {
            let mut report = report("rack4", "step 1");
            change(&mut report);
            assert_eq!(report.problem().as_deref(), Some(expected));
        };
        check(&|it| it.machine.clear(), "`machine` is no line of 1 to 64 characters");
        check(&|it| it.machine = "x".repeat(65), "`machine` is no line of 1 to 64 characters");
        check(&|it| it.what = "a\nb".into(), "`what` is no line of 1 to 300 characters");
        check(&|it| it.what = "\u{7}".into(), "`what` is no line of 1 to 300 characters");
    }
}
