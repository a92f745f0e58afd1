//! Which disk is meant by what, of those that are there.

use basalt_kickstart::Span;
use basalt_kickstart::disk::{Disk, DiskSelector, NotOne};
use basalt_kickstart::model::{Clear, IgnoreDisk, Kickstart};

use crate::facts::{DiskFact, Facts};
use crate::problems::Problems;

/// The disks that may be used.
pub(super) struct Disks<'a> {
    all: &'a [DiskFact],
    /// Names of those that nothing is said against.
    usable: Vec<String>,
    /// Whether those are all that were named, also files that stand for disks.
    only_named: bool,
    /// What the machine boots from, where that was said.
    boot: Option<(String, Span)>,
    /// What a partition goes to that names no disk.
    default: Option<String>,
    /// From which ones partitions are removed; `None`: from whichever is used.
    cleared: Option<Vec<String>>,
}

impl<'a> Disks<'a> {
    /// Says what is wrong with the disks that are named beside the partitions.
    pub(super) fn of(asked: &Kickstart, facts: &'a Facts, problems: &mut Problems) -> Self {
        let mut disks = Self {
            all: &facts.disks,
            usable: Vec::new(),
            only_named: matches!(asked.ignoredisk.as_deref(), Some(IgnoreDisk::OnlyUse(_))),
            boot: None,
            default: None,
            cleared: None,
        };
        disks.usable = disks.not_ignored(asked, problems);
        let cleared = asked.clearpart.as_ref().filter(|it| !it.drives.is_empty());
        disks.cleared = cleared.map(|clear| {
            let drives = clear.drives.iter();
            drives.filter_map(|drive| disks.select(drive, clear.span, problems)).map(name).collect()
        });
        let boot = asked.bootloader.as_ref();
        let boot = boot.and_then(|it| it.boot_drive.as_ref().map(|drive| (drive, it.span)));
        let boot =
            boot.and_then(|(drive, span)| Some((name(disks.select(drive, span, problems)?), span)));
        disks.default = match (&boot, disks.cleared.as_deref()) {
            (Some((boot, _)), _) => Some(boot.clone()),
            (None, Some([one])) => Some(one.clone()),
            _ => None,
        };
        disks.boot = boot;
        disks
    }

