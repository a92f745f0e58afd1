//! Checks a merged definition as a whole and makes the one that the builder uses. Collects every
//! mistake before it gives up.

mod accounts;
mod disk;
mod rules;
mod units;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use basalt_document::{DocumentError, Mistake};

use super::load::Loaded;
use super::merge::{At, List, Merged, Text};
use super::{Debian, Definition, Format, Initramfs, Kernel, Live, Overlay, Tree};

pub(super) fn check(merged: Merged, files: &[Loaded]) -> Result<Definition, DocumentError> {
    let mut checker = Checker { files, mistakes: Vec::new() };
    let definition = checker.definition(merged);
    checker.mistakes.sort_by_key(|mistake| {
        (mistake.name.clone(), mistake.place.as_ref().map(|place| (place.line, place.column)))
    });
    match definition {
        Some(definition) if checker.mistakes.is_empty() => Ok(definition),
        _ => Err(DocumentError { mistakes: checker.mistakes }),
    }
}

/// What a word of a list must look like: `Err` says what is wrong, and a hint or nothing.
type Rule = fn(&str) -> Result<(), (String, &'static str)>;

struct Checker<'a> {
    files: &'a [Loaded],
    mistakes: Vec<Mistake>,
}

impl Checker<'_> {
    fn definition(&mut self, merged: Merged) -> Option<Definition> {
        self.own("name", &merged.name);
        self.own("ref", &merged.ostree_ref);
        let name = self.word("name", merged.name, rules::image_name);
        let ostree_ref = self.word("ref", merged.ostree_ref, rules::ostree_ref);
        let formats = self.formats(merged.formats);
        let packages = self.list(merged.packages, rules::package);
        if packages.is_empty() {
            self.missing("packages");
        }
        let suite = self.word("debian.suite", merged.suite, rules::suite);
        let components = self.list(merged.components, rules::component);
        let mirror = self.word("debian.mirror", merged.mirror, rules::url);
        let extra_suites = self.list(merged.extra_suites, rules::extra_suite);
        let security_mirror = self.optional(merged.security_mirror, rules::url);
        let snapshot_mirror = self.optional(merged.snapshot_mirror, rules::url);
        let keyring = self.keyring(merged.keyring);
        let tree = Tree {
            exclude: self.list(merged.exclude, rules::absolute),
            include: self.list(merged.include, rules::absolute),
        };
        let kernel = Kernel {
            arguments: self.list(merged.arguments, rules::kernel_argument),
            modules: self.list(merged.modules, rules::module),
            blacklist: self.list(merged.blacklist, rules::module),
            drivers: self.list(merged.drivers, rules::module),
            remove: self.list(merged.remove, rules::module_folder),
        };
        let initramfs = Initramfs { modules: self.list(merged.initramfs_modules, rules::module) };
        let live = Live {
            modules: self.list(merged.live_modules, rules::module),
            drivers: self.list(merged.live_drivers, rules::module),
            programs: self.list(merged.live_programs, rules::program),
            root: self.folders(merged.live_root),
            initramfs: self.folders(merged.live_initramfs),
        };
        let units = self.units(merged.enable, merged.disable, merged.mask);
        let (users, groups) = self.accounts(merged.users, merged.groups);
        let overlay = Overlay {
            root: self.folders(merged.overlay_root),
            initramfs: self.folders(merged.overlay_initramfs),
        };
        let disk = self.disk(&[merged.size, merged.esp, merged.root, merged.var_min]);
        let debian = Debian {
            suite: suite?,
            components,
            mirror: mirror?,
            extra_suites,
            security_mirror,
            snapshot_mirror,
            keyring: keyring?,
        };
        Some(Definition {
            name: name?,
            ostree_ref: ostree_ref?,
            formats,
            packages,
            debian,
            tree,
            kernel,
            initramfs,
            live,
            units,
            users,
            groups,
            overlay,
            disk: disk?,
        })
    }

    fn at<T>(&mut self, at: &At<T>, message: &str, hint: &str) {
        let source = self.files[at.file].source();
        self.mistakes.push(source.mistake(at.span.clone(), message, hint));
    }

    /// What a derived definition must say for itself: else its image takes the place of the one
    /// that it is derived from.
    fn own(&mut self, key: &str, text: &Text) {
        let Some(at) = text else { return };
        if at.file != 0 {
            self.mistakes.push(Mistake {
                name: self.files[0].name.clone(),
                place: None,
                message: format!("a derived definition needs a `{key}` of its own"),
                hint: Some(format!("`{}` is `{}`'s", at.value, self.files[at.file].name)),
            });
        }
    }

    /// A mistake that no place can show, in the definition that was named.
    fn missing(&mut self, key: &str) {
        self.mistakes.push(Mistake {
            name: self.files[0].name.clone(),
            place: None,
            message: format!("the key `{key}` is missing"),
            hint: None,
        });
    }

    fn word(&mut self, key: &str, text: Text, rule: Rule) -> Option<String> {
        if text.is_none() {
            self.missing(key);
        }
        self.optional(text, rule)
    }

    fn optional(&mut self, text: Text, rule: Rule) -> Option<String> {
        let at = text?;
        if let Err((message, hint)) = rule(&at.value) {
            self.at(&at, &message, hint);
        }
        Some(at.value)
    }

    /// The words of a list that keep the rule, in order. A word twice in one file is a mistake;
    /// one that an inherited file has too is only dropped.
    fn list(&mut self, list: List, rule: Rule) -> Vec<String> {
        let mut seen: BTreeMap<String, usize> = BTreeMap::new();
        let mut words = Vec::new();
        for at in list {
            if let Err((message, hint)) = rule(&at.value) {
                self.at(&at, &message, hint);
                continue;
            }
            match seen.insert(at.value.clone(), at.file) {
                Some(file) if file == at.file => {
                    self.at(&at, &format!("`{}` is there twice", at.value), "");
                }
                Some(_) => (),
                None => words.push(at.value),
            }
        }
        words
    }

    fn formats(&mut self, list: List) -> Vec<Format> {
        self.list(list, rules::format).iter().filter_map(|word| word.parse().ok()).collect()
    }

    fn keyring(&mut self, text: Text) -> Option<PathBuf> {
        let Some(at) = text else {
            self.missing("debian.keyring");
            return None;
        };
        let path = self.beside(&at);
        // apt, which reads it, runs in another folder.
        let path = std::path::absolute(&path).unwrap_or(path);
        if !path.is_file() {
            let message = format!("there is no keyring `{}`", path.display());
            self.at(&at, &message, "install `debian-archive-keyring`");
        }
        Some(path)
    }

    fn folders(&mut self, list: List) -> Vec<PathBuf> {
        let mut folders = Vec::new();
        for at in list {
            let path = self.beside(&at);
            // Fails for an empty path only, which is no folder either.
            let absolute = std::path::absolute(&path).ok().filter(|path| path.is_dir());
            if let Some(path) = absolute {
                folders.push(path);
            } else {
                let message = format!("there is no folder `{}`", path.display());
                self.at(&at, &message, "overlays are relative to the file that names them");
            }
        }
        folders
    }

    /// A path as the file that says it means it: relative to that file.
    fn beside(&self, at: &At<String>) -> PathBuf {
        self.files[at.file].folder.join(Path::new(&at.value))
    }
}
