//! The signed manifests of an image, as they lie in an archive: `releases/NAME/VERSION.json` for
//! each release, `releases/NAME.json` for the one that is the release now.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use basalt_durable::PUBLIC;
use basalt_release::{EnvelopeError, Manifest, PublicKey, SecretKey, open, seal};

/// Where they lie.
pub(super) struct Offer {
    /// One file for each release.
    folder: PathBuf,
    /// The release now.
    now: PathBuf,
}

impl Offer {
    pub(super) fn of(archive: &Path, image: &str) -> Self {
        let releases = archive.join("releases");
        Self { folder: releases.join(image), now: releases.join(format!("{image}.json")) }
    }

    /// The manifests that these keys signed, in no order. Those of other keys are left out.
    pub(super) fn published(&self, keys: &[PublicKey]) -> Result<Vec<Manifest>> {
        let mut manifests = Vec::new();
        let folder = || format!("cannot read `{}`", self.folder.display());
        let entries = match fs::read_dir(&self.folder) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(manifests),
            entries => entries.with_context(folder)?,
        };
        for entry in entries {
            let path = entry.with_context(folder)?.path();
            if path.extension().is_none_or(|extension| extension != "json") {
                continue;
            }
            let bytes =
                fs::read(&path).with_context(|| format!("cannot read `{}`", path.display()))?;
            match open(&bytes, keys) {
                Ok(manifest) => manifests.push(manifest),
                Err(EnvelopeError::Untrusted { .. }) => (),
                Err(error) => {
                    return Err(error).with_context(|| {
                        format!("`{}`\nhint: publish to another folder", path.display())
                    });
                }
            }
        }
        Ok(manifests)
    }

    /// Writes the release's own file, then the one of now. Returns the latter.
    pub(super) fn write(&self, manifest: &Manifest, key: &SecretKey) -> Result<PathBuf> {
        let bytes = seal(manifest, std::slice::from_ref(key))?;
        fs::create_dir_all(&self.folder)
            .with_context(|| format!("cannot create `{}`", self.folder.display()))?;
        let own = self.folder.join(format!("{}.json", manifest.version));
        for path in [&own, &self.now] {
            basalt_durable::write(path, &bytes, PUBLIC)
                .with_context(|| format!("cannot write `{}`", path.display()))?;
        }
        Ok(self.now.clone())
    }
}
