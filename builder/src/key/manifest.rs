//! The half of a release key that signs release manifests: Ed25519, in the PEM files of OpenSSL,
//! beside the half that signs commits.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use basalt_durable::PUBLIC;
use basalt_release::{PublicKey, SecretKey};

use super::{refuse_readable, write_secret};

/// The file of this half's secret, beside the one that signs commits: `release.manifest.key`
/// beside `release.key`.
pub(super) fn beside(key: &Path) -> PathBuf {
    key.with_extension("manifest.key")
}

/// The file of this half's public key.
pub(super) fn public_beside(key: &Path) -> PathBuf {
    key.with_extension("manifest.pub")
}

/// Makes one, with its public file.
pub(super) fn create(key: &Path) -> Result<()> {
    let (secret, text) = SecretKey::create()?;
    let (path, public) = (beside(key), public_beside(key));
    let doing = |path: &Path| format!("cannot write `{}`", path.display());
    basalt_durable::write(&public, secret.public().to_pem().as_bytes(), PUBLIC)
        .with_context(|| doing(&public))?;
    write_secret(&path, text.as_bytes()).with_context(|| doing(&path))
}

/// The one beside `key`; `None` when there is none.
pub(super) fn load(key: &Path) -> Result<Option<SecretKey>> {
    let path = beside(key);
    let doing = || format!("cannot use the key `{}`", path.display());
    let Some(text) = basalt_durable::read(&path).with_context(doing)? else { return Ok(None) };
    refuse_readable(&path)?;
    match SecretKey::parse(&text) {
        Ok(secret) => Ok(Some(secret)),
        Err(error) => {
            bail!("{}: {error}\nhint: `basalt key create` makes one that signs manifests", doing())
        }
    }
}

/// The public key that lies beside `NAME.pub`, as PEM.
pub(super) fn public(key: &Path) -> Result<String> {
    let path = public_beside(key);
    let text = std::fs::read_to_string(&path)
        .with_context(|| format!("cannot read `{}`", path.display()))?;
    PublicKey::parse(text.as_bytes()).with_context(|| format!("`{}`", path.display()))?;
    Ok(text)
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn a_key_lies_beside_the_other_half_and_is_its_owners_alone() {
        let dir = tempfile::tempdir().unwrap();
        let key = dir.path().join("release.key");
        assert!(load(&key).unwrap().is_none());
        create(&key).unwrap();
        let path = dir.path().join("release.manifest.key");
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        let public = fs::read_to_string(dir.path().join("release.manifest.pub")).unwrap();
        assert_eq!(load(&key).unwrap().unwrap().public().to_pem(), public);

        fs::set_permissions(&path, fs::Permissions::from_mode(0o640)).unwrap();
        let error = load(&key).err().unwrap().to_string();
        assert!(error.contains("chmod 600") && error.contains("release.manifest.key"), "{error}");
    }

    #[test]
    fn a_file_that_is_no_such_key_is_named() {
        let dir = tempfile::tempdir().unwrap();
        let key = dir.path().join("release.key");
        write_secret(&beside(&key), b"not a key").unwrap();
        let error = load(&key).err().unwrap().to_string();
        assert!(error.contains("release.manifest.key") && error.contains("hint: "), "{error}");
    }
}
