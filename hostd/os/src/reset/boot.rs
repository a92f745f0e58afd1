//! The boot in which a host is reset. It ends with a reboot, and leaves a boot that is not for a
//! reset alone.

use std::thread::sleep;
use std::time::Duration;

use anyhow::{Context, Result};
use basalt_api::os::{Progress, ResetDepth};
use basalt_deploy::HostSysroot;
use basalt_sysroot::loader::Variable;
use basalt_sysroot::update::{BeforeReset, Reset, Step, reset};
use jiff::Timestamp;

use super::mark::{Mark, Stage};
use super::var::Var;
use crate::choice;
use crate::disk::Disk;
use crate::release::{self, How, Incoming};
use crate::update::{Updater, carry_out, words};

/// How this boot came to be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// Somebody chose the menu's entry.
    Menu,
    /// The loader chose what has to prove itself, or has failed to.
    Trial,
    /// The loader chose what has proved itself.
    Normal,
}

/// What follows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Then {
    /// This boot is over.
    Reboot,
    /// It goes on.
    GoOn,
}

/// What is to be done in this boot.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Next {
    /// Nothing.
    Nothing,
    /// Somebody has to confirm it.
    Ask,
    /// The reset, whatever of it was done before.
    Reset,
    /// Take away what ran before the reset.
    CleanUp,
    /// Nothing: what is on trial is not made the one that a host has.
    Later,
}

/// What the boot has around it.
pub(crate) trait Around {
    /// Makes the ESP and the consoles ready for what comes.
    ///
    /// # Errors
    /// The disk is not there.
    fn prepare(&mut self) -> Result<()>;

    /// Asks a person on the consoles; none where nobody confirms it.
    fn confirm(&mut self) -> Option<ResetDepth>;

    /// Tells a person.
    fn say(&mut self, text: &str);
}

impl Kind {
    /// Of a boot that `updater` runs in; `is_menu` where the kernel was told so.
    pub(crate) fn of(updater: &Updater, is_menu: bool) -> Self {
        let counted = updater.places.variables.join(Variable::BootCountPath.file_name());
        match (is_menu, counted.exists()) {
            (true, _) => Self::Menu,
            (false, true) => Self::Trial,
            (false, false) => Self::Normal,
        }
    }
}

/// Pure: from how far a reset is, and the boot.
fn next(stage: Option<Stage>, boot: Kind) -> Next {
    match (stage, boot) {
        // Also where one waits: it may have failed for want of a `/var` that can be read.
        (_, Kind::Menu) => Next::Ask,
        (Some(Stage::Asked | Stage::Begun), Kind::Normal) => Next::Reset,
        (Some(Stage::Asked | Stage::Begun), Kind::Trial) => Next::Later,
        (Some(Stage::LaidOut), Kind::Trial | Kind::Normal) => Next::CleanUp,
        (None, Kind::Trial | Kind::Normal) => Next::Nothing,
    }
}

/// What the kernel started this host for, done to its end.
///
/// # Errors
/// The disk fails, or has no room; what was begun goes on in the next boot.
pub(crate) fn run(
    updater: &Updater,
    boot: Kind,
    var: &impl Var,
    around: &mut impl Around,
    now: Timestamp,
) -> Result<Then> {
    let mark = match Mark::of(&HostSysroot::look(&updater.places.sysroot)?) {
        // Somebody is asked anew.
        Err(_) if boot == Kind::Menu => None,
        mark => mark?,
    };
    match (next(mark.map(|mark| mark.stage), boot), mark) {
        (Next::Reset, Some(mark)) => {
            around.prepare()?;
            carry_out_reset(updater, mark, var, around)
        }
        (Next::Ask, before) => {
            around.prepare()?;
            let Some(depth) = around.confirm() else {
                // Who made the entry the loader's default would come here for ever.
                choice::clear(&updater.places.variables)?;
                around.say("nobody confirmed it; rebooting");
                return Ok(Then::Reboot);
            };
            let begun = before.filter(|mark| mark.stage == Stage::Begun);
            let stage = begun.map_or(Stage::Asked, |mark| mark.stage);
            carry_out_reset(updater, Mark { depth, stage, at: now }, var, around)
        }
        (Next::CleanUp, _) => {
            let disk = Disk::open(&updater.places, updater.slot)?;
            clean_up(&disk.sysroot)?;
            around.say("the factory reset is complete");
            Ok(Then::GoOn)
        }
        (Next::Later, _) => {
            around.say("a factory reset waits until this boot is no trial any more");
            Ok(Then::GoOn)
        }
        (Next::Nothing | Next::Reset, _) => Ok(Then::GoOn),
    }
}

