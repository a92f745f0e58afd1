//! Real disks of 200 MiB, looked at with the tools that others use.

use std::cell::RefCell;
use std::fs;
use std::io;
use std::os::unix::fs::{MetadataExt, PermissionsExt, chown, symlink};

use basalt_cmd::Cmd;
use basalt_sysroot::partition::Extent;
use rustix::fs::XattrFlags;
use tempfile::TempDir;

use super::*;

const MIB: u64 = 1 << 20;
const DEPLOYMENT: &str = "ostree/deploy/basalt/deploy/0123abcd.0";

/// A folder with a tree, a sysroot made of it, and room for disks.
struct Bench(TempDir);

impl Bench {
    fn new() -> Self {
        let bench = Self(tempfile::tempdir().unwrap());
        for (file, content) in [
            ("usr/lib/shim/shimx64.efi.signed", b"shim".to_vec()),
            ("usr/lib/shim/mmx64.efi.signed", b"mok".to_vec()),
            ("usr/lib/systemd/boot/efi/systemd-bootx64.efi.signed", b"loader".to_vec()),
            ("usr/lib/modules/6.12/vmlinuz", vec![b'k'; 3_000_001]),
            ("usr/lib/modules/6.12/initramfs.img", vec![b'i'; 5_000_000]),
            ("usr/lib/modules/6.12/modules.dep", Vec::new()),
        ] {
            bench.put(&format!("sysroot/{DEPLOYMENT}/{file}"), &content);
        }
        bench
    }

    fn path(&self, inside: &str) -> PathBuf {
        self.0.path().join(inside)
    }

    fn put(&self, inside: &str, content: &[u8]) -> PathBuf {
        let path = self.path(inside);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, content).unwrap();
        path
    }

    fn tree(&self) -> PathBuf {
        self.path("sysroot").join(DEPLOYMENT)
    }

    fn plan(&self) -> DiskPlan {
        let first = FirstEntry {
            title: "Basalt 1 (base)".to_owned(),
            arguments: vec!["panic=10".to_owned()],
            own: Vec::new(),
        };
        DiskPlan {
            sizes: Sizes { disk: 200 * MIB, esp: 64 * MIB, root: 64 * MIB },
            sector: SectorSize::B512,
            sysroot: self.path("sysroot"),
            esp_files: EspFiles::gather(&self.tree(), &first).unwrap(),
        }
    }

    fn assemble(&self, plan: &DiskPlan, name: &str) -> DiskReport {
        assemble(plan, &self.path(name), &|_| ()).unwrap()
    }

    fn refuse(&self, plan: &DiskPlan) -> String {
        let to = self.path("refused.raw");
        let error = assemble(plan, &to, &|_| ()).unwrap_err();
        assert!(!to.exists(), "half a disk was left behind");
        basalt_explain::explain(&error.into())
    }

    /// One partition of a disk, cut out into a file of its own.
    fn cut(&self, disk: &str, extent: Extent) -> PathBuf {
        let to = self.path(&format!("{disk}.{}", extent.start));
        let range = format!("skip={},count={}", extent.start, extent.length);
        let (skip, count) = range.split_once(',').unwrap();
        let flags = ["iflag=skip_bytes,count_bytes", "bs=1M", "conv=sparse", "status=none"];
        let files = [format!("if={}", self.path(disk).display()), format!("of={}", to.display())];
        Cmd::new("dd").args(files).args([skip, count]).args(flags).run().unwrap();
        to
    }

    fn debugfs(&self, root: &Path, command: &str) -> String {
        tool("debugfs").args(["-R", command]).arg(root).run().unwrap().stdout_text()
    }
}

fn tool(name: &str) -> Cmd {
    let path = std::env::var("PATH").unwrap_or_default();
    Cmd::new(name).env("PATH", format!("{path}:/usr/sbin")).env("LC_ALL", "C")
}

fn layout(plan: &DiskPlan) -> Layout {
    Layout::new(&plan.sizes, plan.sector).unwrap()
}

