//! Groups of hosts that do not reboot all at once, and FleetLock, by which hosts that are not ours
//! take part.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::id::Name;

/// Groups of hosts that do not reboot all at once.
pub const GROUPS_PATH: &str = "/v1/os/groups";
/// One group.
pub const GROUP_PATH: &str = "/v1/os/groups/{name}";
/// Whether hosts that are not ours may ask for leave to reboot.
pub const GROUP_FLEETLOCK_PATH: &str = "/v1/os/groups/{name}/fleetlock";
/// Who of those has leave to reboot.
pub const GROUP_LOCKS_PATH: &str = "/v1/os/groups/{name}/locks";
/// Where a host that is not ours asks for leave to reboot, by FleetLock
/// (<https://coreos.github.io/zincati/development/fleetlock/protocol/>).
pub const FLEETLOCK_LOCK_PATH: &str = "/fleetlock/{key}/v1/pre-reboot";
/// Where it says that it is back.
pub const FLEETLOCK_UNLOCK_PATH: &str = "/fleetlock/{key}/v1/steady-state";

/// The group of rollouts that name no other.
pub const DEFAULT_GROUP: &str = "default";

/// A group of hosts of which only some reboot at once.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Group {
    /// Its name.
    pub name: Name,
    /// How many may reboot at once.
    pub slots: u32,
    /// Who has leave to reboot now.
    pub holders: Vec<Holder>,
    /// Whether hosts that are not ours may ask for leave, by FleetLock.
    pub fleetlock: bool,
}

/// Who has leave to reboot.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Holder {
    /// A host's name, or what a host that is not ours calls itself.
    pub id: String,
    /// Since when, in seconds since 1970.
    pub since: i64,
    /// Whether it asked by FleetLock.
    pub fleetlock: bool,
}

/// All groups.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Groups {
    /// By name.
    pub groups: Vec<Group>,
}

/// Says how many hosts of a group may reboot at once.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct GroupSet {
    /// How many. With 0 nobody reboots.
    pub slots: u32,
}

/// By what hosts that are not ours are let in. It is shown this once.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct FleetLock {
    /// What Zincati calls `base_url`; who knows one may take a place of the group.
    pub base_urls: Vec<String>,
    /// The group that they name.
    pub group: Name,
}

/// Whose place is taken back.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct UnlockQuery {
    /// What it calls itself.
    pub id: String,
}

/// What a host that is not ours says, by FleetLock.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct FleetLockRequest {
    /// Who it is.
    pub client_params: ClientParams,
}

/// Who a host is that is not ours.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ClientParams {
    /// What it calls itself; the same at each request.
    pub id: String,
    /// The group that it is in.
    pub group: String,
}

/// Why a host that is not ours may not, by FleetLock.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct FleetLockError {
    /// A word for programs.
    pub kind: String,
    /// For a person.
    pub value: String,
}
