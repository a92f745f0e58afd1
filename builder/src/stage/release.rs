//! What an image says of itself, and the small files that come from the definition.

use std::path::Path;

use anyhow::Result;

use super::accounts;
use crate::definition::Definition;
use crate::overlay::put;

/// Who vouches for an image.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Trust {
    /// Signed with a key that the builder was given.
    Signed,
    /// Signed with the development key only, which no host trusts.
    Unsigned,
}

/// Name and number of a release.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Release {
    /// The version, as `3`.
    pub version: String,
    /// Hash of everything it was built from, 64 hex digits.
    pub build_id: String,
    /// Who vouches for it.
    pub trust: Trust,
}

/// Writes `os-release` and the files that the definition's keys stand for.
///
/// # Errors
/// The tree cannot be written.
pub fn write(tree: &Path, definition: &Definition, release: &Release) -> Result<()> {
    let put = |path: &str, text: &str| put(tree, path, text.as_bytes(), 0o644);
    put("usr/lib/os-release", &os_release(&definition.name, release))?;
    put("usr/lib/sysusers.d/basalt.conf", &accounts::sysusers(definition))?;
    let kernel = &definition.kernel;
    put("usr/lib/basalt/kargs.d/10-image.conf", &lines("", &kernel.arguments))?;
    put("usr/lib/modules-load.d/basalt.conf", &lines("", &kernel.modules))?;
    put("usr/lib/modprobe.d/basalt.conf", &lines("blacklist ", &kernel.blacklist))
}

/// The `os-release` of a release.
#[must_use]
pub fn os_release(image: &str, release: &Release) -> String {
    let Release { version, build_id, trust } = release;
    let (note, mark) = match trust {
        Trust::Signed => ("", "BASALT_RELEASE=signed\n"),
        Trust::Unsigned => (", unsigned release", "BASALT_RELEASE=unsigned\n"),
    };
    format!(
        "PRETTY_NAME=\"Basalt {version} ({image}{note})\"\n\
         NAME=\"Basalt\"\n\
         ID=basalt\n\
         ID_LIKE=debian\n\
         VERSION_ID={version}\n\
         VARIANT_ID={image}\n\
         IMAGE_ID={image}\n\
         IMAGE_VERSION={version}\n\
         BUILD_ID={build_id}\n\
         DEFAULT_HOSTNAME=basalt\n\
         {mark}"
    )
}

fn lines(prefix: &str, words: &[String]) -> String {
    let mut text = String::from("# Made by the image builder from the image definition.\n");
    for word in words {
        text.push_str(prefix);
        text.push_str(word);
        text.push('\n');
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn release(trust: Trust) -> Release {
        Release { version: "3".into(), build_id: "b".into(), trust }
    }

    /// What others read to know a host by: systemd, the builder's own tests, `hostctl`.
    #[test]
    fn an_image_says_what_it_is_in_lines_that_others_read() {
        let text = os_release("metal", &release(Trust::Signed));
        let lines: Vec<&str> = text.lines().collect();
        for line in [
            "PRETTY_NAME=\"Basalt 3 (metal)\"",
            "ID=basalt",
            "ID_LIKE=debian",
            "IMAGE_ID=metal",
            "IMAGE_VERSION=3",
            "BUILD_ID=b",
            "BASALT_RELEASE=signed",
        ] {
            assert_eq!(lines.iter().filter(|found| **found == line).count(), 1, "{line}: {text}");
        }
        assert!(!text.contains("unsigned"), "{text}");
    }

    #[test]
    fn an_unsigned_release_says_so_in_its_name() {
        let text = os_release("base", &release(Trust::Unsigned));
        let lines: Vec<&str> = text.lines().collect();
        assert!(lines.contains(&"PRETTY_NAME=\"Basalt 3 (base, unsigned release)\""), "{text}");
        assert!(lines.contains(&"BASALT_RELEASE=unsigned"), "{text}");
    }
}
