//! The runtimes of this host, as its configuration says.

use std::path::PathBuf;
use std::sync::Arc;

use basalt_api::virt::Settings;

use crate::config::{self, Config};
use crate::containers::{self, Containers};
use crate::machines::{self, Deadlines, Machines};
use crate::paths::Paths;
use crate::reconcile::Runtimes;
use crate::registries;

/// Nothing is started or asked yet: an engine need not be there.
#[must_use]
pub fn open(paths: &Paths, config: &Config) -> Runtimes {
    if let Err(error) = registries::trust(&config.registries, &config.containers_certs_d) {
        // Pulls from that registry fail and say so; the others work.
        tracing::error!("{error}");
    }
    let settings = containers::Settings {
        url_allow: config.policy.url_allow.clone(),
        max_image_bytes: u64::from(config.max_image_gib) << 30,
        ..containers::Settings::new(&config.containers_socket, config.registries.clone())
    };
    Runtimes {
        containers: Arc::new(Containers::new(settings)),
        machines: Arc::new(Machines::new(program(), machines(paths, config), Deadlines::default())),
        private: paths.private(),
        marks: paths.state(),
    }
}

fn machines(paths: &Paths, config: &Config) -> Settings {
    let config::Machines { uri, accel, max_image_gib } = &config.machines;
    Settings {
        uri: uri.clone(),
        host_paths: config.policy.host_paths.clone(),
        max_image_bytes: u64::from(*max_image_gib) << 30,
        ..machines::settings(paths, *accel, config.policy.url_allow.clone())
    }
}

/// Where it cannot be told, the first virtual machine says so.
fn program() -> PathBuf {
    machines::program().unwrap_or_else(|_| PathBuf::from("hostd-virt"))
}
