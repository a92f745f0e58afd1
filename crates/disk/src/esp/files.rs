//! What lies on the ESP: the loader behind shim, a kernel, an initramfs and the first boot entry.

use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use basalt_sysroot::boot_file::{BootFile, Kind};
use basalt_sysroot::entry::{
    BootEntry, ENTRIES_FOLDER, EntryName, InvalidEntry, ResetEntry, ResetName,
};
use basalt_sysroot::kargs;
use basalt_sysroot::slot::Slot;

use sha2::{Digest, Sha256};

/// The boot serial of the only entry of a fresh disk that boots by itself.
const FIRST_SERIAL: u64 = 1;
/// Where the loader reads its settings on the ESP.
const LOADER_CONF: &str = "loader/loader.conf";
/// No menu unless a key is held, no editing of kernel arguments, nothing but our own entries. And
/// no `default`: one that matches an entry would defeat the fallback to another.
const LOADER_SETTINGS: &str = "timeout 0\neditor no\nauto-entries no\n";

/// What firmware starts of a disk for which it has no entry of its own.
const FALLBACK: &str = "EFI/BOOT/BOOTX64.EFI";
/// Bytes that are read at a time.
const CHUNK: usize = 256 << 10;

/// What comes from the tree as it is: place in the tree, places on the ESP, Debian package.
const LOADERS: [(&str, &[&str], &str); 3] = [
    // Firmware starts this one without an NVRAM entry; Microsoft's keys vouch for it.
    ("usr/lib/shim/shimx64.efi.signed", &[FALLBACK], "shim-signed"),
    ("usr/lib/shim/mmx64.efi.signed", &["EFI/BOOT/mmx64.efi"], "shim-helpers-amd64-signed"),
    (
        "usr/lib/systemd/boot/efi/systemd-bootx64.efi.signed",
        // shim knows its second stage by this name only; the other one is where bootctl looks.
        &["EFI/BOOT/grubx64.efi", "EFI/systemd/systemd-bootx64.efi"],
        "systemd-boot-efi-amd64-signed",
    ),
];

/// The files of an ESP.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EspFiles(Vec<EspFile>);

/// One file of an ESP.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EspFile {
    /// Its place, from the root of the ESP and without a leading slash.
    pub path: String,
    /// What is in it.
    pub content: Content,
}

/// Where the content of a file comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Content {
    /// This text.
    Text(String),
    /// A copy of this file.
    File(PathBuf),
}

/// What the first boot entry says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FirstEntry {
    /// What the loader's menu shows, such as `Basalt 3 (base)`.
    pub title: String,
    /// The image's kernel arguments.
    pub arguments: Vec<String>,
    /// The host's own; the menu's entry for a reset has none of them.
    pub own: Vec<String>,
}

/// Why the files of an ESP cannot be gathered.
#[derive(Debug, thiserror::Error)]
pub enum EspFilesError {
    /// The tree lacks one.
    #[error("the tree has no `/{file}`\nhint: add `{package}` to the definition's `packages`")]
    Missing {
        /// Its place in the tree.
        file: String,
        /// The Debian package that brings it.
        package: &'static str,
    },
    /// It is not clear which kernel boots.
    #[error("the tree has {} kernels: {}\nhint: name one kernel package only", found.len(), found.join(", "))]
    Kernels {
        /// Their versions.
        found: Vec<String>,
    },
    /// A file or folder of the tree cannot be read.
    #[error("cannot read `{}`", path.display())]
    Read {
        /// Which one.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: io::Error,
    },
    /// The first boot entry cannot be written down.
    #[error(transparent)]
    Entry(#[from] InvalidEntry),
}

impl EspFiles {
    /// Gathers them from `tree`: an image's root folder or a deployment of it, with the kernel
    /// and the initramfs in `usr/lib/modules/KVER`.
    ///
    /// # Errors
    /// The tree lacks a file, has no or several kernels, or the entry's title or arguments do not
    /// fit into a boot entry.
    pub fn gather(tree: &Path, first: &FirstEntry) -> Result<Self, EspFilesError> {
        let mut files = Self::loaders(tree)?;
        let modules = format!("usr/lib/modules/{}", kernel_version(tree)?);
        let kernel = existing(tree, &format!("{modules}/vmlinuz"), "linux-image-amd64")?;
        let initrd = existing(tree, &format!("{modules}/initramfs.img"), "dracut")?;
        let linux = files.push_boot_file(Kind::Linux, kernel)?;
        let initrd = files.push_boot_file(Kind::Initrd, initrd)?;
        files.push(LOADER_CONF, Content::Text(LOADER_SETTINGS.to_owned()));
        files.push_first_entry(first, linux, initrd)?;
        Ok(files)
    }

