//! Secrets as a container gets them: variables, or files of its own on tmpfs.

mod owner;

use std::fs::{self, DirBuilder};
use std::io;
use std::os::unix::fs::{DirBuilderExt, PermissionsExt, chown};
use std::path::Path;

use basalt_api::id::{Name, WorkloadUid};
use basalt_api::workload::{Container, SecretUse};
use rustix::fs::statfs;

use super::spec::refuse;
use crate::runtime::{Make, RuntimeError};

pub(super) use owner::{Owner, from_passwd, no_user, passwd_of};

/// Modes of the folder and of what is in it.
const FOLDER_MODE: u32 = 0o700;
const FILE_MODE: u32 = 0o400;
/// What the kernel calls tmpfs and ramfs (statfs(2)): nothing of them ever reaches a disk.
const IN_MEMORY: [u64; 2] = [0x0102_1994, 0x8584_58f6];

/// A secret that a container reads as a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct SecretFile {
    /// The secret, and the file in the workload's private folder.
    pub(super) name: Name,
    /// Where the container sees it.
    pub(super) path: String,
}

/// The secrets that it reads as files.
///
/// # Errors
/// One has no value.
pub(super) fn files(make: &Make, container: &Container) -> Result<Vec<SecretFile>, RuntimeError> {
    let files = container.secrets.iter().filter(|secret| secret.variable.is_none());
    files
        .map(|secret| {
            value(make, secret)?;
            let path = secret.path.clone();
            let path = path.unwrap_or_else(|| format!("/run/secrets/{}", secret.name));
            Ok(SecretFile { name: secret.name.clone(), path })
        })
        .collect()
}

/// The secrets that it reads as variables, as `NAME=value`.
///
/// # Errors
/// One has no value, or one that no variable can hold.
pub(super) fn variables(make: &Make, container: &Container) -> Result<Vec<String>, RuntimeError> {
    let named =
        container.secrets.iter().filter_map(|secret| Some((secret, secret.variable.as_ref()?)));
    named
        .map(|(secret, variable)| match std::str::from_utf8(value(make, secret)?) {
            Ok(text) if !text.contains('\0') => Ok(format!("{variable}={text}")),
            _ => {
                let name = &secret.name;
                Err(refuse(format!("the secret `{name}` has bytes that no variable can hold")))
            }
        })
        .collect()
}

/// A text in which no value of a secret stands any more.
pub(super) fn without(make: &Make, text: &str) -> String {
    let values = make.secrets.values().filter_map(|value| std::str::from_utf8(value).ok());
    let values = values.filter(|value| !value.trim().is_empty());
    values.fold(text.to_owned(), |text, value| text.replace(value, "***"))
}

/// Writes the files into the private folder, for this user of the container where it is known
/// already. Blocking.
///
/// # Errors
/// The folder is not a workload's own, not on tmpfs, or cannot be written.
pub(super) fn write(
    make: &Make,
    files: &[SecretFile],
    owner: Option<Owner>,
) -> Result<(), RuntimeError> {
    if files.is_empty() {
        return Ok(());
    }
    if !is_own_folder(&make.private, make.assigned.uid) {
        let folder = make.private.display();
        return Err(refuse(format!("`{folder}` is no folder of this workload's own")));
    }
    let result = open_folder(&make.private).and_then(|()| {
        files.iter().try_for_each(|file| {
            let value = make.secrets.get(&file.name).map_or(&[][..], Vec::as_slice);
            write_file(&make.private.join(file.name.as_str()), value, owner)
        })
    });
    result.map_err(|error| {
        let folder = make.private.display();
        refuse(format!("secrets cannot be put into `{folder}`: {error}"))
    })
}

/// Removes a workload's private folder; one that is gone is as good. Blocking.
///
/// # Errors
/// It cannot be removed.
pub(super) fn remove(folder: &Path, uid: WorkloadUid) -> io::Result<()> {
    // The path comes from a label: nothing but such a folder is ever removed.
    if !is_own_folder(folder, uid) {
        return Ok(());
    }
    match fs::remove_dir_all(folder) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

fn value<'a>(make: &'a Make, secret: &SecretUse) -> Result<&'a [u8], RuntimeError> {
    let value = make.secrets.get(&secret.name).map(Vec::as_slice);
    value.ok_or_else(|| refuse(format!("the secret `{}` has no value here", secret.name)))
}

fn is_own_folder(folder: &Path, uid: WorkloadUid) -> bool {
    folder.is_absolute() && folder.file_name().is_some_and(|name| name == uid.to_string().as_str())
}

fn open_folder(folder: &Path) -> io::Result<()> {
    DirBuilder::new().recursive(true).mode(FOLDER_MODE).create(folder)?;
    // It may have been there, with another mode.
    fs::set_permissions(folder, fs::Permissions::from_mode(FOLDER_MODE))?;
    #[expect(clippy::cast_sign_loss, reason = "a magic number, of whichever sign in C")]
    let kind = statfs(folder)?.f_type as u64;
    if IN_MEMORY.contains(&kind) {
        return Ok(());
    }
    let _ = fs::remove_dir(folder);
    Err(io::Error::other("this is not on tmpfs, and a secret must not reach a disk"))
}

/// Leaves a file that is as it should be alone: a running container has it mounted.
fn write_file(path: &Path, value: &[u8], owner: Option<Owner>) -> io::Result<()> {
    if !fs::read(path).is_ok_and(|there| there == value) {
        basalt_durable::write(path, value, FILE_MODE)?;
    }
    match owner {
        Some(owner) => chown(path, Some(owner.0), None),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::super::samples;
    use super::*;

    #[test]
    fn no_value_of_a_secret_stays_in_a_text() {
        let make = samples::from(serde_json::json!({
            "name": "web", "kind": "container",
            "container": { "image": "web", "secrets": [{ "name": "key" }] },
        }));
        assert_eq!(without(&make, "a value of key, b"), "a ***, b");
    }

    #[test]
    fn only_a_folder_that_is_named_by_the_workload_is_removed() {
        let folder = tempfile::tempdir().unwrap();
        let uid = samples::make().assigned.uid;
        let (own, other) = (folder.path().join(uid.to_string()), folder.path().join("other"));
        for path in [&own, &other] {
            fs::create_dir(path).unwrap();
            remove(path, uid).unwrap();
        }
        assert!(!own.exists() && other.exists());
        remove(&own, uid).unwrap();
    }
}
