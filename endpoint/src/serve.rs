//! What each route does. Handlers read and write; `basalt-endpoint-core` decides.

pub mod about;
pub mod channels;
pub mod check_in;
pub mod enrol;
pub mod events;
pub mod fleetlock;
pub mod groups;
pub mod host_secrets;
pub mod hosts;
pub mod installations;
pub mod logs;
mod page;
pub mod renew;
pub mod reported_set;
pub mod rollouts;
pub mod secrets;
pub mod tokens;
pub mod view;
pub mod workloads;
