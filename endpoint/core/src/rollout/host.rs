//! What becomes of one host by what it says and by what it leaves unsaid for too long.

use basalt_api::rollout::{OsUpdateState, Stage};

use super::{Member, Rollout, Update, View};
use crate::Seconds;

/// Moves a host on.
pub(super) fn observe(rollout: &Rollout, member: &mut Member, view: &View, now: Seconds) {
    if let Some((stage, reason)) = next(rollout, member, view, now) {
        member.move_to(stage, reason, now);
    }
}

fn next(
    rollout: &Rollout,
    member: &Member,
    view: &View,
    now: Seconds,
) -> Option<(Stage, Option<String>)> {
    let runs_it = view.version == rollout.version;
    if runs_it && (view.is_blessed || member.stage == Stage::Updated) {
        return (member.stage != Stage::Updated).then_some((Stage::Updated, None));
    }
    if member.stage == Stage::Updated {
        let went_back = view.is_present && view.is_blessed;
        let reason = || Some(format!("it runs {} now", view.version));
        return went_back.then(|| (Stage::Failed, reason()));
    }
    let is_late = |seconds: u32| now - member.since > Seconds::from(seconds);
    if member.stage == Stage::Rebooting {
        if let Some(pin) = said(member, view, rollout, OsUpdateState::Pinned) {
            // It has installed nothing.
            return Some((Stage::Skipped, Some(pinned(pin.as_deref()))));
        }
        let failed = said(member, view, rollout, OsUpdateState::Failed);
        return match failed {
            Some(reason) => Some((Stage::Failed, reason)),
            None if is_late(rollout.spec.reboot_s) => {
                Some((Stage::Failed, Some(late(rollout, view))))
            }
            None => None,
        };
    }
    if !view.is_present {
        // It had no time of which it could have used too much, and keeps nobody waiting.
        let is_begun = matches!(member.stage, Stage::Fetching | Stage::Ready | Stage::Draining);
        return is_begun.then_some((Stage::Waiting, None));
    }
    if member.stage == Stage::Failed {
        return None;
    }
    if let Some(why) = is_left_out(view) {
        let is_news = member.stage != Stage::Skipped || member.reason.as_ref() != Some(&why);
        return is_news.then_some((Stage::Skipped, Some(why)));
    }
    if let Some(reason) = said(member, view, rollout, OsUpdateState::Failed) {
        let is_asked = member.stage != Stage::Waiting;
        return is_asked.then_some((Stage::Failed, reason));
    }
    // One that was left out says that it no longer is by what it has done.
    if !matches!(member.stage, Stage::Fetching | Stage::Skipped) {
        return None;
    }
    if said(member, view, rollout, OsUpdateState::Fetched).is_some() {
        return Some((Stage::Ready, None));
    }
    let seconds = rollout.spec.fetch_s;
    let reason = || Some(format!("it did not bring the release over within {seconds} s"));
    let is_late = member.stage == Stage::Fetching && is_late(seconds);
    is_late.then(|| (Stage::Failed, reason()))
}

/// The reason, if it says this of the release and the attempt that are meant.
fn said(
    member: &Member,
    view: &View,
    rollout: &Rollout,
    state: OsUpdateState,
) -> Option<Option<String>> {
    let update = view.update.told().filter(|update| {
        update.state == state
            && update.version == rollout.version
            && update.attempt == member.attempt
    })?;
    Some(update.reason.clone())
}

/// Why a host is left out.
fn is_left_out(view: &View) -> Option<String> {
    if view.update == Update::Impossible {
        return Some("its release takes none from the endpoint".to_owned());
    }
    let update = view.update.told().filter(|update| update.state == OsUpdateState::Pinned)?;
    Some(pinned(update.reason.as_deref()))
}

fn pinned(reason: Option<&str>) -> String {
    match reason {
        Some(reason) => format!("it is pinned: {reason}"),
        None => "it is pinned".to_owned(),
    }
}

fn late(rollout: &Rollout, view: &View) -> String {
    let seconds = rollout.spec.reboot_s;
    if view.is_present {
        format!("it still runs {} after {seconds} s", view.version)
    } else {
        format!("it has not come back within {seconds} s")
    }
}
