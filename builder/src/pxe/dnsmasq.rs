//! Tells machines on a network what to boot, beside whichever server gives them addresses.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use basalt_cmd::{Cmd, Running};

use super::interface::Interface;

const PROGRAM: &str = "dnsmasq";
/// What it says, in the folder of the work.
pub(super) const LOG: &str = "dnsmasq.log";
/// iPXE as a UEFI program, and where the package `ipxe` puts it.
pub(super) const IPXE: &str = "ipxe.efi";
const IPXE_FOLDER: &str = "/usr/lib/ipxe";
/// UEFI on x86-64, as clients say it: 7 by all that is built, 9 by an old list.
const ARCHITECTURES: [u16; 2] = [7, 9];
/// One that cannot begin ends at once.
const BEGIN: Duration = Duration::from_secs(2);

/// Looks for what is needed.
///
/// # Errors
/// iPXE is not installed.
pub(super) fn ipxe() -> Result<PathBuf> {
    let path = Path::new(IPXE_FOLDER).join(IPXE);
    if path.exists() {
        return Ok(path);
    }
    bail!("no `{}`\nhint: install the package `ipxe`", path.display())
}

/// What it goes by: it gives no address, answers who asks what to boot on this network alone, sends
/// iPXE, and iPXE to the script. Pure.
pub(super) fn config(interface: &Interface, folder: &Path, script: &str) -> String {
    let Interface { name, address } = interface;
    let mut text = format!(
        "port=0\ninterface={name}\nexcept-interface=lo\nbind-interfaces\n\
         dhcp-range={address},proxy\nlog-dhcp\n\
         enable-tftp\ntftp-root={}\ntftp-no-fail\n\
         dhcp-match=set:ipxe,175\n",
        folder.display()
    );
    for architecture in ARCHITECTURES {
        text.push_str(&format!("pxe-service=tag:!ipxe,{architecture},\"Basalt\",{IPXE}\n"));
        text.push_str(&format!("pxe-service=tag:ipxe,{architecture},\"Basalt\",{script}\n"));
    }
    text
}

/// Starts it; it ends with the returned value. Its log goes to `folder`.
///
/// # Errors
/// It is not installed, or ends at once, as where another one has its port.
pub(super) fn start(text: &str, folder: &Path) -> Result<Running> {
    let (config, log) = (folder.join("dnsmasq.conf"), folder.join(LOG));
    let writing = |path: &Path| format!("cannot write `{}`", path.display());
    fs::write(&config, text).with_context(|| writing(&config))?;
    let said = File::create(&log).with_context(|| writing(&log))?;
    let again = said.try_clone().with_context(|| writing(&log))?;
    let mut running = Cmd::new(PROGRAM)
        .args(["--keep-in-foreground", "--log-facility=-", "--pid-file="])
        .arg(format!("--conf-file={}", config.display()))
        .spawn(Stdio::null(), said.into(), again.into())
        .with_context(|| {
            format!("cannot start `{PROGRAM}`\nhint: install the package `dnsmasq-base`")
        })?;
    if let Some(status) = running.wait_for(BEGIN).context("cannot wait for dnsmasq")? {
        let said = fs::read_to_string(&log).unwrap_or_default();
        bail!("`{PROGRAM}` ended with {status}: {}", said.trim());
    }
    Ok(running)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_gives_no_address_and_leads_to_ipxe_and_from_there_to_the_script() {
        let interface = Interface { name: "eth0".into(), address: [10, 0, 0, 2].into() };
        let text = config(&interface, Path::new("/folder"), "http://10.0.0.2:80/boot.ipxe");
        let expected = "\
port=0
interface=eth0
except-interface=lo
bind-interfaces
dhcp-range=10.0.0.2,proxy
log-dhcp
enable-tftp
tftp-root=/folder
tftp-no-fail
dhcp-match=set:ipxe,175
pxe-service=tag:!ipxe,7,\"Basalt\",ipxe.efi
pxe-service=tag:ipxe,7,\"Basalt\",http://10.0.0.2:80/boot.ipxe
pxe-service=tag:!ipxe,9,\"Basalt\",ipxe.efi
pxe-service=tag:ipxe,9,\"Basalt\",http://10.0.0.2:80/boot.ipxe
";
        assert_eq!(text, expected);
    }

    #[test]
    fn a_configuration_that_it_does_not_take_is_told_with_its_words() {
        let folder = tempfile::tempdir().unwrap();
        let told = start("no-such-option=1\n", folder.path()).unwrap_err();
        assert!(format!("{told:#}").contains("bad option"), "{told:#}");
    }
}
