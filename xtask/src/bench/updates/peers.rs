//! Other ways from one tree to another, and what they weigh.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use basalt_cmd::Cmd;

use super::super::Ground;
use crate::image::Image;

/// RAUC refuses a bundle whose certificate has ended.
const DAYS: &str = "2";

/// Two commits, before and after, and room for what is made of them.
pub(super) struct Peers<'a> {
    ground: &'a Ground<'a>,
    repo: &'a Path,
    folder: PathBuf,
    commits: [&'a str; 2],
}

impl<'a> Peers<'a> {
    pub(super) fn new(
        ground: &'a Ground<'a>,
        repo: &'a Path,
        what: &str,
        commits: [&'a str; 2],
    ) -> Result<Self> {
        Ok(Self { ground, repo, folder: ground.folder(&what.replace(' ', "-"))?, commits })
    }

    /// Objects that a host with the first commit fetches of an archive without deltas.
    pub(super) fn pull(&self) -> Result<u64> {
        let archive = self.folder.join("archive");
        let repo = format!("--repo={}", archive.display());
        let ostree = |args: &[&str]| self.ground.say(Cmd::new("ostree").arg(&repo).args(args));
        ostree(&["init", "--mode=archive"])?;
        let source = self.repo.to_str().context("a path in UTF-8")?;
        let [before, after] = self.commits;
        ostree(&["pull-local", source, before])?;
        let had = files(&archive.join("objects"))?;
        ostree(&["pull-local", source, after])?;
        let new = new(&had, &files(&archive.join("objects"))?);
        fs::remove_dir_all(&archive)?;
        Ok(new)
    }

    /// The strongest that `zstd` is without `--ultra`, over windows as large as the trees.
    pub(super) fn zstd(&self) -> Result<u64> {
        let [before, after] = [self.tar(0)?, self.tar(1)?];
        let patch = self.folder.join("patch.zst");
        let cmd = Cmd::new("zstd").args(["-19", "--long=30", "--quiet", "--force"]);
        let from = format!("--patch-from={}", before.display());
        self.ground.time(cmd.arg(from).arg(&after).arg("-o").arg(&patch))?;
        Ok(fs::metadata(&patch)?.len())
    }

    /// The chunks that RAUC fetches of the second bundle, whose host has the first one's, and the
    /// bundle with their index.
    pub(super) fn rauc(&self) -> Result<u64> {
        self.certificate()?;
        let before = self.bundle("before", 0)?;
        let after = self.bundle("after", 1)?;
        let chunks = |bundle: &Path| files(&bundle.with_extension("castr"));
        let index = fs::metadata(&after)?.len();
        Ok(index + new(&chunks(&before)?, &chunks(&after)?))
    }

    /// The tree of one of the commits as `ostree export` has it: in one order, with one time.
    fn tar(&self, number: usize) -> Result<PathBuf> {
        let tar = self.folder.join(format!("{number}.tar"));
        if !tar.exists() {
            let repo = format!("--repo={}", self.repo.display());
            let cmd = Cmd::new("ostree").arg(repo).arg("export").arg("--output").arg(&tar);
            self.ground.time(cmd.arg(self.commits[number]))?;
        }
        Ok(tar)
    }

    fn certificate(&self) -> Result<()> {
        let cmd = Cmd::new("openssl").args(["req", "-x509", "-newkey", "rsa:2048", "-nodes"]);
        let cmd = cmd.args(["-subj", "/CN=bench", "-days", DAYS, "-keyout", "key.pem"]);
        cmd.args(["-out", "cert.pem"]).current_dir(&self.folder).run()?;
        Ok(())
    }

    /// A bundle of the tree, converted: an index, and chunks in a folder beside it.
    fn bundle(&self, name: &str, number: usize) -> Result<PathBuf> {
        let content = self.folder.join(name);
        fs::create_dir(&content)?;
        fs::rename(self.tar(number)?, content.join("root.tar"))?;
        let manifest =
            "[update]\ncompatible=bench\nversion=1\n\n[image.rootfs]\nfilename=root.tar\n";
        fs::write(content.join("manifest.raucm"), manifest)?;
        let (whole, converted) = (format!("{name}-whole.raucb"), format!("{name}.raucb"));
        let rauc = |args: &[&str]| {
            let cmd = Cmd::new("rauc").args(["--cert=cert.pem", "--key=key.pem"]).args(args);
            self.ground.time(cmd.current_dir(&self.folder)).map(|_| ())
        };
        rauc(&["bundle", name, &whole])?;
        rauc(&["--keyring=cert.pem", "convert", &whole, &converted])?;
        fs::remove_file(self.folder.join(&whole))?;
        fs::remove_dir_all(&content)?;
        Ok(self.folder.join(converted))
    }
}

/// Bytes of the image's disk, compressed as it would be for a download.
pub(super) fn whole(ground: &Ground<'_>, image: &Image) -> Result<u64> {
    let compressed = ground.work.join("disk.zst");
    let cmd = Cmd::new("zstd").args(["-19", "--long=27", "--threads=0", "--quiet", "--force"]);
    ground.time(cmd.arg(&image.disk).arg("-o").arg(&compressed))?;
    Ok(fs::metadata(&compressed)?.len())
}

/// Files below a folder, by their path, with their sizes.
fn files(folder: &Path) -> Result<BTreeMap<PathBuf, u64>> {
    let mut found = BTreeMap::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(at) = folders.pop() {
        let entries =
            fs::read_dir(&at).with_context(|| format!("cannot read `{}`", at.display()))?;
        for entry in entries {
            let entry = entry?;
            if entry.file_type()?.is_dir() {
                folders.push(entry.path());
            } else {
                let path = entry.path().strip_prefix(folder)?.to_owned();
                found.insert(path, entry.metadata()?.len());
            }
        }
    }
    Ok(found)
}

/// Bytes of those that were not there before. What lies under a name has one content: both stores
/// go by hashes.
fn new(before: &BTreeMap<PathBuf, u64>, after: &BTreeMap<PathBuf, u64>) -> u64 {
    after.iter().filter(|(path, _)| !before.contains_key(*path)).map(|(_, bytes)| bytes).sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_there_before_is_not_fetched_again() {
        let folder = tempfile::tempdir().unwrap();
        fs::create_dir(folder.path().join("aa")).unwrap();
        fs::write(folder.path().join("aa/one"), "1234").unwrap();
        let before = files(folder.path()).unwrap();
        fs::write(folder.path().join("aa/two"), "123").unwrap();
        fs::write(folder.path().join("three"), "12").unwrap();
        assert_eq!(new(&before, &files(folder.path()).unwrap()), 5);
    }
}
