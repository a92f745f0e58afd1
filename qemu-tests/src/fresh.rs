//! A host in its first boot: it is ready, and nothing of it is open to anybody.

use anyhow::{Result, ensure};

use crate::host::Host;
use crate::image::Image;

/// Waits until the host says that it is ready, and what it runs.
///
/// # Errors
/// It is not, or runs something else.
pub fn ready(host: &mut Host) -> Result<()> {
    host.passes_the_gate()?;
    let Image { version, commit, build_id, .. } = host.image.clone();
    for (key, expected) in [
        ("state", "ready"),
        ("boot", "blessed"),
        ("slot", "a"),
        ("version", &version),
        ("commit", &commit),
        ("build_id", &build_id),
    ] {
        host.expect_status(key, expected)?;
    }
    host.console_says(&[&format!("version {version}, slot a blessed, hostd is ready")])
}

/// No unit has failed, and none was left out of the boot.
///
/// # Errors
/// One was.
pub fn no_unit_fails(host: &mut Host) -> Result<()> {
    let failed = "systemctl --failed --plain --no-legend";
    host.ok(&format!("systemctl is-system-running --wait || {{ {failed}; exit 1; }}"))?;
    ensure!(host.ok(failed)?.is_empty());
    // systemd leaves out what waits for itself, and each boot another one of them.
    let cycles = host.ok("journalctl -b -o cat | grep -i 'ordering cycle' || true")?;
    ensure!(cycles.is_empty(), "{cycles}");
    Ok(())
}

/// Nobody writes where the image lies.
///
/// # Errors
/// Somebody does.
pub fn read_only(host: &mut Host) -> Result<()> {
    for folder in ["/usr", "/sysroot", "/usr/bin"] {
        let said = host.fails(&format!("touch {folder}/new"))?;
        ensure!(said.contains("Read-only file system"), "{said}");
    }
    Ok(())
}

/// `/var` has the rest of the disk to itself.
///
/// # Errors
/// It has not.
pub fn var_fills_the_disk(host: &mut Host) -> Result<()> {
    ensure!(host.ok("findmnt -no SOURCE,FSTYPE /var")?.ends_with("3 ext4"));
    ensure!(host.ok("findmnt -no SOURCE /")? != host.ok("findmnt -no SOURCE /var")?);
    let sectors = "d=/sys/class/block/vda; echo $(($(cat $d/size) - $(cat $d/vda3/start) - \
                   $(cat $d/vda3/size)))";
    let left: u64 = host.ok(sectors)?.parse()?;
    ensure!(left < 4096, "{left} sectors behind /var");
    Ok(())
}

/// The `host.toml` that lay on the ESP is the host's own now, and on the ESP it is no more.
///
/// # Errors
/// It still is, or somebody else can read it.
pub fn host_toml_is_taken(host: &mut Host) -> Result<()> {
    let said = host.ok("stat -c '%a %U' /var/lib/basalt/host.toml")?;
    ensure!(said == "600 root", "{said}");
    host.fails("test -e /efi/basalt/host.toml")?;
    Ok(())
}

/// No account has a password.
///
/// # Errors
/// One has.
pub fn nobody_has_a_password(host: &mut Host) -> Result<()> {
    let with_password = host.ok("cut -d: -f1,2 /etc/shadow | grep -v ':[!*]' || true")?;
    ensure!(with_password.is_empty(), "{with_password}");
    Ok(())
}
