//! A small disk image as a build makes it, and looks at what was written.

use std::fs::{self, File};
use std::io::{Read, Seek, SeekFrom};
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::{Path, PathBuf};
use std::time::Duration;

use basalt_builder::disk::{self, DiskPlan, EspFiles, FirstEntry};
use basalt_builder::manifest::{Disk, FORM, Manifest};
use basalt_builder::progress::Progress;
use basalt_builder::write::target::Asked;
use basalt_builder::write::{self, Afterwards, Consent, Options, Patience, Place, Written};
use basalt_cmd::Cmd;
use basalt_sysroot::partition::{SectorSize, Sizes};
use gpt::GptConfig;
use gpt::disk::LogicalBlockSize;
use tempfile::TempDir;

pub(crate) const MIB: u64 = 1 << 20;
const DEPLOYMENT: &str = "ostree/deploy/base/deploy/c0ffee.0";

/// Servers of tests are close by.
pub(crate) const PATIENCE: Patience =
    Patience { silence: Duration::from_secs(2), pause: Duration::from_millis(5), tries: 8 };

/// A folder with `disk.raw` in it.
pub(crate) struct Ground {
    pub(crate) dir: TempDir,
    pub(crate) sector: SectorSize,
}

/// What tells one disk from another.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Ids {
    pub(crate) disk: String,
    pub(crate) partitions: Vec<String>,
    pub(crate) fat: u32,
    pub(crate) ext4: String,
}

impl Ground {
    pub(crate) fn new() -> Self {
        Self::with(SectorSize::B512)
    }