/// Nobody boots any more what ran before: with it goes the last of the host's own `/etc`.
pub(super) fn clean_up(sysroot: &HostSysroot) -> Result<()> {
    sysroot.clean()?;
    Mark::forget(sysroot)
}

fn carry_out_reset(
    updater: &Updater,
    mark: Mark,
    var: &impl Var,
    around: &mut impl Around,
) -> Result<Then> {
    let mut disk = Disk::open(&updater.places, updater.slot)?;
    mark.keep(&disk.sysroot)?;
    let incoming = runs(updater, &disk)?;
    let entries = disk.esp.entries()?.into_iter().map(|entry| entry.name).collect();
    let (slot, menu, files) = (updater.slot, disk.esp.resets()?, disk.esp.files()?);
    let before = BeforeReset { slot, entries, menu, files };
    let Reset { prepare, finish } = reset(&before, &incoming.release);
    around.say(match mark.depth {
        ResetDepth::Settings => "resetting /etc and what hostd knows; workloads keep their data",
        ResetDepth::All => "resetting /etc and erasing all of /var",
    });
    do_all(&mut disk, &prepare, &incoming, around)?;
    Mark { stage: Stage::Begun, ..mark }.keep(&disk.sysroot)?;
    around.say("emptying /var");
    match mark.depth {
        ResetDepth::Settings => var.drop_settings()?,
        ResetDepth::All => var.drop_all()?,
    }
    choice::forget_failure(&updater.places.variables)
        .context("cannot forget why the last trial failed")?;
    do_all(&mut disk, &finish, &incoming, around)?;
    Mark { stage: Stage::LaidOut, ..mark }.keep(&disk.sysroot)?;
    around.say("the host is as it was first installed; rebooting");
    Ok(Then::Reboot)
}

fn do_all(
    disk: &mut Disk,
    steps: &[Step],
    incoming: &Incoming,
    around: &mut impl Around,
) -> Result<()> {
    for step in steps {
        around.say(&words(step));
        carry_out(disk, std::slice::from_ref(step), Some(incoming), &|_: Progress| ())?;
    }
    Ok(())
}

/// What runs, as it would be installed.
fn runs(updater: &Updater, disk: &Disk) -> Result<Incoming> {
    let runs = disk.sysroot.link(updater.slot)?.context("the running slot's link leads nowhere")?;
    let refspec = disk.refspec(&runs.commit)?;
    let how = How { slot: updater.slot, tries: 0, kargs: &[] };
    release::read_commit(&disk.sysroot.repo()?, &runs.commit, refspec, &how)
}

/// Waits for the end of this boot, which systemd was asked for.
pub(crate) fn wait_for_the_end() -> ! {
    loop {
        sleep(Duration::from_secs(60));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_boot_is_for_is_told_by_its_entry_and_by_how_far_a_reset_is() {
        for (stage, expected) in [
            (None, [Next::Ask, Next::Nothing, Next::Nothing]),
            (Some(Stage::Asked), [Next::Ask, Next::Later, Next::Reset]),
            (Some(Stage::Begun), [Next::Ask, Next::Later, Next::Reset]),
            (Some(Stage::LaidOut), [Next::Ask, Next::CleanUp, Next::CleanUp]),
        ] {
            let found = [Kind::Menu, Kind::Trial, Kind::Normal].map(|boot| next(stage, boot));
            assert_eq!(found, expected, "{stage:?}");
        }
    }
}
