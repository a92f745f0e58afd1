//! Enables, disables and masks units, by the tree's own systemctl.

use std::path::Path;

use anyhow::{Context, Result};

use super::sandbox::{Access, inside};
use crate::definition::Units;

/// Masks, disables and enables what the definition says. systemctl only makes and removes links, so it is
/// safe over a hard-linked checkout.
///
/// # Errors
/// A unit to enable does not exist, or has no `[Install]` section.
pub fn apply(tree: &Path, units: &Units) -> Result<()> {
    run(tree, "mask", &units.mask).context("cannot mask units")?;
    // Packages enable their units when they are installed.
    run(tree, "disable", &units.disable).context("cannot disable units")?;
    run(tree, "enable", &units.enable).context(
        "cannot enable units\nhint: a unit comes from a package or an overlay and needs an \
         `[Install]` section",
    )
}

fn run(tree: &Path, verb: &str, units: &[String]) -> Result<()> {
    if units.is_empty() {
        return Ok(());
    }
    let systemctl = inside(tree, Access::ReadWrite, "env");
    systemctl.args(["SYSTEMD_OFFLINE=1", "systemctl", verb, "--"]).args(units).run()?;
    Ok(())
}
