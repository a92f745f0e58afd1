//! From a web server.

use std::fs;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result};
use basalt_download::{Download, How, Patience, Trust, Url};
use basalt_live::Rootfs;

use super::{another, take_into};
use crate::console::say;
use crate::network;

/// Whom a server over https is believed by: what the image trusts.
const AUTHORITIES: &str = "/etc/ssl/certs/ca-certificates.crt";
/// A server that was switched on together with this machine takes minutes to come up.
const PATIENCE: Patience =
    Patience { silence: Duration::from_secs(30), pause: Duration::from_secs(1), tries: 30 };

/// Waits for the network and fetches it.
pub(super) fn fetch(url: &Url, rootfs: &Rootfs, to: &Path) -> Result<()> {
    network::wait()?;
    say(&format!("fetching {} MB from {url}", rootfs.size / 1_000_000));
    let told = |why: &str, pause: Duration| {
        say(&format!("{why}; asking again in {} s", pause.as_secs()));
    };
    let trust = match url.scheme() {
        "https" => Trust::Authorities(
            fs::read(AUTHORITIES).with_context(|| format!("cannot read `{AUTHORITIES}`"))?,
        ),
        _ => Trust::Web,
    };
    let how = How { patience: PATIENCE, trust, told };
    let mut download = Download::begin(url, &how)?;
    if let Some(there) = download.size().filter(|there| *there != rootfs.size) {
        return Err(another(&format!("has {there} bytes and not {}", rootfs.size)));
    }
    take_into(&mut download, rootfs, to).with_context(|| format!("cannot take `{url}`"))
}
