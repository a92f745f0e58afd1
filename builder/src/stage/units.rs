//! Enables, disables and masks units, by the tree's own systemctl.

use std::path::Path;

use anyhow::{Context, Result};

use super::sandbox::{Access, inside};
use crate::definition::Units;
use crate::overlay;

/// Read before every preset of Debian's.
const PRESET: &str = "usr/lib/systemd/system-preset/00-basalt.preset";

/// Masks, disables and enables what the definition says. systemctl only makes and removes links,
/// so it is safe over a hard-linked checkout.
///
/// # Errors
/// A unit to enable does not exist, or has no `[Install]` section.
pub fn apply(tree: &Path, units: &Units) -> Result<()> {
    run(tree, "mask", &units.mask).context("cannot mask units")?;
    overlay::put(tree, PRESET, preset(units).as_bytes(), 0o644)?;
    // Packages enable their units when they are installed.
    run(tree, "disable", &units.disable).context("cannot disable units")?;
    run(tree, "enable", &units.enable).context(
        "cannot enable units\nhint: a unit comes from a package or an overlay and needs an \
         `[Install]` section",
    )
}

/// What a first boot enables: nothing that the builder did not. Pure.
fn preset(units: &Units) -> String {
    let mut text = String::from(
        "# Made by the image builder. Without it, a first boot would enable every unit that comes\n\
         # with a package.\n",
    );
    for unit in &units.enable {
        text.push_str(&format!("enable {unit}\n"));
    }
    text + "disable *\n"
}

fn run(tree: &Path, verb: &str, units: &[String]) -> Result<()> {
    if units.is_empty() {
        return Ok(());
    }
    let systemctl = inside(tree, Access::ReadWrite, "env");
    systemctl.args(["SYSTEMD_OFFLINE=1", "systemctl", verb, "--"]).args(units).run()?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_first_boot_enables_nothing_that_the_image_does_not() {
        let units = Units {
            enable: vec!["hostd.service".to_owned()],
            disable: Vec::new(),
            mask: Vec::new(),
        };
        assert!(preset(&units).ends_with("\nenable hostd.service\ndisable *\n"));
    }
}
