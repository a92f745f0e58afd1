//! Which copy of the ledger counts, and where the next one goes.

use basalt_api::ledger::{BadCopy, Ledger};

/// One of the two places for a copy.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Place {
    /// `ledger.a`
    A,
    /// `ledger.b`
    B,
}

/// What the state folder holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Found {
    /// Nothing: this host never had a ledger.
    Fresh,
    /// A ledger, and what is wrong with the other copy.
    Read(Box<Ledger>, Option<(Place, BadCopy)>),
    /// There was a ledger, and no copy can be read. This is never an empty ledger.
    Lost(String),
    /// A later release wrote one that this release does not read. It is as good as lost here, and
    /// kept for that release.
    Later(String),
}

impl Place {
    /// The file's name.
    #[must_use]
    pub fn file_name(self) -> &'static str {
        match self {
            Self::A => "ledger.a",
            Self::B => "ledger.b",
        }
    }

    /// Where the copy with this sequence goes: never over the one before it.
    #[must_use]
    pub fn of(sequence: u64) -> Self {
        if sequence % 2 == 1 { Self::A } else { Self::B }
    }
}

/// Chooses among the copies, `None` where there is no file. `existed` is whether this host is
/// known to have had a ledger.
#[must_use]
pub fn choose(
    a: Option<Result<Ledger, BadCopy>>,
    b: Option<Result<Ledger, BadCopy>>,
    existed: bool,
) -> Found {
    // A later release's copy is the newer one, whatever the other says: going on from the older
    // one would undo what that release was told.
    if let Some(newer) = [&a, &b].into_iter().find_map(written_by_later) {
        return Found::Later(newer);
    }
    match (a, b) {
        (Some(Ok(a)), Some(Ok(b))) => {
            Found::Read(Box::new(if a.sequence > b.sequence { a } else { b }), None)
        }
        (Some(Ok(good)), Some(Err(bad))) => Found::Read(Box::new(good), Some((Place::B, bad))),
        (Some(Err(bad)), Some(Ok(good))) => Found::Read(Box::new(good), Some((Place::A, bad))),
        (Some(Ok(only)), None) | (None, Some(Ok(only))) => Found::Read(Box::new(only), None),
        (Some(Err(a)), Some(Err(b))) => Found::Lost(format!("`ledger.a`: {a}; `ledger.b`: {b}")),
        (Some(Err(bad)), None) => Found::Lost(format!("`ledger.a`: {bad}")),
        (None, Some(Err(bad))) => Found::Lost(format!("`ledger.b`: {bad}")),
        (None, None) if existed => Found::Lost("both copies are gone".to_owned()),
        (None, None) => Found::Fresh,
    }
}

fn written_by_later(copy: &Option<Result<Ledger, BadCopy>>) -> Option<String> {
    match copy {
        Some(Err(newer @ BadCopy::Newer { .. })) => Some(newer.to_string()),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    type Copy = Option<Result<Ledger, BadCopy>>;

    fn good(sequence: u64) -> Copy {
        Some(Ok(Ledger { sequence, ..Ledger::default() }))
    }

    fn bad() -> Copy {
        Some(Err(BadCopy::Damaged))
    }

    fn check(a: Copy, b: Copy, expected: Option<u64>) {
        let sequence = match choose(a, b, true) {
            Found::Read(ledger, _) => Some(ledger.sequence),
            Found::Lost(_) | Found::Later(_) | Found::Fresh => None,
        };
        assert_eq!(sequence, expected);
    }

    #[test]
    fn the_newer_copy_counts() {
        check(good(7), good(6), Some(7));
        check(good(7), good(8), Some(8));
    }

    #[test]
    fn the_older_copy_serves_when_the_newer_is_damaged() {
        check(bad(), good(6), Some(6));
        check(good(5), bad(), Some(5));
        check(good(1), None, Some(1));
    }

    #[test]
    fn an_unreadable_ledger_is_never_an_empty_one() {
        check(bad(), bad(), None);
        check(bad(), None, None);
        assert!(matches!(choose(None, None, true), Found::Lost(_)));
        assert_eq!(choose(None, None, false), Found::Fresh);
    }

    #[test]
    fn a_copy_of_a_later_release_is_not_passed_over_for_an_older_one() {
        check(Some(Err(BadCopy::Newer { form: 2 })), good(6), None);
        let found = choose(bad(), Some(Err(BadCopy::Newer { form: 2 })), true);
        assert!(matches!(found, Found::Later(_)));
    }

    #[test]
    fn the_next_copy_never_overwrites_the_last() {
        assert!((1..9).all(|sequence| Place::of(sequence) != Place::of(sequence + 1)));
        assert_eq!(Place::of(1), Place::A);
    }
}
