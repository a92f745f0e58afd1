//! Paths of two trees, each with a hash of what is there. Pure.

use std::collections::BTreeMap;
use std::fmt::Write;

use serde::Serialize;

/// What changed among files, links and folders; sorted.
#[derive(Debug, Default, PartialEq, Eq, Serialize)]
pub struct Paths {
    /// In the new one only.
    pub added: Vec<String>,
    /// In the old one only.
    pub removed: Vec<String>,
    /// In both and not the same.
    pub changed: Vec<String>,
}

impl Paths {
    /// Compares two trees.
    #[must_use]
    pub fn between(old: &BTreeMap<String, String>, new: &BTreeMap<String, String>) -> Self {
        let of = |tree: &BTreeMap<String, String>, is: &dyn Fn(&str, &str) -> bool| {
            let paths = tree.iter().filter(|(path, hash)| is(path, hash));
            paths.map(|(path, _)| format!("/{path}")).collect()
        };
        Self {
            added: of(new, &|path, _| !old.contains_key(path)),
            removed: of(old, &|path, _| !new.contains_key(path)),
            changed: of(new, &|path, hash| old.get(path).is_some_and(|before| before != hash)),
        }
    }

    pub(super) fn summary(&self) -> String {
        super::summary(self.changed.len(), self.added.len(), self.removed.len())
    }

    pub(super) fn list(&self, text: &mut String) {
        // Writing to a string does not fail.
        for (mark, paths) in [(' ', &self.changed), ('+', &self.added), ('-', &self.removed)] {
            for path in paths {
                let _ = writeln!(text, "{mark} {path}");
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tree(paths: &[(&str, &str)]) -> BTreeMap<String, String> {
        paths.iter().map(|(path, hash)| ((*path).to_owned(), (*hash).to_owned())).collect()
    }

    #[test]
    fn trees_are_compared_by_path_and_hash() {
        let old = tree(&[("etc", "0"), ("etc/a", "1"), ("etc/b", "1")]);
        let new = tree(&[("etc", "0"), ("etc/b", "2"), ("etc/c", "1")]);
        let paths = Paths::between(&old, &new);
        let mut text = String::new();
        paths.list(&mut text);
        assert_eq!(text, "  /etc/b\n+ /etc/c\n- /etc/a\n");
        assert_eq!(paths.summary(), "1 changed, 1 added, 1 removed");
        assert_eq!(Paths::between(&new, &new), Paths::default());
    }
}
