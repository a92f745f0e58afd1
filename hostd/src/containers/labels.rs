//! The labels and names by which we know what is ours. What has none of them is never touched: a
//! label alone says little, for engines give an image's labels to whatever is made from it. Pure.

use std::collections::HashMap;
use std::path::PathBuf;

use basalt_api::id::{Name, WorkloadUid};
use hostd_core::instance::Owner;

use crate::runtime::Make;

pub(super) const UID: &str = "io.basalt.uid";
const OWNER: &str = "io.basalt.owner";
const HASH: &str = "io.basalt.hash";
const NAME: &str = "io.basalt.name";
/// The folder of its secrets, on containers that have some as files.
const PRIVATE: &str = "io.basalt.private";

/// The owner of what was applied on the host itself.
const LOCAL: &str = "local";

/// Characters of the uid that a container's name ends with: enough for a person to tell a workload
/// from its predecessor of the same name.
const UID_CHARS: usize = 8;

/// What labels say about something of ours.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Labels {
    pub(super) uid: WorkloadUid,
    pub(super) owner: Owner,
    pub(super) hash: String,
    pub(super) name: Name,
    pub(super) private: Option<PathBuf>,
}

/// What labels say about the data of something of ours.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct LabelsOfData {
    pub(super) uid: WorkloadUid,
    pub(super) owner: Owner,
    pub(super) name: Name,
}

/// The name that a workload's container has.
pub(super) fn container_name(name: &Name, uid: WorkloadUid) -> String {
    let uid = uid.to_string();
    format!("{name}-{}", &uid[..UID_CHARS])
}

/// The labels of a container. `has_files` where it has secrets as files.
pub(super) fn of_container(make: &Make, has_files: bool) -> HashMap<String, String> {
    let mut labels = of_volume(make);
    labels.insert(HASH.to_owned(), make.assigned.replacement_hash());
    if has_files {
        labels.insert(PRIVATE.to_owned(), make.private.display().to_string());
    }
    labels
}

/// The labels of a volume, which outlives the container that it was made for.
pub(super) fn of_volume(make: &Make) -> HashMap<String, String> {
    let owner = match make.owner {
        Owner::Local => LOCAL.to_owned(),
        Owner::Host(host) => host.to_string(),
    };
    HashMap::from([
        (UID.to_owned(), make.assigned.uid.to_string()),
        (OWNER.to_owned(), owner),
        (NAME.to_owned(), make.assigned.spec.name.to_string()),
    ])
}

/// What they say; nothing where they are not ours, or not as we write them.
pub(super) fn read(labels: &HashMap<String, String>) -> Option<Labels> {
    let LabelsOfData { uid, owner, name } = read_of_data(labels)?;
    let private = labels.get(PRIVATE).map(PathBuf::from);
    Some(Labels { uid, owner, hash: labels.get(HASH)?.clone(), name, private })
}

/// The same of a volume.
pub(super) fn read_of_data(labels: &HashMap<String, String>) -> Option<LabelsOfData> {
    let owner = match labels.get(OWNER)?.as_str() {
        LOCAL => Owner::Local,
        host => Owner::Host(host.parse().ok()?),
    };
    let (uid, name) = (labels.get(UID)?.parse().ok()?, labels.get(NAME)?.parse().ok()?);
    Some(LabelsOfData { uid, owner, name })
}

#[cfg(test)]
mod tests {
    use super::super::samples;
    use super::*;

    #[test]
    fn what_is_written_is_what_is_read() {
        for owner in [Owner::Local, Owner::Host(samples::HOST.parse().unwrap())] {
            let make = Make { owner, ..samples::make() };
            let labels = read(&of_container(&make, true)).unwrap();
            assert_eq!((labels.uid, labels.owner), (make.assigned.uid, owner));
            assert_eq!(labels.hash, make.assigned.replacement_hash());
            assert_eq!(labels.name, make.assigned.spec.name);
            assert_eq!(labels.private, Some(make.private));
        }
    }

    #[test]
    fn labels_that_we_did_not_write_are_not_ours() {
        let good = of_container(&samples::make(), false);
        for (key, value) in [(UID, "17"), (OWNER, "somebody"), (NAME, "A b")] {
            let mut labels = good.clone();
            labels.insert(key.to_owned(), value.to_owned());
            assert_eq!(read(&labels), None, "{key}");
        }
        for key in [UID, OWNER, HASH, NAME] {
            let mut labels = good.clone();
            labels.remove(key);
            assert_eq!(read(&labels), None, "{key}");
        }
    }
}
