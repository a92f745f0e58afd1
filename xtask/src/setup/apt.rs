//! Asks dpkg what is there and apt-get for the rest, as root or through sudo.

use std::io::Write;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use basalt_cmd::Cmd;

use super::Purpose;
use super::packages::{self, Package};
use crate::session::{self, Session};

/// A slow mirror, or another apt that holds the lock.
const DEADLINE: Duration = Duration::from_secs(1800);
/// apt-get's own words for "do not ask, do not take more than was asked for".
const INSTALL: [&str; 4] =
    ["install", "--yes", "--no-install-recommends", "-oDPkg::Lock::Timeout=300"];

/// The packages that this machine misses for `purpose`.
pub(super) fn missing(purpose: Purpose) -> Result<Vec<Package>> {
    // It ends with 1 when it does not know a package, and prints the others all the same.
    let output = Cmd::new("dpkg-query")
        .args(["-W", "-f", "${Package} ${db:Status-Status}\\n"])
        .args(packages::needed(purpose).map(|package| package.name))
        .env("LC_ALL", "C.UTF-8")
        .output()
        .context("cannot ask dpkg what is installed; images are built on Debian 12 or 13")?;
    Ok(packages::missing(&output.stdout_text(), purpose))
}

/// Prints what is missing, asks, installs.
pub(super) fn install(session: &Session, missing: &[Package], yes: bool) -> Result<()> {
    eprintln!("this machine misses these Debian packages:");
    for package in missing {
        eprintln!("  {:<24} {}", package.name, package.reason);
    }
    let names: Vec<_> = missing.iter().map(|package| package.name).collect();
    if !(yes || session::is_ci()) {
        agree(&names)?;
    }
    if is_root()? { install_as_root(session, &names) } else { install_with_sudo(session, &names) }
}

fn agree(names: &[&str]) -> Result<()> {
    if !session::can_ask() {
        bail!(
            "nobody is here to agree to that\nhint: add `--yes`, or run `apt-get install \
             --no-install-recommends {}`",
            names.join(" ")
        );
    }
    eprint!("install them with apt-get? [Y/n] ");
    std::io::stderr().flush()?;
    let mut answer = String::new();
    std::io::stdin().read_line(&mut answer).context("cannot read the answer")?;
    // An end of file is no consent.
    match answer.trim().to_lowercase().as_str() {
        "" if answer.ends_with('\n') => Ok(()),
        "y" | "yes" => Ok(()),
        _ => bail!("nothing was installed"),
    }
}

pub(crate) fn is_root() -> Result<bool> {
    Ok(Cmd::new("id").arg("-u").run()?.stdout_text() == "0")
}

fn install_as_root(session: &Session, names: &[&str]) -> Result<()> {
    apt_get(session, "package lists", &["update"])?;
    let args = [&INSTALL[..], names].concat();
    apt_get(session, "packages", &args)
}

/// A wish to stop waits for it: an apt-get that is killed leaves packages half installed.
fn apt_get(session: &Session, name: &str, args: &[&str]) -> Result<()> {
    let mut step = session.progress.step(name);
    Cmd::new("apt-get")
        .args(args)
        .env("DEBIAN_FRONTEND", "noninteractive")
        .deadline(DEADLINE)
        .run_with_lines(|line| step.note(line))?;
    step.finish("ready");
    session.go_on()
}

fn install_with_sudo(session: &Session, names: &[&str]) -> Result<()> {
    let by_hand =
        format!("hint: as root, run `apt-get install --no-install-recommends {}`", names.join(" "));
    session.progress.heading("sudo apt-get");
    sudo(&["apt-get", "update"], &by_hand)?;
    let install = [&["env", "DEBIAN_FRONTEND=noninteractive", "apt-get"], &INSTALL[..], names];
    sudo(&install.concat(), &by_hand)?;
    session.go_on()
}

/// Not through [`Cmd`]: in a process group of its own sudo could not ask for a password.
fn sudo(args: &[&str], by_hand: &str) -> Result<()> {
    let mut line = vec!["sudo"];
    if !session::can_ask() {
        line.push("--non-interactive");
    }
    line.extend(args);
    #[expect(clippy::disallowed_methods, reason = "sudo asks on the terminal's foreground group")]
    let status = std::process::Command::new(line[0]).args(&line[1..]).status();
    match status {
        Ok(status) if status.success() => Ok(()),
        Ok(status) => bail!("`{}` failed with {status}\n{by_hand}", line.join(" ")),
        Err(error) => bail!("cannot run `{}`: {error}\n{by_hand}", line.join(" ")),
    }
}
