//! The same kickstarts, read by us and by pykickstart, the reference of the language.
//!
//! `corpus/good-*` both take, and say the same; `bad-*` both refuse. The other differences are on
//! purpose: [`OURS`] and [`THEIRS`] say which, and why.

mod said;

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use basalt_cmd::Cmd;
use basalt_kickstart::{NotRead, Parsed, Severity, parse};
use serde_json::Value;

/// What pykickstart takes and we refuse, and a part of the reason that we give.
const OURS: &[(&str, &str)] = &[
    ("addon", "no addon `com_redhat_oscap` here"),
    ("address-that-is-none", "this is no address"),
    ("address-with-dhcp", "an address by hand and by DHCP"),
    ("authselect", "who logs in how is a part of the image"),
    ("autopart-lvm", "there is no lvm here"),
    ("boot", "kernels lie on the EFI partition"),
    ("certificate-in-usr", "a host can be written to in /etc alone"),
    ("cdrom", "the system is one image"),
    ("clear-all-and-none", "contradict each other"),
    ("clear-what-is-kept", "`clearpart` removes the partition `sda3`"),
    ("drives-alternatives", "one disk is meant, and not whichever of several is there"),
    ("encrypted", "disks are not encrypted here yet"),
    ("existing-array", "an array that is there is not used again"),
    ("firstboot-nothing", "`firstboot` says nothing"),
    ("home", "`/home` lies in `/var/home`"),
    ("join-in-arguments", "everybody can read the kernel's arguments"),
    ("lang-again", "for the second time"),
    ("lvm", "there is no LVM here"),
    ("module", "no packages are installed"),
    ("msdos", "disks have a GPT here"),
    ("no-layout", "nothing says where the system goes"),
    ("noformat-of-a-new-one", "a new partition has nothing to keep"),
    ("no-root", "there is no partition for `/`"),
    ("no-size", "it has no size"),
    ("nogpg", "a host takes nothing that is not signed"),
    ("ondisk-ignored", "`ignoredisk` leaves the disk `sda` alone"),
    ("ondisk-partition", "a partition and no disk"),
    ("option-twice", "`--timeout` is given twice"),
    ("ostreecontainer", "a signed archive of OSTree"),
    ("packages", "2 packages or groups would be missing"),
    ("port", "this is no port"),
    ("raid-one-member", "RAID1 needs 2 members, and has 1"),
    ("raid-root", "firmware and loader read no array"),
    ("raid-unknown-member", "there is no partition `raid.2`"),
    ("reboot-and-poweroff", "contradicts what stands before"),
    ("repo", "no packages are installed"),
    ("resize", "is not made larger or smaller"),
    ("rootpw-no-hash", "this is no hash of a password"),
    ("selinux-nothing", "`selinux` says nothing"),
    ("services-again", "Anaconda would forget what stood before"),
    ("services-both", "it is enabled and disabled"),
    ("size-negative", "`--size` takes a number"),
    ("size-underscore", "`--size` takes a number"),
    ("maxsize", "it cannot have 20 MiB and at most 10"),
    ("sshkey-of-nobody", "there is no user `ghost`"),
    ("sshkey-secret", "this is not a public key of SSH"),
    ("static-without-address", "`--bootproto=static` needs `--ip=`"),
    ("team", "there is no team here"),
    ("time-zone", "there is no time zone `Europe/Berln`"),
    ("url", "the system is one image"),
    ("user-twice", "there is a user `a` already"),
    ("var-twice", "there is something for `/var` already"),
    ("vlan-number", "`--vlanid` takes a number from 1 to 4094"),
    ("wireless", "there is no wireless network"),
    ("xfs", "xfs cannot be made here"),
];

/// What we take and pykickstart does not, and why.
const THEIRS: &[(&str, &str)] = &[
    ("byte-order-mark", "it is no letter, and editors write it without a word"),
    ("form-feed", "Python ends a line, and so a comment, at a form feed"),
    ("hostname", "who writes it can mean but one thing; a warning says what Anaconda knows"),
];

