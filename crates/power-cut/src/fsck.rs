//! What a host mends of a disk, each on a file that holds the partition.
//!
//! It has `e2fsck` mend its root at each boot, and mends its ESP before that is mounted. Neither may
//! take anything away that boots, or leave anything that is in the way of the next update.

use std::cell::RefCell;
use std::collections::BTreeSet;
use std::fs::File;
use std::io;
use std::ops::Range;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use basalt_cmd::Cmd;
use basalt_mend_esp::{Volume, mend};
use tempfile::TempDir;

use crate::disk::{BASE, Disk, Source, written};
use crate::fat::{Fat, Piece};
use crate::log::Log;
use crate::menu::{Offered, menu};
use crate::parts::Parts;
use crate::{Problem, SECTOR, doing};

/// What a host runs before it checks its root.
const MEND_SUPERBLOCK: &str =
    include_str!("../../../images/initramfs/usr/lib/basalt/mend-superblock");
/// Bytes of the block that an ext4's superblock lies in.
const BLOCK: u64 = 4096;
/// Nothing is known of what the file holds there.
const UNKNOWN: u32 = u32::MAX;

/// Files that hold the partitions of the state that was looked at last.
pub(crate) struct Fsck {
    folder: TempDir,
    esp: Copied,
    root: Copied,
}

/// A file that outlasts nothing, and what was written to it.
struct Unsynced<'a> {
    file: &'a File,
    written: RefCell<Vec<Piece>>,
}

impl Volume for Unsynced<'_> {
    fn read(&self, at: u64, bytes: &mut [u8]) -> io::Result<()> {
        self.file.read_exact_at(bytes, at)
    }

    fn write(&self, at: u64, bytes: &[u8]) -> io::Result<()> {
        self.written.borrow_mut().push((at, bytes.len() as u64));
        self.file.write_all_at(bytes, at)
    }

    fn sync(&self) -> io::Result<()> {
        Ok(())
    }
}

/// An entry, what it says, and where its boot files lie, one after the other.
type Placed = (Offered, Vec<Piece>);

/// A partition in a file of its own.
struct Copied {
    /// The recorded disk.
    base: PathBuf,
    path: PathBuf,
    file: File,
    range: Range<u64>,
    /// The sectors that the log writes, and what the file has of them.
    has: Vec<Source>,
}

impl Fsck {
    /// Copies both partitions of the recorded disk.
    pub(crate) fn new(base: &Path, log: &Log, parts: &Parts) -> Result<Self, Problem> {
        let folder = tempfile::tempdir().map_err(doing("make a folder in", Path::new("/tmp")))?;
        let copy = |name: &str, range: &Range<u64>| {
            Copied::new(base, folder.path().join(name), range.clone(), log)
        };
        let (esp, root) = (copy("esp", &parts.esp)?, copy("root", &parts.root)?);
        Ok(Self { folder, esp, root })
    }

    /// What is found that nobody may find, if anything.
    pub(crate) fn look(&mut self, disk: &Disk<'_>) -> Result<Result<(), String>, Problem> {
        if self.root.set(disk)?
            && let Err(what) = self.root_is_well()?
        {
            return Ok(Err(what));
        }
        self.esp.set(disk)?;
        self.esp_is_mended(disk)
    }

    /// As at each boot, but to its end: it may replay the journal and nothing else.
    fn root_is_well(&mut self) -> Result<Result<(), String>, Problem> {
        self.mend_superblock()?;
        let undo = self.folder.path().join("undo");
        let _ = std::fs::remove_file(&undo);
        let path = &self.root.path;
        let output = Cmd::new("e2fsck").args(["-fp", "-z"]).arg(&undo).arg(path).output()?;
        let said = output.stdout_text();
        // e2fsck 1.47 now and then leaves half an undo file, where it has replayed a journal.
        if undo.exists() && Cmd::new("e2undo").arg(&undo).arg(path).run().is_err() {
            self.root.copy()?;
        }
        let is_expected = |line: &str| {
            line.contains("recovering journal")
                || line.contains("was not cleanly unmounted, check forced")
                || line.contains("Clearing orphaned inode")
                || line.contains("non-contiguous")
                || line.contains("Overwriting existing filesystem")
                || line.contains("e2undo ")
                || line.trim().is_empty()
        };
        let unexpected: Vec<&str> = said.lines().filter(|line| !is_expected(line)).collect();
        let code = output.status.code();
        Ok(match (code, unexpected.as_slice()) {
            (Some(0 | 1), []) => Ok(()),
            _ => Err(format!("e2fsck ended with {code:?}: {said}")),
        })
    }

