//! Whether the processor executes guests' instructions itself.

use std::fs::{self, File};

use basalt_api::virt::Accel;

/// What was meant by `wanted` on this host: never [`Accel::Auto`].
pub(crate) fn resolve(wanted: Accel) -> Accel {
    if wanted != Accel::Auto {
        return wanted;
    }
    let opens = File::options().read(true).write(true).open("/dev/kvm").is_ok();
    let cpuinfo = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    decide(opens, &cpuinfo)
}

/// Both must be: a sandbox may have a `/dev/kvm` on a processor that has nothing for it, and a
/// guest there hangs without a word.
fn decide(kvm_opens: bool, cpuinfo: &str) -> Accel {
    let flags = cpuinfo.lines().filter(|line| line.starts_with("flags"));
    let has = |line: &str| line.split_whitespace().any(|flag| flag == "vmx" || flag == "svm");
    if kvm_opens && flags.into_iter().any(has) { Accel::Kvm } else { Accel::Tcg }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_the_device_and_the_processor_must_be_there() {
        let intel = "processor\t: 0\nflags\t\t: fpu vmx sse\n";
        let plain = "model name\t: svm\nflags\t\t: fpu vmxoff sse\n";
        assert_eq!(decide(true, intel), Accel::Kvm);
        assert_eq!(decide(true, &intel.replace("vmx", "svm")), Accel::Kvm);
        assert_eq!(decide(false, intel), Accel::Tcg);
        assert_eq!(decide(true, plain), Accel::Tcg);
    }
}