    pub(crate) fn with(sector: SectorSize) -> Self {
        // Not in memory: a disk is written past the page cache.
        let dir = TempDir::new_in(env!("CARGO_TARGET_TMPDIR")).expect("a folder");
        let ground = Self { dir, sector };
        ground.assemble();
        ground
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    fn assemble(&self) {
        for (file, length) in [
            ("usr/lib/shim/shimx64.efi.signed", 5_000),
            ("usr/lib/shim/mmx64.efi.signed", 5_000),
            ("usr/lib/systemd/boot/efi/systemd-bootx64.efi.signed", 5_000),
            ("usr/lib/modules/6.12/vmlinuz", 3_000_001),
            ("usr/lib/modules/6.12/initramfs.img", 4_000_000),
            ("usr/lib/modules/6.12/modules.dep", 0),
        ] {
            let path = self.path("sysroot").join(DEPLOYMENT).join(file);
            fs::create_dir_all(path.parent().expect("a folder")).expect("a folder");
            fs::write(path, noise(length as u64, length)).expect("a file");
        }
        let tree = self.path("sysroot").join(DEPLOYMENT);
        let first =
            FirstEntry { title: "Basalt".to_owned(), arguments: Vec::new(), own: Vec::new() };
        // The least that can be FAT32.
        let esp = if self.sector == SectorSize::B512 { 34 } else { 260 };
        let plan = DiskPlan {
            sizes: Sizes { disk: (esp + 46) * MIB, esp: esp * MIB, root: 40 * MIB },
            sector: self.sector,
            sysroot: self.path("sysroot"),
            esp_files: EspFiles::gather(&tree, &first).expect("boot files"),
        };
        disk::assemble(&plan, &self.path("disk.raw"), &|_| ()).expect("a disk");
    }

    /// Writes `manifest.json` beside the image, as a build does.
    pub(crate) fn describe(&self) -> Manifest {
        let image = self.path("disk.raw");
        let found = image.metadata().expect("a disk");
        let disk = Disk {
            file: "disk.raw".to_owned(),
            size: found.len(),
            allocated: found.blocks() * 512,
            digest: Some(disk::digest_of_file(&image).expect("a digest")),
        };
        let manifest = Manifest {
            form: FORM,
            name: "base".to_owned(),
            version: "1".to_owned(),
            build_id: "b".to_owned(),
            commit: "c0".repeat(32),
            ref_name: "basalt/base".to_owned(),
            release: "unsigned".to_owned(),
            signed_by: "f".to_owned(),
            packages: 1,
            disk_key: "d".to_owned(),
            disk: Some(disk),
            qcow2: None,
            live: None,
            iso: None,
        };
        manifest.write(self.dir.path()).expect("a manifest");
        manifest
    }

    pub(crate) fn options(&self, image: &str, to: &Path) -> Options {
        Options {
            image: Place::parse(image),
            target: Asked { to: to.to_owned(), fixed: None },
            keys: Vec::new(),
            config: None,
            sector: Some(self.sector),
            consent: Consent::Given,
            afterwards: Afterwards::Keep,
            patience: PATIENCE,
        }
    }

    /// Writes the image of this name to a file of that name.
    pub(crate) fn write(&self, image: &str, to: &str) -> Written {
        let image = self.path(image);
        let options = self.options(&image.display().to_string(), &self.path(to));
        write::write(&options, Progress::Silent).expect("it is written")
    }

    /// Compresses the image with a tool, and keeps it as well.
    pub(crate) fn pack(&self, tool: &[&str]) {
        let cmd = Cmd::new(tool[0]).args(&tool[1..]).arg(self.path("disk.raw"));
        cmd.run().expect("it is compressed");
    }

    /// That the disk in this file is what the image is, but for its ids.
    pub(crate) fn check(&self, file: &str) {
        check_disk(&self.path(file), &self.path("disk.raw"), self.sector);
    }
}

/// What is said by somebody whose write is refused.
pub(crate) fn refused(options: &Options) -> String {
    let error = write::write(options, Progress::Silent).expect_err("it is refused");
    basalt_explain::explain(&error)
}

pub(crate) fn tool(name: &str) -> Cmd {
    let path = std::env::var("PATH").unwrap_or_default();
    Cmd::new(name).env("PATH", format!("{path}:/usr/sbin")).env("LC_ALL", "C")
}

/// That a disk is sound, has the image's files, and shares no id with it.
pub(crate) fn check_disk(disk: &Path, image: &Path, sector: SectorSize) {
    if sector == SectorSize::B512 {
        let verdict = tool("sgdisk").arg("-v").arg(disk).run().expect("sgdisk").stdout_text();
        assert!(verdict.contains("No problems found"), "{verdict}");
    }
    let (esp, root) = (cut(disk, 1, sector), cut(disk, 2, sector));
    let verdict = tool("fsck.fat").arg("-nv").arg(esp.path()).run().expect("a FAT").stdout_text();
    for complaint in ["uninitialized", "Dirty", "differences", "wrong"] {
        assert!(!verdict.contains(complaint), "{verdict}");
    }
    tool("e2fsck").arg("-fn").arg(root.path()).run().expect("an ext4");
    let (mut before, mut after) = (ids(image, sector), ids(disk, sector));
    assert!(before.disk != after.disk && before.fat != after.fat && before.ext4 != after.ext4);
    for (one, other) in before.partitions.iter().zip(&after.partitions) {
        assert_ne!(one, other);
    }
    before.partitions.clear();
    after.partitions.clear();
    let file = |volume: &Path| {
        let mcopy = Cmd::new("mtype").arg("-i").arg(volume).arg("::/EFI/BOOT/BOOTX64.EFI");
        mcopy.run().expect("the loader").stdout
    };
    assert_eq!(file(esp.path()), file(cut(image, 1, sector).path()));
    let same = |volume: &Path| {
        let cat = format!("cat /{DEPLOYMENT}/usr/lib/modules/6.12/vmlinuz");
        tool("debugfs").args(["-R", &cat]).arg(volume).run().expect("debugfs").stdout
    };
    let (there, expected) = (same(root.path()), same(cut(image, 2, sector).path()));
    assert_eq!((there.len(), expected.len()), (3_000_001, 3_000_001));
    let differs = there.iter().zip(&expected).position(|(one, other)| one != other);
    assert_eq!(differs, None, "the kernel's copy on the root");
}

/// A partition, in a file of its own.
pub(crate) fn cut(disk: &Path, number: u32, sector: SectorSize) -> tempfile::NamedTempFile {
    let partition = table(disk, sector)[&number].clone();
    let (start, end) =
        (partition.first_lba * sector.bytes(), (partition.last_lba + 1) * sector.bytes());
    let to = tempfile::NamedTempFile::new_in(env!("CARGO_TARGET_TMPDIR")).expect("a file");
    let mut from = File::open(disk).expect("a disk");
    from.seek(SeekFrom::Start(start)).expect("a place");
    let mut from = from.take(end - start);
    let mut at = 0;
    let mut piece = vec![0; MIB as usize];
    let zeros = vec![0; MIB as usize];
    loop {
        let read = from.read(&mut piece).expect("a piece");
        if read == 0 {
            break;
        }
        if piece[..read] != zeros[..read] {
            to.as_file().write_all_at(&piece[..read], at).expect("room");
        }
        at += read as u64;
    }
    to.as_file().set_len(end - start).expect("room");
    to
}

type Table = std::collections::BTreeMap<u32, gpt::partition::Partition>;

fn open(disk: &Path, sector: SectorSize) -> gpt::GptDisk<File> {
    let block = match sector {
        SectorSize::B512 => LogicalBlockSize::Lb512,
        SectorSize::B4096 => LogicalBlockSize::Lb4096,
    };
    // Both tables must be there.
    let config = GptConfig::new().logical_block_size(block).only_valid_headers(true);
    config.open(disk).expect("a partition table")
}

fn table(disk: &Path, sector: SectorSize) -> Table {
    open(disk, sector).partitions().clone()
}

pub(crate) fn ids(disk: &Path, sector: SectorSize) -> Ids {
    let table = open(disk, sector);
    let partitions = table.partitions().values().map(|one| one.part_guid.to_string()).collect();
    let (esp, root) = (cut(disk, 1, sector), cut(disk, 2, sector));
    let fat = fatfs::FileSystem::new(esp.as_file(), fatfs::FsOptions::new()).expect("a FAT");
    let head = tool("dumpe2fs").arg("-h").arg(root.path()).run().expect("an ext4").stdout_text();
    let ext4 = head.lines().find_map(|line| line.strip_prefix("Filesystem UUID:"));
    Ids {
        disk: table.guid().to_string(),
        partitions,
        fat: fat.volume_id(),
        ext4: ext4.expect("an id").trim().to_owned(),
    }
}

/// Bytes that compress to nothing else.
pub(crate) fn noise(seed: u64, length: usize) -> Vec<u8> {
    let mut bytes = vec![0; length];
    fastrand::Rng::with_seed(seed).fill(&mut bytes);
    bytes
}
