//! Waves: who goes when.

use std::collections::BTreeSet;

use basalt_api::canonical;
use basalt_api::id::HostId;
use basalt_api::rollout::{Stage, Wave};

use super::{Ground, Member, Members, Rollout, failures};
use crate::Seconds;

/// Takes in the hosts that are new. Parts of a hundred are of those that are there at the
/// beginning; whoever comes later and has no label of a wave goes last.
pub(super) fn join(rollout: &Rollout, members: &mut Members, ground: &Ground<'_>) {
    let is_beginning = members.is_empty();
    let total = ground.hosts.len();
    let mut left: BTreeSet<HostId> =
        ground.hosts.keys().copied().filter(|id| !members.contains_key(id)).collect();
    if left.is_empty() {
        return;
    }
    for (wave, which) in (0..).zip(&rollout.spec.waves) {
        let chosen: Vec<HostId> = match which {
            Wave::Label { key, value } => {
                let has = |id: &HostId| ground.hosts[id].labels.get(key) == Some(value);
                left.iter().copied().filter(has).collect()
            }
            Wave::Percent(_) if !is_beginning => Vec::new(),
            Wave::Percent(percent) => {
                let wanted = (total * usize::from(*percent)).div_ceil(100);
                by_lot(rollout, &left, wanted.saturating_sub(total - left.len()))
            }
        };
        for id in chosen {
            left.remove(&id);
            members.insert(id, newcomer(wave, ground.now));
        }
    }
    let last = rollout.last_wave();
    members.extend(left.into_iter().map(|id| (id, newcomer(last, ground.now))));
}

fn newcomer(wave: u32, since: Seconds) -> Member {
    Member { wave, stage: Stage::Waiting, since, attempt: 0, reason: None }
}

/// So many of them, others in each rollout: the same hosts must not be the first ones each time.
fn by_lot(rollout: &Rollout, hosts: &BTreeSet<HostId>, number: usize) -> Vec<HostId> {
    let mut hosts: Vec<HostId> = hosts.iter().copied().collect();
    hosts.sort_by_cached_key(|id| canonical::hash(&(rollout.id, id)));
    hosts.truncate(number);
    hosts
}

/// Whether the wave that is under way has run well for long enough, and there is another.
pub(super) fn is_over(rollout: &Rollout, members: &Members, ground: &Ground<'_>) -> bool {
    if rollout.wave >= rollout.last_wave() {
        return false;
    }
    // Hosts that are away hold up nobody, once one has shown that the release is good.
    let is_through = |(id, member): (&HostId, &Member)| {
        member.is_through() || (!ground.hosts[id].is_present && member.stage == Stage::Waiting)
    };
    let begun = || members.iter().filter(|(_, member)| member.wave <= rollout.wave);
    if !begun().all(is_through) {
        return false;
    }
    let mut own = own(rollout, members).peekable();
    // Where all are left out, nobody shows that the release is good.
    let is_shown = own.peek().is_none() || own.any(|member| member.stage == Stage::Updated);
    if !is_shown && !is_forgiven(rollout, members) {
        return false;
    }
    soaks_until(rollout, members).is_none_or(|until| until <= ground.now)
}

/// Until when the hosts that are through have to run well; none where there are none yet.
pub(super) fn soaks_until(rollout: &Rollout, members: &Members) -> Option<Seconds> {
    let begun = members.values().filter(|member| member.wave <= rollout.wave);
    let through = begun.filter(|member| matches!(member.stage, Stage::Updated | Stage::Failed));
    let last = through.map(|member| member.since).max()?;
    Some(last + Seconds::from(rollout.spec.soak_s))
}

/// Whether all of the wave under way failed, and so nobody shows that the release is good.
pub(super) fn nobody_came_through(rollout: &Rollout, members: &Members) -> bool {
    let takes = |member: &&Member| member.stage != Stage::Skipped;
    let mut own = own(rollout, members).filter(takes).peekable();
    let is_followed = rollout.wave < rollout.last_wave();
    let nobody = own.peek().is_some() && own.all(|member| member.stage == Stage::Failed);
    is_followed && nobody && !is_forgiven(rollout, members)
}

/// Whether an operator has let by all that failed.
fn is_forgiven(rollout: &Rollout, members: &Members) -> bool {
    rollout.forgiven > 0 && failures(members) <= rollout.forgiven
}

/// Whether all of the wave under way are left out.
pub(super) fn takes_none(rollout: &Rollout, members: &Members) -> bool {
    let mut own = own(rollout, members).peekable();
    own.peek().is_some() && own.all(|member| member.stage == Stage::Skipped)
}

/// Those of the wave under way.
fn own<'a>(rollout: &Rollout, members: &'a Members) -> impl Iterator<Item = &'a Member> {
    let wave = rollout.wave;
    members.values().filter(move |member| member.wave == wave)
}