    /// Where the loaders lie in a tree.
    pub fn loader_sources() -> impl Iterator<Item = &'static str> {
        LOADERS.iter().map(|(from, ..)| *from)
    }

    /// The loaders of `tree` alone: what they read, and what they start, is still to come.
    ///
    /// # Errors
    /// The tree lacks one.
    pub fn loaders(tree: &Path) -> Result<Self, EspFilesError> {
        let mut files = Self(Vec::new());
        for (from, places, package) in LOADERS {
            let source = existing(tree, from, package)?;
            for place in places {
                files.push(place, Content::File(source.clone()));
            }
        }
        Ok(files)
    }

    /// The files, in the order in which they are written.
    pub fn iter(&self) -> impl Iterator<Item = &EspFile> {
        self.0.iter()
    }

    /// Whether without this file nothing on the disk boots by itself.
    #[must_use]
    pub fn is_fallback(file: &EspFile) -> bool {
        file.path == FALLBACK
    }

    /// Adds one.
    pub fn push(&mut self, path: &str, content: Content) {
        self.0.push(EspFile { path: path.to_owned(), content });
    }

    fn push_boot_file(&mut self, kind: Kind, source: PathBuf) -> Result<BootFile, EspFilesError> {
        let file = BootFile::new(kind, &sha256(&source)?);
        self.push(file.to_string().trim_start_matches('/'), Content::File(source));
        Ok(file)
    }

    fn push_first_entry(
        &mut self,
        first: &FirstEntry,
        linux: BootFile,
        initrd: BootFile,
    ) -> Result<(), EspFilesError> {
        let name = EntryName::uncounted(FIRST_SERIAL, Slot::A);
        let entry = BootEntry {
            title: first.title.clone(),
            serial: name.serial,
            linux: linux.to_string(),
            initrd: initrd.to_string(),
            options: kargs::for_slot(name.slot, &first.arguments, &first.own).join(" "),
        };
        let reset = ResetEntry::beside(&entry, &kargs::for_slot(name.slot, &first.arguments, &[]));
        for (name, text) in [
            (name.to_string(), entry.render()?),
            (ResetName::of(name.slot).to_string(), reset.render()?),
        ] {
            self.push(&format!("{ENTRIES_FOLDER}/{name}"), Content::Text(text));
        }
        Ok(())
    }
}

fn existing(tree: &Path, file: &str, package: &'static str) -> Result<PathBuf, EspFilesError> {
    let path = tree.join(file);
    if path.is_file() {
        return Ok(path);
    }
    Err(EspFilesError::Missing { file: file.to_owned(), package })
}

fn kernel_version(tree: &Path) -> Result<String, EspFilesError> {
    const FOLDER: &str = "usr/lib/modules";
    let path = tree.join(FOLDER);
    let failed = |source| EspFilesError::Read { path: path.clone(), source };
    let mut found = Vec::new();
    for entry in path.read_dir().into_iter().flatten() {
        let entry = entry.map_err(failed)?;
        if entry.path().join("vmlinuz").is_file() {
            found.push(entry.file_name().to_string_lossy().into_owned());
        }
    }
    found.sort();
    match found.as_slice() {
        [] => {
            let file = format!("{FOLDER}/KVER/vmlinuz");
            Err(EspFilesError::Missing { file, package: "linux-image-amd64" })
        }
        [only] => Ok(only.clone()),
        _ => Err(EspFilesError::Kernels { found }),
    }
}

fn sha256(path: &Path) -> Result<[u8; 32], EspFilesError> {
    let failed = |source| EspFilesError::Read { path: path.to_owned(), source };
    let mut file = File::open(path).map_err(failed)?;
    let (mut hash, mut buffer) = (Sha256::new(), vec![0; CHUNK]);
    loop {
        match file.read(&mut buffer).map_err(failed)? {
            0 => return Ok(hash.finalize().into()),
            read => hash.update(&buffer[..read]),
        }
    }
}
