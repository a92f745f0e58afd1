//! The image river: a definition becomes a signed commit and a disk that boots.
//!
//! Everything happens in files: no loop device, no mount of an image, no daemon. In reading order:

pub mod build;
pub mod cli;
pub mod definition;
pub mod diff;
pub mod disk;
pub mod lock;
pub mod plan;
pub mod publish;
pub mod pxe;
pub mod run;
pub mod stage;
pub mod write;

pub mod cache;
pub mod fingerprint;
pub mod key;
pub mod manifest;
pub mod namespace;
pub mod overlay;
pub mod progress;
pub mod space;
pub mod version;
