//! A live system of the image, as `basalt pxe` puts it where a web server serves it.

use std::fs::{self, File};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use basalt_cmd::Cmd;
use basalt_site::web::Web;
use basalt_vm::Machine;

use crate::image::Image;

/// Copying 300 MB beside a machine that boots.
const PUT: Duration = Duration::from_secs(300);
/// How a guest reaches its machine's loopback.
const GATEWAY: &str = "10.0.2.2";
/// What the folder is served as.
const NAME: &str = "live";
const ROOTFS: &str = "rootfs.squashfs";
/// Where a byte is another one in a rootfs that was damaged.
const DAMAGE: u64 = 1 << 20;

/// What a kickstart is served as.
const KICKSTART: &str = "host.ks";

/// What a live system is booted for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Purpose {
    /// It is a host.
    Host,
    /// It installs one, by the kickstart that is served.
    Install,
}

/// A live system that is served.
pub struct Live {
    /// Its build's own folder.
    folder: PathBuf,
    /// The line of the script that names the kernel.
    kernel: String,
    /// The URL of the script.
    script: String,
    /// The story's folder of it.
    place: PathBuf,
    web: Web,
}

impl Live {
    /// Serves the image's live system from `folder`. `programs` is where cargo put ours.
    ///
    /// # Errors
    /// The image was built without one, or no server comes up.
    pub fn start(folder: &Path, programs: &Path, image: &Image, purpose: Purpose) -> Result<Self> {
        fs::create_dir_all(folder)?;
        let web = Web::start(folder)?;
        let dir = folder.join(NAME);
        let server = format!("http://{GATEWAY}:{}", web.port());
        let url = format!("{server}/{NAME}");
        let kickstart = format!("{server}/{KICKSTART}");
        let append: &[&str] = match purpose {
            Purpose::Host => &[],
            Purpose::Install => &["--kickstart", &kickstart],
        };
        Cmd::new(programs.join("basalt"))
            .arg("pxe")
            .arg(image.disk.parent().context("a disk lies in a folder")?)
            .arg("--dir")
            .arg(&dir)
            .args(["--url", &url])
            .args(append)
            .deadline(PUT)
            .run()?;
        web.serve(NAME, &dir)?;
        let script = fs::read_to_string(dir.join("boot.ipxe"))?;
        let kernel = script.lines().find_map(|line| line.strip_prefix("kernel "));
        let kernel = kernel.context("the script names no kernel")?;
        let file = kernel.split(' ').next().unwrap_or_default();
        let build = file.strip_prefix(&format!("{url}/")).and_then(|path| path.split_once('/'));
        let (build, _) = build.with_context(|| format!("the kernel is `{file}`"))?;
        Ok(Self {
            folder: dir.join(build),
            kernel: kernel.to_owned(),
            script: format!("{url}/boot.ipxe"),
            place: folder.to_owned(),
            web,
        })
    }

    /// A machine that has no disk yet and boots from the network: 1 GiB.
    pub fn network_machine(&self) -> Machine {
        Machine::without_disk().network_boot(&self.script).memory_mib(1024).cpus(1)
    }

    /// Serves the kickstart.
    ///
    /// # Errors
    /// It cannot be written.
    pub fn serve_kickstart(&self, text: &str) -> Result<()> {
        let path = self.place.join(KICKSTART);
        fs::write(&path, text)?;
        self.web.serve(KICKSTART, &path)?;
        Ok(())
    }

    /// A machine that is started with what the script of iPXE names: 1 GiB, and no disk.
    ///
    /// # Errors
    /// The script has another form.
    pub fn machine(&self) -> Result<Machine> {
        let line = self.kernel.strip_suffix(" || goto wait").context("it says what else to do")?;
        let (_, arguments) = line.split_once(' ').context("a kernel has arguments")?;
        // iPXE alone knows what stands in braces.
        let arguments = arguments.split(' ').filter(|word| !word.contains("${"));
        let arguments = arguments.collect::<Vec<_>>().join(" ");
        let at = |name| self.folder.join(name);
        let machine = Machine::of_kernel(&at("vmlinuz"), &at("initrd.img"), &arguments);
        Ok(machine.memory_mib(1024).cpus(1))
    }

    /// Changes one byte of the rootfs that is served.
    ///
    /// # Errors
    /// It cannot be changed.
    pub fn damage(&self) -> Result<()> {
        self.flip()
    }

    /// Changes it back.
    ///
    /// # Errors
    /// It cannot be changed.
    pub fn mend(&self) -> Result<()> {
        self.flip()
    }

    fn flip(&self) -> Result<()> {
        let path = self.folder.join(ROOTFS);
        let file = File::options().read(true).write(true).open(path)?;
        ensure!(file.metadata()?.len() > DAMAGE, "the rootfs is too small");
        let mut byte = [0];
        file.read_exact_at(&mut byte, DAMAGE)?;
        Ok(file.write_all_at(&[!byte[0]], DAMAGE)?)
    }
}
