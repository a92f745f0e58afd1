//! Prometheus' text format (0.0.4). Pure.

use std::fmt::Write as _;
use std::time::Duration;

/// What a metric is.
#[derive(Debug, Clone, Copy)]
pub(super) enum Type {
    /// It only rises, but for a new beginning.
    Counter,
    /// It rises and falls.
    Gauge,
}

/// The text, as it grows.
#[derive(Debug, Default)]
pub(super) struct Text(String);

impl Text {
    /// Begins a metric.
    pub(super) fn begin(&mut self, name: &str, kind: Type, help: &str) {
        let kind = match kind {
            Type::Counter => "counter",
            Type::Gauge => "gauge",
        };
        let _ = writeln!(self.0, "# HELP {name} {help}\n# TYPE {name} {kind}");
    }

    /// Adds a line to the metric that was begun last.
    pub(super) fn line(&mut self, name: &str, labels: &[(&str, &str)], value: u64) {
        self.0.push_str(name);
        for (number, (label, value)) in labels.iter().enumerate() {
            let before = if number == 0 { '{' } else { ',' };
            let _ = write!(self.0, "{before}{label}=\"{}\"", escaped(value));
        }
        let end = if labels.is_empty() { "" } else { "}" };
        let _ = writeln!(self.0, "{end} {value}");
    }

    /// A time, to the millisecond.
    pub(super) fn seconds(&mut self, name: &str, time: Duration) {
        let _ = writeln!(self.0, "{name} {}.{:03}", time.as_secs(), time.subsec_millis());
    }

    pub(super) fn finish(self) -> String {
        self.0
    }
}

fn escaped(value: &str) -> String {
    value.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_value_of_a_label_ends_it() {
        let mut text = Text::default();
        text.begin("a", Type::Gauge, "a thing");
        text.line("a", &[("b", "x\"y\\z\n"), ("c", "")], 3);
        text.line("a", &[], 4);
        let expected = "# HELP a a thing\n# TYPE a gauge\na{b=\"x\\\"y\\\\z\\n\",c=\"\"} 3\na 4\n";
        assert_eq!(text.finish(), expected);
    }
}
