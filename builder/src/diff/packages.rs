//! Debian packages of two trees, as dpkg's database lists them. Pure.

use std::collections::BTreeMap;
use std::fmt::Write;

use serde::Serialize;

/// What changed among packages.
#[derive(Debug, Default, PartialEq, Eq, Serialize)]
pub struct Packages {
    /// In the new one only: name and version.
    pub added: BTreeMap<String, String>,
    /// In the old one only: name and version.
    pub removed: BTreeMap<String, String>,
    /// In both, with the versions before and after.
    pub changed: BTreeMap<String, (String, String)>,
}

impl Packages {
    /// Compares two of dpkg's `status` files.
    #[must_use]
    pub fn between(old: &str, new: &str) -> Self {
        let (mut removed, new) = (installed(old), installed(new));
        let (mut added, mut changed) = (BTreeMap::new(), BTreeMap::new());
        for (name, version) in new {
            match removed.remove(&name) {
                None => {
                    added.insert(name, version);
                }
                Some(before) if before != version => {
                    changed.insert(name, (before, version));
                }
                Some(_) => (),
            }
        }
        Self { added, removed, changed }
    }

    pub(super) fn summary(&self) -> String {
        super::summary(self.changed.len(), self.added.len(), self.removed.len())
    }

    pub(super) fn list(&self, text: &mut String) {
        // Writing to a string does not fail.
        for (name, (old, new)) in &self.changed {
            let _ = writeln!(text, "  {name} {old} → {new}");
        }
        for (mark, packages) in [('+', &self.added), ('-', &self.removed)] {
            for (name, version) in packages {
                let _ = writeln!(text, "{mark} {name} {version}");
            }
        }
    }
}

/// Versions of what is installed, by name.
fn installed(status: &str) -> BTreeMap<String, String> {
    let paragraphs = status.split("\n\n");
    let package = |paragraph: &str| {
        let field = |name: &str| {
            let mut lines = paragraph.lines().filter_map(|line| line.split_once(": "));
            lines.find(|(found, _)| *found == name).map(|(_, value)| value.trim().to_owned())
        };
        let is_installed = field("Status")?.ends_with(" installed");
        is_installed.then_some((field("Package")?, field("Version")?))
    };
    paragraphs.filter_map(package).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn status(packages: &[(&str, &str)]) -> String {
        let one = |(name, version): &(&str, &str)| {
            format!("Package: {name}\nStatus: install ok installed\nVersion: {version}\n")
        };
        packages.iter().map(one).collect::<Vec<_>>().join("\n")
    }

    #[test]
    fn packages_are_compared_by_name_and_version() {
        let old = status(&[("a", "1"), ("b", "1"), ("c", "1")]);
        let new = status(&[("b", "1"), ("c", "2"), ("d", "1")]);
        let packages = Packages::between(&old, &new);
        assert_eq!(packages.summary(), "1 changed, 1 added, 1 removed");
        let mut text = String::new();
        packages.list(&mut text);
        assert_eq!(text, "  c 1 → 2\n+ d 1\n- a 1\n");
        assert_eq!(Packages::between(&new, &new), Packages::default());
    }

    #[test]
    fn what_is_removed_but_configured_is_not_installed() {
        let status = "Package: a\nStatus: deinstall ok config-files\nVersion: 1\n\nno field";
        assert_eq!(installed(status), BTreeMap::new());
    }
}