    /// The disk with this name.
    pub(super) fn named(&self, name: &str) -> Option<&'a DiskFact> {
        self.all.iter().find(|it| it.disk.name == name)
    }

    /// Those that may be used.
    pub(super) fn usable(&self) -> impl Iterator<Item = &'a DiskFact> {
        self.all.iter().filter(|fact| self.usable.contains(&fact.disk.name))
    }

    /// The disk that a selector means, or what is wrong with it.
    pub(super) fn select(
        &self,
        selector: &DiskSelector,
        span: Span,
        problems: &mut Problems,
    ) -> Option<&'a DiskFact> {
        let chosen = choose(selector, self.all, |fact| self.usable.contains(&fact.disk.name));
        match chosen {
            Ok(fact) => Some(fact),
            Err(error) => {
                problems.error(
                    span,
                    error.to_string(),
                    "`basalt-install disks` shows what there is",
                );
                None
            }
        }
    }

    /// The disk of what names none.
    pub(super) fn any(&self, span: Span, problems: &mut Problems) -> Option<&'a DiskFact> {
        if let Some(name) = &self.default {
            return self.named(name);
        }
        let may = |fact: &&DiskFact| {
            let is_free = fact.refused.is_none() && !fact.disk.is_boot_medium;
            let is_disk = self.only_named || !fact.is_loop();
            is_free && is_disk && self.usable.contains(&fact.disk.name)
        };
        let found: Vec<&DiskFact> = self.all.iter().filter(may).collect();
        match found[..] {
            [one] => Some(one),
            [] => {
                problems.error(span, format!("there is no disk to install to{}", self.list()), "");
                None
            }
            _ => {
                let message = format!("{} disks could be meant{}", found.len(), self.list());
                problems.error(span, message, "name one: `ignoredisk --only-use=@serial=…`");
                None
            }
        }
    }

    /// Whether partitions are removed from a disk as `clearpart` says.
    pub(super) fn is_cleared(&self, asked: &Kickstart, disk: &str) -> bool {
        let by_list = asked.clearpart.as_ref().is_some_and(|it| matches!(it.clear, Clear::List(_)));
        let named = self.cleared.as_ref().is_none_or(|cleared| cleared.iter().any(|it| it == disk));
        asked.clearpart.is_some() && (by_list || named)
    }

    /// Says where the machine is to boot from another disk than the root's.
    pub(super) fn check_boot(&self, root: &str, problems: &mut Problems) {
        let Some((boot, span)) = self.boot.as_ref().filter(|(boot, _)| boot != root) else {
            return;
        };
        let message = format!("the machine cannot boot from `{boot}`: the root lies on `{root}`");
        problems.error(*span, message, "leave `--boot-drive` away, or name the root's disk");
    }

    /// Disks that are cleared although nothing may be installed to them.
    pub(super) fn cleared(&self) -> &[String] {
        self.cleared.as_deref().unwrap_or_default()
    }

    fn not_ignored(&self, asked: &Kickstart, problems: &mut Problems) -> Vec<String> {
        let mut usable: Vec<String> = self.all.iter().map(name).collect();
        let Some(ignore) = &asked.ignoredisk else { return usable };
        let mut find = |selectors: &[DiskSelector]| -> Vec<String> {
            let found = selectors.iter().filter_map(|selector| {
                match choose(selector, self.all, |_| true) {
                    Ok(fact) => Some(name(fact)),
                    // It is left alone in any case.
                    Err(error) if is_boot_medium(&error) => None,
                    Err(error) => {
                        problems.error(ignore.span, error.to_string(), "");
                        None
                    }
                }
            });
            found.collect()
        };
        match &ignore.value {
            IgnoreDisk::OnlyUse(used) => find(used),
            IgnoreDisk::Drives(ignored) => {
                let ignored = find(ignored);
                usable.retain(|name| !ignored.contains(name));
                usable
            }
        }
    }

    fn list(&self) -> String {
        let disks = self.all.iter().filter(|fact| !fact.is_loop());
        let lines = disks.map(|fact| {
            let why = match (&fact.refused, fact.disk.is_boot_medium) {
                (_, true) => ": the installer was started from it".to_owned(),
                (Some(why), _) => format!(": {}", why.lines().next().unwrap_or_default()),
                _ if !self.usable.contains(&fact.disk.name) => ": `ignoredisk`".to_owned(),
                _ => String::new(),
            };
            format!("\n  {}{why}", fact.disk)
        });
        lines.collect()
    }
}

fn name(fact: &DiskFact) -> String {
    fact.disk.name.clone()
}

/// The one disk that is meant. Conditions hold for no file that stands for a disk.
fn choose<'a>(
    selector: &DiskSelector,
    all: &'a [DiskFact],
    may: impl Fn(&DiskFact) -> bool,
) -> Result<&'a DiskFact, NotOne> {
    let named = match selector {
        DiskSelector::Named(name) => Some(name.as_str()),
        DiskSelector::Like { .. } => None,
    };
    let is_meant =
        |fact: &&DiskFact| may(fact) && (!fact.is_loop() || named == Some(fact.disk.name.as_str()));
    let candidates: Vec<Disk> = all.iter().filter(is_meant).map(|it| it.disk.clone()).collect();
    let chosen = selector.select(&candidates)?;
    let found = all.iter().find(|fact| fact.disk.name == chosen.name);
    found.ok_or_else(|| NotOne { selector: selector.clone(), disks: Vec::new() })
}

fn is_boot_medium(error: &NotOne) -> bool {
    error.disks.iter().any(|(_, verdict)| *verdict == basalt_kickstart::disk::Verdict::BootMedium)
}
