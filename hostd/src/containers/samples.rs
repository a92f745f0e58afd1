//! Workloads for the tests of this folder.

use std::collections::BTreeMap;

use basalt_api::set::Assigned;
use basalt_api::workload::WorkloadSpec;
use hostd_core::instance::Owner;
use serde_json::Value;

use crate::runtime::Make;

pub(super) const UID: &str = "0f8fad5b-d9cb-469f-a165-70867728950e";
pub(super) const HOST: &str = "7c9e6679-7425-40de-944b-e07fc1f90ae7";

/// The smallest one.
pub(super) fn make() -> Make {
    from(serde_json::json!({ "name": "web", "kind": "container", "container": { "image": "web" } }))
}

/// One of this spec; each of its secrets has the value `value of NAME`.
pub(super) fn from(spec: Value) -> Make {
    let spec: WorkloadSpec = serde_json::from_value(spec).unwrap();
    let secrets = spec.secrets().into_iter();
    let secrets =
        secrets.map(|name| (name.clone(), format!("value of {name}").into_bytes())).collect();
    let assigned = Assigned { uid: UID.parse().unwrap(), spec, secret_versions: BTreeMap::new() };
    Make { assigned, owner: Owner::Local, secrets, private: format!("/private/{UID}").into() }
}