#[test]
fn the_partition_table_is_whole_and_names_what_is_there() {
    let bench = Bench::new();
    let report = bench.assemble(&bench.plan(), "disk.raw");
    let disk = bench.path("disk.raw");
    let verdict = tool("sgdisk").arg("-v").arg(&disk).run().unwrap().stdout_text();
    assert!(verdict.contains("No problems found"), "{verdict}");
    assert!(!verdict.to_lowercase().contains("caution"), "{verdict}");
    let esp = tool("sgdisk").args(["-i", "1"]).arg(&disk).run().unwrap().stdout_text();
    let root = tool("sgdisk").args(["-i", "2"]).arg(&disk).run().unwrap().stdout_text();
    let id = |id: Uuid| id.to_string().to_uppercase();
    for (text, expected) in [
        (&esp, "C12A7328-F81F-11D2-BA4B-00A0C93EC93B".to_owned()),
        (&esp, id(report.ids.esp_partition)),
        (&esp, "First sector: 2048 ".to_owned()),
        (&esp, "Partition name: 'esp'".to_owned()),
        (&root, "4F68BCE3-E8CD-4DB1-96E7-FBCAF984B709".to_owned()),
        (&root, id(report.ids.root_partition)),
        (&root, "Partition name: 'root'".to_owned()),
    ] {
        assert!(text.contains(&expected), "no {expected} in {text}");
    }
}

#[test]
fn the_esp_is_a_clean_fat32_that_holds_every_file() {
    let bench = Bench::new();
    let plan = bench.plan();
    let report = bench.assemble(&plan, "disk.raw");
    let esp = bench.cut("disk.raw", layout(&plan).esp);
    let verdict = tool("fsck.fat").arg("-nv").arg(&esp).run().unwrap().stdout_text();
    assert!(verdict.contains("32 bit entries"), "{verdict}");
    for complaint in ["uninitialized", "Dirty", "differences", "wrong"] {
        assert!(!verdict.contains(complaint), "{verdict}");
    }
    let info = Cmd::new("minfo").arg("-i").arg(&esp).arg("::").run().unwrap().stdout_text();
    let volume = format!("serial number: {:08X}", report.ids.esp_volume);
    assert!(info.contains(&volume) && info.contains("disk label=\"ESP        \""), "{info}");
    for file in plan.esp_files.iter() {
        let copy = bench.path("copy");
        let name = format!("::/{}", file.path);
        Cmd::new("mcopy").args(["-o", "-i"]).args([&esp]).arg(name).arg(&copy).run().unwrap();
        let expected = match &file.content {
            Content::Text(text) => text.clone().into_bytes(),
            Content::File(path) => fs::read(path).unwrap(),
        };
        assert!(fs::read(&copy).unwrap() == expected, "{} differs", file.path);
    }
}

#[test]
fn a_fresh_disk_has_one_entry_that_is_not_on_trial() {
    let plan = Bench::new().plan();
    let entries: Vec<_> =
        plan.esp_files.iter().filter(|file| file.path.starts_with("loader/entries/")).collect();
    let [EspFile { path, content: Content::Text(text) }, reset] = entries[..] else {
        panic!("{entries:?}")
    };
    assert_eq!(path, "loader/entries/basalt-1-a.conf");
    // The other one boots only where a person chooses it.
    assert_eq!(reset.path, "loader/entries/basalt-reset-a+0.conf");
    let Content::Text(reset) = &reset.content else { panic!("{reset:?}") };
    let reset = basalt_sysroot::entry::ResetEntry::parse(reset).unwrap();
    let entry = basalt_sysroot::entry::BootEntry::parse(text).unwrap();
    let options = "root=/dev/gpt-auto-root rw androidboot.slot_suffix=_a ostree panic=10";
    assert_eq!((entry.serial, entry.options.as_str()), (1, options));
    assert_eq!(reset.options, format!("{options} basalt.factory_reset"));
    assert_eq!((&reset.linux, &reset.initrd), (&entry.linux, &entry.initrd));
    for boot_file in [entry.linux, entry.initrd] {
        let on_esp = boot_file.trim_start_matches('/');
        assert!(plan.esp_files.iter().any(|file| file.path == on_esp), "{boot_file}");
    }
}

#[test]
fn the_loader_on_the_disk_edits_no_arguments_and_prefers_no_entry() {
    let bench = Bench::new();
    let plan = bench.plan();
    bench.assemble(&plan, "disk.raw");
    let esp = bench.cut("disk.raw", layout(&plan).esp);
    let settings = Cmd::new("mtype").arg("-i").arg(&esp).arg("::/loader/loader.conf").run();
    let settings = settings.unwrap().stdout_text();
    assert!(settings.lines().any(|line| line == "editor no"), "{settings}");
    // One that matches an entry would defeat the fallback to another.
    assert!(!settings.lines().any(|line| line.starts_with("default")), "{settings}");
}

