//! Releases of the image: built with small differences, signed by one key, published in an archive
//! that a web server offers.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result};
use basalt_cmd::Cmd;
use basalt_power_cut::recording::Release;
use basalt_site::Site;
use basalt_site::web::Web;
use basalt_vm::Machine;

use crate::host::machine;
use crate::image::{Image, manifest};

/// A build from the caches, or a publication of all of an image, beside a machine that boots.
const BUILD: Duration = Duration::from_secs(600);
/// How a guest reaches its machine's loopback.
const GATEWAY: &str = "10.0.2.2";
const KEY: &str = "release";
/// The image, which is the base one with a few files.
const NAME: &str = "updated";
/// Its ref.
pub const REF: &str = "basalt/updated";

/// Where a file lies that an initramfs of its own has.
pub const GREETING: &str = "usr/lib/greeting";
/// Takes that file of its overlay into an initramfs.
pub const GREETED: (&str, &str) =
    ("usr/lib/dracut/dracut.conf.d/90-greeting.conf", "install_items+=\" /usr/lib/greeting \"\n");

/// Builds of one image, and where they are offered.
pub struct Releases {
    folder: PathBuf,
    /// The `basalt` command.
    basalt: PathBuf,
    /// The definitions of the repository.
    images: PathBuf,
    web: Web,
}

impl Releases {
    /// A key and an empty archive in `folder`. `programs` is where cargo put ours.
    ///
    /// # Errors
    /// The key cannot be made, or no server comes up.
    pub fn start(folder: &Path, programs: &Path) -> Result<Self> {
        fs::create_dir_all(folder.join("site"))?;
        let images = Path::new(env!("CARGO_MANIFEST_DIR")).with_file_name("images");
        let web = Web::start(folder)?;
        web.serve("site", &folder.join("site"))?;
        let basalt = programs.join("basalt");
        let releases = Self { folder: folder.to_owned(), basalt, images, web };
        releases.basalt(&["key", "create", "--name", KEY])?;
        Ok(releases)
    }

    /// Builds the image that a host is installed with, as this version: with these files, by path
    /// and text, in its tree, and these in its initramfs, which is made anew where there are any.
    ///
    /// # Errors
    /// It cannot be built.
    pub fn install(
        &self,
        version: &str,
        files: &[(&str, &str)],
        initramfs: &[(&str, &str)],
    ) -> Result<Image> {
        self.make(version, files, initramfs, "raw")?;
        self.installed(version)
    }

    /// What was built as this version for a host to be installed with.
    ///
    /// # Errors
    /// Nothing was.
    pub fn installed(&self, version: &str) -> Result<Image> {
        Image::read(&self.built(version))
    }

    /// Builds a release that hosts are updated to; it has no disk.
    ///
    /// # Errors
    /// It cannot be built.
    pub fn build(&self, version: &str, files: &[(&str, &str)]) -> Result<Release> {
        self.build_with(version, files, &[])
    }

    /// Builds one with an initramfs of its own that has these files.
    ///
    /// # Errors
    /// It cannot be built.
    pub fn build_with(
        &self,
        version: &str,
        files: &[(&str, &str)],
        initramfs: &[(&str, &str)],
    ) -> Result<Release> {
        self.make(version, files, initramfs, "none")?;
        manifest(&self.built(version))
    }

    fn make(
        &self,
        version: &str,
        files: &[(&str, &str)],
        initramfs: &[(&str, &str)],
        format: &str,
    ) -> Result<()> {
        let overlay = format!("files-{version}");
        put(&self.folder.join(&overlay), files)?;
        let early = format!("initramfs-{version}");
        put(&self.folder.join(&early), initramfs)?;
        let early = if initramfs.is_empty() { Vec::new() } else { vec![early] };
        let base = self.images.join("base.toml");
        let base = base.to_str().context("a path in UTF-8")?;
        let definition = format!(
            "name = \"{NAME}\"\nref = \"{REF}\"\ninherit = {base:?}\n\
             [overlay]\nroot = [{overlay:?}]\ninitramfs = {early:?}\n"
        );
        fs::write(self.folder.join(format!("{version}.toml")), definition)?;
        let lock = self.folder.join(format!("{version}.lock"));
        fs::copy(self.images.join("base.lock"), lock).context("the image's lock")?;
        let definition = format!("{version}.toml");
        let key = format!("{KEY}.key");
        let args = ["build", &definition, "--locked", "--version", version, "--sign-key", &key];
        self.basalt(&[&args[..], &["--format", format]].concat())
    }

    /// The folder of what was built as this version.
    fn built(&self, version: &str) -> PathBuf {
        self.folder.join("out").join(NAME).join(version)
    }

    /// Publishes what was built last.
    ///
    /// # Errors
    /// It cannot be published.
    pub fn publish(&self) -> Result<()> {
        let key = format!("{KEY}.key");
        self.basalt(&["publish", "out/repo", "--to", "site", "--sign-key", &key])
    }

    /// The archive's URL, for a host.
    #[must_use]
    pub fn url(&self) -> String {
        format!("http://{GATEWAY}:{}/site", self.web.port())
    }

    /// A machine that keeps what it writes. Its host is one of this site, and takes updates from
    /// here.
    ///
    /// # Errors
    /// The site's endpoint does not answer.
    pub fn machine(&self, image: &Image, site: &Site) -> Result<Machine> {
        let updates = format!("[updates]\nurl = \"{}\"\n", self.url());
        let mut machine = machine(image).keep_writes().shell();
        for (name, text) in site.credentials()? {
            let is_config = name == "basalt.hostd";
            machine =
                machine.credential(name, &if is_config { updates.clone() + &text } else { text });
        }
        Ok(machine)
    }

    fn basalt(&self, args: &[&str]) -> Result<()> {
        let cmd = Cmd::new(&self.basalt).args(args).current_dir(&self.folder).deadline(BUILD);
        cmd.run().map(|_| ()).with_context(|| format!("`basalt {}`", args.join(" ")))
    }
}

/// What a person could run, can be run.
fn put(folder: &Path, files: &[(&str, &str)]) -> Result<()> {
    fs::create_dir_all(folder)?;
    for (path, text) in files {
        let path = folder.join(path);
        fs::create_dir_all(path.parent().context("a file lies in a folder")?)?;
        fs::write(&path, text)?;
        if text.starts_with("#!") {
            fs::set_permissions(&path, fs::Permissions::from_mode(0o755))?;
        }
    }
    Ok(())
}
