//! The machine that is reset: its consoles, its partitions, and PID 1, in a boot that has hardly
//! begun.

use std::fs;
use std::path::{Path, PathBuf};
use std::thread::sleep;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use basalt_api::os::ResetDepth;
use basalt_cmd::Cmd;
use basalt_sysroot::entry::RESET_ARGUMENT;
use jiff::Timestamp;

use super::boot::{self, Around, Kind, Then};
use super::console::Consoles;
use super::var::Partition;
use crate::serve::systemctl;
use crate::{choice, host};

/// The ESP and the partition for `/var`, as udev names them.
const ESP: &str = "/dev/basalt/esp";
const VAR: &str = "/dev/basalt/var";
/// Where `/var` is mounted for us alone.
const PLACE: &str = "/run/basalt-reset";
/// How long a disk may take to appear.
const DISKS: Duration = Duration::from_secs(60);
/// How long the partition for `/var` may take once the ESP of the same disk is there.
const FIRST_BOOT: Duration = Duration::from_secs(10);
/// How long somebody may take to type a word.
const CONFIRM: Duration = Duration::from_secs(120);

const QUESTION: &str = "\
somebody chose a factory reset in the loader's menu
type `reset` to lose /etc, the host's identity and its kernel arguments; workloads keep their data
type `erase` to lose all of /var, too: every workload with its data
anything else, or nothing within two minutes, resets nothing";

struct Machine {
    consoles: Consoles,
}

/// What `hostd-os factory-reset` does; a unit of the image runs it early in a boot.
///
/// # Errors
/// The disk fails, or has no room. This boot goes on, and the next one tries again.
pub(crate) fn factory_reset(now: Timestamp) -> Result<()> {
    let list = Path::new("/sys/class/tty/console/active");
    let mut machine = Machine { consoles: Consoles::open(list, Path::new("/dev")) };
    let updater = host::this()?;
    let cmdline = fs::read_to_string("/proc/cmdline").context("cannot read `/proc/cmdline`")?;
    let is_menu = cmdline.split_ascii_whitespace().any(|word| word == RESET_ARGUMENT);
    let boot = Kind::of(&updater, is_menu);
    let var = Partition { device: PathBuf::from(VAR), place: PathBuf::from(PLACE) };
    match boot::run(&updater, boot, &var, &mut machine, now) {
        Ok(Then::GoOn) => Ok(()),
        Ok(Then::Reboot) => reboot(),
        Err(error) => {
            let why = basalt_explain::explain(&error);
            machine.say(&format!("the factory reset failed; the next boot tries again\n{why}"));
            // A boot from the menu's entry is one for a reset and for nothing else.
            if boot == Kind::Menu {
                choice::clear(&updater.places.variables)?;
                reboot()?;
            }
            Err(error)
        }
    }
}

/// Nothing else starts meanwhile: what does waits for our unit.
fn reboot() -> Result<()> {
    systemctl(&["--no-block", "reboot"])?;
    boot::wait_for_the_end()
}

/// Whether a device is there, after so long at most.
fn appears(device: &str, time: Duration) -> bool {
    let began = Instant::now();
    while !Path::new(device).exists() {
        if began.elapsed() >= time {
            return false;
        }
        sleep(Duration::from_millis(200));
    }
    true
}

impl Around for Machine {
    fn prepare(&mut self) -> Result<()> {
        // Where udev does not answer, the disk shows whether it has done its work.
        let _ = Cmd::new("udevadm").args(["settle", "--timeout=30"]).deadline(DISKS).run();
        if !appears(ESP, DISKS) {
            bail!("there is no `{ESP}` after {} s", DISKS.as_secs());
        }
        // None, where this is the first boot.
        if !appears(VAR, FIRST_BOOT) {
            self.say(&format!("there is no `{VAR}`: it is made in the next boot"));
        }
        let options = ["-t", "vfat", "-o", "umask=0077,nodev,nosuid,noexec", ESP, "/efi"];
        Cmd::new("mount").args(options).deadline(DISKS).run().context("cannot use the ESP")?;
        Ok(())
    }

    fn confirm(&mut self) -> Option<ResetDepth> {
        // SIGRTMIN+21: PID 1 says no more what it waits for, which would run over what somebody
        // types. Where it goes on, that is a matter of looks.
        let _ = Cmd::new("sh").args(["-c", "kill -55 1"]).run();
        self.consoles.ask(QUESTION, CONFIRM)
    }

    fn say(&mut self, text: &str) {
        self.consoles.say(text);
    }
}
