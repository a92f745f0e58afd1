//! The two places where an OS version can live, and how a boot says which one it uses.
//!
//! libostree calls this stable-link mode: the kernel argument `androidboot.slot_suffix=_a` makes
//! the initramfs follow the link `/ostree/root.a` to a deployment.

use std::fmt;
use std::str::FromStr;

/// The kernel argument that names a slot, as libostree's `ostree-prepare-root` reads it.
const SUFFIX_KEY: &str = "androidboot.slot_suffix=";

/// One of the two places for an OS version.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Slot {
    /// The slot that a fresh disk boots.
    A,
    /// The other one.
    B,
}

/// A text that names no slot.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is no slot; slots are `a` and `b`")]
pub struct UnknownSlot(pub String);

impl Slot {
    /// Both slots.
    pub const ALL: [Self; 2] = [Self::A, Self::B];

    /// The slot that this one is not.
    #[must_use]
    pub fn other(self) -> Self {
        match self {
            Self::A => Self::B,
            Self::B => Self::A,
        }
    }

    /// The value of the kernel argument: `_a` or `_b`.
    #[must_use]
    pub fn suffix(self) -> &'static str {
        match self {
            Self::A => "_a",
            Self::B => "_b",
        }
    }

    /// The link's name in the sysroot's `ostree` folder: `root.a` or `root.b`.
    #[must_use]
    pub fn link_name(self) -> &'static str {
        match self {
            Self::A => "root.a",
            Self::B => "root.b",
        }
    }

    /// The kernel argument that selects this slot: `androidboot.slot_suffix=_a`.
    #[must_use]
    pub fn argument(self) -> String {
        format!("{SUFFIX_KEY}{}", self.suffix())
    }

    /// The slot that a kernel command line selects; `None` when it names none or an unknown one.
    /// The first mention counts, as it does for libostree.
    #[must_use]
    pub fn from_cmdline(cmdline: &str) -> Option<Self> {
        let value =
            cmdline.split_ascii_whitespace().find_map(|arg| arg.strip_prefix(SUFFIX_KEY))?;
        Self::ALL.into_iter().find(|slot| slot.suffix() == value)
    }
}

impl fmt::Display for Slot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::A => "a",
            Self::B => "b",
        })
    }
}

impl FromStr for Slot {
    type Err = UnknownSlot;

    fn from_str(text: &str) -> Result<Self, UnknownSlot> {
        match text {
            "a" => Ok(Self::A),
            "b" => Ok(Self::B),
            _ => Err(UnknownSlot(text.to_owned())),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_line_names_the_slot() {
        let check = |cmdline: &str, expected| assert_eq!(Slot::from_cmdline(cmdline), expected);
        check("rw androidboot.slot_suffix=_a ostree quiet\n", Some(Slot::A));
        check("androidboot.slot_suffix=_b", Some(Slot::B));
        check("androidboot.slot_suffix=_b androidboot.slot_suffix=_a", Some(Slot::B));
        check("androidboot.slot_suffix=_c", None);
        check("androidboot.slot_suffix=a", None);
        check("xandroidboot.slot_suffix=_a", None);
        check("", None);
    }

    #[test]
    fn each_slot_reads_back_from_its_own_forms() {
        for slot in Slot::ALL {
            assert_eq!(slot.to_string().parse(), Ok(slot));
            assert_eq!(Slot::from_cmdline(&slot.argument()), Some(slot));
            assert_eq!(slot.other().other(), slot);
            assert_ne!(slot.other(), slot);
        }
    }

    #[test]
    fn slots_are_lower_case() {
        assert_eq!("A".parse::<Slot>(), Err(UnknownSlot("A".to_owned())));
    }
}
