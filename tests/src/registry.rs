//! A real registry with TLS and passwords, on loopback of a test's own network.

use std::fs;
use std::net::SocketAddr;
use std::path::PathBuf;

pub use basalt_site::registry::{PASSWORD, USER};

use crate::ground::{ADDRESS, Ground, HOST};
use crate::image::Image;

/// A registry that runs.
#[derive(Debug)]
pub struct Registry {
    /// `HOST:PORT`, as images name it.
    pub host: String,
    registry: basalt_site::registry::Registry,
}

impl Registry {
    /// Starts one at [`HOST`] on this port.
    ///
    /// # Panics
    /// It does not come up.
    #[must_use]
    pub fn start(ground: &Ground, port: u16) -> Self {
        let address = SocketAddr::new(ADDRESS.parse().expect("an address"), port);
        let registry = basalt_site::registry::Registry::start_at(&ground.path(""), address, HOST);
        let registry = registry.expect("a registry");
        Self { host: registry.host.clone(), registry }
    }

    /// The file of the authority that its certificate is from.
    #[must_use]
    pub fn ca(&self) -> PathBuf {
        self.registry.ca()
    }

    /// Lets somebody else in, too, with this password.
    ///
    /// # Panics
    /// It cannot.
    pub fn admit(&self, user: &str, password: &str) {
        self.registry.admit(user, password).expect("the registry's own file");
    }

    /// Puts an image there, and returns the digest of its manifest.
    ///
    /// # Panics
    /// It cannot.
    #[must_use]
    pub fn fill(&self, repository: &str, tag: &str, image: &Image) -> String {
        self.registry.fill(repository, tag, &image.0).expect("the registry takes it")
    }

    /// Changes the bytes of a layer behind the registry's back.
    ///
    /// # Panics
    /// It has no such blob.
    pub fn damage(&self, blob: &[u8]) {
        let path = self.registry.blob(blob);
        let mut bytes = fs::read(&path).expect("the blob is there");
        let last = bytes.len() / 2;
        bytes[last] ^= 1;
        fs::write(&path, bytes).expect("our own registry");
    }
}