/// Its version, as `pykickstart==3.78 --hash=…`; `cargo xtask setup` installs it by that.
const REQUIREMENT: &str = include_str!("../reference/pykickstart.txt");

/// Where `cargo xtask setup` has installed it.
fn python() -> Option<PathBuf> {
    let version = REQUIREMENT.split_whitespace().next()?.replace("==", "-");
    let set = std::env::var_os("XDG_CACHE_HOME").map(PathBuf::from).filter(|it| it.is_absolute());
    let cache = set.or_else(|| std::env::home_dir().map(|home| home.join(".cache")))?;
    let python = cache.join("basalt/tools").join(version).join("bin/python3");
    python.exists().then_some(python)
}

/// What pykickstart makes of each file: `said`, or `refused`.
fn theirs(folder: &Path) -> Option<BTreeMap<String, Value>> {
    let Some(python) = python() else {
        let why = "this test needs pykickstart, which `cargo xtask setup` installs";
        assert!(std::env::var_os("BASALT_NO_SKIP").is_none(), "{why}");
        eprintln!("skipped: {why}");
        return None;
    };
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/reference/read.py");
    let output = Cmd::new(python)
        // Writes nothing beside the script.
        .args(["-B", script])
        .arg(folder)
        .output_cap(16 << 20)
        .run()
        .expect("pykickstart reads them");
    Some(serde_json::from_slice(&output.stdout).expect("the script prints JSON"))
}

fn ours(path: &Path) -> Parsed {
    let text = fs::read_to_string(path).expect("a text");
    parse(&path.display().to_string(), &text, &mut |_| Err(NotRead::Missing("gone".to_owned())))
}

/// What is wrong between the two, in words; nothing where all is as it shall be.
fn compare(kind: &str, name: &str, parsed: &Parsed, theirs: &Value) -> Option<String> {
    let errors = parsed.diagnostics.iter().filter(|it| it.severity == Severity::Error);
    let errors: Vec<&str> = errors.map(|it| it.message.as_str()).collect();
    let (we_take, they_take) = (parsed.is_good(), theirs.get("said").is_some());
    let listed = |table: &[(&'static str, &'static str)]| {
        table.iter().find(|(listed, _)| *listed == name).map(|(_, why)| *why)
    };
    let expected = match kind {
        "good" => we_take && they_take,
        "bad" => !we_take && !they_take,
        "ours" => {
            let why = listed(OURS)?;
            they_take && !we_take && errors.iter().any(|error| error.contains(why))
        }
        _ => we_take && !they_take && listed(THEIRS).is_some(),
    };
    if !expected {
        return Some(format!("we say {errors:?}, they say {theirs}"));
    }
    let theirs = theirs.get("said").filter(|_| we_take)?;
    let ours = said::of(&parsed.kickstart);
    let keys = theirs.as_object()?.keys();
    let other: Vec<String> = keys
        .filter(|key| ours[key.as_str()] != theirs[key.as_str()])
        .map(|key| format!("{key}: we read {}, they {}", ours[key.as_str()], theirs[key.as_str()]))
        .collect();
    (!other.is_empty()).then(|| other.join("\n    "))
}

#[test]
fn what_pykickstart_reads_we_read_as_the_same_and_what_it_refuses_we_refuse() {
    let folder = Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/corpus"));
    let Some(theirs) = theirs(folder) else { return };
    assert!(theirs.len() >= 100, "the corpus is there");
    let mut wrong = Vec::new();
    let mut counted = BTreeMap::new();
    for (file, theirs) in &theirs {
        let (kind, name) = file.trim_end_matches(".ks").split_once('-').expect("kind-name.ks");
        *counted.entry(kind).or_insert(0) += 1;
        let difference = compare(kind, name, &ours(&folder.join(file)), theirs);
        wrong.extend(difference.map(|it| format!("{file}: {it}")));
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n\n"));
    // Each line of the tables is about a file, and each such file stands in them.
    assert_eq!((counted["ours"], counted["theirs"]), (OURS.len(), THEIRS.len()));
}
