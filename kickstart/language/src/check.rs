//! What only the whole file shows: what contradicts itself, and what is missing.

mod accounts;
mod layout;
mod network;

use std::collections::{BTreeMap, BTreeSet};

use crate::diagnostic::Log;
use crate::model::{Kickstart, Service, TimeSourceKind};
use crate::source::Span;

/// Tells all of it. `unsure`: the layout may be more than what was understood of it, so that
/// nothing is said to be missing.
pub(crate) fn whole(kickstart: &Kickstart, unsure: bool, log: &mut Log) {
    layout::check(kickstart, log);
    if !unsure {
        layout::check_missing(kickstart, log);
    }
    accounts::check(kickstart, log);
    network::check(kickstart, log);
    services(kickstart, log);
    time(kickstart, log);
}

fn services(kickstart: &Kickstart, log: &mut Log) {
    let mut seen = BTreeMap::new();
    for said in &kickstart.services.said {
        let (name, enabled) = match &said.value {
            Service::Enabled(name) => (name, true),
            Service::Disabled(name) => (name, false),
        };
        let name = name.strip_suffix(".service").unwrap_or(name);
        if seen.insert(name, enabled).is_some_and(|before| before != enabled) {
            log.error(said.span, "it is enabled and disabled", "leave one of them away");
        }
    }
}

fn time(kickstart: &Kickstart, log: &mut Log) {
    let is_off = |kind: &TimeSourceKind| *kind == TimeSourceKind::Disable;
    let mut sources = kickstart.timesource.iter();
    let Some(first) = sources.next() else { return };
    if let Some(other) = sources.find(|it| is_off(&it.kind) != is_off(&first.kind)) {
        let message = "the time comes from a server, and from none";
        log.error(other.span, message, "leave one of them away");
    }
}

/// Tells of everything that has the same key as something before it.
fn twice<K: Ord + Clone>(
    things: impl Iterator<Item = (K, Span)>,
    message: impl Fn(&K) -> String,
    log: &mut Log,
) {
    let mut seen = BTreeSet::new();
    for (key, span) in things {
        if !seen.insert(key.clone()) {
            log.error(span, message(&key), "leave one of them away");
        }
    }
}
