//! Releases of the image: built with small differences, signed by one key, published in an archive
//! that a web server offers.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result};
use basalt_cmd::Cmd;
use basalt_site::web::Web;

use crate::image::Image;

/// A build from the caches, or a publication of all of an image, beside a machine that boots.
const BUILD: Duration = Duration::from_secs(600);
/// How a guest reaches its machine's loopback.
const GATEWAY: &str = "10.0.2.2";
const KEY: &str = "release";
/// The image, which is the base one with a few files.
const NAME: &str = "updated";

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

    /// Builds the image as this version, with these files, by path and text, in its tree.
    ///
    /// # Errors
    /// It cannot be built.
    pub fn build(&self, version: &str, files: &[(&str, &str)]) -> Result<Image> {
        let overlay = format!("files-{version}");
        fs::create_dir_all(self.folder.join(&overlay))?;
        for (path, text) in files {
            let path = self.folder.join(&overlay).join(path);
            fs::create_dir_all(path.parent().context("a file lies in a folder")?)?;
            fs::write(path, text)?;
        }
        let base = self.images.join("base.toml");
        let base = base.to_str().context("a path in UTF-8")?;
        let definition = format!(
            "name = \"{NAME}\"\nref = \"basalt/{NAME}\"\ninherit = {base:?}\n\
             [overlay]\nroot = [{overlay:?}]\n"
        );
        fs::write(self.folder.join(format!("{version}.toml")), definition)?;
        let lock = self.folder.join(format!("{version}.lock"));
        fs::copy(self.images.join("base.lock"), lock).context("the image's lock")?;
        let definition = format!("{version}.toml");
        let key = format!("{KEY}.key");
        let args = ["build", &definition, "--locked", "--version", version, "--sign-key", &key];
        self.basalt(&args)?;
        Image::read(&self.folder.join("out").join(NAME).join(version))
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

    fn basalt(&self, args: &[&str]) -> Result<()> {
        let cmd = Cmd::new(&self.basalt).args(args).current_dir(&self.folder).deadline(BUILD);
        cmd.run().map(|_| ()).with_context(|| format!("`basalt {}`", args.join(" ")))
    }
}
