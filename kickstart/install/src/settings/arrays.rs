//! Arrays: under which names a host assembles them.

use super::Change;
use crate::plan::ArrayPlan;

/// What `mdadm` reads, also where udev calls it for each member that appears.
const CONFIG: &str = "/etc/mdadm/mdadm.conf";

pub(super) fn settings(arrays: &[ArrayPlan], changes: &mut Vec<Change>) {
    if arrays.is_empty() {
        return;
    }
    let mut text = "# From the kickstart. No array is assembled but these.\nHOMEHOST <ignore>\n\
                    MAILADDR root\n"
        .to_owned();
    for array in arrays {
        let (name, id) = (&array.name, mdadm_id(array));
        text.push_str(&format!("ARRAY /dev/md/{name} metadata=1.2 UUID={id}\n"));
    }
    text.push_str("AUTO -all\n");
    changes.push(Change::public(CONFIG, text));
}

/// As `mdadm` writes ids: four groups of eight digits.
fn mdadm_id(array: &ArrayPlan) -> String {
    let digits = array.id.simple().to_string();
    let groups = digits.as_bytes().chunks(8).map(|group| String::from_utf8_lossy(group));
    groups.collect::<Vec<_>>().join(":")
}
