//! The host's supervisor, `hostd`, and its command, `hostctl`. What they decide is in `hostd-core`.
//!
//! One thread runs the loop and the socket; what may block goes to a pool. In reading order:

pub mod books;
pub mod clock;
pub mod config;
pub mod containers;
pub mod daemon;
pub mod endpoint;
pub mod events;
pub mod facts;
pub mod host_config;
pub mod host_paths;
pub mod identity;
pub mod issue;
pub mod ledger;
pub mod machines;
pub mod metrics;
pub mod os;
pub mod paths;
pub mod reboots;
pub mod reconcile;
pub mod registries;
pub mod round;
pub mod running_update;
pub mod runtime;
pub mod runtimes;
pub mod secrets;
pub mod server;
pub mod units;
pub mod updater;
pub mod vault;
pub mod worker;
pub mod workloads;

pub mod checks;
pub mod client;
pub mod gate;
pub mod show;
