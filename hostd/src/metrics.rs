//! Numbers of this host for Prometheus, in its text format 0.0.4: what is counted as it happens,
//! and what is seen when somebody asks. Labels are words of ours alone, never a workload's: there
//! are as many lines on every host, whatever runs on it.

mod text;

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use basalt_api::capacity::HostFacts;
use basalt_api::status::{EndpointState, HostStatus, State};
use basalt_api::workload::Kind;
use hostd_core::step::Step;

use crate::reconcile::Picture;
use text::{Text, Type};

/// What is counted as it happens.
#[derive(Debug, Default)]
pub struct Metrics {
    counts: Mutex<Counts>,
}

#[derive(Debug, Default)]
struct Counts {
    /// Rounds of the loop, by what woke it.
    rounds: BTreeMap<&'static str, u64>,
    /// What all rounds took.
    in_rounds: Duration,
    /// Steps, by their word and how they ended.
    steps: BTreeMap<(&'static str, &'static str), u64>,
    restarts: u64,
    /// Looks at a runtime that failed.
    failed_looks: BTreeMap<&'static str, u64>,
}

/// What is seen when somebody asks.
#[derive(Debug, Clone, Copy)]
pub struct Seen<'a> {
    /// How the host is.
    pub status: &'a HostStatus,
    /// How the workloads are.
    pub picture: &'a Picture,
    /// What the host has to give.
    pub facts: Option<&'a HostFacts>,
    /// Time since the endpoint was heard; none where it was not since the boot.
    pub silence: Option<Duration>,
    /// The endpoint's generation that is in the ledger; 0 before the first.
    pub generation: u64,
    /// Memory of this process; none where the kernel does not tell.
    pub resident_bytes: Option<u64>,
}

impl Metrics {
    pub(crate) fn round(&self, woken_by: &'static str) {
        *self.counts().rounds.entry(woken_by).or_default() += 1;
    }

    pub(crate) fn round_took(&self, time: Duration) {
        self.counts().in_rounds += time;
    }

    pub(crate) fn step_done(&self, step: Step) {
        *self.counts().steps.entry((word(step), "done")).or_default() += 1;
    }

    pub(crate) fn step_failed(&self, step: Step) {
        *self.counts().steps.entry((word(step), "failed")).or_default() += 1;
    }

    pub(crate) fn restarts(&self, count: u32) {
        self.counts().restarts += u64::from(count);
    }

    pub(crate) fn failed_look(&self, kind: Kind) {
        *self.counts().failed_looks.entry(kind_word(kind)).or_default() += 1;
    }

    fn counts(&self) -> MutexGuard<'_, Counts> {
        self.counts.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The text.
    #[must_use]
    pub fn text(&self, seen: &Seen<'_>) -> String {
        let mut text = Text::default();
        host(&mut text, seen.status);
        if let Some(facts) = seen.facts {
            capacity(&mut text, facts);
        }
        endpoint(&mut text, seen);
        workloads(&mut text, seen.picture);
        process(&mut text, seen.resident_bytes);
        self.counts().add_to(&mut text);
        text.finish()
    }
}

impl Counts {
    fn add_to(&self, text: &mut Text) {
        let name = "basalt_workload_restarts_total";
        text.begin(name, Type::Counter, "Workloads started again after they ended by themselves");
        text.line(name, &[], self.restarts);
        let name = "basalt_steps_total";
        text.begin(name, Type::Counter, "Steps done to instances of workloads, by how they ended");
        for ((step, result), count) in &self.steps {
            text.line(name, &[("step", step), ("result", result)], *count);
        }
        let name = "basalt_runtime_failures_total";
        text.begin(name, Type::Counter, "Looks at a runtime that it did not answer");
        for (kind, count) in &self.failed_looks {
            text.line(name, &[("kind", kind)], *count);
        }
        let name = "basalt_rounds_total";
        text.begin(name, Type::Counter, "Rounds of the loop, by what woke it");
        for (woken_by, count) in &self.rounds {
            text.line(name, &[("woken_by", woken_by)], *count);
        }
        let name = "basalt_round_seconds_total";
        text.begin(name, Type::Counter, "Time that rounds of the loop took, looks at runtimes too");
        text.seconds(name, self.in_rounds);
    }
}