#[test]
fn the_root_is_a_clean_ext4_with_links_and_modes_as_they_were() {
    let bench = Bench::new();
    let file = bench.put("sysroot/a/file", b"content");
    fs::set_permissions(&file, fs::Permissions::from_mode(0o4711)).unwrap();
    fs::hard_link(&file, bench.path("sysroot/a/hard")).unwrap();
    symlink("../file", bench.path("sysroot/a/soft")).unwrap();
    rustix::fs::setxattr(&file, "user.basalt", b"xyz", XattrFlags::empty()).unwrap();
    let plan = bench.plan();
    let report = bench.assemble(&plan, "disk.raw");
    let root = bench.cut("disk.raw", layout(&plan).root);
    tool("e2fsck").arg("-fn").arg(&root).run().unwrap();
    let stat = bench.debugfs(&root, "stat /a/hard");
    assert!(stat.contains("Mode:  04711") && stat.contains("Links: 2"), "{stat}");
    assert!(bench.debugfs(&root, "stat /a/soft").contains("Fast link dest: \"../file\""));
    assert!(bench.debugfs(&root, "ea_get /a/file user.basalt").contains("xyz"));
    let head = tool("dumpe2fs").arg("-h").arg(&root).run().unwrap().stdout_text();
    for expected in ["metadata_csum", "64bit", "volume name:   root", "state:         clean"] {
        assert!(head.contains(expected), "no {expected} in {head}");
    }
    assert!(head.contains(&report.ids.root_file_system.to_string()), "{head}");
}

#[test]
fn owners_and_file_capabilities_reach_the_disk() {
    if !rustix::process::geteuid().is_root() {
        assert!(std::env::var_os("BASALT_NO_SKIP").is_none(), "only root can run this test");
        eprintln!("skipped: only root can give a file another owner and capabilities");
        return;
    }
    // VFS_CAP_REVISION_2 with the effective bit, permitted: CAP_NET_RAW.
    let mut capability = [0; 20];
    capability[..8].copy_from_slice(&[1, 0, 0, 2, 0, 0x20, 0, 0]);
    let bench = Bench::new();
    let file = bench.put("sysroot/ping", b"program");
    chown(&file, Some(990), Some(70_000)).unwrap();
    let name = "security.capability";
    rustix::fs::setxattr(&file, name, &capability, XattrFlags::empty()).unwrap();
    let plan = bench.plan();
    bench.assemble(&plan, "disk.raw");
    let root = bench.cut("disk.raw", layout(&plan).root);
    let stat = bench.debugfs(&root, "stat /ping");
    assert!(stat.contains("User:   990   Group: 70000"), "{stat}");
    let value = bench.path("value");
    bench.debugfs(&root, &format!("ea_get -f {} /ping {name}", value.display()));
    assert_eq!(fs::read(value).unwrap(), capability);
}

#[test]
fn nothing_can_be_put_beside_a_deployments_usr() {
    let bench = Bench::new();
    bench.put(&format!("sysroot/{DEPLOYMENT}.origin"), b"");
    let plan = bench.plan();
    bench.assemble(&plan, "disk.raw");
    let root = bench.cut("disk.raw", layout(&plan).root);
    let check = |path: &str, flags: &str| {
        let stat = bench.debugfs(&root, &format!("stat {path}"));
        assert!(stat.contains(&format!("Flags: {flags}\n")), "{stat}");
    };
    check(&format!("/{DEPLOYMENT}"), "0x80010");
    check(&format!("/{DEPLOYMENT}/usr"), "0x80000");
    check(&format!("/{DEPLOYMENT}.origin"), "0x80000");
}

#[test]
fn the_file_takes_little_more_than_what_is_in_it() {
    let bench = Bench::new();
    let report = bench.assemble(&bench.plan(), "disk.raw");
    let disk = bench.path("disk.raw").metadata().unwrap();
    assert_eq!((report.size, disk.len()), (200 * MIB, 200 * MIB));
    assert_eq!(report.allocated, disk.blocks() * 512);
    // Kernel and initramfs, 8 MB, lie on the ESP and in the tree.
    assert!(report.allocated < 18 * MIB, "{} bytes", report.allocated);
}

#[test]
fn two_disks_of_one_build_share_no_id() {
    let bench = Bench::new();
    let plan = bench.plan();
    let one = bench.assemble(&plan, "one.raw").ids;
    let two = bench.assemble(&plan, "two.raw").ids;
    let uuids =
        |ids: &DiskIds| [ids.disk, ids.esp_partition, ids.root_partition, ids.root_file_system];
    let all: std::collections::BTreeSet<_> = uuids(&one).into_iter().chain(uuids(&two)).collect();
    assert_eq!(all.len(), 8);
    assert_ne!(one.esp_volume, two.esp_volume);
}