    /// What a host does before.
    fn mend_superblock(&mut self) -> Result<(), Problem> {
        let sh = Cmd::new("/bin/sh").args(["-c", MEND_SUPERBLOCK, "mend-superblock"]);
        if !sh.arg(&self.root.path).run()?.stdout_text().is_empty() {
            // Beside the superblock it writes what was there.
            self.root.forget(&[(self.root.range.start, BLOCK)]);
        }
        Ok(())
    }

    /// An ESP that a host mended is sound to `fsck.fat`, and offers what it did, each from where it
    /// was.
    fn esp_is_mended(&mut self, disk: &Disk<'_>) -> Result<Result<(), String>, Problem> {
        let start = self.esp.range.start;
        let before = Fat::open(disk, start).map(|esp| offered(&esp));
        let before = before.map_err(doing("read", &self.esp.path))?;
        let unsynced = Unsynced { file: &self.esp.file, written: RefCell::default() };
        let found = mend(&unsynced);
        let written = unsynced.written.into_inner().into_iter();
        let written: Vec<Piece> = written.map(|(at, length)| (at + start, length)).collect();
        let output = Cmd::new("fsck.fat").arg("-n").arg(&self.esp.path).output()?;
        let after = Fat::open(&self.esp.file, 0).map(|esp| offered(&esp));
        self.esp.forget(&written);
        let found = match found {
            Ok(found) => found,
            Err(error) => return Ok(Err(format!("its ESP cannot be mended: {error}"))),
        };
        let said = output.stdout_text();
        // Whatever it finds it says, also what it does not count as an error.
        if !output.status.success() || !is_silent(&said) {
            return Ok(Err(format!("the ESP is mended ({found:?}), and fsck.fat says: {said}")));
        }
        let after = after.map_err(doing("read", &self.esp.path))?.map(|all| {
            let moved = |pieces: Vec<Piece>| {
                pieces.into_iter().map(|(at, length)| (at + start, length)).collect::<Vec<_>>()
            };
            all.into_iter().map(|(offered, pieces)| (offered, moved(pieces))).collect::<Vec<_>>()
        });
        if before == after {
            return Ok(Ok(()));
        }
        Ok(Err(format!("mending ({found:?}) made of {before:?} {after:?}")))
    }
}

/// Whether this is nothing but what `fsck.fat` says of every FAT: its own name, and how many files
/// and clusters there are.
fn is_silent(said: &str) -> bool {
    let lines: Vec<&str> = said.lines().collect();
    matches!(lines[..], [name, count] if name.starts_with("fsck.fat ") && count.contains(" files, "))
}

/// Each entry that is offered.
fn offered(esp: &Fat<'_>) -> Result<Vec<Placed>, String> {
    let mut all = Vec::new();
    for offered in menu(esp)? {
        let mut pieces = Vec::new();
        for path in [&offered.linux, &offered.initrd] {
            let found = esp.find(path).ok().flatten().and_then(|file| esp.pieces(&file).ok());
            pieces.extend(found.ok_or(format!("`{path}` cannot be read"))?);
        }
        all.push((offered, pieces));
    }
    Ok(all)
}

impl Copied {
    fn new(base: &Path, path: PathBuf, range: Range<u64>, log: &Log) -> Result<Self, Problem> {
        let file = File::options().read(true).write(true).create_new(true).open(&path);
        let file = file.map_err(doing("make", &path))?;
        let mut sectors = BTreeSet::new();
        for number in 0..log.entries.len() {
            let all = written(log, number).map_err(doing("read", base))?;
            sectors.extend(all.map(|(sector, _)| sector));
        }
        let is_within = |sector: &u64| range.contains(&(sector * SECTOR as u64));
        let has = sectors.into_iter().filter(is_within).map(|sector| (sector, BASE)).collect();
        let mut it = Self { base: base.to_owned(), path, file, range, has };
        it.copy()?;
        Ok(it)
    }

