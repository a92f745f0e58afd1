//! Numbers for Prometheus, in its text format 0.0.4.

use std::collections::{BTreeMap, HashMap};
use std::fmt::Write as _;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};

use basalt_api::operator::HostState;

/// What is counted as it happens.
#[derive(Debug, Default)]
pub struct Metrics {
    /// By method, path of the route and status.
    requests: Mutex<BTreeMap<(String, &'static str, u16), u64>>,
    /// Open connections.
    pub connections: AtomicU64,
    /// Connections that never came to a TLS session.
    pub failed_handshakes: AtomicU64,
    /// Polls that are held now.
    pub polls: AtomicU64,
}

/// What is counted when it is asked for.
#[derive(Debug, Default)]
pub struct Counts {
    /// Hosts by state.
    pub hosts: HashMap<HostState, usize>,
    /// Workloads on a host, and on none.
    pub workloads: (usize, usize),
}

impl Metrics {
    /// Counts an answer.
    pub fn answered(&self, method: &str, path: &'static str, status: u16) {
        let mut requests = self.requests.lock().unwrap_or_else(PoisonError::into_inner);
        *requests.entry((method.to_owned(), path, status)).or_default() += 1;
    }

    /// The text.
    #[must_use]
    pub fn text(&self, counts: &Counts) -> String {
        let mut text = Text::default();
        text.begin("basalt_hosts", "gauge", "Hosts by state");
        let hosts: BTreeMap<&str, usize> =
            counts.hosts.iter().map(|(state, count)| (state.as_str(), *count)).collect();
        for (state, count) in hosts {
            text.line("basalt_hosts", &format!("{{state=\"{state}\"}}"), count as u64);
        }
        text.begin("basalt_workloads", "gauge", "Workloads by whether a host runs them");
        for (place, count) in [("placed", counts.workloads.0), ("unplaced", counts.workloads.1)] {
            text.line("basalt_workloads", &format!("{{place=\"{place}\"}}"), count as u64);
        }
        for (name, help, value) in [
            ("basalt_connections", "Open connections", &self.connections),
            ("basalt_polls", "Check-ins that are held", &self.polls),
        ] {
            text.begin(name, "gauge", help);
            text.line(name, "", value.load(Ordering::Relaxed));
        }
        let name = "basalt_failed_handshakes_total";
        text.begin(name, "counter", "Connections without a TLS session");
        text.line(name, "", self.failed_handshakes.load(Ordering::Relaxed));
        let name = "basalt_requests_total";
        text.begin(name, "counter", "Answers by route and status");
        for ((method, path, status), count) in
            self.requests.lock().unwrap_or_else(PoisonError::into_inner).iter()
        {
            let labels = format!("{{method=\"{method}\",route=\"{path}\",status=\"{status}\"}}");
            text.line(name, &labels, *count);
        }
        text.0
    }
}

#[derive(Default)]
struct Text(String);

impl Text {
    fn begin(&mut self, name: &str, kind: &str, help: &str) {
        let _ = writeln!(self.0, "# HELP {name} {help}\n# TYPE {name} {kind}");
    }

    fn line(&mut self, name: &str, labels: &str, value: u64) {
        let _ = writeln!(self.0, "{name}{labels} {value}");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_counted_stands_in_the_text() {
        let metrics = Metrics::default();
        metrics.answered("GET", "/v1/hosts", 200);
        metrics.answered("GET", "/v1/hosts", 200);
        let hosts = HashMap::from([(HostState::Lost, 3)]);
        let text = metrics.text(&Counts { hosts, workloads: (2, 1) });
        for line in [
            "basalt_hosts{state=\"lost\"} 3",
            "basalt_workloads{place=\"unplaced\"} 1",
            "basalt_requests_total{method=\"GET\",route=\"/v1/hosts\",status=\"200\"} 2",
            "# TYPE basalt_polls gauge",
        ] {
            assert!(text.lines().any(|found| found == line), "{text}");
        }
    }
}
