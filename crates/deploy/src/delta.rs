//! Static deltas: what a host that has one commit needs of another, as a few files.
//!
//! libostree writes a delta's parts into its folder and the superblock that lists them after them,
//! each by a rename, and syncs none of it (`ostree-repo-static-delta-compilation.c`, 2022.7 to
//! 2026.4). So a kill leaves parts without a superblock, which are no delta for anybody; a power
//! cut may leave anything. Here a delta is made beside, synced, and moved to its place as a whole.

use std::fs::{self, File, Permissions};
use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use ostree::glib::{
    Bytes, ChecksumType, Variant, VariantDict, VariantTy, compute_checksum_for_data,
};
use ostree::{Checksum, StaticDeltaGenerateOpt};

use crate::error::Doing;
use crate::repo::NEVER;
use crate::{DeployError, Repo};

/// A delta has everything in it, however large a file is: one answer more costs a host more than
/// the bytes that a file of its own would save.
const NO_FALLBACK: u32 = 0;
/// The name that libostree gives the file that lists the parts, which are `0`, `1` and so on.
const SUPERBLOCK: &str = "superblock";
/// libostree's `OSTREE_STATIC_DELTA_SUPERBLOCK_FORMAT`: metadata, time, from, to, the commit, what
/// goes before, the parts (version, SHA-256, bytes, bytes unpacked, objects), what is left out.
const SUPERBLOCK_FORMAT: &str = "(a{sv}tayay(a{sv}aya(say)sstayay)aya(uayttay)a(yaytt))";
/// A web server serves them as somebody else.
const PUBLIC_FOLDER: u32 = 0o755;

impl Repo {
    /// Makes the static delta that leads from one commit to another, unless it is there, whole and
    /// with the signatures that the commit has. Returns the bytes that it has on the wire. May be
    /// cut anywhere and called again.
    ///
    /// # Errors
    /// One of the commits is not here, or there is no space.
    pub fn make_delta(&self, from: &str, to: &str) -> Result<u64, DeployError> {
        let folder = self.path().join(delta_folder(from, to)?);
        if !self.has_delta(from, to)? {
            self.write_delta(from, to, &folder)?;
        }
        let doing = || format!("read `{}`", folder.display());
        let mut bytes = 0;
        for entry in fs::read_dir(&folder).doing(doing)? {
            bytes += entry.and_then(|entry| entry.metadata()).doing(doing)?.len();
        }
        Ok(bytes)
    }

    /// Bytes that the static delta from one commit to another has, as one file; nothing of it stays.
    ///
    /// # Errors
    /// One of the commits is not here, or there is no space for it in `work`.
    pub fn measure_delta(&self, from: &str, to: &str, work: &Path) -> Result<u64, DeployError> {
        let doing = || format!("measure the delta from {from} to {to}");
        let file = work.join("delta");
        let params = to_file(&file);
        params.insert("inline-parts", true);
        self.generate(from, to, &params)?;
        let bytes = fs::metadata(&file).doing(doing)?.len();
        fs::remove_file(&file).doing(doing)?;
        Ok(bytes)
    }

    /// Makes a delta in a folder beside, and moves that to `folder`, whatever was there before.
    /// libostree removes after a day what a cut leaves in `tmp`.
    fn write_delta(&self, from: &str, to: &str, folder: &Path) -> Result<(), DeployError> {
        let doing = || format!("write the delta `{}`", folder.display());
        let made = tempfile::Builder::new()
            .prefix("delta-")
            .permissions(Permissions::from_mode(PUBLIC_FOLDER))
            .tempdir_in(self.path().join("tmp"))
            .doing(doing)?;
        self.generate(from, to, &to_file(&made.path().join(SUPERBLOCK)))?;
        for entry in fs::read_dir(made.path()).doing(doing)? {
            let file = File::open(entry.doing(doing)?.path()).doing(doing)?;
            file.sync_all().doing(doing)?;
        }
        basalt_durable::sync_folder(made.path()).doing(doing)?;
        let deltas = self.path().join("deltas");
        let parent = folder.parent().unwrap_or(&deltas);
        fs::create_dir_all(parent).doing(doing)?;
        for new in [self.path(), &deltas] {
            basalt_durable::sync_folder(new).doing(doing)?;
        }
        match fs::remove_dir_all(folder) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                return Err(error).doing(doing);
            }
            _ => (),
        }
        basalt_durable::rename(made.path(), folder).doing(doing)
    }

    fn generate(&self, from: &str, to: &str, params: &VariantDict) -> Result<(), DeployError> {
        params.insert("min-fallback-size", NO_FALLBACK);
        let (major, params) = (StaticDeltaGenerateOpt::Major, params.end());
        self.inner
            .static_delta_generate(major, Some(from), to, None, Some(&params), NEVER)
            .doing(|| format!("make the delta from {from} to {to}"))
    }

    /// Whether there is a superblock of this delta, with the signatures that the commit has now,
    /// and every part that it lists as it lists it.
    fn has_delta(&self, from: &str, to: &str) -> Result<bool, DeployError> {
        let name = delta_folder(from, to)?;
        let doing = || format!("read the delta `{name}`");
        let folder = self.path().join(&name);
        let read = |name: &str| basalt_durable::read(&folder.join(name)).doing(doing);
        let Some(bytes) = read(SUPERBLOCK)? else { return Ok(false) };
        let Some(superblock) = Superblock::parse(bytes) else { return Ok(false) };
        let signatures = self.inner.read_commit_detached_metadata(to, NEVER).doing(doing)?;
        if !superblock.leads(from, to) || superblock.signatures(&name) != signatures {
            return Ok(false);
        }
        for (number, hash) in superblock.parts().enumerate() {
            if read(&number.to_string())?.is_none_or(|part| sha256(&part) != hash) {
                return Ok(false);
            }
        }
        Ok(true)
    }
}

