//! What stands around hosts while somebody shows or tests them: an endpoint, a registry with an
//! image, a web server with a guest's disk. Real programs, which end with the thread that started
//! them.
//!
//! In reading order: [`Site`] has all of it, for hosts that QEMU's own router leads to this
//! machine's loopback; [`endpoint`], [`registry`] and [`web`] are its services, [`image`] and
//! [`guest`] what is served, [`cpio`] what a kernel begins with.

mod certificate;
pub mod cpio;
pub mod endpoint;
pub mod guest;
pub mod image;
pub mod registry;
mod service;
mod site;
pub mod web;

pub use site::{Place, Site};
