//! From a medium of this machine: a stick, a disc. It is copied, so that nothing of the medium is
//! held afterwards, and what was read once and found good cannot be read otherwise later.

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::thread::sleep;
use std::time::{Duration, Instant};

use anyhow::{Context, Error, Result};
use basalt_live::volume::FROM;
use basalt_live::{OnVolume, Rootfs};
use basalt_medium::Medium;

use super::{another, take_into};
use crate::console::say;
use crate::udev;

/// Where the medium is while it is copied.
const AT: &str = "/run/live/medium";
/// A disc drive that spins up, a hub with many sticks.
const PATIENCE: Duration = Duration::from_secs(90);
const PAUSE: Duration = Duration::from_millis(500);
/// How often it is said that there is none yet.
const SAY: Duration = Duration::from_secs(15);

/// Waits for the volume and copies it from there. Of several with one name the first that has this
/// rootfs is taken.
pub(super) fn fetch(file: &OnVolume, rootfs: &Rootfs, to: &Path) -> Result<()> {
    let (began, mut said) = (Instant::now(), Instant::now());
    let (mut tried, mut last): (BTreeSet<PathBuf>, Option<Error>) = Default::default();
    loop {
        let there = devices(&file.volume)?;
        // Whatever is put in its place is looked at, too.
        tried.retain(|device| there.contains(device));
        for device in there {
            if !tried.insert(device.clone()) {
                continue;
            }
            say(&format!("copying {} MB from {}", rootfs.size / 1_000_000, device.display()));
            match copy(&device, &file.path, rootfs, to) {
                Ok(()) => return tell_where(&device),
                Err(error) => {
                    let error = error.context(format!("cannot take `{}`", device.display()));
                    say(&format!("{error:#}"));
                    last = Some(error);
                }
            }
        }
        if began.elapsed() >= PATIENCE {
            let seconds = PATIENCE.as_secs();
            return Err(last.unwrap_or_else(|| {
                anyhow::anyhow!("no `{}` came in {seconds} s\nhint: is it plugged in?", file.volume)
            }));
        }
        if said.elapsed() >= SAY {
            said = Instant::now();
            say(&format!("waiting for `{}`", file.volume));
        }
        sleep(PAUSE);
    }
}

/// Whoever installs from here must not take it for a disk to install to.
fn tell_where(device: &Path) -> Result<()> {
    let text = format!("{}\n", device.display());
    fs::write(FROM, text).with_context(|| format!("cannot write `{FROM}`"))
}

/// The devices of this name that are there now.
fn devices(volume: &str) -> Result<Vec<PathBuf>> {
    match volume.split_once('=') {
        Some((tag, value)) => udev::devices(&format!("ID_FS_{tag}"), value),
        None => Ok(Some(PathBuf::from(volume)).filter(|path| path.exists()).into_iter().collect()),
    }
}

fn copy(device: &Path, path: &str, rootfs: &Rootfs, to: &Path) -> Result<()> {
    let medium = Medium::mount(device, Path::new(AT))?;
    let path = medium.path().join(path.trim_start_matches('/'));
    let doing = || format!("cannot read `{}`", path.display());
    let there = fs::metadata(&path).with_context(doing)?.len();
    if there != rootfs.size {
        return Err(another(&format!("has {there} bytes and not {}", rootfs.size)));
    }
    take_into(&mut File::open(&path).with_context(doing)?, rootfs, to)
}
