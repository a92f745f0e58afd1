//! `host.toml`: what somebody who writes a stick tells one host, on the ESP, which any laptop
//! can edit and anyone who holds the disk can read.
//!
//! On the first boot it is taken to /var, 0600, and wiped from the ESP last: a cut in between
//! repeats it all.

use std::fs::{self, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::{DirBuilderExt, PermissionsExt};
use std::path::Path;

use anyhow::{Context, Result};
use basalt_document::MAX_BYTES;
use basalt_durable::{PRIVATE, PUBLIC};
use basalt_host_toml::HostToml;

use crate::paths::Paths;

/// What was there to take.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Taken {
    /// Nothing.
    Nothing,
    /// A configuration, which now holds.
    All,
}

/// Takes the configuration from the ESP.
///
/// # Errors
/// It has mistakes, and then stays where it is and nothing of it holds; or something cannot be
/// written.
pub fn take(paths: &Paths) -> Result<Taken> {
    let source = paths.esp_host_toml();
    let Some(text) = read(&source)? else { return Ok(Taken::Nothing) };
    if is_wiped(&text) {
        basalt_durable::remove(&source).context("cannot remove what was taken before")?;
        return Ok(Taken::Nothing);
    }
    let host = HostToml::parse("/basalt/host.toml on the EFI partition", &text)?;
    keep(&paths.taken_host_toml(), &text)?;
    put(paths, &host)?;
    wipe(&source).with_context(|| format!("cannot wipe `{}`", source.display()))?;
    Ok(Taken::All)
}

fn read(path: &Path) -> Result<Option<String>> {
    let name = path.display();
    let file = basalt_durable::open(path).with_context(|| format!("cannot read `{name}`"))?;
    let Some(file) = file else { return Ok(None) };
    let mut bytes = Vec::new();
    file.take(MAX_BYTES as u64 + 1)
        .read_to_end(&mut bytes)
        .with_context(|| format!("cannot read `{name}`"))?;
    Ok(Some(basalt_host_toml::text(&name.to_string(), bytes)?))
}

fn keep(path: &Path, text: &str) -> Result<()> {
    make_private_folder(path)?;
    basalt_durable::write(path, text.as_bytes(), PRIVATE)
        .with_context(|| format!("cannot write `{}`", path.display()))
}

fn put(paths: &Paths, host: &HostToml) -> Result<()> {
    if let Some(name) = host.hostname() {
        let path = paths.hostname();
        basalt_durable::write(&path, format!("{name}\n").as_bytes(), PUBLIC)
            .with_context(|| format!("cannot write `{}`", path.display()))?;
        if paths.is_live() {
            rustix::system::sethostname(name.as_bytes()).context("cannot set the host's name")?;
        }
    }
    let keys = host.authorized_keys();
    if !keys.is_empty() {
        keep(&paths.authorized_keys(), &(keys.join("\n") + "\n"))?;
    }
    Ok(())
}

fn make_private_folder(path: &Path) -> Result<()> {
    let Some(folder) = path.parent() else { return Ok(()) };
    fs::DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(folder)
        .and_then(|()| fs::set_permissions(folder, fs::Permissions::from_mode(0o700)))
        .with_context(|| format!("cannot make the folder `{}`", folder.display()))
}

/// Overwrites before it removes: FAT leaves the bytes of a removed file where they are.
fn wipe(path: &Path) -> io::Result<()> {
    let length = fs::metadata(path)?.len();
    let mut file = OpenOptions::new().write(true).open(path)?;
    io::copy(&mut io::repeat(0).take(length), &mut file)?;
    file.flush()?;
    file.sync_all()?;
    basalt_durable::remove(path)
}

/// Whether a cut came between the overwriting and the removal.
fn is_wiped(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte == 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEY: &str = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIJ0m1Qx ops";

    struct Host {
        root: tempfile::TempDir,
    }

    impl Host {
        fn with(text: &str) -> Self {
            let root = tempfile::tempdir().unwrap();
            for folder in ["efi/basalt", "etc", "var/lib"] {
                fs::create_dir_all(root.path().join(folder)).unwrap();
            }
            fs::write(root.path().join("efi/basalt/host.toml"), text).unwrap();
            Self { root }
        }

        fn take(&self) -> Result<Taken> {
            take(&Paths::under(self.root.path()))
        }

        fn file(&self, path: &str) -> Option<String> {
            fs::read_to_string(self.root.path().join(path)).ok()
        }
    }

    fn good() -> String {
        format!("hostname = \"rack4-17\"\n[ssh]\nauthorized_keys = [\"{KEY}\"]\n")
    }

    #[test]
    fn it_is_taken_once_private_and_leaves_the_esp() {
        let host = Host::with(&good());
        assert_eq!(host.take().unwrap(), Taken::All);
        assert_eq!(host.file("etc/hostname").as_deref(), Some("rack4-17\n"));
        assert_eq!(host.file("root/.ssh/authorized_keys"), Some(format!("{KEY}\n")));
        let taken = host.root.path().join("var/lib/basalt/host.toml");
        assert_eq!(fs::metadata(taken).unwrap().permissions().mode() & 0o777, 0o600);
        assert_eq!(host.file("efi/basalt/host.toml"), None);
        assert_eq!(host.take().unwrap(), Taken::Nothing);
    }

    #[test]
    fn a_mistake_is_shown_and_nothing_is_taken_or_lost() {
        let text = good().replace("hostname", "hostnam");
        let host = Host::with(&text);
        let error = host.take().unwrap_err().to_string();
        assert!(error.contains("did you mean `hostname`?"), "{error}");
        assert_eq!(host.file("efi/basalt/host.toml"), Some(text));
        assert_eq!(host.file("root/.ssh/authorized_keys"), None);
    }

    #[test]
    fn a_cut_after_the_overwriting_is_finished_on_the_next_boot() {
        let host = Host::with(&"\0".repeat(40));
        assert_eq!(host.take().unwrap(), Taken::Nothing);
        assert_eq!(host.file("efi/basalt/host.toml"), None);
    }

    #[test]
    fn a_byte_order_mark_is_no_mistake() {
        assert_eq!(Host::with(&format!("\u{feff}{}", good())).take().unwrap(), Taken::All);
    }
}
