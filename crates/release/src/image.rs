//! A disk image of a release: what is signed beside its file, so that whoever writes it to a disk
//! knows whose it is and that all of it came.

use serde::{Deserialize, Serialize};

use crate::envelope::{EnvelopeError, Opened, listed, seal_payload};
use crate::key::{PublicKey, SecretKey};
use crate::manifest::{is_checksum, is_name};

/// Form of the document.
const FORM: u32 = 1;
/// What the payload is.
const TYPE: &str = "application/vnd.basalt.image+json";

/// One disk image.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Image {
    /// Form of this document.
    pub form: u32,
    /// The image's name, as its definition says it.
    pub name: String,
    /// The version.
    pub version: String,
    /// Checksum of the OSTree commit on it, 64 hex digits.
    pub commit: String,
    /// Name of its file, without what a compression adds.
    pub file: String,
    /// Its length in bytes, uncompressed.
    pub size: u64,
    /// The digest of what is in it, 64 hex digits, as the builder defines it.
    pub digest: String,
}

/// Why a document says of no image what it is.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ImageError {
    /// It is no envelope, or what is in it is of another kind.
    #[error("what is signed of the image cannot be read: {0}")]
    Malformed(String),
    /// No key that is trusted signed it.
    #[error("no trusted key signed the image; it is signed by {}", listed(.signed_by))]
    Untrusted {
        /// The keys that it claims.
        signed_by: Vec<String>,
    },
    /// It has another form.
    #[error("what is signed of the image has form {0}, and this program knows {FORM}")]
    Form(u32),
    /// A value makes no sense.
    #[error("what is signed of the image has a `{0}` that makes no sense")]
    Value(&'static str),
}

impl Image {
    /// An image of this release: its name, version and commit. Its file is to be added.
    #[must_use]
    pub fn of(name: &str, version: &str, commit: &str) -> Self {
        Self {
            form: FORM,
            name: name.to_owned(),
            version: version.to_owned(),
            commit: commit.to_owned(),
            file: String::new(),
            size: 0,
            digest: String::new(),
        }
    }

    fn check(self) -> Result<Self, ImageError> {
        let wrong = [
            ("name", !is_name(&self.name)),
            ("version", !is_name(&self.version)),
            ("commit", !is_checksum(&self.commit)),
            ("file", !is_name(&self.file)),
            ("digest", !is_checksum(&self.digest)),
        ];
        match wrong.iter().find(|(_, is_wrong)| *is_wrong) {
            Some((key, _)) => Err(ImageError::Value(key)),
            None if self.form != FORM => Err(ImageError::Form(self.form)),
            None => Ok(self),
        }
    }
}

/// Signs what is said of an image with each key.
///
/// # Errors
/// A value makes no sense.
pub fn seal_image(image: &Image, keys: &[SecretKey]) -> Result<Vec<u8>, ImageError> {
    let image = image.clone().check()?;
    let malformed = |error: serde_json::Error| ImageError::Malformed(error.to_string());
    let payload = serde_json::to_vec_pretty(&image).map_err(malformed)?;
    seal_payload(TYPE, &payload, keys).map_err(malformed)
}

/// What is said of an image in an envelope that one of these keys signed; with `None`, whoever
/// signed it: it then says nothing that anybody could not have said.
///
/// # Errors
/// It is no envelope, none of these keys signed it, or what is in it makes no sense.
pub fn open_image(bytes: &[u8], trusted: Option<&[PublicKey]>) -> Result<Image, ImageError> {
    let opened = Opened::read(TYPE, bytes).map_err(|error| match error {
        EnvelopeError::Malformed(why) => ImageError::Malformed(why),
        other => ImageError::Malformed(other.to_string()),
    })?;
    if trusted.is_some_and(|trusted| !opened.is_signed_by(trusted)) {
        return Err(ImageError::Untrusted { signed_by: opened.signers() });
    }
    let image: Image = serde_json::from_slice(&opened.payload)
        .map_err(|error| ImageError::Malformed(error.to_string()))?;
    image.check()
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use crate::manifest::tests::manifest;

    pub(crate) fn image() -> Image {
        Image {
            file: "disk.raw".to_owned(),
            size: 12 << 30,
            digest: "d1".repeat(32),
            ..Image::of("base", "7", &"c7".repeat(32))
        }
    }

    fn key() -> SecretKey {
        SecretKey::create().unwrap().0
    }

    #[test]
    fn an_image_is_known_by_a_trusted_key_alone() {
        let (ours, foreign) = (key(), key());
        let trusted = [ours.public()];
        let sealed = seal_image(&image(), &[ours]).unwrap();
        assert_eq!(open_image(&sealed, Some(&trusted)), Ok(image()));
        let refused = open_image(&sealed, Some(&[foreign.public()])).unwrap_err();
        assert!(refused.to_string().contains(&trusted[0].id()[..16]), "{refused}");
        assert_eq!(open_image(&sealed, Some(&[])), Err(refused));
        assert_eq!(open_image(&sealed, None), Ok(image()));
    }

    #[test]
    fn what_is_signed_of_a_release_says_nothing_of_an_image() {
        let key = key();
        let trusted = [key.public()];
        let release = crate::seal(&manifest(), &[key]).unwrap();
        let refused = open_image(&release, Some(&trusted)).unwrap_err();
        assert!(refused.to_string().contains("its payload is"), "{refused}");
    }

    #[test]
    fn values_that_make_no_sense_are_named() {
        let check = |change: fn(&mut Image), key| {
            let mut image = image();
            change(&mut image);
            assert_eq!(seal_image(&image, &[]), Err(ImageError::Value(key)));
        };
        check(|it| it.name = "../etc".to_owned(), "name");
        check(|it| it.version = String::new(), "version");
        check(|it| it.commit = "c7".to_owned(), "commit");
        check(|it| it.file = "a/b".to_owned(), "file");
        check(|it| it.digest.clear(), "digest");
        let later = Image { form: 2, ..image() };
        assert_eq!(seal_image(&later, &[]), Err(ImageError::Form(2)));
    }
}
