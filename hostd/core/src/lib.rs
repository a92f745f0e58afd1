//! What `hostd` decides. Pure: no I/O, no clock, no runtime.

pub mod address;
pub mod boot;
pub mod health;
pub mod instance;
pub mod ledger;