    /// Makes the file what the recorded disk is.
    fn copy(&mut self) -> Result<(), Problem> {
        let length = self.range.end - self.range.start;
        Cmd::new("dd")
            .arg(format!("if={}", self.base.display()))
            .arg(format!("of={}", self.path.display()))
            .args(["bs=1M", "iflag=skip_bytes,count_bytes", "conv=sparse", "status=none"])
            .arg(format!("skip={}", self.range.start))
            .arg(format!("count={length}"))
            .run()?;
        self.file.set_len(length).map_err(doing("write", &self.path))?;
        self.has.iter_mut().for_each(|(_, has)| *has = BASE);
        Ok(())
    }

    /// Makes the file what the partition is; whether it was another.
    fn set(&mut self, disk: &Disk<'_>) -> Result<bool, Problem> {
        let mut bytes = [0; SECTOR];
        let mut write = |(sector, has): &mut Source| {
            let source = disk.source(*sector)?;
            if source == *has {
                return Ok(false);
            }
            *has = source;
            let at = *sector * SECTOR as u64;
            disk.read(at, &mut bytes)?;
            self.file.write_all_at(&bytes, at - self.range.start)?;
            Ok::<_, io::Error>(true)
        };
        let mut is_another = false;
        for place in &mut self.has {
            is_another |= write(place).map_err(doing("write", &self.path))?;
        }
        Ok(is_another)
    }

    /// Somebody wrote there.
    fn forget(&mut self, pieces: &[Piece]) {
        for (at, length) in pieces {
            let (first, last) = (at / SECTOR as u64, (at + length).div_ceil(SECTOR as u64));
            for sector in first..last {
                match self.has.binary_search_by_key(&sector, |(known, _)| *known) {
                    Ok(place) => self.has[place].1 = UNKNOWN,
                    Err(place) => self.has.insert(place, (sector, UNKNOWN)),
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tool(name: &str) -> Cmd {
        let path = std::env::var("PATH").unwrap_or_default();
        Cmd::new(name).env("PATH", format!("{path}:/usr/sbin:/sbin"))
    }

    /// What the script that a host runs says of it.
    fn mended(path: &Path) -> String {
        let path = path.display().to_string();
        let sh = tool("/bin/sh").args(["-c", MEND_SUPERBLOCK, "mend-superblock", &path]);
        sh.run().unwrap().stdout_text()
    }

    #[test]
    fn half_a_superblock_is_mended_and_nothing_else_is_touched() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("root");
        let file = File::options().read(true).write(true).create_new(true).open(&path).unwrap();
        file.set_len(64 << 20).unwrap();
        tool("mke2fs").args(["-q", "-t", "ext4"]).arg(&path).run().unwrap();
        let good = std::fs::read(&path).unwrap();
        assert_eq!(mended(&path), "");
        assert!(std::fs::read(&path).unwrap() == good, "what is whole was touched");
        // Its second sector is another one.
        file.write_all_at(&[0; 4], 1024 + 1020).unwrap();
        let fsck = || tool("e2fsck").arg("-p").arg(&path).output().unwrap().status.code();
        assert_eq!(fsck(), Some(8));
        assert!(mended(&path).ends_with("was half written; it was mended"));
        let now = std::fs::read(&path).unwrap();
        assert!(now[..1024] == good[..1024] && now[2048..] == good[2048..], "more was written");
        assert_eq!(fsck(), Some(1));
        assert_eq!(mended(&path), "");
    }

    #[test]
    fn what_fsck_fat_says_beside_its_count_is_a_finding_though_it_calls_it_none() {
        let folder = tempfile::tempdir().unwrap();
        let path = crate::fat::tests::esp(folder.path(), &[("a", "b")]);
        let fsck = || tool("fsck.fat").arg("-n").arg(&path).output().unwrap();
        assert!(fsck().status.success() && is_silent(&fsck().stdout_text()));
        // The boot sector is another than its copy.
        File::options().write(true).open(&path).unwrap().write_all_at(b"x", 3).unwrap();
        assert!(fsck().status.success() && !is_silent(&fsck().stdout_text()));
    }

    #[test]
    fn what_is_no_ext4_is_left_alone() {
        let file = tempfile::NamedTempFile::new().unwrap();
        file.as_file().set_len(64 << 20).unwrap();
        assert_eq!(mended(file.path()), "");
        assert!(std::fs::read(file.path()).unwrap().iter().all(|byte| *byte == 0));
        assert_eq!(mended(Path::new("/nowhere")), "");
    }
}
