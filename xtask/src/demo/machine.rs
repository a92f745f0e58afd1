//! The machine of a demo: QEMU with the image as its disk, which stays as it is.
//!
//! What is asked and the shell of `--keep` come as systemd credentials by SMBIOS.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context, Result};
use basalt_cmd::{Cmd, Running};
use tempfile::TempDir;

use super::probe;
use crate::session::Session;

const FIRMWARE: &str = "/usr/share/OVMF/OVMF_CODE_4M.fd";
const VARIABLES: &str = "/usr/share/OVMF/OVMF_VARS_4M.fd";
/// A getty that asks nobody for a name.
const AUTOLOGIN: &str =
    "[Service]\nExecStart=\nExecStart=-/sbin/agetty --autologin root --keep-baud 115200 - vt220\n";

/// Whether somebody can log in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Login {
    None,
    /// A root shell on the third serial port.
    RootShell,
}

/// A machine that runs. Dropping it ends it, and what it wrote to its disk goes with it.
pub(super) struct Machine {
    program: Running,
    folder: TempDir,
}

impl Machine {
    /// Switches it on.
    pub(super) fn start(session: &Session, disk: &Path, login: Login) -> Result<Self> {
        let folder = tempfile::Builder::new().prefix("demo.").tempdir_in(session.out())?;
        let path = |name: &str| folder.path().join(name);
        fs::copy(VARIABLES, path("variables.fd"))
            .context("cannot copy the firmware's variables, of package `ovmf`")?;
        let drive = |file: &Path, rest: &str| format!("file={},format=raw,{rest}", comma(file));
        let mut cmd = Cmd::new("qemu-system-x86_64")
            .args(["-machine", "q35,smm=off", "-accel", "tcg,thread=multi", "-cpu", "max"])
            .args(["-smp", "2", "-m", "2048", "-display", "none", "-vga", "none"])
            .args(["-monitor", "none", "-nic", "user,model=virtio-net-pci"])
            .arg("-drive")
            .arg(drive(Path::new(FIRMWARE), "if=pflash,readonly=on"))
            .arg("-drive")
            .arg(drive(&path("variables.fd"), "if=pflash"))
            .arg("-drive")
            .arg(drive(disk, "if=virtio,snapshot=on"))
            .arg("-serial")
            .arg(format!("file:{}", comma(&path("console"))))
            .arg("-serial")
            .arg(format!("file:{}", comma(&path("answers"))))
            // Where QEMU keeps what is written to the snapshot.
            .env("TMPDIR", folder.path());
        if login == Login::RootShell {
            let socket = comma(&path("shell"));
            cmd = cmd.arg("-serial").arg(format!("unix:{socket},server=on,wait=off"));
        }
        for (name, text) in credentials(login) {
            cmd = cmd.arg("-smbios").arg(format!("type=11,value={}", credential(&name, &text)?));
        }
        let program = cmd.spawn(Stdio::null(), Stdio::null(), Stdio::inherit())?;
        Ok(Self { program, folder })
    }

    /// Everything that the console has shown so far.
    pub(super) fn console(&self) -> String {
        without_controls(&self.read("console"))
    }

    /// Everything that the system has answered so far.
    pub(super) fn answers(&self) -> String {
        self.read("answers")
    }

    /// Whether it is off, now or within `time`.
    pub(super) fn ended_within(&mut self, time: Duration) -> Result<bool> {
        Ok(self.program.wait_for(time)?.is_some())
    }

    /// How a person gets into a machine with a shell.
    pub(super) fn how_to_look(&self) -> String {
        let (shell, console) = (self.file("shell"), self.file("console"));
        format!(
            "it runs until Ctrl-C\n  root shell  socat -,rawer,escape=0x1d UNIX-CONNECT:{}   \
             (package socat; Enter first, Ctrl-] leaves)\n  console     tail -f {}",
            shell.display(),
            console.display()
        )
    }

    fn file(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// A file that is not there yet is empty.
    fn read(&self, name: &str) -> String {
        let bytes = fs::read(self.file(name)).unwrap_or_default();
        String::from_utf8_lossy(&bytes).into_owned()
    }
}

/// A comma ends a value in QEMU's options; two are one in it.
fn comma(path: &Path) -> String {
    path.display().to_string().replace(',', ",,")
}

/// Units and drop-ins for this boot alone.
fn credentials(login: Login) -> Vec<(String, String)> {
    let unit = probe::UNIT;
    let mut wants = probe::wanted_by_the_boot();
    let mut credentials = vec![(format!("systemd.extra-unit.{unit}.service"), probe::unit())];
    if login == Login::RootShell {
        let getty = "serial-getty@ttyS2.service";
        wants.push_str(&format!("Wants={getty}\n"));
        credentials.push((format!("systemd.unit-dropin.{getty}"), AUTOLOGIN.to_owned()));
    }
    credentials.push(("systemd.unit-dropin.multi-user.target".to_owned(), wants));
    credentials
}

fn credential(name: &str, text: &str) -> Result<String> {
    let encoded = Cmd::new("base64").arg("-w0").stdin(text).run()?.stdout_text();
    Ok(format!("io.systemd.credential.binary:{name}={encoded}"))
}

/// The text without the sequences that move a terminal's cursor and colour it. Pure.
fn without_controls(text: &str) -> String {
    let mut plain = String::with_capacity(text.len());
    let mut chars = text.chars().peekable();
    while let Some(char) = chars.next() {
        match char {
            '\u{1b}' if chars.next_if_eq(&'[').is_some() => {
                while chars.next().is_some_and(|char| !('@'..='~').contains(&char)) {}
            }
            '\u{1b}' => drop(chars.next()),
            '\n' => plain.push('\n'),
            _ if char.is_control() => (),
            _ => plain.push(char),
        }
    }
    plain
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_console_is_text_without_colours_and_carriage_returns() {
        let raw = "\u{1b}[2J\u{1b}[01;01H[\u{1b}[0;32m  OK  \u{1b}[0m] Started\r\nnext\u{1b}c";
        assert_eq!(without_controls(raw), "[  OK  ] Started\nnext");
    }

    #[test]
    fn a_path_with_a_comma_stays_one_value() {
        assert_eq!(comma(Path::new("/a,b/c")), "/a,,b/c");
    }

    #[test]
    fn only_a_kept_machine_has_a_shell() {
        let names =
            |login| credentials(login).into_iter().map(|(name, _)| name).collect::<Vec<_>>();
        assert!(!names(Login::None).iter().any(|name| name.contains("getty")));
        assert!(names(Login::RootShell).iter().any(|name| name.contains("getty@ttyS2")));
    }
}
