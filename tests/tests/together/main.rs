//! The real endpoint and real hosts in the days that nobody wishes for: a restored backup, a cloned
//! disk, an expired certificate, a clock that is a year off, a reply that is lost, a long silence,
//! a full disk on either side.
//! And where a secret's value is, and where it is not.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod away;
mod canary;
mod certificates;
mod clocks;
mod copies;
mod enrolment;
mod fields;
mod full_disk;
mod full_var;
mod machines;
mod restore;
mod secrets;
