//! When a workload of a silent host starts elsewhere (`policy = "replace_after"`).

use basalt_api::workload::{Body, DisconnectPolicy, WorkloadSpec};

use crate::UpSeconds;

/// What is added to the host's own time to stop.
const MARGIN_S: UpSeconds = 10;
/// The grace that a container has which does not say.
const CONTAINER_GRACE_S: u32 = 10;
/// The grace that a virtual machine has which does not say.
const VM_GRACE_S: u32 = 120;

/// When another copy may start, where `answered` is when the host was answered last. The host
/// counts from when it sent the request of that answer, so its own copy has stopped by then. None
/// where the policy leaves the workload where it is.
#[must_use]
pub fn replace_at(spec: &WorkloadSpec, answered: UpSeconds) -> Option<UpSeconds> {
    let after = match spec.disconnect.policy {
        DisconnectPolicy::ReplaceAfter => spec.disconnect.after_s?,
        DisconnectPolicy::Keep | DisconnectPolicy::StopAfter => return None,
    };
    Some(answered + UpSeconds::from(after) + UpSeconds::from(stop_grace_s(spec)) + MARGIN_S)
}

fn stop_grace_s(spec: &WorkloadSpec) -> u32 {
    match spec.body() {
        Some(Body::Container(container)) => container.stop_grace_s.unwrap_or(CONTAINER_GRACE_S),
        Some(Body::Vm(vm)) => vm.stop_grace_s.unwrap_or(VM_GRACE_S),
        None => VM_GRACE_S,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(disconnect: serde_json::Value, grace: Option<u32>, expected: Option<UpSeconds>) {
        let text = include_str!("../../../crates/api/examples/workload-container.json");
        let mut spec: WorkloadSpec = serde_json::from_str(text).unwrap();
        spec.disconnect = serde_json::from_value(disconnect).unwrap();
        spec.container.as_mut().unwrap().stop_grace_s = grace;
        assert_eq!(replace_at(&spec, 1000), expected);
    }

    #[test]
    fn another_starts_only_after_period_grace_and_margin() {
        let policy = |policy: &str| serde_json::json!({ "policy": policy, "after_s": 60 });
        check(policy("replace_after"), None, Some(1000 + 60 + 10 + 10));
        check(policy("replace_after"), Some(30), Some(1000 + 60 + 30 + 10));
        check(policy("stop_after"), None, None);
        check(serde_json::json!({}), None, None);
    }
}
