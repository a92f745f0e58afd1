//! Checks what is to become of units: a definition may undo what it inherits, but not contradict
//! itself.

use std::collections::BTreeMap;

use super::super::Units;
use super::super::merge::List;
use super::{Checker, rules};

impl Checker<'_> {
    pub(super) fn units(&mut self, mut enable: List, mut disable: List, mut mask: List) -> Units {
        let on = youngest(enable.iter().map(|at| (&at.value, at.file)));
        let off = youngest(disable.iter().chain(&mask).map(|at| (&at.value, at.file)));
        for at in &enable {
            if on.get(&at.value) == Some(&at.file) && off.get(&at.value) == Some(&at.file) {
                let message = format!("`{}` is enabled, and also disabled or masked", at.value);
                self.at(at, &message, "a unit is one or the other");
            }
        }
        enable.retain(|at| stands(&at.value, &on, &off));
        disable.retain(|at| stands(&at.value, &off, &on));
        mask.retain(|at| stands(&at.value, &off, &on));
        Units {
            enable: self.list(enable, rules::unit),
            disable: self.list(disable, rules::unit),
            mask: self.list(mask, rules::unit),
        }
    }
}

/// The file nearest to the definition that was named (whose index is 0), by unit.
fn youngest<'a>(units: impl Iterator<Item = (&'a String, usize)>) -> BTreeMap<String, usize> {
    let mut files = BTreeMap::new();
    for (unit, file) in units {
        let youngest = files.entry(unit.clone()).or_insert(file);
        *youngest = file.min(*youngest);
    }
    files
}

/// Whether no younger file says the opposite.
fn stands(unit: &str, said: &BTreeMap<String, usize>, opposite: &BTreeMap<String, usize>) -> bool {
    opposite.get(unit).is_none_or(|other| said.get(unit).is_some_and(|file| file <= other))
}
