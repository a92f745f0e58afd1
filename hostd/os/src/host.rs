//! Where everything is on a running host.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use basalt_api::os::PROGRESS_FOLDER;
use basalt_deploy::Patience;
use basalt_sysroot::loader::EFIVARS_FOLDER;
use basalt_sysroot::slot::Slot;

use crate::disk::Places;
use crate::journal::JOURNALS;
use crate::standing::Memory;
use crate::trial::{PSTORE, WATCHDOGS};
use crate::update::Updater;

const OS_RELEASE: &str = "/etc/os-release";

/// The host that this program runs on.
///
/// # Errors
/// It is no Basalt host.
pub(crate) fn this() -> Result<Updater> {
    let text = read(OS_RELEASE)?;
    let field = |name: &str| {
        let value = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix('='));
        let value = value.map(|value| value.trim_matches('"').to_owned());
        value.with_context(|| format!("`{OS_RELEASE}` has no {name}: this is no Basalt host"))
    };
    Ok(Updater {
        places: Places {
            sysroot: PathBuf::from("/"),
            esp: PathBuf::from("/efi"),
            variables: PathBuf::from(EFIVARS_FOLDER),
            pstore: PathBuf::from(PSTORE),
            watchdogs: PathBuf::from(WATCHDOGS),
            journal: PathBuf::from(JOURNALS),
            progress: PathBuf::from(PROGRESS_FOLDER),
        },
        keys: PathBuf::from("/usr/share/basalt/keys"),
        memory: Memory::at(Path::new("/var/lib/hostd-os")),
        image: field("IMAGE_ID")?,
        version: field("IMAGE_VERSION")?,
        slot: Slot::from_cmdline(&read("/proc/cmdline")?)
            .context("this boot came from no slot: the host cannot be updated")?,
        boot_id: read("/proc/sys/kernel/random/boot_id")?.trim().to_owned(),
        patience: Patience::default(),
    })
}

fn read(path: &str) -> Result<String> {
    fs::read_to_string(path).with_context(|| format!("cannot read `{path}`"))
}
