//! The small guest, made once and kept with what cargo makes.

use std::path::{Path, PathBuf};

/// The raw disk image.
pub(crate) fn image() -> PathBuf {
    let cache = Path::new(env!("CARGO_TARGET_TMPDIR")).join("guest");
    basalt_site::guest::disk(&cache).unwrap_or_else(|error| panic!("{error:#}"))
}
