//! On a FAT32 that mkfs.fat made, and mtools filled.

use std::cell::Cell;
use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};

use basalt_cmd::Cmd;
use tempfile::TempDir;

use crate::folder::{self, Name};
use crate::geometry::Geometry;
use crate::table::Table;
use crate::{Found, Mended, Volume, mend};

const KERNEL: &str = "basalt/0123456789abcdef0123456789abcdef/linux";
const OTHER: &str = "basalt/fedcba9876543210fedcba9876543210/linux";
const ENTRY: &str = "loader/entries/basalt-1-a.conf";
const FIRMWARES: &str = "EFI/vendor/tool.efi";

struct Esp {
    _folder: TempDir,
    path: PathBuf,
    file: File,
    geometry: Geometry,
}

fn tool(name: &str) -> Cmd {
    let path = std::env::var("PATH").unwrap_or_default();
    Cmd::new(name).env("PATH", format!("{path}:/usr/sbin:/sbin")).env("MTOOLS_SKIP_CHECK", "1")
}

fn content(path: &str) -> String {
    path.repeat(400)
}

impl Esp {
    fn with(files: &[&str]) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("esp");
        File::create(&path).unwrap().set_len(64 << 20).unwrap();
        tool("mkfs.fat").args(["-F", "32", "-s", "1"]).arg(&path).run().unwrap();
        for file in files {
            for (end, _) in file.match_indices('/') {
                let name = format!("::{}", &file[..end]);
                // The second file of a folder finds it there.
                let _ = tool("mmd").args(["-D", "s", "-i"]).arg(&path).arg(name).output().unwrap();
            }
            let copy = tool("mcopy").arg("-i").arg(&path).args(["-", &format!("::{file}")]);
            copy.stdin(content(file)).run().unwrap();
        }
        let file = File::options().read(true).write(true).open(&path).unwrap();
        let geometry = Geometry::read(&file).unwrap().unwrap();
        Self { _folder: folder, path, file, geometry }
    }

    /// As the kernel leaves it that has it mounted.
    fn mounted(self) -> Self {
        self.file.write(65, &[1]).unwrap();
        self
    }

    fn name(&self, path: &str) -> Name {
        let table = Table::read(&self.file, &self.geometry).unwrap();
        let (mut first, mut found) = (self.geometry.root, None);
        for part in path.split('/') {
            let mut bytes = Vec::new();
            for cluster in table.chain(first).clusters {
                let mut one = vec![0; 512];
                self.file.read(self.geometry.at(cluster).unwrap(), &mut one).unwrap();
                bytes.extend(one);
            }
            let name = folder::names(&bytes).into_iter().find(|name| name.text == part).unwrap();
            first = name.first;
            found = Some(name);
        }
        found.unwrap()
    }

    /// What the table says of the clusters of this name was not written yet.
    fn forgets(&self, path: &str) {
        let table = Table::read(&self.file, &self.geometry).unwrap();
        for cluster in table.chain(self.name(path).first).clusters {
            for copy in &self.geometry.tables {
                self.file.write(copy + u64::from(cluster) * 4, &[0; 4]).unwrap();
            }
        }
    }

    fn mended(&self) -> Mended {
        let Found::Torn(mended) = mend(&self.file).unwrap() else { panic!("it was unmounted") };
        mended
    }

    /// Others find nothing wrong, and these files as they were.
    fn is_sound_with(&self, files: &[&str]) {
        let said = tool("fsck.fat").arg("-n").arg(&self.path).output().unwrap();
        assert!(said.status.success(), "{}", said.stdout_text());
        for file in files {
            let type_ = tool("mtype").arg("-i").arg(&self.path).arg(format!("::{file}"));
            assert_eq!(type_.run().unwrap().stdout_text(), content(file), "{file}");
        }
    }

    fn lists(&self, folder: &str) -> String {
        let list = tool("mdir").args(["-b", "-i"]).arg(&self.path).arg(format!("::{folder}"));
        list.run().unwrap().stdout_text()
    }
}

#[test]
fn what_was_unmounted_or_is_no_fat32_is_left_alone() {
    let esp = Esp::with(&[KERNEL, ENTRY]);
    let before = std::fs::read(&esp.path).unwrap();
    assert_eq!(mend(&esp.file).unwrap(), Found::Well);
    assert!(std::fs::read(&esp.path).unwrap() == before, "it was written to");
    let none = tempfile::tempfile().unwrap();
    none.set_len(1 << 20).unwrap();
    assert_eq!(mend(&none).unwrap(), Found::Well);
}

#[test]
fn what_is_sound_stays_and_is_unmounted_afterwards() {
    let files = [KERNEL, OTHER, ENTRY, FIRMWARES];
    let esp = Esp::with(&files).mounted();
    assert_eq!(esp.mended(), Mended::default());
    esp.is_sound_with(&files);
    assert_eq!(mend(&esp.file).unwrap(), Found::Well);
}

#[test]
fn a_folder_that_was_not_written_goes_and_what_lay_in_it_is_free() {
    let esp = Esp::with(&[KERNEL, OTHER, ENTRY]).mounted();
    let other = Path::new(OTHER).parent().unwrap().to_str().unwrap();
    esp.forgets(other);
    let mended = esp.mended();
    assert_eq!(mended.gone, [other]);
    assert_eq!(mended.freed, (content(OTHER).len() as u64).next_multiple_of(512));
    esp.is_sound_with(&[KERNEL, ENTRY]);
    assert!(!esp.lists("basalt").contains("fedcba"), "{}", esp.lists("basalt"));
}

