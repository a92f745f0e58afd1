//! What a virtual machine may say.

use super::{Found, is_path, is_sha256};
use crate::workload::{Resources, Vm, VmDisk};

/// What libvirt's q35 machines take at most without further devices.
const MAX_VCPUS: u32 = 512;
/// Bytes of user-data; NoCloud has no limit of its own, and a set must stay small.
const MAX_USER_DATA: usize = 64 << 10;

impl Found {
    pub(super) fn vm(&mut self, vm: &Vm, resources: &Resources) {
        let whole = resources.cpus.map(crate::workload::Cpus::as_whole);
        if whole.is_some_and(|cpus| cpus.is_none_or(|cpus| cpus > MAX_VCPUS)) {
            let message = format!("a virtual machine has whole processors, at most {MAX_VCPUS}");
            self.add("resources.cpus", &message, "");
        }
        if resources.memory_mib.is_none() {
            let message = "a virtual machine must say how much memory it has";
            self.add("resources.memory_mib", message, "");
        }
        self.disk(&vm.disk);
        if vm.user_data.as_ref().is_some_and(|data| data.len() > MAX_USER_DATA) {
            let message = format!("at most {MAX_USER_DATA} bytes");
            self.add("vm.user_data", &message, "let cloud-init include a URL");
        }
        if vm.user_data.is_some() && vm.user_data_secret.is_some() {
            self.add("vm.user_data_secret", "there is `user_data` already", "");
        }
        self.grace("vm.stop_grace_s", vm.stop_grace_s);
    }

    fn disk(&mut self, disk: &VmDisk) {
        if disk.url.is_some() == disk.file.is_some() {
            self.add("vm.disk", "either `url` or `file` says where the image is", "");
        }
        if disk.url.as_ref().is_some_and(|url| !is_url(url)) {
            self.add("vm.disk.url", "this is no `http://` or `https://` URL", "");
        }
        if disk.file.as_ref().is_some_and(|file| !is_path(file)) {
            self.add("vm.disk.file", "this is no absolute path without `..`", "");
        }
        if !is_sha256(&disk.sha256) {
            self.add("vm.disk.sha256", "this is no SHA-256", "64 lower-case hex digits");
        }
        if disk.size_gib.is_some_and(|size| !(1..=65_536).contains(&size)) {
            self.add("vm.disk.size_gib", "1 GiB to 64 TiB", "");
        }
    }
}

/// Whether it looks like one; whoever fetches it parses it in earnest.
fn is_url(text: &str) -> bool {
    let rest = text.strip_prefix("https://").or_else(|| text.strip_prefix("http://"));
    text.len() <= 2048
        && text.bytes().all(|c| c.is_ascii_graphic())
        && rest.is_some_and(|rest| rest.split('/').next().is_some_and(|host| !host.is_empty()))
}