/// The list of a delta's parts.
struct Superblock(Variant);

impl Superblock {
    /// `None` when these bytes are none.
    fn parse(bytes: Vec<u8>) -> Option<Self> {
        let format = VariantTy::new(SUPERBLOCK_FORMAT).ok()?;
        let variant = Variant::from_bytes_with_type(&Bytes::from_owned(bytes), format);
        variant.is_normal_form().then_some(Self(variant))
    }

    /// Whether it leads from one commit to the other, and has the latter as it is.
    fn leads(&self, from: &str, to: &str) -> bool {
        let is = |child: usize, hex: &str| hex_of(self.0.child_value(child).data()) == hex;
        is(2, from) && is(3, to) && sha256(self.0.child_value(4).data()) == to
    }

    /// What is known of the commit beside itself: who signed it.
    fn signatures(&self, folder: &str) -> Option<Variant> {
        let metadata = VariantDict::new(Some(&self.0.child_value(0)));
        metadata.lookup_value(&format!("{folder}/commitmeta"), None)
    }

    /// The SHA-256 of each part, in their order.
    fn parts(&self) -> impl Iterator<Item = String> {
        self.0.child_value(6).iter().map(|part| hex_of(part.child_value(1).data()))
    }
}

/// Where libostree keeps a delta, below the repository: both checksums in its Base64, the first two
/// characters as a folder of their own.
fn delta_folder(from: &str, to: &str) -> Result<String, DeployError> {
    let base64 = |checksum: &str| {
        let parsed = Checksum::from_hex(checksum);
        parsed.map(|checksum| checksum.to_base64()).map_err(|_| not_a_checksum(checksum))
    };
    let (from, to) = (base64(from)?, base64(to)?);
    let (first, rest) = from.split_at(2);
    Ok(format!("deltas/{first}/{rest}-{to}"))
}

/// Has libostree write a superblock to this file, and the parts beside it.
fn to_file(path: &Path) -> VariantDict {
    let mut name = path.as_os_str().as_encoded_bytes().to_vec();
    name.push(0);
    let params = VariantDict::new(None);
    params.insert("filename", name);
    params
}

fn sha256(bytes: &[u8]) -> String {
    // GLib knows SHA-256; a hash that it did not know would equal none.
    compute_checksum_for_data(ChecksumType::Sha256, bytes).map(Into::into).unwrap_or_default()
}

