//! Commands of Anaconda's that cannot be carried out here: each is an error where something would
//! be missing from the host that was asked for, and a warning where nothing would.

use crate::diagnostic::{Log, Severity};
use crate::lex::Word;
use crate::source::Span;

struct Kind {
    severity: Severity,
    names: &'static [&'static str],
    why: &'static str,
    instead: &'static str,
}

const fn error(names: &'static [&'static str], why: &'static str, instead: &'static str) -> Kind {
    Kind { severity: Severity::Error, names, why, instead }
}

const fn warning(names: &'static [&'static str], why: &'static str, instead: &'static str) -> Kind {
    Kind { severity: Severity::Warning, names, why, instead }
}

const IMAGE: &str = "add the packages to the image's definition and build it: `basalt build`";
const SOURCE: &str = "leave it away: the installer carries the system; or `ostreesetup` names an \
                      archive that `basalt publish` made";

const KINDS: &[Kind] = &[
    error(
        &["ostreecontainer", "bootc"],
        "the system comes from a signed archive of OSTree, and not from an image of a container",
        SOURCE,
    ),
    error(
        &["url", "nfs", "cdrom", "harddrive", "hmc", "liveimg", "method"],
        "the system is one image, and not installed from packages",
        SOURCE,
    ),
    error(&["repo", "module"], "no packages are installed: the system is one image", IMAGE),
    error(
        &["authselect", "auth", "authconfig"],
        "who logs in how is a part of the image",
        "users come by `user` and `sshkey`; more, as PAM, by files in the image",
    ),
    error(&["realm"], "a host joins no domain of Kerberos", "`%addon basalt` enrols it"),
    error(
        &["volgroup", "logvol", "snapshot"],
        "there is no LVM here",
        "make `/` and `/var` of plain partitions, or mirror `/var` with `raid`",
    ),
    error(
        &["btrfs", "stratispool", "stratisfs"],
        "file systems are ext4 here",
        "make `/` and `/var` of plain partitions, or mirror `/var` with `raid`",
    ),
    error(
        &["mount"],
        "a layout that is there is not taken as it is",
        "keep one partition with `part /var --onpart=… --noformat`",
    ),
    error(
        &["iscsi", "iscsiname", "fcoe", "nvdimm", "zfcp", "dmraid", "multipath"],
        "a host is installed to a disk of its own",
        "leave it away, and name a local disk",
    ),
    error(
        &["driverdisk"],
        "drivers come with the image",
        "add them in `[kernel]` of the image's definition",
    ),
    error(
        &["rescue"],
        "this installs, and does not look after a host that is there",
        "boot the live system without a kickstart",
    ),
    warning(
        &["vnc", "rdp"],
        "the installer has no desktop",
        "it shows itself on every console, also a serial one",
    ),
    warning(
        &["sshpw"],
        "nobody comes into the installer by ssh with a password",
        "it shows itself on every console; `logging --host=` sends its log",
    ),
    warning(&["skipx", "xconfig"], "a host has no desktop", "leave it away"),
    warning(&["rhsm", "syspurpose"], "nothing here needs a subscription", "leave it away"),
    warning(&["zipl"], "there is no zipl: a host boots by UEFI", "leave it away"),
    warning(
        &["mediacheck"],
        "what is installed is verified anyway, while it is written",
        "leave it away",
    ),
    warning(
        &["install", "autostep", "device", "deviceprobe"],
        "it does nothing in Anaconda any more, either",
        "leave it away",
    ),
    error(
        &[
            "interactive",
            "upgrade",
            "key",
            "langsupport",
            "mouse",
            "monitor",
            "lilo",
            "lilocheck",
            "unsupported_hardware",
        ],
        "Anaconda has removed it",
        "leave it away",
    ),
];

/// Tells why a command cannot be carried out. `false`: it is none of these.
pub(super) fn tell(name: &Word, line: Span, log: &mut Log) -> bool {
    let Some(kind) = KINDS.iter().find(|kind| kind.names.contains(&name.text.as_str())) else {
        return false;
    };
    match kind.severity {
        Severity::Error => {
            let message = format!("`{}` cannot be carried out: {}", name.text, kind.why);
            log.error(line, message, kind.instead);
        }
        Severity::Warning => {
            let message = format!("`{}` has no effect: {}", name.text, kind.why);
            log.warning(line, message, kind.instead);
        }
    }
    true
}

pub(super) fn names() -> impl Iterator<Item = &'static str> {
    KINDS.iter().flat_map(|kind| kind.names).copied()
}
