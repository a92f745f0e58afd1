//! Whose image it is, and what should be in it: by the manifests that lie beside it.
//!
//! `basalt build` writes `manifest.json`, which tells damage, and with `--sign-key` also
//! `manifest.signed.json`, which tells forgery. Pure, but for [`trusted`].

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use basalt_release::{Image, ImageError, PublicKey, open_image};

use crate::manifest::Manifest;

/// What lies beside an image.
#[derive(Debug, Default)]
pub(super) struct Beside {
    /// `manifest.json`.
    pub(super) manifest: Option<Vec<u8>>,
    /// `manifest.signed.json`.
    pub(super) signed: Option<Vec<u8>>,
}

/// What is said of an image.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct Origin {
    /// What it should be; `None` where nobody says it.
    pub(super) image: Option<Image>,
    /// Whether a key signed that which is trusted here.
    pub(super) trusted: bool,
    /// What whoever writes it should know.
    pub(super) warning: Option<String>,
}

/// The keys in files: `NAME.pub`, with `NAME.manifest.pub` beside it, or that one itself.
///
/// # Errors
/// A file cannot be read, or holds no such key.
pub(super) fn trusted(files: &[PathBuf]) -> Result<Vec<PublicKey>> {
    files.iter().map(|path| key(path)).collect()
}

fn key(path: &Path) -> Result<PublicKey> {
    let doing = || format!("cannot use the key `{}`", path.display());
    let read = |path: &Path| {
        let text = std::fs::read(path).with_context(|| format!("cannot read `{}`", path.display()));
        text.with_context(doing)
    };
    if let Ok(key) = PublicKey::parse(&read(path)?) {
        return Ok(key);
    }
    let beside = path.with_extension("manifest.pub");
    let hint = "hint: `basalt key create` makes `NAME.pub`, and `NAME.manifest.pub` beside it";
    PublicKey::parse(&read(&beside).context(hint)?).with_context(doing).context(hint)
}

/// What is said of the image whose file has this name. With `keys` nothing counts but what one of
/// them signed.
///
/// # Errors
/// It is not what was asked for: unsigned, or signed by another key; or what is signed is damaged.
pub(super) fn judge(beside: &Beside, file: &str, keys: &[PublicKey]) -> Result<Origin> {
    if let Some(signed) = &beside.signed {
        return judge_signed(signed, file, keys);
    }
    if !keys.is_empty() {
        bail!(
            "the image is not signed: there is no `{}` beside it\nhint: `basalt build --sign-key` \
             writes one; without `--key` the image is written as it is",
            Manifest::SIGNED
        );
    }
    let manifest = beside.manifest.as_deref().and_then(Manifest::parse);
    let image = manifest.as_ref().and_then(Manifest::image).filter(|image| image.file == file);
    let warning = match &image {
        Some(_) => {
            "the image is unsigned: nobody vouches for it; its manifest tells whether all \
                    of it came"
        }
        None if beside.manifest.is_some() => {
            "the image is unsigned, and the manifest beside it says nothing of what is in it"
        }
        None => "the image is unsigned, and no manifest beside it says what should be in it",
    };
    Ok(Origin { image, trusted: false, warning: Some(warning.to_owned()) })
}

fn judge_signed(signed: &[u8], file: &str, keys: &[PublicKey]) -> Result<Origin> {
    let trusted = (!keys.is_empty()).then_some(keys);
    let name = Manifest::SIGNED;
    let image = match open_image(signed, trusted) {
        Err(error @ ImageError::Untrusted { .. }) => {
            return Err(error).context(
                "the image must not be written\nhint: `--key` names the public keys that are \
                 trusted",
            );
        }
        result => result.with_context(|| format!("cannot use `{name}` beside the image"))?,
    };
    if image.file != file {
        bail!(
            "`{name}` beside the image is of `{}`, not of `{file}`\nhint: an image keeps its name, \
             also compressed, as `{}.zst`",
            image.file,
            image.file
        );
    }
    let warning = trusted.is_none().then(|| {
        format!(
            "the image is signed, and nobody said by whom it should be: its signature was not \
             checked\nhint: `--key NAME.pub` names a key that is trusted, {} {}",
            image.name, image.version
        )
    });
    Ok(Origin { image: Some(image), trusted: trusted.is_some(), warning })
}

impl Origin {
    /// # Errors
    /// The image has another size than is said of it.
    pub(super) fn check_size(&self, size: u64) -> Result<()> {
        match &self.image {
            Some(image) if image.size != size => bail!(
                "the image has {size} bytes, and its manifest says {}\nhint: one of the two is \
                 from another build",
                image.size
            ),
            _ => Ok(()),
        }
    }

