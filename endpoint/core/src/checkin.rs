//! What a check-in means: whether it comes from the host or a copy of it, and whether the host
//! follows the history that the endpoint knows.

use basalt_api::checkin::CheckinRequest;
use basalt_api::id::Lineage;

/// What the endpoint knows of a host when it checks in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Known {
    /// The history of this database.
    pub lineage: Lineage,
    /// The highest session that was seen.
    pub session: u64,
    /// The boot in which that one was.
    pub boot_id: String,
    /// The generation that the host shall have.
    pub generation: u64,
    /// The hash of its set.
    pub set_hash: String,
    /// What was issued under the generation that the host reports.
    pub issued: Issued,
    /// What an operator forgave by a resync.
    pub pardon: Option<Mark>,
}

/// What the endpoint remembers of a generation that a host reports.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Issued {
    /// It issued a set with this hash.
    Hash(String),
    /// That is so long ago that it has forgotten.
    Forgotten,
    /// It issued no such thing.
    Never,
}

/// A point of a history.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mark {
    /// The history; none before the first set.
    pub lineage: Option<Lineage>,
    /// The generation.
    pub generation: u64,
    /// The hash of the set.
    pub set_hash: String,
}

/// What a check-in means.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// Another machine has this identity. Both keep what they run.
    Duplicate,
    /// The host's history is not the endpoint's: no set is sent.
    Frozen(Frozen),
    /// The host's set is older: it gets the new one at once.
    Behind,
    /// The host has its set.
    Current,
}

/// Why a host gets no set.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Frozen {
    /// It follows another database.
    OtherLineage,
    /// Its generation is higher than any that was issued.
    Ahead,
    /// It has another set under a generation that was issued: of a time after the backup.
    Diverged,
}

impl Frozen {
    const ALL: [Self; 3] = [Self::OtherLineage, Self::Ahead, Self::Diverged];

    /// The word by which it is stored.
    #[must_use]
    pub fn code(self) -> &'static str {
        match self {
            Self::OtherLineage => "other_lineage",
            Self::Ahead => "ahead",
            Self::Diverged => "diverged",
        }
    }

    /// What a stored word means.
    #[must_use]
    pub fn from_code(code: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|frozen| frozen.code() == code)
    }

    /// What an operator reads.
    #[must_use]
    pub fn sentence(self) -> &'static str {
        match self {
            Self::OtherLineage => "it follows another endpoint's database",
            Self::Ahead => {
                "its generation is higher than the endpoint's, as after a restored backup"
            }
            Self::Diverged => {
                "it has another set than was issued under its generation, as after a restored backup"
            }
        }
    }
}

/// Where in a history a host says it is.
#[must_use]
pub fn mark(request: &CheckinRequest) -> Mark {
    Mark {
        lineage: request.lineage,
        generation: request.observed_generation,
        set_hash: request.set_hash.clone(),
    }
}

/// Decides what a check-in means.
#[must_use]
pub fn judge(known: &Known, request: &CheckinRequest) -> Verdict {
    if is_duplicate(known, request.session, &request.boot_id) {
        return Verdict::Duplicate;
    }
    if known.pardon.as_ref() == Some(&mark(request)) {
        return Verdict::Behind;
    }
    match frozen(known, request) {
        Some(frozen) => Verdict::Frozen(frozen),
        None if request.observed_generation < known.generation => Verdict::Behind,
        None => Verdict::Current,
    }
}

/// Whether this session is a copy's. Sessions rise over every start of `hostd`, so a lower one, or
/// the same one in another boot, was made from an older disk.
#[must_use]
pub fn is_duplicate(known: &Known, session: u64, boot_id: &str) -> bool {
    session < known.session || (session == known.session && boot_id != known.boot_id)
}

