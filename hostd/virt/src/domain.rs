//! A machine as libvirt's XML. Pure; what comes out stands in `golden/`.

mod devices;

use std::path::{Path, PathBuf};

use basalt_api::virt::{Accel, Machine, machine};
use basalt_api::workload::Firmware;

use crate::mark::Mark;
use crate::xml::escape;

/// What runs a domain, which says what it can have.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Hypervisor {
    /// QEMU with the processor's help.
    Kvm,
    /// QEMU, which emulates the processor.
    Tcg,
    /// libvirt's own driver that runs nothing, for those who try something out.
    Test,
}

/// The files that a machine is made of.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Files {
    /// What it writes to.
    pub(crate) disk: PathBuf,
    /// What is under that, read by others too.
    pub(crate) image: PathBuf,
    /// What its guest is told at its first start.
    pub(crate) seed: Option<PathBuf>,
    /// What its guest says.
    pub(crate) serial: PathBuf,
    /// What its firmware remembers.
    pub(crate) nvram: PathBuf,
}

impl Hypervisor {
    /// What serves a connection whose driver calls itself so; `accel` must not be left open.
    pub(crate) fn of(driver: &str, accel: Accel) -> Self {
        match (driver, accel) {
            ("Test" | "TEST", _) => Self::Test,
            (_, Accel::Kvm) => Self::Kvm,
            (_, Accel::Auto | Accel::Tcg) => Self::Tcg,
        }
    }

    fn domain_type(self) -> &'static str {
        match self {
            Self::Kvm => "kvm",
            Self::Tcg => "qemu",
            Self::Test => "test",
        }
    }
}

impl Files {
    pub(crate) fn of(
        state: &Path,
        image: PathBuf,
        seed: Option<PathBuf>,
        wanted: &Machine,
    ) -> Self {
        let folder = machine(state, wanted.uid);
        Self {
            disk: folder.join("disk.qcow2"),
            image,
            seed,
            serial: basalt_api::virt::serial_log(state, wanted.uid),
            nvram: folder.join("nvram.fd"),
        }
    }
}

/// The name that people see: the workload's, and enough of its id to tell two of one name apart
/// while one replaces the other.
pub(crate) fn name(machine: &Machine) -> String {
    format!("{}-{:.8}", machine.name, machine.uid.to_string())
}

/// The domain's XML.
pub(crate) fn xml(machine: &Machine, files: &Files, hypervisor: Hypervisor) -> String {
    let mut out = String::new();
    let mut line = |text: &str| {
        out.push_str(text);
        out.push('\n');
    };
    line(&format!("<domain type='{}'>", hypervisor.domain_type()));
    line(&format!("  <name>{}</name>", name(machine)));
    line(&format!("  <uuid>{}</uuid>", machine.uid));
    line(&format!("  <metadata>\n    {}\n  </metadata>", Mark::of(machine)));
    line(&format!("  <memory unit='MiB'>{}</memory>", machine.memory_mib));
    line(&format!("  <vcpu>{}</vcpu>", machine.vcpus));
    for text in os(machine.vm.firmware, files, hypervisor) {
        line(&text);
    }
    line("  <features><acpi/><apic/></features>");
    match hypervisor {
        // Nothing is ever migrated, so a guest may see all that its processor can.
        Hypervisor::Kvm => line("  <cpu mode='host-passthrough' check='none'/>"),
        Hypervisor::Tcg => line("  <cpu mode='maximum' check='none'/>"),
        Hypervisor::Test => (),
    }
    line("  <clock offset='utc'>");
    line("    <timer name='rtc' tickpolicy='catchup'/>");
    line("    <timer name='pit' tickpolicy='delay'/>");
    line("    <timer name='hpet' present='no'/>");
    line("  </clock>");
    line("  <on_poweroff>destroy</on_poweroff>");
    line("  <on_reboot>restart</on_reboot>");
    line("  <on_crash>destroy</on_crash>");
    line("  <devices>");
    for text in devices::lines(machine, files, hypervisor) {
        line(&format!("    {text}"));
    }
    line("  </devices>");
    line("</domain>");
    out
}

fn os(firmware: Firmware, files: &Files, hypervisor: Hypervisor) -> Vec<String> {
    // libvirt's test driver knows no machine types.
    let machine = match hypervisor {
        Hypervisor::Test => "",
        Hypervisor::Kvm | Hypervisor::Tcg => " arch='x86_64' machine='q35'",
    };
    let kind = format!("    <type{machine}>hvm</type>");
    let close = "  </os>".to_owned();
    match firmware {
        Firmware::Bios => vec!["  <os>".to_owned(), kind, close],
        // libvirt finds the firmware's files by the descriptions that come with them. Secure Boot
        // is off: nobody asked which keys a guest trusts.
        Firmware::Uefi => vec![
            "  <os firmware='efi'>".to_owned(),
            kind,
            "    <firmware><feature enabled='no' name='secure-boot'/></firmware>".to_owned(),
            format!("    <nvram>{}</nvram>", text(&files.nvram)),
            close,
        ],
    }
}

fn text(path: &Path) -> String {
    escape(&path.to_string_lossy()).into_owned()
}

#[cfg(test)]
mod tests;
