//! The host's own kernel arguments, changed by a trial.

use anyhow::{Context, Result, bail};
use basalt_api::os::{Progress, Release};
use basalt_sysroot::kargs;
use basalt_sysroot::update::change_arguments;
use jiff::Timestamp;

use crate::release;
use crate::trial::Trial;
use crate::update::{Updater, carry_out};

/// What is to be changed.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Change {
    /// Arguments that come, at the end.
    pub(crate) append: Vec<String>,
    /// Arguments that go.
    pub(crate) delete: Vec<String>,
}

/// How a list is named to a person.
pub(crate) fn named(kargs: &[String]) -> String {
    match kargs {
        [] => "no kernel arguments of its own".to_owned(),
        some => format!("kernel arguments `{}`", some.join(" ")),
    }
}

impl Change {
    /// What becomes of `kargs`.
    fn of(&self, kargs: &[String]) -> Result<Vec<String>> {
        let mut left = kargs.to_vec();
        for argument in &self.delete {
            let at = left.iter().position(|it| it == argument).with_context(|| {
                format!("`{argument}` is no argument of this host's own\nhint: `hostctl os kargs`")
            })?;
            left.remove(at);
        }
        for argument in &self.append {
            let understood = kargs::parse(argument)?;
            if understood != [argument.as_str()] {
                bail!("`{argument}` is no kernel argument");
            }
            left.push(argument.clone());
        }
        Ok(left)
    }
}

impl Updater {
    /// Those of the image that runs, and the host's own.
    ///
    /// # Errors
    /// They cannot be read.
    pub(crate) fn kargs(&self, now: Timestamp) -> Result<(Vec<String>, Vec<String>)> {
        let (disk, found) = self.looked_at(now)?;
        let running = found.link(self.slot).context("the running slot's link leads nowhere")?;
        let image = disk.sysroot.repo()?.kernel_arguments(&running.commit)?;
        Ok((image, self.memory.kargs()?))
    }

    /// Boots what runs with other arguments of the host's own, on trial. Once they have proved
    /// themselves, every release has them. Returns what runs.
    ///
    /// # Errors
    /// They are no kernel arguments, nothing would change, something else is to be tried first, or
    /// the disk fails.
    pub(crate) fn change_kargs(
        &self,
        change: &Change,
        tries: u32,
        now: Timestamp,
        told: impl Fn(Progress) + 'static,
    ) -> Result<Release> {
        let (mut disk, found) = self.opened(now)?;
        let before = self.memory.kargs()?;
        let after = change.of(&before)?;
        if before == after {
            bail!("the host has {} already", named(&before));
        }
        let running = found.link(self.slot).context("the running slot's link leads nowhere")?;
        let repo = disk.sysroot.repo()?;
        let image = repo.kernel_arguments(&running.commit)?;
        let options = kargs::for_slot(self.slot, &image, &after).join(" ");
        let steps = change_arguments(&found, &options, tries)?;
        let release = release::of(&repo, running)?;
        let trial = self.trial_of(release.clone(), &steps, now)?;
        self.expect(&Trial { kargs: Some(after), ..trial })?;
        carry_out(&mut disk, &steps, None, &told)?;
        Ok(release)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(before: &str, append: &[&str], delete: &[&str], expected: &str) {
        let list = |words: &[&str]| words.iter().map(|&word| word.to_owned()).collect();
        let before: Vec<&str> = before.split_whitespace().collect();
        let change = Change { append: list(append), delete: list(delete) };
        let before: Vec<String> = list(&before);
        match change.of(&before) {
            Ok(after) => assert_eq!(after.join(" "), expected),
            Err(error) => assert!(error.to_string().contains(expected), "{error}"),
        }
    }

    #[test]
    fn arguments_come_at_the_end_and_go_by_their_whole_text() {
        check("a=1", &["b", "a=1"], &[], "a=1 b a=1");
        check("a=1 b", &["c"], &["a=1"], "b c");
        check("a=1 b", &[], &["a"], "`a` is no argument of this host's own");
        check("", &["x y"], &[], "more than one argument");
        check("", &["root=/dev/sda"], &[], "is set by the boot entry itself");
        check("", &["a\nb"], &[], "is no kernel argument");
        check("", &["#x"], &[], "is no kernel argument");
    }
}
