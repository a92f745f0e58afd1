//! The real `basalt-endpoint` and `basaltctl` over real TLS on loopback, with hosts that this test
//! plays.

#![expect(clippy::unwrap_used, reason = "what cannot set up its endpoint has failed")]

mod endpoint;
mod host;

mod access;
mod bad_input;
mod checkin;
mod ctl;
mod enrol;
mod json;
mod manual;
mod placement;
mod restore;
mod rollouts;
mod rollover;
mod route_table;
mod secrets;
mod silence;
mod slow;