fn frozen(known: &Known, request: &CheckinRequest) -> Option<Frozen> {
    let is_fresh = request.observed_generation == 0 && request.lineage.is_none();
    if is_fresh {
        return None;
    }
    if request.lineage != Some(known.lineage) {
        return Some(Frozen::OtherLineage);
    }
    if request.observed_generation > known.generation {
        return Some(Frozen::Ahead);
    }
    match &known.issued {
        Issued::Hash(hash) if *hash == request.set_hash => None,
        Issued::Forgotten => None,
        Issued::Hash(_) | Issued::Never => Some(Frozen::Diverged),
    }
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;

    const OURS: Lineage = Lineage(Uuid::from_u128(1));

    fn known() -> Known {
        Known {
            lineage: OURS,
            session: 3,
            boot_id: "b".to_owned(),
            generation: 7,
            set_hash: "h7".to_owned(),
            issued: Issued::Hash("h7".to_owned()),
            pardon: None,
        }
    }

    fn request(session: u64, boot: &str, generation: u64, hash: &str) -> CheckinRequest {
        serde_json::from_value(serde_json::json!({
            "protocol": 1, "boot_id": boot, "session": session, "lineage": OURS,
            "observed_generation": generation, "applied_generation": 0, "set_hash": hash,
        }))
        .unwrap()
    }

    fn check(request: &CheckinRequest, issued: Issued, expected: &Verdict) {
        assert_eq!(judge(&Known { issued, ..known() }, request), *expected, "{request:?}");
    }

    #[test]
    fn a_host_with_its_set_waits_and_one_with_an_older_one_gets_it() {
        let hash = |hash: &str| Issued::Hash(hash.to_owned());
        check(&request(3, "b", 7, "h7"), hash("h7"), &Verdict::Current);
        check(&request(3, "b", 6, "h6"), hash("h6"), &Verdict::Behind);
        check(&request(3, "b", 1, "h1"), Issued::Forgotten, &Verdict::Behind);
        let mut fresh = request(4, "c", 0, "");
        fresh.lineage = None;
        check(&fresh, Issued::Never, &Verdict::Behind);
    }

    #[test]
    fn a_copy_is_told_by_its_session() {
        let issued = || Issued::Hash("h7".to_owned());
        check(&request(2, "b", 7, "h7"), issued(), &Verdict::Duplicate);
        check(&request(3, "other", 7, "h7"), issued(), &Verdict::Duplicate);
        check(&request(4, "other", 7, "h7"), issued(), &Verdict::Current);
    }

    #[test]
    fn a_host_that_knows_more_than_the_database_is_frozen() {
        check(&request(3, "b", 8, "h8"), Issued::Never, &Verdict::Frozen(Frozen::Ahead));
        // The restored database went on and has issued another 7, or another 6.
        let other = || Issued::Hash("other".to_owned());
        check(&request(3, "b", 7, "x"), other(), &Verdict::Frozen(Frozen::Diverged));
        check(&request(3, "b", 6, "x"), other(), &Verdict::Frozen(Frozen::Diverged));
        let mut foreign = request(3, "b", 2, "x");
        foreign.lineage = Some(Lineage(Uuid::from_u128(9)));
        check(&foreign, Issued::Forgotten, &Verdict::Frozen(Frozen::OtherLineage));
        foreign.lineage = None;
        check(&foreign, Issued::Forgotten, &Verdict::Frozen(Frozen::OtherLineage));
    }

    #[test]
    fn what_is_stored_is_read_back() {
        for frozen in Frozen::ALL {
            assert_eq!(Frozen::from_code(frozen.code()), Some(frozen));
        }
        assert_eq!(Frozen::from_code("molten"), None);
    }

    #[test]
    fn a_pardon_is_for_one_point_of_one_history() {
        let pardoned = request(3, "b", 9, "x");
        let known = Known { pardon: Some(mark(&pardoned)), generation: 10, ..known() };
        assert_eq!(judge(&known, &pardoned), Verdict::Behind);
        let mut another = pardoned;
        another.set_hash = "y".to_owned();
        assert_eq!(judge(&known, &another), Verdict::Frozen(Frozen::Diverged));
    }
}
