//! What the endpoint decides. Pure: no I/O, no clock, no runtime; time and chance are arguments.
//! In reading order:

pub mod token;

pub mod checkin;
pub mod generation;
pub mod pace;
pub mod presence;
pub mod report;

pub mod disconnect;
pub mod needs;
pub mod placement;

pub mod resync;

/// Seconds since 1970.
pub type Seconds = i64;
