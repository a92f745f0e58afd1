//! The machine's firmware: OVMF, with or without Secure Boot.

use std::path::{Path, PathBuf};

use crate::VmError;

/// Where Debian's package `ovmf` puts its files.
const FOLDER: &str = "/usr/share/OVMF";
const PACKAGE: &str = "ovmf";

/// Which firmware a machine starts from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Firmware {
    /// UEFI that starts any loader.
    #[default]
    Plain,
    /// UEFI with Microsoft's keys that starts only what they signed. systemd-boot then takes no
    /// kernel arguments from outside.
    SecureBoot,
}

impl Firmware {
    /// The code, which is only read.
    pub(crate) fn code(self) -> Result<PathBuf, VmError> {
        installed(match self {
            Self::Plain => "OVMF_CODE_4M.fd",
            Self::SecureBoot => "OVMF_CODE_4M.secboot.fd",
        })
    }

    /// The variables of a new machine, of which each machine needs its own copy.
    pub(crate) fn variables(self) -> Result<PathBuf, VmError> {
        installed(match self {
            Self::Plain => "OVMF_VARS_4M.fd",
            Self::SecureBoot => "OVMF_VARS_4M.ms.fd",
        })
    }

    /// The arguments with which QEMU protects the variables. Without Secure Boot, a machine
    /// without system management mode starts sooner.
    pub(crate) fn arguments(self) -> &'static [&'static str] {
        // The 64-bit entry point of SMBIOS: the old one holds 64 KiB of strings.
        match self {
            Self::Plain => &["-machine", "q35,smm=off,smbios-entry-point-type=64"],
            Self::SecureBoot => &[
                "-machine",
                "q35,smm=on,smbios-entry-point-type=64",
                "-global",
                "driver=cfi.pflash01,property=secure,value=on",
            ],
        }
    }
}

fn installed(name: &str) -> Result<PathBuf, VmError> {
    present(Path::new(FOLDER).join(name))
}

fn present(path: PathBuf) -> Result<PathBuf, VmError> {
    if path.exists() { Ok(path) } else { Err(VmError::NotInstalled { path, package: PACKAGE }) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_missing_file_names_its_package() {
        let error = present("/nowhere/OVMF.fd".into()).unwrap_err().to_string();
        assert_eq!(error, "no `/nowhere/OVMF.fd`\nhint: install the package `ovmf`");
    }
}
