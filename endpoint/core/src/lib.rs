//! What the endpoint decides. Pure: no I/O, no clock, no runtime; time and chance are arguments.
//! In reading order:

pub mod token;

mod bounds;
pub mod checkin;
pub mod facts;
pub mod generation;
pub mod pace;
pub mod presence;
pub mod report;

pub mod disconnect;
pub mod needs;
pub mod placement;

pub mod resync;

pub mod group;
pub mod rollout;

/// Seconds since 1970.
pub type Seconds = i64;
/// Seconds by a clock that nobody sets and that goes on in a suspended machine: `CLOCK_BOOTTIME`.
/// What passes between two moments is measured by it, so that a step of the other clock neither
/// loses a host nor starts a second copy of what it runs.
pub type UpSeconds = i64;

/// A moment, by both clocks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Moment {
    /// For what a certificate or a person says.
    pub date: Seconds,
    /// For how long ago something was.
    pub up: UpSeconds,
}
