//! Opens a path of the host below a folder that was allowed, through no symbolic link: what one
//! leads to was allowed by nobody.
//!
//! An allowed folder may be a link itself, or lie behind one: its name is the operator's. Below it
//! the kernel follows none (`openat2`, Linux 5.6), so that no race can put one there between two
//! looks. What is opened so is safe; a path that is only checked and then given to another program
//! may have become another one by then.

use std::io;
use std::os::fd::OwnedFd;
use std::path::Path;

use rustix::fs::{CWD, Mode, OFlags, ResolveFlags, openat, openat2};
use rustix::io::Errno;

/// What `ProtectHome=` and `PrivateTmp=` hide.
const HIDDEN: &[&str] = &["/home", "/root", "/run/user", "/tmp", "/var/tmp"];

/// Why a path is not opened.
#[derive(Debug, thiserror::Error)]
pub enum BeneathError {
    /// It lies below nothing that is allowed.
    #[error("`{0}` is below no folder that this host allows (hostd.toml: [policy] host_paths)")]
    NotAllowed(String),
    /// There is a symbolic link on the way.
    #[error(
        "`{path}` leads through a symbolic link below `{allowed}`, which is not followed: name and \
         allow what it leads to"
    )]
    Link {
        /// The path.
        path: String,
        /// What was allowed.
        allowed: String,
    },
    /// It is not there.
    #[error("the host has no `{0}`")]
    Missing(String),
    /// It is not there, or the unit of `hostd` hides it.
    #[error(
        "the host has no `{0}` that hostd sees: hostd.service hides /home, /root, /run/user, /tmp \
         and /var/tmp from it (ProtectHome=, PrivateTmp=); take a path elsewhere, as below /srv"
    )]
    Hidden(String),
    /// It lies in a folder that is closed to everybody but its owner, who is not root.
    #[error(
        "hostd may not look at the host's `{0}`: a folder on the way is another user's and lets \
         nobody else pass (hostd has no right to overrule that); chmod o+x lets it"
    )]
    Private(String),
    /// The system does not open it.
    #[error("cannot look at the host's `{path}`")]
    System {
        /// The path.
        path: String,
        /// What the system said.
        #[source]
        source: io::Error,
    },
}

/// Opens a file for reading, without waiting for whoever may stand behind a pipe.
///
/// # Errors
/// See [`BeneathError`].
pub fn open(path: &str, allowed: &[String]) -> Result<OwnedFd, BeneathError> {
    with(path, allowed, OFlags::RDONLY | OFlags::NONBLOCK)
}

/// Whether a path is there, whatever it is.
///
/// # Errors
/// See [`BeneathError`].
pub fn look(path: &str, allowed: &[String]) -> Result<(), BeneathError> {
    with(path, allowed, OFlags::PATH).map(|_| ())
}

fn with(path: &str, allowed: &[String], flags: OFlags) -> Result<OwnedFd, BeneathError> {
    let mut last = BeneathError::NotAllowed(path.to_owned());
    for folder in allowed {
        let Some(rest) = below(path, folder) else { continue };
        match open_below(folder, rest, flags | OFlags::CLOEXEC) {
            Ok(opened) => return Ok(opened),
            Err(errno) => last = told(path, folder, errno),
        }
    }
    Err(last)
}

/// What is left of a path below a folder; empty for the folder itself.
fn below<'a>(path: &'a str, folder: &str) -> Option<&'a str> {
    let rest = path.strip_prefix(folder.trim_end_matches('/'))?;
    (rest.is_empty() || rest.starts_with('/')).then(|| rest.trim_matches('/'))
}

fn open_below(folder: &str, rest: &str, flags: OFlags) -> Result<OwnedFd, Errno> {
    let folder = if folder.trim_end_matches('/').is_empty() { "/" } else { folder };
    if rest.is_empty() {
        return openat(CWD, Path::new(folder), flags, Mode::empty());
    }
    let way = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let folder = openat(CWD, Path::new(folder), way, Mode::empty())?;
    let resolve = ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS | ResolveFlags::NO_MAGICLINKS;
    openat2(&folder, Path::new(rest), flags, Mode::empty(), resolve)
}

fn told(path: &str, folder: &str, errno: Errno) -> BeneathError {
    let path = path.to_owned();
    match errno {
        Errno::LOOP | Errno::XDEV => BeneathError::Link { path, allowed: folder.to_owned() },
        // What is hidden is empty, or nobody may pass there (systemd.exec(5), ProtectHome=).
        Errno::NOENT | Errno::NOTDIR | Errno::ACCESS if is_hidden(&path) => {
            BeneathError::Hidden(path)
        }
        Errno::NOENT | Errno::NOTDIR => BeneathError::Missing(path),
        Errno::ACCESS => BeneathError::Private(path),
        errno => BeneathError::System { path, source: errno.into() },
    }
}

/// Whether the unit of `hostd` hides it. One that runs otherwise sees it, and does not ask.
fn is_hidden(path: &str) -> bool {
    HIDDEN.iter().any(|hidden| below(path, hidden).is_some())
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::symlink;

    use super::*;

    /// `allowed` with `file`, `folder/inner` and links; `secret` beside it.
    fn host() -> (tempfile::TempDir, String) {
        let root = tempfile::tempdir().unwrap();
        let allowed = root.path().join("allowed");
        fs::create_dir_all(allowed.join("folder")).unwrap();
        for file in ["file", "folder/inner"] {
            fs::write(allowed.join(file), "good").unwrap();
        }
        fs::write(root.path().join("secret"), "secret").unwrap();
        symlink("../secret", allowed.join("link")).unwrap();
        symlink(root.path(), allowed.join("way")).unwrap();
        symlink("folder", allowed.join("inside")).unwrap();
        symlink(&allowed, root.path().join("alias")).unwrap();
        let path = allowed.to_str().unwrap().to_owned();
        (root, path)
    }

    fn refused(path: &str, allowed: &str) -> String {
        let looked = look(path, &[allowed.to_owned()]).unwrap_err().to_string();
        assert_eq!(open(path, &[allowed.to_owned()]).unwrap_err().to_string(), looked);
        looked
    }

    #[test]
    fn what_is_below_an_allowed_folder_is_opened() {
        let (root, allowed) = host();
        let alias = root.path().join("alias").to_str().unwrap().to_owned();
        for folder in [allowed.clone(), format!("{allowed}/"), alias] {
            let list = ["/nowhere".to_owned(), folder.clone()];
            let folder = folder.trim_end_matches('/');
            for path in ["", "/", "/file", "/folder/inner"] {
                look(&format!("{folder}{path}"), &list).unwrap();
            }
            let mut text = String::new();
            let file = open(&format!("{folder}/folder/inner"), &list).unwrap();
            io::Read::read_to_string(&mut fs::File::from(file), &mut text).unwrap();
            assert_eq!(text, "good");
        }
        look("/proc", &["/".to_owned()]).unwrap();
    }

    #[test]
    fn no_link_below_it_is_followed() {
        let (_root, allowed) = host();
        for path in ["link", "way/secret", "inside/inner", "folder/../../secret"] {
            let told = refused(&format!("{allowed}/{path}"), &allowed);
            assert!(told.contains("leads through a symbolic link"), "{path}: {told}");
        }
    }

    #[test]
    fn what_is_beside_it_or_missing_is_told() {
        let (_root, allowed) = host();
        let told = refused(&format!("{allowed}other"), &allowed);
        assert!(told.contains("below no folder that this host allows"), "{told}");
        let told = refused(&format!("{allowed}/none"), &allowed);
        assert!(told.starts_with("the host has no `"), "{told}");
    }
}
