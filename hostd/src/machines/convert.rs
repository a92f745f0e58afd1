//! Between what `hostd` says and what `hostd-virt` says. Pure.

use basalt_api::virt::{Machine, Refusal, RefusalKind, Secret, Seen, SeenState};
use basalt_api::workload::{Body, Cpus, Kind};
use hostd_core::instance::{Instance, InstanceState, Owner};

use crate::runtime::{Failure, Make, RuntimeError};

/// The machine that is to be made.
pub(super) fn machine(make: &Make) -> Result<Machine, RuntimeError> {
    let spec = &make.assigned.spec;
    let Some(Body::Vm(vm)) = spec.body() else {
        return Err(wrong("it is no virtual machine"));
    };
    let user_data = match &vm.user_data_secret {
        None => None,
        Some(name) => {
            let value = make.secrets.get(name);
            Some(value.ok_or_else(|| wrong(&format!("its secret `{name}` is not here")))?)
        }
    };
    let memory_mib = spec.resources.memory_mib;
    Ok(Machine {
        uid: make.assigned.uid,
        name: spec.name.clone(),
        owner: match make.owner {
            Owner::Local => None,
            Owner::Host(host) => Some(host),
        },
        hash: make.assigned.replacement_hash(),
        vcpus: spec.resources.cpus.and_then(Cpus::as_whole).unwrap_or(1),
        memory_mib: memory_mib.ok_or_else(|| wrong("nothing says how much memory it has"))?,
        vm: vm.clone(),
        user_data: user_data.map(|value| Secret(value.clone())),
    })
}

/// What was seen.
pub(super) fn instance(seen: Seen) -> Instance {
    Instance {
        uid: seen.uid,
        name: seen.name,
        kind: Kind::Vm,
        owner: seen.owner.map_or(Owner::Local, Owner::Host),
        hash: seen.hash,
        state: match seen.state {
            SeenState::Made => InstanceState::Made,
            SeenState::Running { since } => InstanceState::Running { since },
            SeenState::Paused { at, reason, may_resume } => {
                InstanceState::Paused { at, reason, may_resume }
            }
            SeenState::Ended { code, at, note } => InstanceState::Ended { code, at, note },
            SeenState::Broken { reason } => InstanceState::Broken { reason },
        },
        addresses: seen.addresses,
        lacks: seen.lacks,
    }
}

/// Why something was not done.
pub(super) fn error(refusal: Refusal) -> RuntimeError {
    let kind = match refusal.kind {
        RefusalKind::Unavailable => Failure::Unavailable,
        RefusalKind::Workload => Failure::Workload,
        RefusalKind::NotThere => Failure::NotThere,
    };
    RuntimeError { kind, message: refusal.message }
}

fn wrong(message: &str) -> RuntimeError {
    RuntimeError { kind: Failure::Workload, message: message.to_owned() }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use basalt_api::set::Assigned;
    use basalt_api::workload::WorkloadSpec;

    use super::*;

    fn make(secret: Option<&str>) -> Make {
        let text = include_str!("../../../crates/api/examples/workload-vm.json");
        let mut spec: WorkloadSpec = serde_json::from_str(text).unwrap();
        if let (Some(vm), Some(name)) = (spec.vm.as_mut(), secret) {
            (vm.user_data, vm.user_data_secret) = (None, Some(name.parse().unwrap()));
        }
        let uid = "d8a6c9b2-0a3c-4d4e-9b1f-6f4f8a1c2b3d".parse().unwrap();
        let secrets = BTreeMap::from([("seed".parse().unwrap(), b"#cloud-config".to_vec())]);
        let assigned = Assigned { uid, spec, secret_versions: BTreeMap::new() };
        Make { assigned, owner: Owner::Local, secrets, private: "/nowhere".into() }
    }

    #[test]
    fn a_machine_has_what_its_spec_says() {
        let machine = machine(&make(None)).unwrap();
        assert_eq!((machine.vcpus, machine.memory_mib, machine.owner), (2, 2048, None));
        assert_eq!(machine.hash, make(None).assigned.replacement_hash());
        assert_eq!(machine.user_data, None);
    }

    #[test]
    fn user_data_come_from_the_secret_that_is_named() {
        let machine = machine(&make(Some("seed"))).unwrap();
        assert_eq!(machine.user_data, Some(Secret(b"#cloud-config".to_vec())));
        let error = super::machine(&make(Some("other"))).unwrap_err();
        assert_eq!(error.message, "its secret `other` is not here");
    }
}
