//! Tells machines on a network what to boot, beside whichever server gives them addresses.

use std::fs::{self, File, Permissions};
use std::net::{Ipv4Addr, UdpSocket};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use basalt_cmd::{Cmd, Running};

use super::interface::Interface;

const PROGRAM: &str = "dnsmasq";
/// What starts it: as nobody, with what it cannot do without of root's. It would become nobody by
/// itself, too, but the kernel forgets at that with whom it dies, and so it is said again here.
const AS_NOBODY: [&str; 8] = [
    "setpriv",
    "--reuid=nobody",
    "--regid=nogroup",
    "--clear-groups",
    "--no-new-privs",
    "--inh-caps=-all,+net_admin,+net_raw,+net_bind_service",
    "--ambient-caps=-all,+net_admin,+net_raw,+net_bind_service",
    "--pdeathsig=KILL",
];
/// How `setpriv` ends where there is no such program.
const NO_PROGRAM: i32 = 127;
/// Where TFTP is served.
const TFTP_PORT: u16 = 69;
/// What it says, in the folder of the work.
pub(super) const LOG: &str = "dnsmasq.log";
/// iPXE as a UEFI program, and where the package `ipxe` puts it.
const IPXE: &str = "ipxe.efi";
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

/// Makes the folder that it serves by TFTP, with iPXE alone in it, in the folder of the work.
///
/// # Errors
/// It cannot be made.
pub(super) fn tftp(ipxe: &Path, folder: &Path) -> Result<PathBuf> {
    let tftp = folder.join("tftp");
    let copied = fs::create_dir(&tftp).and_then(|()| fs::copy(ipxe, tftp.join(IPXE)));
    copied.with_context(|| format!("cannot copy `{}`", ipxe.display()))?;
    open_to_all(folder, 0o755)?;
    open_to_all(&tftp, 0o755)?;
    Ok(tftp)
}

/// It is nobody when it reads what lies there, whatever the umask is.
fn open_to_all(path: &Path, mode: u32) -> Result<()> {
    fs::set_permissions(path, Permissions::from_mode(mode))
        .with_context(|| format!("cannot open `{}` to dnsmasq", path.display()))
}

/// Looks whether nothing else does the same at an address. Two of its kind would share the ports
/// without a word, and a machine be told now by the one, now by the other.
///
/// # Errors
/// Something has the port.
pub(super) fn alone(address: Ipv4Addr) -> Result<()> {
    UdpSocket::bind((address, TFTP_PORT)).map(drop).with_context(|| {
        format!(
            "cannot serve TFTP at {address}:{TFTP_PORT}\n\
             hint: nothing else may, another `basalt pxe serve` neither; `ss -lunp` shows what does"
        )
    })
}

/// What it goes by: it gives no address, answers who asks what to boot on this network alone, sends
/// iPXE, and iPXE to the script. It leaves the machine's own file of leases alone. Pure.
pub(super) fn config(interface: &Interface, folder: &Path, script: &str) -> String {
    let Interface { name, address } = interface;
    let mut text = format!(
        "port=0\nleasefile-ro\ninterface={name}\nexcept-interface=lo\nbind-interfaces\n\
         dhcp-range={address},proxy\nlog-dhcp\n\
         enable-tftp\ntftp-root={}\n\
         dhcp-match=set:ipxe,175\n",
        folder.display()
    );
    for architecture in ARCHITECTURES {
        text.push_str(&format!("pxe-service=tag:!ipxe,{architecture},\"Basalt\",{IPXE}\n"));
        text.push_str(&format!("pxe-service=tag:ipxe,{architecture},\"Basalt\",{script}\n"));
    }
    text
}

/// Starts it; it ends with the returned value, and with this program however that ends. Its log
/// goes to `folder`.
///
/// # Errors
/// It is not installed, or ends at once, as where another one has its port.
pub(super) fn start(text: &str, folder: &Path) -> Result<Running> {
    let (config, log) = (folder.join("dnsmasq.conf"), folder.join(LOG));
    let writing = |path: &Path| format!("cannot write `{}`", path.display());
    fs::write(&config, text).with_context(|| writing(&config))?;
    open_to_all(&config, 0o644)?;
    let said = File::create(&log).with_context(|| writing(&log))?;
    let again = said.try_clone().with_context(|| writing(&log))?;
    let mut running = Cmd::new(PROGRAM)
        .args(["--keep-in-foreground", "--log-facility=-", "--pid-file="])
        .arg(format!("--conf-file={}", config.display()))
        .behind(AS_NOBODY)
        .spawn(Stdio::null(), said.into(), again.into())
        .context("cannot start `setpriv`\nhint: install the package `util-linux`")?;
    match running.wait_for(BEGIN).context("cannot wait for dnsmasq")? {
        None => Ok(running),
        Some(status) if status.code() == Some(NO_PROGRAM) => {
            bail!("no `{PROGRAM}`\nhint: install the package `dnsmasq-base`")
        }
        Some(status) => {
            let said = fs::read_to_string(&log).unwrap_or_default();
            bail!("`{PROGRAM}` ended with {status}: {}", said.trim())
        }
    }
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
leasefile-ro
interface=eth0
except-interface=lo
bind-interfaces
dhcp-range=10.0.0.2,proxy
log-dhcp
enable-tftp
tftp-root=/folder
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
        if !rustix::process::geteuid().is_root() {
            assert!(std::env::var_os("BASALT_NO_SKIP").is_none(), "only root can run this test");
            eprintln!("skipped: only root starts dnsmasq");
            return;
        }
        let folder = tempfile::tempdir().unwrap();
        open_to_all(folder.path(), 0o755).unwrap();
        let told = start("no-such-option=1\n", folder.path()).unwrap_err();
        assert!(format!("{told:#}").contains("bad option"), "{told:#}");
    }
}
