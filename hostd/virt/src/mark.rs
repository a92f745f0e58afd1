//! The element by which a domain is ours, in its metadata.

use std::fmt;

use basalt_api::id::{HostId, Name, WorkloadUid};
use basalt_api::virt::Machine;

use crate::xml::escape;

/// Our namespace. The number rises when the element's meaning changes.
pub(crate) const NAMESPACE: &str = "https://basalt-os.github.io/workload/1";
/// What stands for a host where somebody applied a workload on the host itself.
const LOCAL: &str = "local";

/// What a domain was made for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Mark {
    pub(crate) uid: WorkloadUid,
    pub(crate) name: Name,
    pub(crate) owner: Option<HostId>,
    pub(crate) hash: String,
}

impl Mark {
    pub(crate) fn of(machine: &Machine) -> Self {
        Self {
            uid: machine.uid,
            name: machine.name.clone(),
            owner: machine.owner,
            hash: machine.hash.clone(),
        }
    }

    /// Reads the element as libvirt gives it back: without its namespace. None where it is not
    /// what we write, and then the domain is not ours.
    pub(crate) fn parse(xml: &str) -> Option<Self> {
        let document = roxmltree::Document::parse(xml).ok()?;
        let element = document.root_element();
        let get = |name| element.attribute(name);
        let owner = match get("owner")? {
            LOCAL => None,
            host => Some(host.parse().ok()?),
        };
        Some(Self {
            uid: get("uid")?.parse().ok()?,
            name: get("name")?.parse().ok()?,
            owner,
            // We write no control character, and could not write this one again.
            hash: get("hash").filter(|it| !it.contains(char::is_control))?.to_owned(),
        })
    }
}

impl fmt::Display for Mark {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let owner = self.owner.map_or_else(|| LOCAL.to_owned(), |host| host.to_string());
        let (uid, name, hash) = (self.uid, &self.name, escape(&self.hash));
        write!(
            f,
            "<basalt:workload xmlns:basalt='{NAMESPACE}' uid='{uid}' name='{name}' \
             owner='{owner}' hash='{hash}'/>"
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn mark(owner: Option<HostId>) -> Mark {
        let uid = WorkloadUid("d8a6c9b2-0a3c-4d4e-9b1f-6f4f8a1c2b3d".parse().unwrap());
        Mark { uid, name: "legacy".parse().unwrap(), owner, hash: "1-'&".to_owned() }
    }

    #[test]
    fn a_mark_reads_back_whoever_it_belongs_to() {
        let host = HostId("11111111-2222-4333-8444-555555555555".parse().unwrap());
        for mark in [mark(None), mark(Some(host))] {
            assert_eq!(Mark::parse(&mark.to_string()), Some(mark));
        }
    }

    #[test]
    fn what_lacks_a_part_is_not_ours() {
        for text in ["", "<workload/>", "<workload uid='x' name='a' owner='local' hash='1'/>"] {
            assert_eq!(Mark::parse(text), None, "{text}");
        }
    }

    proptest! {
        #[test]
        fn no_metadata_makes_the_reader_panic(text in "[<>/a-z'= &;:]{0,60}") {
            let _ = Mark::parse(&text);
        }
    }

    #[test]
    fn fuzz_metadata_of_a_domain() {
        let seed = mark(None).to_string();
        basalt_fuzz::run_on_text!(&[&seed], |text| {
            // What is taken for ours is written as such.
            if let Some(mark) = Mark::parse(text) {
                assert_eq!(Mark::parse(&mark.to_string()), Some(mark));
            }
        });
    }
}
