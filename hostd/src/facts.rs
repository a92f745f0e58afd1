//! What does not change while the host is up: the release, the slot, the commit.

use std::fs;
use std::path::Path;

use basalt_sysroot::slot::Slot;

use crate::paths::Paths;

/// What was booted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Facts {
    /// The image's name.
    pub image: String,
    /// The release's version.
    pub version: String,
    /// Hash of what it was built from.
    pub build_id: String,
    /// `signed` or `unsigned`.
    pub release: String,
    /// The slot that was booted.
    pub slot: Option<Slot>,
    /// The OSTree commit that was booted.
    pub commit: Option<String>,
    /// The kernel's random id of this boot.
    pub boot_id: String,
}

impl Facts {
    /// Looks. What is not there is left empty: a `hostd` in a container has no slot.
    #[must_use]
    pub fn read(paths: &Paths) -> Self {
        let os_release = text(&paths.os_release());
        let field = |name| os_release_field(&os_release, name).unwrap_or_default();
        let slot = Slot::from_cmdline(&text(&paths.cmdline()));
        Self {
            image: field("IMAGE_ID"),
            version: field("IMAGE_VERSION"),
            build_id: field("BUILD_ID"),
            release: field("BASALT_RELEASE"),
            slot,
            commit: slot.and_then(|slot| commit(&paths.slot_link(slot))),
            boot_id: text(&paths.boot_id()).trim().to_owned(),
        }
    }
}

fn text(path: &Path) -> String {
    fs::read_to_string(path).unwrap_or_default()
}

/// A field of an os-release(5), without its quotes. Pure.
fn os_release_field(text: &str, name: &str) -> Option<String> {
    let value = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix('='))?;
    Some(value.trim().trim_matches(['"', '\'']).to_owned())
}

/// The commit of a slot: its link leads to `…/deploy/COMMIT.SERIAL`.
fn commit(link: &Path) -> Option<String> {
    let target = fs::read_link(link).ok()?;
    let (commit, _) = target.file_name()?.to_str()?.rsplit_once('.')?;
    Some(commit.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_field_is_read_without_quotes_and_not_from_a_longer_name() {
        let text = "BASALT_RELEASE=unsigned\nIMAGE_ID=\"base\"\nMY_IMAGE_ID=no\n";
        assert_eq!(os_release_field(text, "IMAGE_ID").as_deref(), Some("base"));
        assert_eq!(os_release_field(text, "ID"), None);
    }

    #[test]
    fn the_commit_is_that_of_the_booted_slot() {
        let root = tempfile::tempdir().unwrap();
        let at = |path: &str| root.path().join(path);
        fs::create_dir_all(at("sysroot/ostree")).unwrap();
        fs::create_dir_all(at("proc")).unwrap();
        fs::write(at("proc/cmdline"), "quiet androidboot.slot_suffix=_b ostree").unwrap();
        for (link, commit) in [("root.a", "11aa"), ("root.b", "22bb")] {
            let target = format!("deploy/basalt/deploy/{commit}.0");
            std::os::unix::fs::symlink(target, at("sysroot/ostree").join(link)).unwrap();
        }
        let facts = Facts::read(&Paths::under(root.path()));
        assert_eq!((facts.slot, facts.commit.as_deref()), (Some(Slot::B), Some("22bb")));
    }
}
