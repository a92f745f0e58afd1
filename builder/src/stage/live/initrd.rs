//! The initrd of a live system: the initramfs with what fetches the root, which it names by its
//! hash. Made by the tree's own dracut, from a tree that nothing else is made from.

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use anyhow::Result;
use basalt_durable::PUBLIC;
use basalt_live::Rootfs;

use super::{Inputs, PROGRAM};
use crate::cache::Cache;
use crate::overlay;
use crate::progress::Step;
use crate::stage::initramfs::Recipe;

/// Where the dracut module looks for the program.
const PLACE: &str = "usr/lib/basalt";
/// Files without which no root is fetched, and where they come from.
const NEEDED: [(&str, &str); 9] = [
    (Rootfs::PATH, LIVE_BOOT),
    ("usr/lib/basalt/basalt-live-boot", LIVE_BOOT),
    ("usr/lib/systemd/system/sysroot.mount", LIVE_BOOT),
    ("usr/lib/systemd/system/run-live-lower.mount", LIVE_BOOT),
    ("usr/lib/systemd/system/basalt-live-root.service", LIVE_BOOT),
    ("usr/lib/systemd/system/basalt-live-etc.service", LIVE_BOOT),
    ("usr/lib/systemd/systemd-networkd", LIVE_BOOT),
    ("usr/lib/systemd/system/systemd-networkd.service", LIVE_BOOT),
    ("etc/ssl/certs/ca-certificates.crt", "the package `ca-certificates` brings it"),
];
const LIVE_BOOT: &str = "the dracut module `live-boot` brings it";

/// Makes the one that boots `rootfs` alone, as the file `to`.
///
/// # Errors
/// dracut fails, or something is missing in what it made.
pub(super) fn make(
    inputs: &Inputs,
    rootfs: &Rootfs,
    cache: &Cache,
    to: &Path,
    step: &Step,
) -> Result<()> {
    let definition = inputs.definition;
    let recipe = Recipe {
        definition,
        lock: inputs.lock,
        folders: definition.overlay.initramfs.iter().chain(&definition.live.initramfs).collect(),
        modules: definition.initramfs.modules.iter().chain(&definition.live.modules).collect(),
        drivers: definition.kernel.drivers.iter().chain(&definition.live.drivers).collect(),
        needed: &NEEDED,
        work: cache.tmp().join("initrd"),
    };
    let said = rootfs.render()?;
    recipe.make(cache, step, |tree| {
        let program = Path::new(PLACE).join(PROGRAM);
        overlay::put_file(tree, &program, &inputs.programs.join(PROGRAM), 0o755)?;
        overlay::put(tree, Rootfs::PATH, said.as_bytes(), 0o644)
    })?;
    let made = recipe.image();
    let doing =
        |error| anyhow::Error::from(error).context(format!("cannot write `{}`", to.display()));
    // dracut lets only root read it; a web server is not root, and nothing in it is secret.
    fs::copy(&made, to)
        .and_then(|_| fs::set_permissions(to, Permissions::from_mode(PUBLIC)))
        .and_then(|()| fs::File::open(to)?.sync_all())
        .map_err(doing)?;
    recipe.clear()
}