    /// # Errors
    /// Something else is in the image than is said of it.
    pub(super) fn check_digest(&self, digest: &str) -> Result<()> {
        match &self.image {
            Some(image) if image.digest != digest => bail!(
                "the image is not what its manifest says: its digest is {digest}, not {}\nhint: it \
                 was damaged or changed; get it again",
                image.digest
            ),
            _ => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use basalt_release::{SecretKey, seal_image};

    use super::*;

    const MANIFEST: &str = r#"{"form":1,"name":"base","version":"1","build_id":"a","commit":"COMMIT",
        "ref":"c","release":"unsigned","signed_by":"d","packages":1,"disk_key":"e",
        "disk":{"file":"disk.raw","size":7,"allocated":1,"digest":"DIGEST"}}"#;

    fn image() -> Image {
        let (file, digest) = ("disk.raw".to_owned(), "d1".repeat(32));
        Image { file, digest, size: 7, ..Image::of("base", "1", &"c1".repeat(32)) }
    }

    fn manifest() -> Option<Vec<u8>> {
        let text = MANIFEST.replace("COMMIT", &"c1".repeat(32));
        Some(text.replace("DIGEST", &"d1".repeat(32)).into_bytes())
    }

    fn signed() -> (Beside, PublicKey) {
        let (key, _) = SecretKey::create().unwrap();
        let public = key.public();
        let signed = Some(seal_image(&image(), &[key]).unwrap());
        (Beside { manifest: manifest(), signed }, public)
    }

    fn refused(beside: &Beside, file: &str, keys: &[PublicKey]) -> String {
        format!("{:#}", judge(beside, file, keys).unwrap_err())
    }

    #[test]
    fn what_a_trusted_key_signed_is_believed_without_a_word() {
        let (beside, key) = signed();
        let origin = judge(&beside, "disk.raw", &[key]).unwrap();
        assert_eq!(origin, Origin { image: Some(image()), trusted: true, warning: None });
    }

    #[test]
    fn what_another_key_signed_is_refused_and_what_is_unsigned_too() {
        let (beside, _) = signed();
        let (_, other) = signed();
        assert!(refused(&beside, "disk.raw", &[other]).contains("no trusted key signed the image"));
        let unsigned = Beside { signed: None, ..beside };
        assert!(refused(&unsigned, "disk.raw", &[other]).contains("the image is not signed"));
    }

    #[test]
    fn what_nobody_checked_is_said() {
        let (beside, _) = signed();
        let origin = judge(&beside, "disk.raw", &[]).unwrap();
        assert!(origin.warning.unwrap().contains("was not checked"));
        assert!(!origin.trusted && origin.image == Some(image()));
        let unsigned = Beside { signed: None, ..beside };
        let origin = judge(&unsigned, "disk.raw", &[]).unwrap();
        assert!(origin.warning.unwrap().contains("unsigned"));
        assert_eq!(origin.image, Some(image()));
        let origin = judge(&Beside::default(), "disk.raw", &[]).unwrap();
        assert!(origin.warning.unwrap().contains("no manifest"));
        assert_eq!(origin.image, None);
    }

    #[test]
    fn what_is_said_of_another_file_is_not_said_of_this() {
        let (beside, key) = signed();
        assert!(refused(&beside, "other.raw", &[key]).contains("not of `other.raw`"));
        let unsigned = Beside { signed: None, ..beside };
        assert_eq!(judge(&unsigned, "other.raw", &[]).unwrap().image, None);
    }

    #[test]
    fn damage_to_what_is_signed_is_no_lack_of_a_signature() {
        let (beside, key) = signed();
        let damaged = Beside { signed: Some(b"{}".to_vec()), ..beside };
        assert!(refused(&damaged, "disk.raw", &[]).contains("cannot use `manifest.signed.json`"));
        assert!(refused(&damaged, "disk.raw", &[key]).contains("cannot use"));
    }

    #[test]
    fn another_size_and_another_digest_are_refused() {
        let (beside, key) = signed();
        let origin = judge(&beside, "disk.raw", &[key]).unwrap();
        origin.check_size(7).unwrap();
        origin.check_digest(&"d1".repeat(32)).unwrap();
        assert!(origin.check_size(8).unwrap_err().to_string().contains("has 8 bytes"));
        let digest = origin.check_digest(&"d2".repeat(32)).unwrap_err().to_string();
        assert!(digest.contains("damaged or changed"), "{digest}");
        Origin::default().check_size(8).unwrap();
        Origin::default().check_digest("").unwrap();
    }

    #[test]
    fn a_key_is_found_by_either_half_of_its_files() {
        let folder = tempfile::tempdir().unwrap();
        let (key, _) = SecretKey::create().unwrap();
        let (commits, manifests) =
            (folder.path().join("release.pub"), folder.path().join("release.manifest.pub"));
        std::fs::write(&commits, "a GnuPG key").unwrap();
        std::fs::write(&manifests, key.public().to_pem()).unwrap();
        let found = trusted(&[commits.clone(), manifests.clone()]).unwrap();
        assert_eq!(found, [key.public(), key.public()]);
        std::fs::remove_file(manifests).unwrap();
        let error = format!("{:#}", trusted(&[commits]).unwrap_err());
        assert!(error.contains("release.manifest.pub") && error.contains("hint: "), "{error}");
    }
}
