//! A plan as people and as programs read it.

use std::fmt;

use serde::{Serialize, Serializer};

use super::{ArrayPlan, BootOrder, DiskPlan, Make, PartPlan, Plan, Role, steps};
use crate::boot_entry::LABEL;
use crate::image::Signed;
use crate::settings::Change;

const MIB: u64 = 1 << 20;

impl fmt::Display for Plan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let image = &self.image;
        let signed = match image.signed {
            Signed::ByTrustedKey => "signed by a key that the installer trusts",
            Signed::NoKeyIsTrusted => "signed by nobody whom the installer knows",
        };
        writeln!(f, "{}, {signed}", image.title)?;
        writeln!(f, "  commit {} of {}", image.commit, image.branch)?;
        writeln!(f, "  from {}", image.origin)?;
        for disk in &self.disks {
            write!(f, "\n{disk}")?;
        }
        if !self.arrays.is_empty() {
            writeln!(f)?;
        }
        for array in &self.arrays {
            writeln!(f, "{array}")?;
        }
        if !self.arguments.is_empty() {
            writeln!(f, "\nkernel arguments: {}", self.arguments.join(" "))?;
        }
        let changes = &self.settings.changes;
        if !changes.is_empty() {
            writeln!(f, "\non the host:")?;
        }
        for change in changes {
            match change {
                Change::Folder { path, mode, .. } => writeln!(f, "  {mode:04o} {path}/")?,
                Change::File { path, mode, .. } => writeln!(f, "  {mode:04o} {path}")?,
                Change::Link { path, to } => writeln!(f, "  link {path} -> {to}")?,
            }
        }
        let units = &self.settings.units;
        for (verb, names) in [("enabled", &units.enable), ("disabled", &units.disable)] {
            if !names.is_empty() {
                writeln!(f, "  {verb}: {}", names.join(", "))?;
            }
        }
        for file in &self.unread {
            writeln!(f, "\nnot read, and not in this plan: `{file}`")?;
        }
        writeln!(f, "\nsteps:")?;
        for (number, step) in (1..).zip(steps(self)) {
            writeln!(f, "  {number:>2} {}", step.words(self))?;
        }
        match self.boot_order {
            BootOrder::First => {
                writeln!(f, "     then: boot entry `{LABEL}` first in the firmware's list")?;
            }
            BootOrder::Kept => writeln!(f, "     the firmware's list of boots stays as it is")?,
        }
        let Some(end) = self.end else { return Ok(()) };
        let eject = if end.eject { "eject, " } else { "" };
        writeln!(f, "     then: {eject}{}", format!("{:?}", end.action).to_lowercase())
    }
}

impl fmt::Display for DiskPlan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{}, sectors of {} bytes", self.what, self.sector)?;
        for part in &self.removed {
            let holds = part.holds.as_deref().unwrap_or("nothing that is known");
            let mib = part.extent.length / MIB;
            writeln!(f, "  removed: {} `{}`, {mib} MiB, {holds}", part.device, part.name)?;
        }
        if !self.keeps_table {
            writeln!(f, "  a new partition table")?;
        }
        for part in &self.parts {
            writeln!(f, "  {part}")?;
        }
        Ok(())
    }
}

/// `1 /boot/efi  at 1 MiB  1024 MiB  FAT32`.
impl fmt::Display for PartPlan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let role = if self.role == Role::Other { self.name.as_str() } else { self.role.name() };
        let (start, length) = (self.extent.start / MIB, self.extent.length / MIB);
        write!(f, "{:>2} {role:<10} at {start} MiB  {length} MiB  ", self.number)?;
        f.write_str(self.make.words())
    }
}

/// `/var on the array var, RAID1 of sda3, sdb1  ext4`.
impl fmt::Display for ArrayPlan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (level, members) = (self.level.name(), self.members.join(", "));
        write!(f, "{} on the array {}, {level} of {members}", self.role, self.name)?;
        if self.spares > 0 {
            write!(f, ", the last {} spare", self.spares)?;
        }
        write!(f, "  {}", self.make.words())
    }
}

impl Make {
    fn words(&self) -> &'static str {
        match self {
            Self::Keep => "kept as it is",
            Self::Fat => "FAT32",
            Self::Ext4 { .. } => "ext4",
            Self::Swap { .. } => "swap",
            Self::Member => "a member of an array",
        }
    }
}

/// For programs; secrets are in none of it.
impl Serialize for Plan {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        #[derive(Serialize)]
        struct Shown<'a> {
            image: &'a crate::image::About,
            disks: &'a [DiskPlan],
            arrays: &'a [ArrayPlan],
            kernel_arguments: &'a [String],
            changes: &'a [Change],
            units: &'a crate::settings::Units,
            steps: Vec<String>,
            boot_order: BootOrder,
            end: Option<basalt_kickstart::model::EndAction>,
            eject: bool,
            unread: &'a [String],
        }
        let shown = Shown {
            image: &self.image,
            disks: &self.disks,
            arrays: &self.arrays,
            kernel_arguments: &self.arguments,
            changes: &self.settings.changes,
            units: &self.settings.units,
            steps: steps(self).iter().map(|step| step.words(self)).collect(),
            boot_order: self.boot_order,
            end: self.end.map(|end| end.action),
            eject: self.end.is_some_and(|end| end.eject),
            unread: &self.unread,
        };
        shown.serialize(serializer)
    }
}
