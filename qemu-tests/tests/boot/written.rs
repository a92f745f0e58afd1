//! A disk that `basalt write` made, in its first boot: by firmware that starts nothing but what
//! Microsoft's keys vouch for, with a screen, and a key that opens ssh.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;
use std::time::Duration;

use anyhow::{Result, ensure};
use basalt_cmd::Cmd;
use basalt_vm::{Firmware, Machine};
use qemu_tests::fresh::{
    self, no_unit_fails, nobody_has_a_password, read_only, ready, var_fills_the_disk,
};
use qemu_tests::host::{Host, machine};
use qemu_tests::image::Image;
use qemu_tests::story::{Start, Story, programs};

const HOST_TOML: &str = "hostname = \"rack4-17\"\n";
/// Some hundreds of megabytes, written and read.
const WRITE: Duration = Duration::from_secs(300);

/// A key that this run made for itself.
struct Key {
    file: PathBuf,
    public: String,
}

fn key() -> &'static Key {
    static KEY: OnceLock<Key> = OnceLock::new();
    KEY.get_or_init(|| {
        let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("ssh-key");
        let _ = fs::remove_dir_all(&folder);
        fs::create_dir(&folder).expect("a folder for a key");
        let file = folder.join("key");
        let keygen =
            Cmd::new("ssh-keygen").args(["-q", "-t", "ed25519", "-N", "", "-f"]).arg(&file);
        keygen.run().expect("ssh-keygen, of package openssh-client, makes a key");
        let public = fs::read_to_string(file.with_extension("pub")).expect("its public half");
        Key { file, public }
    })
}

pub(crate) const STORY: Story = Story {
    name: "written",
    machine: Start::Disk(written),
    steps: &[
        ("a_written_disk_boots_with_secure_boot_on", secure),
        ("a_fresh_host_is_ready_and_names_its_image", ready),
        ("no_unit_fails", no_unit_fails),
        ("usr_and_sysroot_are_read_only", read_only),
        ("var_is_its_own_file_system_and_fills_the_disk", var_fills_the_disk),
        ("nobody_has_a_password", nobody_has_a_password),
        ("a_host_toml_that_was_written_with_the_disk_is_taken_and_wiped", host_toml_is_taken),
        ("the_screen_shows_what_the_host_is_and_how_it_is", screen),
        ("a_key_that_came_as_a_credential_opens_ssh", key_opens_ssh),
    ],
};

fn written(image: &Image, folder: &Path) -> Result<Machine> {
    let (disk, config) = (folder.join("disk.raw"), folder.join("host.toml"));
    fs::write(&config, HOST_TOML)?;
    let write = Cmd::new(programs()?.join("basalt")).arg("write").arg(&image.disk);
    write.arg("--to").arg(&disk).arg("--config").arg(&config).deadline(WRITE).run()?;
    Ok(machine(&Image { disk, ..image.clone() })
        .firmware(Firmware::SecureBoot)
        .screen()
        .shell()
        .credential("ssh.authorized_keys.root", &key().public)
        .forward(22))
}

fn secure(host: &mut Host) -> Result<()> {
    let variable = "/sys/firmware/efi/efivars/SecureBoot-8be4df61-93ca-11d2-aa0d-00e098032b8c";
    ensure!(host.ok(&format!("od -An -tu1 -j4 {variable}"))? == "1", "Secure Boot is off");
    let lockdown = host.ok("cat /sys/kernel/security/lockdown")?;
    ensure!(lockdown.contains("[integrity]"), "{lockdown}");
    Ok(())
}

fn host_toml_is_taken(host: &mut Host) -> Result<()> {
    ensure!(host.ok("hostname")? == "rack4-17");
    ensure!(host.ok("cat /var/lib/basalt/host.toml")? == HOST_TOML.trim());
    fresh::host_toml_is_taken(host)
}

/// By the memory of the console that a person sees first; it is drawn on what the firmware left.
fn screen(host: &mut Host) -> Result<()> {
    ensure!(host.ok("cat /sys/class/graphics/fb0/name")? == "EFI VGA");
    ensure!(host.ok("cat /sys/class/tty/tty0/active")? == "tty1");
    let state = format!("version {}, slot a blessed, hostd is ready", host.image.version);
    let name = "rack4-17";
    host.eventually("the screen", |host| {
        let shown = host.ok("cat /dev/vcs1")?;
        let all = [&*format!("{name}  10.0.2.15"), &state, &*format!("{name} login:")];
        Ok(if all.iter().all(|text| shown.contains(text)) { Ok(()) } else { Err(shown) })
    })
}

fn key_opens_ssh(host: &mut Host) -> Result<()> {
    host.until("systemctl is-active ssh")?;
    let said = Cmd::new("ssh")
        .args(["-o", "StrictHostKeyChecking=no", "-o", "UserKnownHostsFile=/dev/null"])
        .args(["-o", "BatchMode=yes", "-o", "ConnectTimeout=60", "-i"])
        .arg(&key().file)
        .args(["-p", &host.vm.forwarded(22)?.to_string(), "root@127.0.0.1", "hostctl status"])
        .deadline(Duration::from_secs(120))
        .run()?;
    ensure!(said.stdout_text().contains("slot     a, blessed"), "{}", said.stdout_text());
    Ok(())
}
