//! What was measured, on what, of which commit: a JSON file and a table.

use std::fmt;
use std::fs;
use std::path::PathBuf;
use std::time::SystemTime;

use anyhow::{Context, Result};
use serde::{Deserialize, Serialize};

use crate::origin::Origin;
use crate::session::Session;

/// One number.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct Measure {
    /// The benchmark that it comes from.
    #[serde(default)]
    benchmark: String,
    what: String,
    value: f64,
    /// `s`, `MB` (10⁶ bytes), `MiB`, `×` for a ratio, `%` of a processor.
    unit: String,
    /// What it should not exceed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    at_most: Option<f64>,
}

impl Measure {
    pub(super) fn new(what: impl Into<String>, value: f64, unit: &str) -> Self {
        let (what, unit) = (what.into(), unit.to_owned());
        Self { benchmark: String::new(), what, value, unit, at_most: None }
    }

    /// The aim.
    pub(super) fn at_most(self, limit: f64) -> Self {
        Self { at_most: Some(limit), ..self }
    }

    #[cfg(test)]
    pub(super) fn value(&self) -> f64 {
        self.value
    }

    fn verdict(&self) -> String {
        let Some(limit) = self.at_most else { return String::new() };
        let unit = &self.unit;
        let missed_by = self.value - limit;
        if missed_by > 0.0 {
            format!("≤ {limit} {unit}, missed by {missed_by:.2} {unit}")
        } else {
            format!("≤ {limit} {unit}")
        }
    }
}

/// A run.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Results {
    #[serde(flatten)]
    origin: Origin,
    measures: Vec<Measure>,
    #[serde(skip)]
    file: PathBuf,
}

impl Results {
    /// Takes up the results of the same day, commit and machine, if there are any.
    pub(super) fn begin(session: &Session, now: SystemTime) -> Result<Self> {
        let origin = Origin::of(session, now)?;
        let file = session.root.join("bench/results").join(format!("{}.json", origin.name()));
        let earlier = fs::read(&file).ok().and_then(|text| serde_json::from_slice(&text).ok());
        let earlier = earlier.filter(|earlier: &Self| earlier.origin == origin);
        let measures = earlier.map_or_else(Vec::new, |earlier| earlier.measures);
        Ok(Self { origin, measures, file })
    }

    /// Puts these numbers in the place of the benchmark's earlier ones.
    pub(super) fn replace(&mut self, benchmark: &str, measures: Vec<Measure>) {
        self.measures.retain(|measure| measure.benchmark != benchmark);
        let named = measures.into_iter();
        let named = named.map(|measure| Measure { benchmark: benchmark.to_owned(), ..measure });
        self.measures.extend(named);
    }

    /// Writes the file and returns its path.
    pub(super) fn write(&self) -> Result<PathBuf> {
        let folder = self.file.parent().context("no folder for results")?;
        fs::create_dir_all(folder)?;
        let text = serde_json::to_string_pretty(self)? + "\n";
        fs::write(&self.file, text)
            .with_context(|| format!("cannot write `{}`", self.file.display()))?;
        Ok(self.file.clone())
    }
}

impl fmt::Display for Results {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{}", self.origin)?;
        let mut benchmark = "";
        for measure in &self.measures {
            if measure.benchmark != benchmark {
                benchmark = &measure.benchmark;
                writeln!(f, "\n{benchmark}")?;
            }
            let Measure { what, value, unit, .. } = measure;
            let line = format!("  {what:<56}{value:>10.2} {unit:<4} {}", measure.verdict());
            writeln!(f, "{}", line.trim_end())?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn results() -> Results {
        Results { origin: Origin::example(), measures: Vec::new(), file: PathBuf::new() }
    }

    #[test]
    fn a_missed_aim_says_by_how_much() {
        let mut results = results();
        results.replace("build", vec![Measure::new("nothing changed", 1.25, "s").at_most(1.0)]);
        let line = "  nothing changed                                               1.25 s    ≤ 1 s, \
                    missed by 0.25 s";
        assert!(results.to_string().lines().any(|it| it == line), "{results}");
    }

    #[test]
    fn a_benchmark_that_ran_again_replaces_its_own_numbers_only() {
        let mut results = results();
        results.replace("size", vec![Measure::new("tree", 700.0, "MB")]);
        results.replace("build", vec![Measure::new("cold", 200.0, "s")]);
        results.replace("build", vec![Measure::new("cold", 190.0, "s")]);
        let values: Vec<f64> = results.measures.iter().map(|measure| measure.value).collect();
        assert_eq!(values, [700.0, 190.0]);
    }

    #[test]
    fn results_survive_their_file() {
        let mut before = results();
        before.replace("size", vec![Measure::new("tree", 700.0, "MB").at_most(800.0)]);
        let text = serde_json::to_string(&before).unwrap();
        let after: Results = serde_json::from_str(&text).unwrap();
        assert_eq!(after.to_string(), before.to_string());
    }
}