#[test]
fn a_disk_of_large_sectors_has_its_own_table_and_fat() {
    let bench = Bench::new();
    let sizes = Sizes { disk: 400 * MIB, esp: 300 * MIB, root: 64 * MIB };
    let plan = DiskPlan { sizes, sector: SectorSize::B4096, ..bench.plan() };
    bench.assemble(&plan, "disk.raw");
    let bytes = fs::read(bench.path("disk.raw")).unwrap();
    assert_eq!(&bytes[4096..4104], b"EFI PART");
    assert_eq!(&bytes[bytes.len() - 4096..][..8], b"EFI PART");
    let esp = bench.cut("disk.raw", layout(&plan).esp);
    let verdict = tool("fsck.fat").arg("-nv").arg(esp).run().unwrap().stdout_text();
    assert!(verdict.contains("4096 bytes per logical sector"), "{verdict}");
}

#[test]
fn every_step_is_told_before_it_begins() {
    let bench = Bench::new();
    let notes = RefCell::new(Vec::new());
    let note = |text: &str| notes.borrow_mut().push(text.to_owned());
    assemble(&bench.plan(), &bench.path("disk.raw"), &note).unwrap();
    assert_eq!(notes.into_inner(), ["ESP", "root file system", "partition table", "sync"]);
}

#[test]
fn what_does_not_fit_says_which_size_to_raise() {
    let bench = Bench::new();
    let mut plan = bench.plan();
    bench.put("sysroot/large", &vec![1; 70 << 20]);
    let error = bench.refuse(&plan);
    assert!(error.starts_with("the root of 64 MiB is too small for the sysroot"), "{error}");
    assert!(error.ends_with("hint: raise `root` in the definition's `[disk]`"), "{error}");
    plan.sizes.disk = 100 * MIB;
    let error = bench.refuse(&plan);
    assert!(error.contains("a disk of 100 MiB is too small, its partitions need 130"), "{error}");
    plan.sizes = Sizes { disk: 200 * MIB, esp: 34 * MIB, root: 150 * MIB };
    fs::write(bench.tree().join("usr/lib/modules/6.12/vmlinuz"), vec![1; 30 << 20]).unwrap();
    let error = bench.refuse(&plan);
    assert!(error.starts_with("the ESP of 34 MiB is too small for its files of 36"), "{error}");
}

#[test]
fn a_full_file_system_says_where_space_is_missing() {
    let bench = Bench::new();
    let mut plan = bench.plan();
    // Sparse, but larger than any file that Linux can address.
    plan.sizes.disk = (1 << 63) - MIB;
    let error = bench.refuse(&plan);
    assert!(error.starts_with("cannot write `"), "{error}");
    let full = DiskError::write(&bench.path("d"), io::Error::from(io::ErrorKind::StorageFull));
    let text = basalt_explain::explain(&full.into());
    assert!(text.contains("no space left for `") && text.contains("\nhint: free some"), "{text}");
}

#[test]
fn a_tree_without_a_boot_file_names_the_package_that_brings_it() {
    let first = FirstEntry { title: "x".to_owned(), arguments: Vec::new(), own: Vec::new() };
    for (file, package) in [
        ("usr/lib/shim/shimx64.efi.signed", "shim-signed"),
        ("usr/lib/shim/mmx64.efi.signed", "shim-helpers-amd64-signed"),
        ("usr/lib/systemd/boot/efi/systemd-bootx64.efi.signed", "systemd-boot-efi-amd64-signed"),
        ("usr/lib/modules/6.12/vmlinuz", "linux-image-amd64"),
        ("usr/lib/modules/6.12/initramfs.img", "dracut"),
    ] {
        let bench = Bench::new();
        fs::remove_file(bench.tree().join(file)).unwrap();
        let error = EspFiles::gather(&bench.tree(), &first).unwrap_err().to_string();
        assert!(error.contains(&format!("add `{package}` to")), "{error}");
    }
}

#[test]
fn two_kernels_in_a_tree_are_named() {
    let bench = Bench::new();
    bench.put(&format!("sysroot/{DEPLOYMENT}/usr/lib/modules/6.13/vmlinuz"), b"k");
    let first = FirstEntry { title: "x".to_owned(), arguments: Vec::new(), own: Vec::new() };
    let error = EspFiles::gather(&bench.tree(), &first).unwrap_err().to_string();
    assert!(error.starts_with("the tree has 2 kernels: 6.12, 6.13\n"), "{error}");
}
