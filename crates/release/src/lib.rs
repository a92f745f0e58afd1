//! A release of the system, as it is offered to hosts: its manifest, and who signed it.
//!
//! OSTree's signature says who made a commit. The manifest says more: which commit is the release
//! now, that it is newer than the last one, and until when this may be believed. So a mirror can
//! keep a release from a host, but neither give it an old one nor keep it on one for ever.
//! Pure: the clock and the files are the caller's.

mod envelope;
mod image;
mod judge;
mod key;
mod manifest;

#[cfg(test)]
mod fuzz;

pub use envelope::{EnvelopeError, MAX_BYTES, open, seal};
pub use image::{Image, ImageError, open_image, seal_image};
pub use judge::{Host, Refused, Standing, Verdict, judge};
pub use key::{KeyError, PublicKey, SecretKey};
pub use manifest::{BootContent, Delta, FORM, Manifest, ManifestError};
