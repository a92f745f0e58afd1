//! What a machine has beside its processor and memory.

use basalt_api::virt::Machine;
use basalt_api::workload::VmNetwork;

use super::{Files, Hypervisor, text};

pub(super) fn lines(machine: &Machine, files: &Files, hypervisor: Hypervisor) -> Vec<String> {
    let mut lines = disk(machine, files);
    if let Some(seed) = &files.seed {
        lines.push("<disk type='file' device='disk'>".to_owned());
        lines.push("  <driver name='qemu' type='raw'/>".to_owned());
        lines.push(format!("  <source file='{}'/>", text(seed)));
        lines.push("  <target dev='vdb' bus='virtio'/>".to_owned());
        lines.push("  <readonly/>".to_owned());
        lines.push("</disk>".to_owned());
    }
    if machine.vm.network == VmNetwork::Nat {
        lines.push("<interface type='network'>".to_owned());
        lines.push("  <source network='default'/>".to_owned());
        lines.push("  <model type='virtio'/>".to_owned());
        lines.push("</interface>".to_owned());
    }
    // A terminal that nobody has opened loses nothing: all of it goes to the log as well.
    lines.push("<serial type='pty'>".to_owned());
    lines.push(format!("  <log file='{}' append='on'/>", text(&files.serial)));
    lines.push("  <target port='0'/>".to_owned());
    lines.push("</serial>".to_owned());
    lines.push("<console type='pty'><target type='serial' port='0'/></console>".to_owned());
    if hypervisor != Hypervisor::Test {
        lines.push(
            "<rng model='virtio'><backend model='random'>/dev/urandom</backend></rng>".into(),
        );
        lines.push("<controller type='usb' model='none'/>".to_owned());
        lines.push("<memballoon model='virtio'/>".to_owned());
    }
    lines
}

fn disk(machine: &Machine, files: &Files) -> Vec<String> {
    let format = machine.vm.disk.format.as_str();
    vec![
        "<disk type='file' device='disk'>".to_owned(),
        "  <driver name='qemu' type='qcow2' discard='unmap'/>".to_owned(),
        format!("  <source file='{}'/>", text(&files.disk)),
        // Said, so that nobody guesses a format from bytes that a guest wrote.
        "  <backingStore type='file'>".to_owned(),
        format!("    <format type='{format}'/>"),
        // Shared by machines: it stays root's, so that a QEMU that was taken over cannot write it.
        format!("    <source file='{}'>", text(&files.image)),
        "      <seclabel model='dac' relabel='no'/>".to_owned(),
        "    </source>".to_owned(),
        "    <backingStore/>".to_owned(),
        "  </backingStore>".to_owned(),
        "  <target dev='vda' bus='virtio'/>".to_owned(),
        "  <boot order='1'/>".to_owned(),
        "</disk>".to_owned(),
    ]
}
