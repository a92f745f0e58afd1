//! What a workload may take.

use std::borrow::Cow;
use std::fmt;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Serialize};

use super::is_default;

/// What a workload may take, and what placement sets aside for it.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Resources {
    /// Processors, as 0.5 or 2; for a virtual machine, a whole number. Without it a container is
    /// not limited and nothing is set aside
    #[serde(default, skip_serializing_if = "is_default")]
    pub cpus: Option<Cpus>,
    /// Memory in MiB. A container that wants more is killed. A virtual machine must say it
    #[serde(default, skip_serializing_if = "is_default")]
    pub memory_mib: Option<u64>,
}

/// Processors, in thousandths. Written as a number with up to three decimals.
#[derive(
    Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
#[serde(try_from = "f64", into = "f64")]
pub struct Cpus {
    milli: u32,
}

impl Cpus {
    /// So many whole processors.
    #[must_use]
    pub fn whole(number: u32) -> Self {
        Self { milli: number.saturating_mul(1000) }
    }

    /// So many thousandths.
    #[must_use]
    pub fn from_milli(milli: u32) -> Self {
        Self { milli }
    }

    /// Thousandths of a processor.
    #[must_use]
    pub fn milli(self) -> u32 {
        self.milli
    }

    /// The whole number, where it is one.
    #[must_use]
    pub fn as_whole(self) -> Option<u32> {
        self.milli.is_multiple_of(1000).then_some(self.milli / 1000)
    }
}

impl TryFrom<f64> for Cpus {
    type Error = String;

    fn try_from(number: f64) -> Result<Self, String> {
        let milli = (number * 1000.0).round();
        if !(1.0..=4_096_000.0).contains(&milli) || (number * 1000.0 - milli).abs() > 1e-6 {
            return Err(format!("{number} processors: from 0.001 to 4096, in steps of 0.001"));
        }
        #[expect(clippy::cast_possible_truncation, reason = "in range, see above")]
        #[expect(clippy::cast_sign_loss, reason = "in range, see above")]
        Ok(Self { milli: milli as u32 })
    }
}

impl From<Cpus> for f64 {
    fn from(cpus: Cpus) -> Self {
        Self::from(cpus.milli) / 1000.0
    }
}

impl fmt::Display for Cpus {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f64::from(*self).fmt(f)
    }
}

impl JsonSchema for Cpus {
    fn schema_name() -> Cow<'static, str> {
        "Cpus".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": "number", "minimum": 0.001, "maximum": 4096 })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn processors_are_numbers_of_thousandths() {
        let read = |text: &str| serde_json::from_str::<Cpus>(text).map(Cpus::milli).ok();
        assert_eq!(read("0.5"), Some(500));
        assert_eq!(read("2"), Some(2000));
        assert_eq!(read("0.001"), Some(1));
        for bad in ["0", "-1", "0.0001", "1.00005", "5000", "1e300"] {
            assert_eq!(read(bad), None, "{bad}");
        }
        assert_eq!(serde_json::to_string(&Cpus::from_milli(1500)).unwrap(), "1.5");
    }
}
