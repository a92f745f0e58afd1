//! Sizes as people write them: `512MiB`, `1GiB`.

use std::fmt;

use serde::{Serialize, Serializer};

const UNITS: [(&str, u32); 3] = [("MiB", 20), ("GiB", 30), ("TiB", 40)];

/// A whole number of MiB.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Size(u64);

impl Size {
    /// Reads a size.
    ///
    /// # Errors
    /// What is wrong, and a hint.
    pub fn parse(text: &str) -> Result<Self, (String, &'static str)> {
        let wrong = || {
            let hint = "write a number and one of `MiB`, `GiB`, `TiB`, as `512MiB` or `4GiB`";
            (format!("`{text}` is no size"), hint)
        };
        let (digits, shift) = UNITS
            .iter()
            .find_map(|(unit, shift)| Some((text.strip_suffix(unit)?, *shift)))
            .ok_or_else(wrong)?;
        let number: u64 = digits.trim_end().parse().map_err(|_| wrong())?;
        let bytes = number.checked_shl(shift).filter(|bytes| bytes >> shift == number);
        bytes.map(Self).ok_or_else(|| {
            let hint = "write the size of a disk, as `12GiB` or `2TiB`";
            (format!("`{text}` is larger than any disk"), hint)
        })
    }

    /// The size in bytes.
    #[must_use]
    pub fn bytes(self) -> u64 {
        self.0
    }
}

impl fmt::Display for Size {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let unit = UNITS
            .iter()
            .rev()
            .find(|(_, shift)| self.0 >= 1 << shift && self.0.trailing_zeros() >= *shift);
        let (unit, shift) = unit.unwrap_or(&UNITS[0]);
        write!(f, "{}{unit}", self.0 >> shift)
    }
}

impl Serialize for Size {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}
