//! The runtimes of this host, as its configuration says.

use std::path::PathBuf;
use std::sync::Arc;

use basalt_api::virt::Settings;

use crate::config::Config;
use crate::containers::{self, Containers};
use crate::machines::{Deadlines, Machines};
use crate::paths::Paths;
use crate::reconcile::Runtimes;
use crate::registries;

/// Seconds after which a download that brings nothing is given up.
const IDLE_S: u32 = 60;

/// Nothing is started or asked yet: an engine need not be there.
#[must_use]
pub fn open(paths: &Paths, config: &Config) -> Runtimes {
    if let Err(error) = registries::trust(&config.registries, &config.containers_certs_d) {
        // Pulls from that registry fail and say so; the others work.
        tracing::error!("{error}");
    }
    let settings = containers::Settings::new(&config.containers_socket, config.registries.clone());
    Runtimes {
        containers: Arc::new(Containers::new(settings)),
        machines: Arc::new(Machines::new(program(), machines(paths, config), Deadlines::default())),
        private: paths.private(),
        marks: paths.state(),
    }
}

fn machines(paths: &Paths, config: &Config) -> Settings {
    Settings {
        uri: config.machines.uri.clone(),
        state: paths.machines().display().to_string(),
        seeds: paths.seeds().display().to_string(),
        accel: config.machines.accel,
        url_allow: config.policy.url_allow.clone(),
        max_image_bytes: u64::from(config.machines.max_image_gib) << 30,
        idle_s: IDLE_S,
    }
}

/// `hostd-virt` lies beside `hostd`.
fn program() -> PathBuf {
    let own = std::env::current_exe().unwrap_or_default();
    own.with_file_name("hostd-virt")
}
