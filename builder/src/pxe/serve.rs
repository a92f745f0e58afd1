//! `basalt pxe serve`: all that a lab needs to boot machines from its network, until Ctrl-C.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result, bail};

use super::http::{Content, Files, Served};
use super::{SCRIPT, dnsmasq, http, interface, read, script};
use crate::manifest::{Live, Part};
use crate::write::Stop;

/// Between two looks whether somebody wants it to end.
const TICK: Duration = Duration::from_millis(200);

/// What `basalt pxe serve` was asked for.
#[derive(Debug, Clone)]
pub struct Options {
    /// The folder of a build.
    pub build: PathBuf,
    /// The network.
    pub interface: Option<String>,
    /// The port of its web server; 0 is any that is free.
    pub port: u16,
    /// More kernel arguments.
    pub append: Vec<String>,
}

/// Serves a build's live system until somebody ends it.
///
/// # Errors
/// The build has none, dnsmasq or iPXE is not installed, it may not answer DHCP, or there is no
/// network that is meant.
pub fn serve(options: &Options) -> Result<()> {
    let (manifest, live) = read(&options.build)?;
    for part in live.parts() {
        if !part.is_there(&options.build) {
            let path = options.build.join(&part.file);
            bail!("`{}` is not what its manifest says\nhint: build it again", path.display());
        }
    }
    let ipxe = dnsmasq::ipxe()?;
    if !rustix::process::geteuid().is_root() {
        bail!("only root may answer DHCP\nhint: run it by `sudo`");
    }
    let interface = interface::find(options.interface.as_deref())?;
    dnsmasq::alone(interface.address)?;
    let stop = Stop::on_signals()?;
    let folder = tempfile::tempdir().context("cannot make a folder for the work")?;
    let tftp = dnsmasq::tftp(&ipxe, folder.path())?;
    // The script names the port, and so comes after it is known.
    let port = http::reserve(interface.address, options.port)?;
    let url = format!("http://{}", port.address());
    let text = script(&manifest, &live, &url, &options.append)?;
    port.serve(files(&options.build, &live, text), |line| eprintln!("{line}"));
    let config = dnsmasq::config(&interface, &tftp, &format!("{url}/{SCRIPT}"));
    let mut dnsmasq = dnsmasq::start(&config, folder.path())?;
    let name = &interface.name;
    eprintln!(
        "machines on `{name}` boot {} {} from {url}/{SCRIPT}; Ctrl-C ends it",
        manifest.name, manifest.version
    );
    while stop.check().is_ok() {
        if let Some(status) = dnsmasq.wait_for(TICK).context("cannot wait for dnsmasq")? {
            let said = fs::read_to_string(folder.path().join(dnsmasq::LOG)).unwrap_or_default();
            bail!("dnsmasq ended with {status}: {}", said.trim());
        }
    }
    Ok(())
}

/// What is served, under the names that the script has.
fn files(build: &Path, live: &Live, script: String) -> Files {
    let of = |part: &Part| {
        let content = Content::File(build.join(&part.file));
        let served = Served { content, size: part.size, etag: format!("\"{}\"", part.sha256) };
        (format!("/{}", part.name()), served)
    };
    let mut files: Files = live.parts().map(of).into();
    let size = script.len() as u64;
    // It differs with each call, and nobody goes on with it.
    let served = Served { content: Content::Text(script), size, etag: "\"script\"".to_owned() };
    files.insert(format!("/{SCRIPT}"), served);
    files
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_script_names_is_served() {
        let output = tempfile::tempdir().unwrap();
        std::fs::create_dir(output.path().join("live")).unwrap();
        let live = Live::sample(output.path());
        let files = files(Path::new("/build"), &live, "#!ipxe\n".to_owned());
        let names: Vec<_> = files.keys().map(String::as_str).collect();
        assert_eq!(names, ["/boot.ipxe", "/initrd.img", "/rootfs.squashfs", "/vmlinuz"]);
        assert_eq!(files["/boot.ipxe"].size, 7);
    }

    #[test]
    fn a_build_without_a_live_system_is_refused_before_anything_begins() {
        let build = tempfile::tempdir().unwrap();
        let options = Options {
            build: build.path().to_owned(),
            interface: None,
            port: 0,
            append: Vec::new(),
        };
        let told = serve(&options).unwrap_err().to_string();
        assert!(told.contains("is no folder of a build\nhint: "), "{told}");
    }
}
