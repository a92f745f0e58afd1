//! One run: its seed, its chances, what is told about it.

use std::collections::BTreeMap;
use std::io::Write;
use std::time::{Duration, Instant};

use serde_json::json;

/// What chance decides, and what came of it.
pub(crate) struct Run {
    name: &'static str,
    seed: u64,
    pub(crate) rng: fastrand::Rng,
    /// How many kills there shall be.
    pub(crate) kills: u32,
    began: Instant,
    killed: BTreeMap<&'static str, u32>,
    operations: u32,
    longest: Duration,
}

impl Run {
    /// `kills` in CI; the caller's number and seed where the environment names them.
    pub(crate) fn begin(name: &'static str, kills: u32) -> Self {
        let number = |key: &str| std::env::var(key).ok().map(|text| text.parse::<u64>().unwrap());
        let seed = number("BASALT_SEED").unwrap_or_else(|| fastrand::u64(..1_000_000_000));
        let kills = number("BASALT_KILLS").map_or(kills, |kills| u32::try_from(kills).unwrap());
        // Shown by a test that fails.
        eprintln!("{name}: {kills} kills of BASALT_SEED={seed}");
        Self {
            name,
            seed,
            rng: fastrand::Rng::with_seed(seed),
            kills,
            began: Instant::now(),
            killed: BTreeMap::new(),
            operations: 0,
            longest: Duration::ZERO,
        }
    }

    /// Waits a random part of this.
    pub(crate) fn pause(&mut self, at_most_ms: u64) {
        let pause = self.rng.u64(..=at_most_ms);
        std::thread::sleep(Duration::from_millis(pause));
    }

    /// This one was killed.
    pub(crate) fn note_kill(&mut self, number: u32, victim: &'static str) {
        eprintln!("{number}: {victim} at {:.1} s", self.began.elapsed().as_secs_f64());
        *self.killed.entry(victim).or_default() += 1;
    }

    /// Something was written.
    pub(crate) fn note_operation(&mut self, number: u32, what: &str) {
        eprintln!("{number}: {what}");
        self.operations += 1;
    }

    /// Everything was as it shall be so long after the kill.
    pub(crate) fn note_settled(&mut self, after: Duration) {
        self.longest = self.longest.max(after);
    }

    /// Tells of a run that went well.
    pub(crate) fn end(self) {
        let Some(path) = std::env::var_os("BASALT_KILLS_REPORT") else { return };
        let kills: u32 = self.killed.values().sum();
        let line = json!({
            "run": self.name,
            "seed": self.seed,
            "kills": kills,
            "killed": self.killed,
            "operations": self.operations,
            "longest_until_settled_s": (self.longest.as_secs_f64() * 100.0).round() / 100.0,
            "took_s": self.began.elapsed().as_secs(),
        });
        let file = std::fs::File::options().create(true).append(true).open(path);
        writeln!(file.unwrap(), "{line}").unwrap();
    }
}
