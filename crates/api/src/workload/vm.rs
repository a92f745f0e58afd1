//! Virtual machines.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::is_default;
use crate::id::Name;

/// A virtual machine. Its processors and memory stand in `resources`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Vm {
    /// What it boots from
    pub disk: VmDisk,
    /// What starts it
    #[serde(default, skip_serializing_if = "is_default")]
    pub firmware: Firmware,
    /// Its network card
    #[serde(default, skip_serializing_if = "is_default")]
    pub network: VmNetwork,
    /// cloud-init's user-data, by NoCloud; readable by whoever may look at the workload
    #[serde(default, skip_serializing_if = "is_default")]
    pub user_data: Option<String>,
    /// A secret that holds user-data
    #[serde(default, skip_serializing_if = "is_default")]
    pub user_data_secret: Option<Name>,
    /// Seconds between asking it to shut down and switching it off [default: 120]
    #[serde(default, skip_serializing_if = "is_default")]
    pub stop_grace_s: Option<u32>,
}

/// What a virtual machine boots from: an image, which is fetched and verified once, and an overlay
/// of the machine's own that takes what it writes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct VmDisk {
    /// Where the image is: `https://…` or `http://…`
    #[serde(default, skip_serializing_if = "is_default")]
    pub url: Option<String>,
    /// Or a file of the host; its policy must allow it
    #[serde(default, skip_serializing_if = "is_default")]
    pub file: Option<String>,
    /// SHA-256 of the image, 64 hex digits
    pub sha256: String,
    /// Its format; never guessed
    pub format: DiskFormat,
    /// Size of the machine's disk in GiB [default: the image's own]
    #[serde(default, skip_serializing_if = "is_default")]
    pub size_gib: Option<u32>,
}

/// The format of a disk image.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum DiskFormat {
    /// QEMU's; without a backing or data file
    Qcow2,
    /// The bare bytes
    Raw,
}

/// What starts a virtual machine.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Firmware {
    /// UEFI
    #[default]
    Uefi,
    /// A PC's BIOS
    Bios,
}

/// The network card of a virtual machine.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum VmNetwork {
    /// A network of the host's guests, behind its address
    #[default]
    Nat,
    /// None
    None,
}

impl DiskFormat {
    /// The word for it, which is qemu-img's too.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Qcow2 => "qcow2",
            Self::Raw => "raw",
        }
    }
}
