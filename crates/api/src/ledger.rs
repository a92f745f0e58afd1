//! The ledger: what a host must remember over any crash, and its form on the disk.
//!
//! A copy is one line, `basalt-ledger 1 SHA256`, with the SHA-256 in hex of everything that
//! follows, then JSON. There are two copies, written in turns, so that a damaged one leaves the
//! other.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use sha2::{Digest, Sha256};

use crate::id::{Lineage, WorkloadUid};
use crate::set::{self, Assigned, HostSet};
use crate::workload::{Kind, Seal, is_default};

/// The form that this release writes.
pub const FORM: u32 = 1;
/// Bytes that a copy may have; more is damage.
pub const MAX_BYTES: usize = 16 << 20;
const MAGIC: &str = "basalt-ledger";

/// What a host must remember.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ledger {
    /// How often it was written. The copy with the higher one is the newer.
    pub sequence: u64,
    /// The boot in which it was written, the kernel's `boot_id`.
    pub boot_id: String,
    /// Rises with every start of `hostd`, see [`crate::checkin::CheckinRequest::session`].
    #[serde(default, skip_serializing_if = "is_default")]
    pub session: u64,
    /// What the endpoint wants to run here; none before its first answer.
    #[serde(default, skip_serializing_if = "is_default")]
    pub assigned: Option<Generation>,
    /// What somebody on the host itself wants to run here, by name.
    #[serde(default, skip_serializing_if = "is_default")]
    pub local: Vec<Assigned>,
    /// What an operator of the host keeps stopped.
    #[serde(default, skip_serializing_if = "is_default")]
    pub held: BTreeSet<WorkloadUid>,
    /// What was wanted and is so no more, or is made from another spec now: kept until its instance
    /// is gone, for only its spec said how it ends and what it takes.
    #[serde(default, skip_serializing_if = "is_default")]
    pub leaving: BTreeMap<WorkloadUid, Leaving>,
    /// What this host ran under another identity. Its instances are left alone until somebody
    /// adopts or purges them.
    #[serde(default, skip_serializing_if = "is_default")]
    pub forgotten: Vec<Assigned>,
    /// The `sequence` of the last write by a release that seals what is private. Where it is not the
    /// ledger's own, a release wrote last that reads only what stands there as it is.
    #[serde(default, skip_serializing_if = "is_default")]
    pub sealed_at: u64,
    /// What a later release wrote and this one does not know: kept, so that a fallback loses
    /// nothing.
    #[serde(flatten)]
    pub later: Map<String, Value>,
}

/// A set of the endpoint's, as it was accepted.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Generation {
    /// The history that it belongs to.
    pub lineage: Lineage,
    /// Its number.
    pub generation: u64,
    /// Its hash as the endpoint said it. Not computed here: a later endpoint's set may have fields
    /// that this release does not keep.
    pub hash: String,
    /// What shall run.
    pub set: HostSet,
}

/// What must be known of an instance whose spec is gone.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Leaving {
    /// What it is.
    pub kind: Kind,
    /// Seconds that it has to end.
    pub stop_grace_s: u32,
    /// Memory that was set aside for it, in MiB.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub memory_mib: Option<u64>,
}

/// Why a copy cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BadCopy {
    /// It does not begin as a ledger does.
    #[error("it is no ledger")]
    NoLedger,
    /// A later release wrote it.
    #[error("its form is {form}, and this release reads {FORM}")]
    Newer {
        /// The form that it has.
        form: u32,
    },
    /// The checksum is that of something else.
    #[error("its checksum does not match: it was cut off or damaged")]
    Damaged,
    /// It is whole and yet makes no sense.
    #[error("its content makes no sense: {0}")]
    Senseless(String),
}

impl Ledger {
    /// The bytes of a copy.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        let body = serde_json::to_vec(self).unwrap_or_default();
        let mut bytes = format!("{MAGIC} {FORM} {}\n", checksum(&body)).into_bytes();
        bytes.extend(body);
        bytes
    }

    /// Reads a copy.
    ///
    /// # Errors
    /// It is damaged, or of a form that a later release writes.
    pub fn decode(bytes: &[u8]) -> Result<Self, BadCopy> {
        let end = bytes.iter().position(|&byte| byte == b'\n').ok_or(BadCopy::NoLedger)?;
        let line = std::str::from_utf8(&bytes[..end]).map_err(|_| BadCopy::NoLedger)?;
        let (form, expected) = head(line).ok_or(BadCopy::NoLedger)?;
        let body = &bytes[end + 1..];
        if checksum(body) != expected {
            return Err(BadCopy::Damaged);
        }
        if form > FORM {
            return Err(BadCopy::Newer { form });
        }
        serde_json::from_slice(body).map_err(|error| BadCopy::Senseless(error.to_string()))
    }

    /// Whether something private stands in it as it is.
    #[must_use]
    pub fn is_clear(&self) -> bool {
        let set = self.assigned.iter().flat_map(|known| &known.set.workloads);
        set.chain(&self.local).chain(&self.forgotten).any(|one| one.spec.is_clear())
    }

    /// The same as it may lie on a disk.
    ///
    /// # Errors
    /// Those of `by`.
    pub fn sealed<S: Seal>(&self, by: &S) -> Result<Self, S::Error> {
        let assigned = self.assigned.as_ref();
        let assigned =
            assigned.map(|known| Ok(Generation { set: known.set.sealed(by)?, ..known.clone() }));
        let local = set::sealed(&self.local, by)?;
        let forgotten = set::sealed(&self.forgotten, by)?;
        Ok(Self { assigned: assigned.transpose()?, local, forgotten, ..self.clone() })
    }

    /// The same as it was before it was sealed, as far as that can be opened.
    #[must_use]
    pub fn opened<S: Seal>(self, by: &S) -> Self {
        let open = |known: Generation| Generation { set: known.set.opened(by), ..known };
        let assigned = self.assigned.map(open);
        let local = set::opened(self.local, by);
        let forgotten = set::opened(self.forgotten, by);
        Self { assigned, local, forgotten, ..self }
    }
}

