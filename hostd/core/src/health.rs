//! What is wrong with a host, and whether a release on trial may stay.

use basalt_api::checks::{FailedCheck, Weight};
use basalt_api::os::Event;
use basalt_api::problem::{Code, Problem};
use basalt_api::status::{Boot, HostStatus, State};

use crate::cmdline::OnCmdline;
use crate::ledger::Found;

/// A unit that must be active, as systemd has it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unit {
    /// Its name.
    pub name: String,
    /// systemd's word, as `active` or `failed`.
    pub active_state: String,
}

/// The units as systemd told of them, or why it did not.
pub type Units = Result<Vec<Unit>, String>;

/// What a layer of the configuration is worth.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BadLayer {
    /// The file or credential.
    pub name: String,
    /// What is wrong with it.
    pub message: String,
    /// Whether it came with the image: a release whose own layer is bad is not kept.
    pub is_of_image: bool,
}

/// Strangers that are told each; somebody may have made hundreds.
const MAX_STRANGERS: usize = 8;

/// Everything that the units say about the host's health. Those in `required` fail the gate.
#[must_use]
pub fn of_units(units: &Units, required: &[String]) -> Vec<Problem> {
    match units {
        Ok(units) => units
            .iter()
            .filter(|unit| !is_active(unit))
            .map(|unit| inactive(unit, required.contains(&unit.name)))
            .collect(),
        Err(reason) => vec![Problem {
            code: Code::UnitsUnknown,
            subject: "systemd".to_owned(),
            message: format!("its units cannot be asked for: {reason}"),
            hint: None,
            fails_gate: true,
        }],
    }
}

/// What helps a host that lost its ledger. Nothing of it removes a workload.
const LOST_HINT: &str = "the endpoint's next answer begins a new one; without an endpoint, restore \
                         the `ledger.*` in /var/lib/hostd from a backup, or move them away, and \
                         restart hostd: what this host ran of its own is then orphaned \
                         (`hostctl adopt`)";

/// Everything that the ledger says about the host's health.
#[must_use]
pub fn of_ledger(found: &Found) -> Vec<Problem> {
    match found {
        Found::Lost(reason) => vec![Problem {
            code: Code::LedgerLost,
            subject: "ledger".to_owned(),
            message: format!("it cannot be read ({reason}); nothing is started or stopped"),
            hint: Some(LOST_HINT.to_owned()),
            fails_gate: true,
        }],
        Found::Later(reason) => vec![Problem {
            code: Code::LedgerLost,
            subject: "ledger".to_owned(),
            message: format!("a later release wrote it ({reason}); nothing is started or stopped"),
            hint: Some("boot that release again: it is kept for it".to_owned()),
            fails_gate: true,
        }],
        Found::Fresh | Found::Read(..) => Vec::new(),
    }
}

/// That the ledger could not be written, for `reason`.
#[must_use]
pub fn ledger_unwritable(reason: &str) -> Problem {
    Problem {
        code: Code::LedgerUnwritable,
        subject: "ledger".to_owned(),
        message: format!("it cannot be written: {reason}"),
        hint: Some("is /var full or read-only? `df /var`".to_owned()),
        fails_gate: true,
    }
}

/// Everything that the configuration says about the host's health.
#[must_use]
pub fn of_configuration(layers: &[BadLayer]) -> Vec<Problem> {
    let problem = |layer: &BadLayer| Problem {
        code: Code::ConfigurationInvalid,
        subject: layer.name.clone(),
        message: format!("this layer is left out: {}", layer.message),
        hint: None,
        fails_gate: layer.is_of_image,
    };
    layers.iter().map(problem).collect()
}

/// That the release that was tried last did not prove itself; nothing where it did.
#[must_use]
pub fn of_update(verdict: &Event) -> Option<Problem> {
    let version = &verdict.release.version;
    let why = match (&*verdict.what, &verdict.reason) {
        ("bad", Some(reason)) => reason.replace('\n', "; "),
        ("bad", None) => "it failed".to_owned(),
        ("inconclusive", _) => "nothing says why, as after power cycles".to_owned(),
        _ => return None,
    };
    Some(Problem {
        code: Code::UpdateFailed,
        subject: "update".to_owned(),
        message: format!("version {version} was tried and did not prove itself: {why}"),
        hint: Some(format!(
            "`hostctl os history --json` has the end of its journal; `hostctl os clear {version}` \
             lets it be tried again"
        )),
        fails_gate: false,
    })
}

/// That a check of the image's or the operator's failed.
#[must_use]
pub fn of_check(failed: &FailedCheck) -> Problem {
    let said = failed.lines.join("; ");
    let said = if said.is_empty() { String::new() } else { format!(": {said}") };
    Problem {
        code: Code::CheckFailed,
        subject: failed.path.clone(),
        message: format!("this check failed, {}{said}", failed.how),
        hint: Some("`journalctl -b -u basalt-checks.service` has all of it".to_owned()),
        fails_gate: failed.weight == Weight::Required,
    }
}

