//! A live system of the image, as `basalt pxe` puts it where a web server serves it.

use std::fs::{self, File};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use basalt_cmd::Cmd;
use basalt_site::cpio::Cpio;
use basalt_site::web::{SecureWeb, Web};
use basalt_vm::Machine;

use crate::image::Image;

/// Copying 300 MB beside a machine that boots.
const PUT: Duration = Duration::from_secs(300);
/// How a guest reaches its machine's loopback.
const GATEWAY: &str = "10.0.2.2";
/// What the folder is served as.
const NAME: &str = "live";
const ROOTFS: &str = "rootfs.squashfs";
/// Whom the initrd believes.
const AUTHORITIES: &str = "etc/ssl/certs/ca-certificates.crt";
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
        Ok(self.started(&self.initrd(), &self.arguments()?))
    }

    fn arguments(&self) -> Result<String> {
        let line = self.kernel.strip_suffix(" || goto wait").context("it says what else to do")?;
        let (_, arguments) = line.split_once(' ').context("a kernel has arguments")?;
        // iPXE alone knows what stands in braces.
        let arguments = arguments.split(' ').filter(|word| !word.contains("${"));
        Ok(arguments.collect::<Vec<_>>().join(" "))
    }

    fn started(&self, initrd: &Path, arguments: &str) -> Machine {
        let kernel = self.folder.join("vmlinuz");
        Machine::of_kernel(&kernel, initrd, arguments).memory_mib(1024).cpus(1)
    }

    /// The same, with this initrd and a root that comes over https from `web`.
    ///
    /// # Errors
    /// The script has another form.
    pub fn secure_machine(&self, web: &SecureWeb, initrd: &Path) -> Result<Machine> {
        let arguments = self.arguments()?;
        let server = |scheme: &str, port: u16| format!("={scheme}://{GATEWAY}:{port}/");
        let (plain, secure) = (server("http", self.web.port()), server("https", web.port()));
        ensure!(arguments.contains(&plain), "no root comes from `{plain}`: {arguments}");
        Ok(self.started(initrd, &arguments.replace(&plain, &secure)))
    }

    /// Serves all of it over https, too.
    ///
    /// # Errors
    /// No server comes up.
    pub fn serve_by_tls(&self) -> Result<SecureWeb> {
        self.web.secure(GATEWAY)
    }

    /// Its initrd.
    pub fn initrd(&self) -> PathBuf {
        self.folder.join("initrd.img")
    }

    /// Its initrd with this authority in place of those that the image trusts.
    ///
    /// # Errors
    /// It cannot be written.
    pub fn initrd_that_trusts(&self, ca: &Path) -> Result<PathBuf> {
        let mut initrd = fs::read(self.initrd())?;
        let mut cpio = Cpio::default();
        cpio.add(AUTHORITIES, 0o100_644, &fs::read(ca)?);
        // The kernel looks for an archive at each multiple of four.
        initrd.resize(initrd.len().next_multiple_of(4), 0);
        initrd.extend(cpio.end());
        let path = self.place.join("initrd-that-trusts.img");
        fs::write(&path, initrd)?;
        Ok(path)
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