fn head(line: &str) -> Option<(u32, &str)> {
    let rest = line.strip_prefix(MAGIC)?.strip_prefix(' ')?;
    let (form, checksum) = rest.split_once(' ')?;
    let form = form.parse().ok().filter(|form| *form > 0)?;
    Some((form, checksum))
}

fn checksum(body: &[u8]) -> String {
    hex::encode(Sha256::digest(body))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn ledger() -> Ledger {
        Ledger { sequence: 7, boot_id: "0b9d8c1e".to_owned(), ..Ledger::default() }
    }

    fn full() -> Ledger {
        let spec = |text| serde_json::from_str(text).unwrap();
        let assigned = |uid: u128, text| Assigned {
            uid: WorkloadUid(uuid::Uuid::from_u128(uid)),
            spec: spec(text),
            secret_versions: BTreeMap::new(),
        };
        let container = assigned(1, include_str!("../examples/workload-container.json"));
        let vm = assigned(2, include_str!("../examples/workload-vm.json"));
        let leaving = Leaving { kind: Kind::Vm, stop_grace_s: 300, memory_mib: Some(2048) };
        let forgotten = assigned(5, include_str!("../examples/workload-container.json"));
        Ledger {
            session: 1_764_000_000,
            assigned: Some(Generation {
                lineage: Lineage(uuid::Uuid::from_u128(3)),
                generation: 12,
                hash: "beef".to_owned(),
                set: HostSet { workloads: vec![container], os: None },
            }),
            held: BTreeSet::from([vm.uid]),
            local: vec![vm],
            leaving: BTreeMap::from([(WorkloadUid(uuid::Uuid::from_u128(4)), leaving)]),
            forgotten: vec![forgotten],
            later: Map::from_iter([("later".to_owned(), Value::from("kept"))]),
            ..ledger()
        }
    }

    #[test]
    fn a_full_ledger_has_a_stable_form_and_keeps_what_a_later_release_wrote() {
        let text = include_str!("../examples/ledger-full");
        assert_eq!(String::from_utf8(full().encode()).unwrap(), text);
        assert_eq!(Ledger::decode(text.as_bytes()), Ok(full()));
    }

    #[test]
    fn a_ledger_of_the_release_before_is_read() {
        let text = include_str!("../examples/ledger-0.1");
        let before = Ledger { leaving: BTreeMap::new(), forgotten: Vec::new(), ..full() };
        assert_eq!(Ledger::decode(text.as_bytes()), Ok(before));
    }

    #[test]
    fn the_form_on_the_disk_is_stable() {
        let text = include_str!("../examples/ledger");
        assert_eq!(String::from_utf8(ledger().encode()).unwrap(), text);
        assert_eq!(Ledger::decode(text.as_bytes()), Ok(ledger()));
    }

    #[test]
    fn a_ledger_of_a_later_form_is_not_taken_for_damage() {
        let body = b"{}";
        let text = format!("{MAGIC} 2 {}\n{{}}", checksum(body));
        assert_eq!(Ledger::decode(text.as_bytes()), Err(BadCopy::Newer { form: 2 }));
    }

    #[test]
    fn what_is_whole_and_no_ledger_is_told() {
        let text = format!("{MAGIC} 1 {}\n{{}}", checksum(b"{}"));
        assert!(matches!(Ledger::decode(text.as_bytes()), Err(BadCopy::Senseless(_))));
    }

    proptest! {
        #[test]
        fn no_bytes_make_the_reader_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            let _ = Ledger::decode(&bytes);
        }

        #[test]
        fn a_ledger_with_one_wrong_byte_is_refused(at in 0_usize..100, flip in 1_u8..=255) {
            let mut bytes = ledger().encode();
            let at = at % bytes.len();
            bytes[at] ^= flip;
            prop_assert!(Ledger::decode(&bytes).is_err());
        }

        #[test]
        fn a_ledger_that_is_cut_off_is_refused(keep in 0_usize..100) {
            let bytes = ledger().encode();
            prop_assert!(Ledger::decode(&bytes[..keep % bytes.len()]).is_err());
        }
    }
}