fn hex_of(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn not_a_checksum(text: &str) -> DeployError {
    DeployError::Path(text.to_owned())
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use super::*;
    use crate::CommitRequest;

    /// An archive with two commits.
    struct Ground {
        dir: tempfile::TempDir,
        archive: Repo,
        one: String,
        two: String,
    }

    impl Ground {
        fn new() -> Self {
            let dir = tempfile::tempdir().unwrap();
            let archive = Repo::open_or_create_archive(&dir.path().join("archive")).unwrap();
            let commit = |content: &str| {
                fs::create_dir_all(dir.path().join("tree")).unwrap();
                fs::write(dir.path().join("tree/file"), content).unwrap();
                let (ref_name, time) = (content, 1);
                let request =
                    CommitRequest { ref_name, time, version: None, build_id: None, key: None };
                archive.commit(&dir.path().join("tree"), &request).unwrap()
            };
            let (one, two) = (commit("one"), commit("two"));
            Self { dir, archive, one, two }
        }

        fn make(&self) -> u64 {
            self.archive.make_delta(&self.one, &self.two).unwrap()
        }

        fn file(&self, name: &str) -> PathBuf {
            let folder = delta_folder(&self.one, &self.two).unwrap();
            self.archive.path().join(folder).join(name)
        }

        /// What a host that has the first commit makes of the delta alone.
        fn is_taken(&self) {
            let host = tempfile::tempdir_in(self.dir.path()).unwrap();
            let host = Repo::open_or_create(host.path()).unwrap();
            host.pull_local(&self.archive, &self.one).unwrap();
            let delta = ostree::gio::File::for_path(self.file(SUPERBLOCK));
            host.inner.static_delta_execute_offline(&delta, false, NEVER).unwrap();
            assert_eq!(host.read_file(&self.two, "file").unwrap().unwrap(), b"two");
        }
    }

    #[test]
    fn a_delta_is_made_once_and_measured() {
        let ground = Ground::new();
        let bytes = ground.make();
        assert!((100..10_000).contains(&bytes), "{bytes}");
        let written = fs::metadata(ground.file(SUPERBLOCK)).unwrap().modified().unwrap();
        assert_eq!(ground.make(), bytes);
        assert_eq!(fs::metadata(ground.file(SUPERBLOCK)).unwrap().modified().unwrap(), written);
        ground.is_taken();
        let Ground { archive, one, two, dir } = &ground;
        assert_ne!(archive.make_delta(two, one).unwrap(), 0);
        assert_ne!(archive.measure_delta(one, two, dir.path()).unwrap(), 0);
        archive.make_delta(one, &"0".repeat(64)).unwrap_err();
        archive.make_delta("no checksum", two).unwrap_err();
        let left = fs::read_dir(archive.path().join("tmp")).unwrap();
        let left = left.map(|entry| entry.unwrap().file_name().into_string().unwrap());
        assert!(left.into_iter().all(|name| !name.starts_with("delta-")));
    }

    /// As a web server sees it, which is not the user that published.
    #[test]
    fn everybody_may_read_a_delta() {
        let ground = Ground::new();
        ground.make();
        let mode = |name| fs::metadata(ground.file(name)).unwrap().permissions().mode() & 0o777;
        assert_eq!([mode(""), mode(SUPERBLOCK), mode("0")], [0o755, 0o644, 0o644]);
    }

    #[test]
    fn what_a_cut_left_of_a_delta_is_none_and_is_made_anew() {
        let cut = |name: &str, cut: &dyn Fn(&Path)| {
            let ground = Ground::new();
            let bytes = ground.make();
            cut(&ground.file(name));
            assert_eq!(ground.make(), bytes);
            ground.is_taken();
        };
        let remove = |path: &Path| fs::remove_file(path).unwrap();
        let empty = |path: &Path| fs::write(path, "").unwrap();
        let half = |path: &Path| {
            let whole = fs::read(path).unwrap();
            fs::write(path, &whole[..whole.len() / 2]).unwrap();
        };
        let zeros = |path: &Path| fs::write(path, vec![0; fs::read(path).unwrap().len()]).unwrap();
        for name in [SUPERBLOCK, "0"] {
            let ways: [&dyn Fn(&Path); 4] = [&remove, &empty, &half, &zeros];
            ways.into_iter().for_each(|way| cut(name, way));
        }
    }

    #[test]
    fn a_delta_of_other_commits_in_its_place_is_none() {
        let ground = Ground::new();
        ground.make();
        ground.archive.make_delta(&ground.two, &ground.one).unwrap();
        let other = delta_folder(&ground.two, &ground.one).unwrap();
        fs::remove_dir_all(ground.file("")).unwrap();
        fs::rename(ground.archive.path().join(other), ground.file("")).unwrap();
        ground.make();
        ground.is_taken();
    }

    #[test]
    fn a_delta_is_made_anew_once_its_commit_has_another_signature() {
        let ground = Ground::new();
        ground.make();
        let signed = VariantDict::new(None);
        signed.insert("ostree.gpgsigs", vec![vec![1_u8, 2, 3]]);
        let signed = signed.end();
        let Ground { archive, two, .. } = &ground;
        archive.inner.write_commit_detached_metadata(two, Some(&signed), NEVER).unwrap();
        ground.make();
        let superblock = Superblock::parse(fs::read(ground.file(SUPERBLOCK)).unwrap()).unwrap();
        let folder = delta_folder(&ground.one, two).unwrap();
        assert_eq!(superblock.signatures(&folder), Some(signed));
    }
}