/// That the state was made on another machine, the one of that name.
#[must_use]
pub fn state_copied(name: &str) -> Problem {
    Problem {
        code: Code::StateCopied,
        subject: "identity".to_owned(),
        message: format!(
            "this state was made on another machine, `{name}`: nothing of it is started"
        ),
        hint: Some("give this host a join string of its own (`basaltctl token create`)".to_owned()),
        fails_gate: false,
    }
}

/// That the join string cannot be used, for `reason`.
#[must_use]
pub fn join_invalid(reason: &str) -> Problem {
    Problem {
        code: Code::JoinInvalid,
        subject: "join string".to_owned(),
        message: reason.to_owned(),
        hint: Some(
            "`basaltctl token create` prints one; with `--bare` it prints a secret alone, for a host \
             whose kernel arguments are `basalt.endpoint=URL basalt.ca=SHA256`"
                .to_owned(),
        ),
        fails_gate: false,
    }
}

/// That a join string came by the kernel's command line. It is not used; nor is it told here.
#[must_use]
pub fn join_on_cmdline(came: OnCmdline) -> Problem {
    Problem {
        code: Code::JoinInvalid,
        subject: "kernel command line".to_owned(),
        message: format!(
            "`{came}` is there, a secret that everybody on this host may read: it is not used"
        ),
        hint: Some(
            "remove it, revoke its token (`basaltctl token revoke`), and give a new one by the \
             SMBIOS credential `basalt.join` or in /etc/basalt/join"
                .to_owned(),
        ),
        fails_gate: false,
    }
}

/// That a set of the endpoint's is not taken, for `reason`.
#[must_use]
pub fn set_refused(generation: u64, reason: &str) -> Problem {
    Problem {
        code: Code::SetRefused,
        subject: "endpoint".to_owned(),
        message: format!("its generation {generation} is not taken: {reason}"),
        hint: Some("what runs goes on by the generation before".to_owned()),
        fails_gate: false,
    }
}

/// That the endpoint's clock is so many seconds ahead of this host's.
#[must_use]
pub fn clock_skewed(seconds: i64) -> Problem {
    let word = if seconds > 0 { "behind" } else { "ahead of" };
    let seconds = seconds.unsigned_abs();
    Problem {
        code: Code::ClockSkewed,
        subject: "clock".to_owned(),
        message: format!("this host's is about {seconds} s {word} its endpoint's"),
        hint: Some("see `timedatectl` on both".to_owned()),
        fails_gate: false,
    }
}

/// That nobody is served at the address of `[listen]`, for `reason`.
#[must_use]
pub fn not_listening(reason: &str) -> Problem {
    Problem {
        code: Code::ListenFailed,
        subject: "[listen]".to_owned(),
        message: format!("from elsewhere this host cannot be read: {reason}"),
        hint: Some("mend the table or what it names; it is tried again by itself".to_owned()),
        fails_gate: false,
    }
}

/// That something has our labels and is not ours, each with a sentence of its own.
#[must_use]
pub fn of_strangers(strangers: &[String]) -> Vec<Problem> {
    let problem = |what: &String| Problem {
        code: Code::ForeignLabels,
        subject: "workloads".to_owned(),
        message: format!("{what}, and is not ours: it is not touched"),
        hint: Some(
            "made from an image of a container of ours? remove it, or give it labels of its own"
                .to_owned(),
        ),
        fails_gate: false,
    };
    let mut problems: Vec<Problem> = strangers.iter().take(MAX_STRANGERS).map(problem).collect();
    let more = strangers.len().saturating_sub(MAX_STRANGERS);
    if more > 0 {
        problems.push(problem(&format!("each of {more} more has labels of ours")));
    }
    problems
}

/// That the boot's traces cannot be read.
#[must_use]
pub fn of_boot(boot: Boot) -> Vec<Problem> {
    if boot != Boot::Unknown {
        return Vec::new();
    }
    vec![Problem {
        code: Code::BootUnknown,
        subject: "boot".to_owned(),
        message: "the boot entries or the firmware's variables cannot be read".to_owned(),
        hint: Some("is the EFI partition there? `ls /efi/loader/entries`".to_owned()),
        fails_gate: false,
    }]
}

/// The state that these problems leave a host in.
#[must_use]
pub fn state(problems: &[Problem]) -> State {
    if problems.is_empty() { State::Ready } else { State::Degraded }
}

/// Why a release on trial may not stay, by what its `hostd` answered; empty when it may.
#[must_use]
pub fn against(status: &HostStatus) -> Vec<&Problem> {
    status.problems.iter().filter(|problem| problem.fails_gate).collect()
}

