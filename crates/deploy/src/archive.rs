//! Repositories of mode `archive`: what a web server offers. Static deltas and the signed summary
//! are theirs.

use std::path::{Path, PathBuf};

use ostree::gio::Cancellable;
use ostree::glib::VariantDict;
use ostree::{Checksum, StaticDeltaGenerateOpt};

use crate::error::Doing;
use crate::repo::not_utf8;
use crate::{DeployError, Repo, SigningKey};

const NEVER: Option<&Cancellable> = None;
/// A delta has everything in it, however large a file is: one answer more costs a host more than
/// the bytes that a file of its own would save.
const NO_FALLBACK: u32 = 0;

impl Repo {
    /// Opens the archive at `path`, creating it when there is none. May be cut anywhere and called
    /// again.
    ///
    /// # Errors
    /// `path` cannot be written, or holds something else.
    pub fn open_or_create_archive(path: &Path) -> Result<Self, DeployError> {
        std::fs::create_dir_all(path).doing(|| format!("create `{}`", path.display()))?;
        let inner = ostree::Repo::new_for_path(path);
        let doing = || format!("create the archive `{}`", path.display());
        inner.create(ostree::RepoMode::Archive, NEVER).doing(doing)?;
        Self::opened(inner, path)
    }

    /// Makes the static delta that leads from one commit to another, unless it is there. Returns
    /// the bytes that it has on the wire.
    ///
    /// # Errors
    /// One of the commits is not here, or there is no space.
    pub fn make_delta(&self, from: &str, to: &str) -> Result<u64, DeployError> {
        let folder = self.delta_folder(from, to)?;
        // Without its superblock a delta is none, for whoever pulls too.
        if !folder.join("superblock").exists() {
            let params = VariantDict::new(None);
            params.insert("min-fallback-size", NO_FALLBACK);
            let (major, params) = (StaticDeltaGenerateOpt::Major, params.end());
            self.inner
                .static_delta_generate(major, Some(from), to, None, Some(&params), NEVER)
                .doing(|| format!("make the delta from {from} to {to}"))?;
        }
        let doing = || format!("read `{}`", folder.display());
        let mut bytes = 0;
        for entry in std::fs::read_dir(&folder).doing(doing)? {
            bytes += entry.and_then(|entry| entry.metadata()).doing(doing)?.len();
        }
        Ok(bytes)
    }

    /// Bytes that the static delta from one commit to another has, as one file; nothing of it stays.
    ///
    /// # Errors
    /// One of the commits is not here, or there is no space for it in `work`.
    pub fn measure_delta(&self, from: &str, to: &str, work: &Path) -> Result<u64, DeployError> {
        let doing = || format!("make the delta from {from} to {to}");
        let file = work.join("delta");
        let mut name = file.as_os_str().as_encoded_bytes().to_vec();
        name.push(0);
        let params = VariantDict::new(None);
        params.insert("min-fallback-size", NO_FALLBACK);
        params.insert("inline-parts", true);
        params.insert("filename", name);
        let (major, params) = (StaticDeltaGenerateOpt::Major, params.end());
        self.inner
            .static_delta_generate(major, Some(from), to, None, Some(&params), NEVER)
            .doing(doing)?;
        let bytes = std::fs::metadata(&file).doing(doing)?.len();
        std::fs::remove_file(&file).doing(doing)?;
        Ok(bytes)
    }

    /// Where libostree keeps a delta: both checksums in its Base64, the first two characters as a
    /// folder of their own.
    fn delta_folder(&self, from: &str, to: &str) -> Result<PathBuf, DeployError> {
        let base64 = |checksum: &str| {
            let parsed = Checksum::from_hex(checksum);
            parsed.map(|checksum| checksum.to_base64()).map_err(|_| not_a_checksum(checksum))
        };
        let (from, to) = (base64(from)?, base64(to)?);
        let (first, rest) = from.split_at(2);
        Ok(self.path().join("deltas").join(first).join(format!("{rest}-{to}")))
    }

    /// Writes the summary of every ref and delta anew, signed by `key`.
    ///
    /// # Errors
    /// The repository cannot be written, or GnuPG cannot sign with that key.
    pub fn summarize(&self, key: &SigningKey) -> Result<(), DeployError> {
        let doing = || format!("write the summary of `{}`", self.path().display());
        let home = key.home.to_str().ok_or_else(|| not_utf8(&key.home))?;
        self.inner.regenerate_summary(None, NEVER).doing(doing)?;
        self.inner.add_gpg_signature_summary(&[&key.fingerprint], Some(home), NEVER).doing(doing)
    }
}

fn not_a_checksum(text: &str) -> DeployError {
    DeployError::Path(text.to_owned())
}
