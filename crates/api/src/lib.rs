//! What crosses a wire or lands on a disk: types, paths, limits and rules. No I/O.
//!
//! On the wire unknown fields are ignored, so that one release of skew works both ways; but for what
//! an operator asks of an endpoint, which meant each of them. In reading order:

pub mod canonical;
pub mod capacity;
pub mod checkin;
pub mod checks;
pub mod enrol;
pub mod fault;
pub mod id;
pub mod install;
pub mod ledger;
pub mod local;
pub mod operator;
pub mod os;
pub mod problem;
pub mod ran;
pub mod report;
pub mod rollout;
pub mod secret;
pub mod set;
pub mod status;
pub mod validate;
pub mod virt;
pub mod workload;

#[cfg(test)]
mod fuzz;

/// Where `hostd` listens on the host. Group `basalt` may read the status.
pub const SOCKET: &str = "/run/hostd/hostd.sock";
/// Answers a [`status::HostStatus`].
pub const STATUS_PATH: &str = "/v1/status";
/// Bytes that a client reads of one answer.
pub const MAX_ANSWER_BYTES: usize = 4 << 20;