fn host(text: &mut Text, status: &HostStatus) {
    text.begin("basalt_host_info", Type::Gauge, "The release that runs; always 1");
    let labels = [
        ("image", status.image.as_str()),
        ("version", &status.version),
        ("slot", status.slot.as_deref().unwrap_or("none")),
        ("boot", crate::show::boot_word(status.boot)),
    ];
    text.line("basalt_host_info", &labels, 1);
    text.begin("basalt_host_ready", Type::Gauge, "1 when nothing is wrong with the host");
    text.line("basalt_host_ready", &[], u64::from(status.state == State::Ready));
    text.begin("basalt_host_problems", Type::Gauge, "What is wrong with the host, by its code");
    let mut problems: BTreeMap<String, u64> = BTreeMap::new();
    for problem in &status.problems {
        let code = serde_json::to_value(problem.code).ok();
        let code = code.and_then(|code| code.as_str().map(str::to_owned)).unwrap_or_default();
        *problems.entry(code).or_default() += 1;
    }
    for (code, count) in &problems {
        text.line("basalt_host_problems", &[("code", code)], *count);
    }
    text.begin("basalt_host_uptime_seconds", Type::Gauge, "Seconds since the kernel started");
    text.line("basalt_host_uptime_seconds", &[], status.uptime_s);
    text.begin("basalt_ledger_readable", Type::Gauge, "1 when the ledger can be read");
    text.line("basalt_ledger_readable", &[], u64::from(status.ledger_sequence.is_some()));
    text.begin("basalt_ledger_writes_total", Type::Counter, "Writes of the ledger, ever");
    text.line("basalt_ledger_writes_total", &[], status.ledger_sequence.unwrap_or(0));
}

fn capacity(text: &mut Text, facts: &HostFacts) {
    let capacity = &facts.capacity;
    let mut each = |name: &str, help: &str, value: u64| {
        text.begin(name, Type::Gauge, help);
        text.line(name, &[], value);
    };
    let mib = |mib: u64| mib.saturating_mul(1 << 20);
    each(
        "basalt_cpu_millis",
        "Thousandths of processors that workloads may have",
        u64::from(capacity.cpus.milli()),
    );
    each(
        "basalt_cpu_reserved_millis",
        "Thousandths of processors that workloads set aside",
        u64::from(capacity.taken.cpus.milli()),
    );
    each("basalt_memory_bytes", "Memory that workloads may have", mib(capacity.memory_mib));
    each(
        "basalt_memory_reserved_bytes",
        "Memory that workloads set aside",
        mib(capacity.taken.memory_mib),
    );
    each("basalt_disk_bytes", "The file system of workloads", mib(capacity.disk_mib));
    each("basalt_disk_free_bytes", "What is free of it, in whole GiB", mib(capacity.disk_free_mib));
}

fn endpoint(text: &mut Text, seen: &Seen<'_>) {
    let endpoint = seen.status.endpoint.as_ref();
    text.begin("basalt_endpoint_enrolled", Type::Gauge, "1 when the host belongs to an endpoint");
    let is_enrolled = endpoint.is_some_and(|endpoint| endpoint.name.is_some());
    text.line("basalt_endpoint_enrolled", &[], u64::from(is_enrolled));
    text.begin("basalt_endpoint_connected", Type::Gauge, "1 when the endpoint answers");
    let is_connected = endpoint.is_some_and(|one| one.state == EndpointState::Connected);
    text.line("basalt_endpoint_connected", &[], u64::from(is_connected));
    if let Some(silence) = seen.silence {
        let name = "basalt_endpoint_silence_seconds";
        text.begin(name, Type::Gauge, "Seconds since a question was asked that was answered");
        text.line(name, &[], silence.as_secs());
    }
    text.begin("basalt_generation", Type::Gauge, "Generations of the endpoint's set");
    text.line("basalt_generation", &[("state", "observed")], seen.generation);
    text.line("basalt_generation", &[("state", "applied")], seen.picture.applied_generation);
}