/// A cluster that a kernel had before, or anything else.
#[test]
fn a_folder_that_holds_something_else_goes_and_nobody_follows_what_it_holds() {
    let esp = Esp::with(&[KERNEL, OTHER, ENTRY]).mounted();
    let other = Path::new(OTHER).parent().unwrap().to_str().unwrap();
    // Names in it lead to the kernel that boots.
    let kernel = esp.name(KERNEL).first.to_le_bytes();
    let mut entry = *b"KERNEL     \x20\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\x10\0\0";
    (entry[20], entry[21]) = (kernel[2], kernel[3]);
    (entry[26], entry[27]) = (kernel[0], kernel[1]);
    let at = esp.geometry.at(esp.name(other).first).unwrap();
    esp.file.write(at, &entry.repeat(16)).unwrap();
    assert_eq!(esp.mended().gone, [other]);
    esp.is_sound_with(&[KERNEL, ENTRY]);
}

#[test]
fn a_file_that_was_not_written_goes_unless_it_is_somebody_elses() {
    let esp = Esp::with(&[KERNEL, OTHER, ENTRY, FIRMWARES]).mounted();
    for file in [OTHER, ENTRY, FIRMWARES] {
        esp.forgets(file);
    }
    let mut mended = esp.mended();
    mended.gone.sort();
    assert_eq!(mended.gone, [OTHER, ENTRY]);
    assert_eq!(mended.left, [FIRMWARES]);
    assert_eq!(esp.lists("loader/entries"), "");
    let type_ = tool("mtype").arg("-i").arg(&esp.path).arg(format!("::{KERNEL}"));
    assert_eq!(type_.run().unwrap().stdout_text(), content(KERNEL));
}

/// Whose clusters are whose in it, nobody knows.
#[test]
fn what_lies_in_somebody_elses_folder_that_is_broken_is_not_freed() {
    let esp = Esp::with(&[KERNEL, OTHER, FIRMWARES]).mounted();
    let tool = esp.name(FIRMWARES).first;
    esp.forgets("EFI/vendor");
    let other = Path::new(OTHER).parent().unwrap().to_str().unwrap();
    esp.forgets(other);
    let expected =
        Mended { gone: vec![other.to_owned()], left: vec!["EFI/vendor".to_owned()], freed: 0 };
    assert_eq!(esp.mended(), expected);
    let table = Table::read(&esp.file, &esp.geometry).unwrap();
    assert_eq!(table.chain(tool).clusters.len(), content(FIRMWARES).len().div_ceil(512));
}

/// The loader boots by an entry of one cluster whatever the table says of it.
#[test]
fn a_file_that_the_table_alone_does_not_end_is_ended() {
    let short = "loader/entries/basalt-2-b.conf";
    let esp = Esp::with(&[KERNEL, ENTRY]).mounted();
    let copy = tool("mcopy").arg("-i").arg(&esp.path).args(["-", &format!("::{short}")]);
    copy.stdin("title Basalt\n").run().unwrap();
    esp.forgets(short);
    assert_eq!(esp.mended(), Mended::default());
    esp.is_sound_with(&[KERNEL, ENTRY]);
    let type_ = tool("mtype").arg("-i").arg(&esp.path).arg(format!("::{short}"));
    assert_eq!(type_.run().unwrap().stdout_text(), "title Basalt");
}

#[test]
fn two_names_that_share_what_they_lead_to_both_stay() {
    let second = "loader/entries/basalt-1-a+2-1.conf";
    let esp = Esp::with(&[KERNEL, ENTRY, second]).mounted();
    // As a rename leaves it that is cut off.
    let folder = esp.geometry.at(esp.name("loader/entries").first).unwrap();
    let (one, two) = (esp.name(ENTRY), esp.name(second));
    let place = folder + *two.entries.last().unwrap() as u64 * 32;
    let first = one.first.to_le_bytes();
    esp.file.write(place + 20, &first[2..]).unwrap();
    esp.file.write(place + 26, &first[..2]).unwrap();
    esp.file.write(place + 28, &one.size.to_le_bytes()).unwrap();
    let mended = esp.mended();
    assert_eq!((mended.gone.len(), mended.left.len()), (0, 0));
    for path in [ENTRY, second] {
        let type_ = tool("mtype").arg("-i").arg(&esp.path).arg(format!("::{path}"));
        assert_eq!(type_.run().unwrap().stdout_text(), content(ENTRY));
    }
}

/// Takes so many writes, and no more.
struct Cut<'a> {
    file: &'a File,
    left: Cell<usize>,
}

impl Volume for Cut<'_> {
    fn read(&self, at: u64, bytes: &mut [u8]) -> io::Result<()> {
        self.file.read(at, bytes)
    }

    fn write(&self, at: u64, bytes: &[u8]) -> io::Result<()> {
        let left = self.left.get().checked_sub(1).ok_or_else(|| io::Error::other("cut off"))?;
        self.left.set(left);
        self.file.write(at, bytes)
    }

    fn sync(&self) -> io::Result<()> {
        Ok(())
    }
}

#[test]
fn mending_that_is_cut_off_anywhere_is_ended_by_the_next() {
    let other = Path::new(OTHER).parent().unwrap().to_str().unwrap();
    let mut writes = 0;
    loop {
        let esp = Esp::with(&[KERNEL, OTHER, ENTRY]).mounted();
        esp.forgets(other);
        let cut = Cut { file: &esp.file, left: Cell::new(writes) };
        let ended = mend(&cut).is_ok();
        if !ended {
            esp.mended();
        }
        esp.is_sound_with(&[KERNEL, ENTRY]);
        if ended {
            assert!(writes > 3, "only {writes} writes");
            return;
        }
        writes += 1;
    }
}