fn is_active(unit: &Unit) -> bool {
    matches!(unit.active_state.as_str(), "active" | "reloading" | "refreshing")
}

fn inactive(unit: &Unit, is_required: bool) -> Problem {
    let Unit { name, active_state } = unit;
    Problem {
        code: Code::UnitInactive,
        subject: name.clone(),
        message: format!("it is {active_state}, and must be active"),
        hint: Some(format!("see `systemctl status {name}`")),
        fails_gate: is_required,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(units: &[(&str, &str)], expected: &[&str]) {
        let unit = |(name, state): &(&str, &str)| Unit {
            name: (*name).to_owned(),
            active_state: (*state).to_owned(),
        };
        let problems = of_units(&Ok(units.iter().map(unit).collect()), &[]);
        let problems: Vec<String> = problems.iter().map(ToString::to_string).collect();
        assert_eq!(problems, expected);
    }

    #[test]
    fn a_unit_that_failed_is_named_with_its_state() {
        let units = [("podman.socket", "active"), ("nftables.service", "failed")];
        check(&units, &["nftables.service: it is failed, and must be active"]);
    }

    #[test]
    fn an_update_that_failed_is_told_with_its_reason_and_a_good_one_is_not() {
        let verdict = |what: &str, reason: Option<&str>| {
            let release = basalt_api::os::Release { version: "2".into(), commit: "c".into() };
            let reason = reason.map(str::to_owned);
            let event =
                Event { at: String::new(), what: what.into(), release, reason, journal: vec![] };
            of_update(&event).map(|problem| problem.to_string())
        };
        assert_eq!(verdict("good", None), None);
        assert_eq!(verdict("installed", None), None);
        let begin = "update: version 2 was tried and did not prove itself: ";
        assert_eq!(verdict("bad", Some("gate: a\nb")), Some(format!("{begin}gate: a; b")));
        let unknown = format!("{begin}nothing says why, as after power cycles");
        assert_eq!(verdict("inconclusive", None), Some(unknown));
    }

    #[test]
    fn only_a_required_check_fails_the_gate() {
        let check = |weight| {
            let lines = vec!["a".to_owned(), "b".to_owned()];
            let (path, how) = ("/etc/basalt/x.d/1".to_owned(), "exit code 3".to_owned());
            of_check(&FailedCheck { path, weight, how, lines })
        };
        assert!(check(Weight::Required).fails_gate && !check(Weight::Wanted).fails_gate);
        let said = check(Weight::Wanted).to_string();
        assert_eq!(said, "/etc/basalt/x.d/1: this check failed, exit code 3: a; b");
    }

    #[test]
    fn a_unit_that_still_starts_is_not_active_yet() {
        check(&[("a.service", "activating")], &["a.service: it is activating, and must be active"]);
    }

    #[test]
    fn a_unit_that_reloads_is_active() {
        check(&[("a.service", "reloading")], &[]);
    }

    #[test]
    fn a_lost_ledger_and_a_silent_systemd_fail_the_gate() {
        assert!(of_ledger(&Found::Lost("x".to_owned()))[0].fails_gate);
        assert!(of_units(&Err("x".to_owned()), &[])[0].fails_gate);
        assert!(ledger_unwritable("x").fails_gate);
        assert_eq!(of_ledger(&Found::Read(Box::default(), None)), []);
    }

    #[test]
    fn strangers_are_told_each_up_to_a_few_and_fail_no_gate() {
        let of = |count: usize| of_strangers(&vec!["`x` has the labels of `y`".to_owned(); count]);
        assert_eq!(of(0), []);
        assert_eq!((of(8).len(), of(500).len()), (8, 9));
        assert!(of(9)[8].message.contains("1 more"), "{:?}", of(9));
        assert!(of(9).iter().all(|problem| !problem.fails_gate));
    }

    #[test]
    fn only_a_required_unit_fails_the_gate() {
        let unit = |name: &str| Unit { name: name.to_owned(), active_state: "failed".to_owned() };
        let units = Ok(vec![unit("required.service"), unit("wanted.service")]);
        let problems = of_units(&units, &["required.service".to_owned()]);
        let fails: Vec<bool> = problems.iter().map(|problem| problem.fails_gate).collect();
        assert_eq!(fails, [true, false]);
    }

    #[test]
    fn only_the_images_own_layer_fails_the_gate() {
        let layer = |is_of_image| BadLayer {
            name: "hostd.toml".to_owned(),
            message: "no TOML".to_owned(),
            is_of_image,
        };
        let problems = of_configuration(&[layer(true), layer(false)]);
        let fails: Vec<bool> = problems.iter().map(|problem| problem.fails_gate).collect();
        assert_eq!(fails, [true, false]);
        assert_eq!(state(&problems), State::Degraded);
        assert_eq!(state(&[]), State::Ready);
    }
}
