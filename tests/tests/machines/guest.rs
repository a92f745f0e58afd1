//! The small guest, made once and kept with what cargo makes.

use std::path::{Path, PathBuf};

/// The raw disk image.
pub(crate) fn image() -> PathBuf {
    basalt_site::guest::disk(&folder()).unwrap_or_else(|error| panic!("{error:#}"))
}

/// Where it lies.
pub(crate) fn folder() -> PathBuf {
    Path::new(env!("CARGO_TARGET_TMPDIR")).join("guest")
}
