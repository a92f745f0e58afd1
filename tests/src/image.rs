//! Small images, as tests use them: what cannot be made has failed.

use serde_json::Value;

pub use basalt_site::image::hash;

/// An image: one layer, and how it runs.
#[derive(Debug, Clone)]
pub struct Image(pub(crate) basalt_site::image::Image);

impl Image {
    /// busybox in a tree of its own; ends at once unless it is told what to do.
    ///
    /// # Panics
    /// It cannot be made.
    #[must_use]
    pub fn tiny(tag: &str) -> Self {
        Self(basalt_site::image::Image::tiny(tag).expect("an image"))
    }

    /// The same with something else in its configuration, as `User`.
    #[must_use]
    pub fn with(self, key: &str, value: Value) -> Self {
        Self(self.0.with(key, value))
    }

    /// The same with so many bytes more that do not compress.
    ///
    /// # Panics
    /// It cannot be made.
    #[must_use]
    pub fn heavier(self, bytes: usize) -> Self {
        Self(self.0.heavier(bytes).expect("an image"))
    }

    /// The same with so many zero bytes more, which a registry keeps packed.
    ///
    /// # Panics
    /// It cannot be made.
    #[must_use]
    pub fn packed_with_zeros(self, bytes: u64) -> Self {
        Self(self.0.packed_with_zeros(bytes).expect("an image"))
    }

    /// The layer, as a registry keeps it.
    #[must_use]
    pub fn layer(&self) -> &[u8] {
        self.0.layer()
    }

    /// The archive that `docker save` would make.
    ///
    /// # Panics
    /// It cannot be made.
    #[must_use]
    pub fn archive(&self) -> Vec<u8> {
        self.0.archive().expect("an archive")
    }
}
