//! On a FAT32 that mkfs.fat made, and mtools filled.

mod copies;
mod limits;
mod names;
mod sharing;
mod torn;

use std::cell::Cell;
use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};

use basalt_cmd::Cmd;
use tempfile::TempDir;

use crate::folder::{self, GONE, Name};
use crate::geometry::Geometry;
use crate::table::{Copy, Table};
use crate::walk::Walker;
use crate::{Found, Mended, Volume, look, mend};

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

/// Writes a file, as others do.
fn put(esp: &Path, path: &str, text: &str) {
    let copy = tool("mcopy").arg("-i").arg(esp).args(["-", &format!("::{path}")]);
    copy.stdin(text).run().unwrap();
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
            put(&path, file, &content(file));
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
        self.found(path).0
    }

    /// A name, and where its entries lie.
    fn found(&self, path: &str) -> (Name, Vec<u64>) {
        let (mut first, mut found) = (self.geometry.root, None);
        for part in path.split('/') {
            let (mut bytes, mut places) = (Vec::new(), Vec::new());
            for at in self.chain(first).into_iter().map(|it| self.geometry.at(it).unwrap()) {
                let mut one = vec![0; 512];
                self.file.read(at, &mut one).unwrap();
                places.extend((0..16).map(|entry| at + entry * 32));
                bytes.extend(one);
            }
            let mut names = folder::list(&bytes).names.into_iter();
            let name = names.find(|name| name.text == part).unwrap();
            first = name.first;
            let places = name.entries.iter().map(|entry| places[*entry]).collect();
            found = Some((name, places));
        }
        found.unwrap()
    }

    /// Where the first table leads from a cluster.
    fn chain(&self, first: u32) -> Vec<u32> {
        let table = Table::read(&self.file, &self.geometry).unwrap();
        let chain = Walker::new(&table).walk(Copy::First, first, u32::MAX).unwrap();
        table.clusters(Copy::First, first, chain.length).collect()
    }

    fn clusters(&self, path: &str) -> Vec<u32> {
        self.chain(self.name(path).first)
    }

    /// What both tables say of a cluster.
    fn set(&self, cluster: u32, entry: u32) {
        (0..2).for_each(|copy| self.set_in(copy, cluster, entry));
    }

    fn set_in(&self, copy: usize, cluster: u32, entry: u32) {
        let place = self.geometry.tables[copy] + u64::from(cluster) * 4;
        self.file.write(place, &entry.to_le_bytes()).unwrap();
    }

    fn bytes(&self) -> Vec<u8> {
        std::fs::read(&self.path).unwrap()
    }

    /// What the table says of the clusters of this name was not written yet.
    fn forgets(&self, path: &str) {
        for cluster in self.clusters(path) {
            self.set(cluster, 0);
        }
    }

    fn mended(&self) -> Mended {
        let Found::Torn(mended) = mend(&self.file).unwrap() else { panic!("it was unmounted") };
        mended
    }

    /// Others find nothing wrong, and these files as they were.
    fn is_sound_with(&self, files: &[&str]) {
        let said = tool("fsck.fat").arg("-n").arg(&self.path).output().unwrap();
        // Its own name, and how many files there are.
        let is_silent = said.stdout_text().lines().count() == 2;
        assert!(said.status.success() && is_silent, "{}", said.stdout_text());
        self.has(files);
    }

    fn has(&self, files: &[&str]) {
        for file in files {
            assert!(self.reads(file) == content(file), "{file}");
        }
    }

    fn reads(&self, file: &str) -> String {
        let type_ = tool("mtype").arg("-i").arg(&self.path).arg(format!("::{file}"));
        type_.run().unwrap().stdout_text()
    }

    fn lists(&self, folder: &str) -> String {
        let list = tool("mdir").args(["-b", "-i"]).arg(&self.path).arg(format!("::{folder}"));
        list.run().unwrap().stdout_text()
    }
}

#[test]
fn what_is_sound_and_unmounted_or_is_no_fat32_is_left_alone() {
    let esp = Esp::with(&[KERNEL, ENTRY]);
    let none = tempfile::tempfile().unwrap();
    none.set_len(1 << 20).unwrap();
    for file in [&esp.file, &none] {
        let cut = Cut { file, left: Cell::new(0) };
        assert_eq!(mend(&cut).unwrap(), Found::Well);
    }
}

/// The note lies in a sector of its own, which may have been written alone.
#[test]
fn what_is_torn_is_mended_though_it_says_that_it_was_unmounted() {
    let esp = Esp::with(&[KERNEL, OTHER, ENTRY]);
    let other = Path::new(OTHER).parent().unwrap().to_str().unwrap();
    esp.forgets(other);
    assert_eq!(esp.mended().gone, [other]);
    esp.is_sound_with(&[KERNEL, ENTRY]);
}

#[test]
fn a_look_tells_what_would_be_mended_and_writes_nothing() {
    let esp = Esp::with(&[KERNEL, OTHER, ENTRY]).mounted();
    esp.forgets(OTHER);
    let only_read = Cut { file: &esp.file, left: Cell::new(0) };
    let found = look(&only_read).unwrap();
    assert_eq!(found, Found::Torn(esp.mended()));
    assert_eq!(look(&only_read).unwrap(), Found::Well);
    esp.forgets("loader");
    esp.mended();
    assert_eq!(look(&only_read).unwrap(), Found::Left(vec!["loader".to_owned()]));
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
    esp.has(&[KERNEL]);
}

/// Whose clusters are whose in it, nobody knows.
#[test]
fn what_lies_in_somebody_elses_folder_that_is_broken_is_not_freed() {
    let esp = Esp::with(&[KERNEL, OTHER, FIRMWARES]).mounted();
    let tool = esp.name(FIRMWARES).first;
    esp.forgets("EFI/vendor");
    let other = Path::new(OTHER).parent().unwrap().to_str().unwrap();
    esp.forgets(other);
    let (gone, left) = (vec![other.to_owned()], vec!["EFI/vendor".to_owned()]);
    assert_eq!(esp.mended(), Mended { gone, left, ..Mended::default() });
    assert_eq!(esp.chain(tool).len(), content(FIRMWARES).len().div_ceil(512));
}

/// The loader boots by an entry of one cluster whatever the table says of it.
#[test]
fn a_file_that_the_table_alone_does_not_end_is_ended() {
    let short = "loader/entries/basalt-2-b.conf";
    let esp = Esp::with(&[KERNEL, ENTRY]).mounted();
    put(&esp.path, short, "title Basalt\n");
    esp.forgets(short);
    assert_eq!(esp.mended(), Mended { righted: vec![short.to_owned()], ..Mended::default() });
    esp.is_sound_with(&[KERNEL, ENTRY]);
    assert_eq!(esp.reads(short), "title Basalt");
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
    // Nor is anything free: what the second had before lies there.
    assert_eq!(esp.mended(), Mended::default());
    for path in [ENTRY, second] {
        assert_eq!(esp.reads(path), content(ENTRY));
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
            assert!(writes > 5, "only {writes} writes");
            return;
        }
        writes += 1;
    }
}
