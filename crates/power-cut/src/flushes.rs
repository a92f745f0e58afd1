//! The flushes of a recorded update, and which of them states were taken of.

use std::collections::BTreeSet;

use serde::Serialize;

use crate::cut::Cut;
use crate::log::Log;

/// How many flushes there are, and how many were taken.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct Flushes {
    /// Those of the recorded update.
    pub all: u64,
    /// Of which a state has all that came before and nothing of what came later.
    pub alone: u64,
    /// Of which a state has all that came before and a part of what came later.
    pub and_more: u64,
}

/// The flushes among these entries of the log.
pub(crate) fn flushes(log: &Log, (begin, last): (usize, usize)) -> Vec<usize> {
    (begin..last).filter(|at| log.entries[*at].is_flush()).collect()
}

/// Counts those that cuts are of; a cut may be too large to be kept.
pub(crate) struct Taken<'a> {
    all: &'a [usize],
    alone: BTreeSet<usize>,
    and_more: BTreeSet<usize>,
}

impl<'a> Taken<'a> {
    /// None yet of `all`, which are in their order.
    pub(crate) fn none(all: &'a [usize]) -> Self {
        Self { all, alone: BTreeSet::new(), and_more: BTreeSet::new() }
    }

    pub(crate) fn add(&mut self, cut: &Cut) {
        if self.all.binary_search(&cut.whole).is_ok() {
            let taken = if cut.beyond.is_empty() { &mut self.alone } else { &mut self.and_more };
            taken.insert(cut.whole);
        }
    }

    pub(crate) fn count(&self) -> Flushes {
        let all = [self.all.len(), self.alone.len(), self.and_more.len()];
        let [all, alone, and_more] = all.map(|count| count as u64);
        Flushes { all, alone, and_more }
    }
}
