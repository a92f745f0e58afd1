//! Where everything is. A test puts it all under a folder of its own.

use std::path::{Path, PathBuf};

use basalt_api::checks::Weight;
use basalt_sysroot::loader::{EFIVARS_FOLDER, Variable};
use basalt_sysroot::slot::Slot;

/// The root of the file system, `/` on a host.
#[derive(Debug, Clone)]
pub struct Paths {
    root: PathBuf,
}

impl Paths {
    /// Everything under `root`.
    #[must_use]
    pub fn under(root: &Path) -> Self {
        Self { root: root.to_owned() }
    }

    /// Whether this is the running system itself, and not a copy of it in a folder.
    #[must_use]
    pub fn is_live(&self) -> bool {
        self.root == Path::new("/")
    }

    fn at(&self, absolute: &str) -> PathBuf {
        self.root.join(absolute.trim_start_matches('/'))
    }

    /// `hostd`'s socket.
    #[must_use]
    pub fn socket(&self) -> PathBuf {
        self.at(basalt_api::SOCKET)
    }

    /// Where systemd listens for `hostd-os`.
    #[must_use]
    pub fn os_socket(&self) -> PathBuf {
        self.at(basalt_api::os::SOCKET)
    }

    /// What became of the release that was tried last.
    #[must_use]
    pub fn verdict(&self) -> PathBuf {
        self.at(basalt_api::os::VERDICT_FILE)
    }

    /// Whether this boot shall end in a window.
    #[must_use]
    pub fn reboot_wish(&self) -> PathBuf {
        self.at(basalt_api::os::REBOOT_WISH_FILE)
    }

    /// Where `hostd-os` says how far it is.
    #[must_use]
    pub fn os_progress(&self) -> PathBuf {
        self.at(basalt_api::os::PROGRESS_FOLDER)
    }

    /// Credentials of the whole system, which root can read.
    #[must_use]
    pub fn system_credentials(&self) -> PathBuf {
        self.at("/run/credentials/@system")
    }

    /// Locked by the one `hostd` that runs.
    #[must_use]
    pub fn lock(&self) -> PathBuf {
        self.at("/run/hostd/lock")
    }

    /// What `hostd` must remember.
    #[must_use]
    pub fn state(&self) -> PathBuf {
        self.at("/var/lib/hostd")
    }

    /// What ran, for the next boot to miss.
    #[must_use]
    pub fn ran(&self) -> PathBuf {
        self.at("/var/lib/hostd/ran.json")
    }

    /// On tmpfs: secrets as files, in a folder for each workload.
    #[must_use]
    pub fn private(&self) -> PathBuf {
        self.at("/run/hostd/private")
    }

    /// Who this host is at its endpoint.
    #[must_use]
    pub fn identity(&self) -> PathBuf {
        self.at("/var/lib/hostd/identity")
    }

    /// Images and disks of virtual machines, which QEMU reads as a user of its own.
    #[must_use]
    pub fn machines(&self) -> PathBuf {
        self.at("/var/lib/hostd-virt")
    }

    /// On tmpfs: what guests are told at their first start.
    #[must_use]
    pub fn seeds(&self) -> PathBuf {
        self.at("/run/hostd-virt/seeds")
    }

    /// Values of secrets, encrypted.
    #[must_use]
    pub fn secrets(&self) -> PathBuf {
        self.at("/var/lib/hostd/secrets")
    }

    /// A join string that somebody left for this host.
    #[must_use]
    pub fn join(&self) -> PathBuf {
        self.at("/etc/basalt/join")
    }

    /// When the endpoint was heard last, for a `hostd` that starts again in the same boot.
    #[must_use]
    pub fn heard(&self) -> PathBuf {
        self.at("/run/hostd/heard")
    }

    /// The id of this installation.
    #[must_use]
    pub fn machine_id(&self) -> PathBuf {
        self.at("/etc/machine-id")
    }

    /// The firmware's id of this machine.
    #[must_use]
    pub fn dmi_uuid(&self) -> PathBuf {
        self.at("/sys/class/dmi/id/product_uuid")
    }

    /// Where a file of the configuration lies in the image.
    #[must_use]
    pub fn image_config(&self) -> PathBuf {
        self.at("/usr/lib/basalt/hostd.toml")
    }

    /// Where the operator's own configuration lies.
    #[must_use]
    pub fn host_config(&self) -> PathBuf {
        self.at("/etc/basalt/hostd.toml")
    }

    /// Folders of `*.toml` that are laid over the configuration, the image's first.
    #[must_use]
    pub fn config_drop_ins(&self) -> [PathBuf; 2] {
        [self.at("/usr/lib/basalt/hostd.toml.d"), self.at("/etc/basalt/hostd.toml.d")]
    }

    /// Folders of checks that the image and the operator bring, the required ones first.
    #[must_use]
    pub fn checks(&self) -> [(Weight, [PathBuf; 2]); 2] {
        [(Weight::Required, "required.d"), (Weight::Wanted, "wanted.d")].map(|(weight, name)| {
            let folders = ["/usr/lib/basalt", "/etc/basalt"];
            (weight, folders.map(|folder| self.at(folder).join(name)))
        })
    }

    /// What failed of them in this boot.
    #[must_use]
    pub fn failed_checks(&self) -> PathBuf {
        self.at(basalt_api::checks::FILE)
    }

    /// What the image says of itself.
    #[must_use]
    pub fn os_release(&self) -> PathBuf {
        self.at("/usr/lib/os-release")
    }

    /// The text that consoles show above the login prompt.
    #[must_use]
    pub fn issue(&self) -> PathBuf {
        self.at("/run/issue.d/50-basalt.issue")
    }

    /// The kernel's arguments.
    #[must_use]
    pub fn cmdline(&self) -> PathBuf {
        self.at("/proc/cmdline")
    }

    /// The kernel's random id of this boot.
    #[must_use]
    pub fn boot_id(&self) -> PathBuf {
        self.at("/proc/sys/kernel/random/boot_id")
    }

    /// The link to the deployment of a slot.
    #[must_use]
    pub fn slot_link(&self, slot: Slot) -> PathBuf {
        self.at("/sysroot/ostree").join(slot.link_name())
    }

    /// A variable of the loader's.
    #[must_use]
    pub fn variable(&self, variable: Variable) -> PathBuf {
        self.at(EFIVARS_FOLDER).join(variable.file_name())
    }

    /// The boot entries on the ESP.
    #[must_use]
    pub fn entries(&self) -> PathBuf {
        self.at("/efi").join(basalt_sysroot::entry::ENTRIES_FOLDER)
    }

    /// The host's configuration as somebody put it on the ESP.
    #[must_use]
    pub fn esp_host_toml(&self) -> PathBuf {
        self.at("/efi/basalt/host.toml")
    }

    /// The host's configuration once it was taken.
    #[must_use]
    pub fn taken_host_toml(&self) -> PathBuf {
        self.at("/var/lib/basalt/host.toml")
    }

    /// The host's name.
    #[must_use]
    pub fn hostname(&self) -> PathBuf {
        self.at("/etc/hostname")
    }

    /// Who may log in as root.
    #[must_use]
    pub fn authorized_keys(&self) -> PathBuf {
        self.at("/root/.ssh/authorized_keys")
    }
}
