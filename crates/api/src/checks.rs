//! What the image and the operator let a boot be checked by, and what failed of it.

use serde::{Deserialize, Serialize};

/// Where it is written down which checks of this boot failed: a list of [`FailedCheck`].
pub const FILE: &str = "/run/basalt-checks/failed.json";

/// What a check that fails means.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Weight {
    /// The boot has not proved itself.
    Required,
    /// It is told, and stops nothing.
    Wanted,
}

/// A check that failed in this boot.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FailedCheck {
    /// Its file, as `/usr/lib/basalt/required.d/10-disk`.
    pub path: String,
    /// What that means.
    pub weight: Weight,
    /// How it ended, as `exit code 3`.
    pub how: String,
    /// The last lines that it said.
    #[serde(default)]
    pub lines: Vec<String>,
}