fn workloads(text: &mut Text, picture: &Picture) {
    text.begin("basalt_workloads", Type::Gauge, "Workloads by kind, source and state");
    let mut counts: BTreeMap<(&str, String, &str), u64> = BTreeMap::new();
    for status in &picture.statuses {
        let key = (kind_word(status.kind), status.source.to_string(), status.state.as_str());
        *counts.entry(key).or_default() += 1;
    }
    for ((kind, source, state), count) in &counts {
        let labels = [("kind", *kind), ("source", source.as_str()), ("state", *state)];
        text.line("basalt_workloads", &labels, *count);
    }
}

/// By the name that every client library of Prometheus gives it.
fn process(text: &mut Text, resident_bytes: Option<u64>) {
    let Some(bytes) = resident_bytes else { return };
    let name = "process_resident_memory_bytes";
    text.begin(name, Type::Gauge, "Memory that hostd has now");
    text.line(name, &[], bytes);
}

/// The memory that this process has now, by `/proc/self/status` (proc(5)).
#[must_use]
pub fn resident_bytes() -> Option<u64> {
    resident_in(&std::fs::read_to_string("/proc/self/status").ok()?)
}

/// What it says, as `VmRSS:     7304 kB`. Pure.
fn resident_in(status: &str) -> Option<u64> {
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    let kib: u64 = line.trim().strip_suffix(" kB")?.parse().ok()?;
    kib.checked_mul(1 << 10)
}

fn kind_word(kind: Kind) -> &'static str {
    match kind {
        Kind::Container => "container",
        Kind::Vm => "vm",
        Kind::Unknown => "unknown",
    }
}

fn word(step: Step) -> &'static str {
    match step {
        Step::Prepare => "prepare",
        Step::Create => "create",
        Step::Start => "start",
        Step::Resume => "resume",
        Step::Stop(_) => "stop",
        Step::Remove(_) => "remove",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_seen_and_was_counted_stands_in_the_text() {
        let status = include_str!("../../crates/api/examples/status.json");
        let status: HostStatus = serde_json::from_str(status).unwrap();
        let workload = |uid: u8, state: &str| {
            let text = format!(
                r#"{{"uid":"00000000-0000-0000-0000-00000000000{uid}","name":"a","kind":"vm",
                    "source":"local","state":"{state}"}}"#
            );
            serde_json::from_str(&text).unwrap()
        };
        let statuses = vec![workload(1, "running"), workload(2, "running"), workload(3, "failed")];
        let picture = Picture { statuses, applied_generation: 4, ..Picture::default() };
        let metrics = Metrics::default();
        metrics.round("event");
        metrics.step_failed(Step::Start);
        metrics.restarts(2);
        metrics.round_took(Duration::from_millis(1250));
        metrics.round_took(Duration::from_millis(754));
        metrics.failed_look(Kind::Container);
        let text = metrics.text(&Seen {
            status: &status,
            picture: &picture,
            facts: Some(&HostFacts::default()),
            silence: Some(Duration::from_secs(7)),
            generation: 5,
            resident_bytes: Some(4096),
        });
        for line in [
            "basalt_host_info{image=\"base\",version=\"3\",slot=\"b\",boot=\"trial\"} 1",
            "basalt_host_ready 0",
            "basalt_host_problems{code=\"unit_inactive\"} 1",
            "basalt_workloads{kind=\"vm\",source=\"local\",state=\"running\"} 2",
            "basalt_workloads{kind=\"vm\",source=\"local\",state=\"failed\"} 1",
            "basalt_generation{state=\"observed\"} 5",
            "basalt_generation{state=\"applied\"} 4",
            "basalt_endpoint_silence_seconds 7",
            "basalt_steps_total{step=\"start\",result=\"failed\"} 1",
            "basalt_workload_restarts_total 2",
            "basalt_runtime_failures_total{kind=\"container\"} 1",
            "# TYPE basalt_rounds_total counter",
            "basalt_round_seconds_total 2.004",
            "process_resident_memory_bytes 4096",
        ] {
            assert!(text.lines().any(|found| found == line), "no `{line}` in\n{text}");
        }
    }

    #[test]
    fn the_memory_of_this_process_is_found() {
        assert_eq!(resident_in("VmHWM:\t 900 kB\nVmRSS:\t    7304 kB\n"), Some(7304 << 10));
        assert_eq!(resident_in("VmRSS:\t many\n"), None);
        let bytes = resident_bytes().unwrap();
        assert!((1 << 20..1 << 33).contains(&bytes), "{bytes}");
    }
}
