//! Asks Debian's mirrors, through apt itself, which packages an image needs.
//!
//! apt runs over a state folder of its own in the cache: it sees nothing of this machine's
//! packages, sources or settings, and verifies the mirror's signatures by the definition's keyring.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result, bail};
use basalt_cmd::{Cmd, CmdError};

use super::deb_uri::{self, Mirrors};
use super::{FORM, Lock, suggest};
use crate::cache::Cache;
use crate::definition::{Debian, Definition};
use crate::fingerprint::Fingerprint;
use crate::progress::Step;

/// apt retries a stalled mirror by itself; past this it is given up.
const UPDATE_DEADLINE: Duration = Duration::from_secs(300);

/// Asks the mirrors and returns the lock. `now` is in seconds since 1970; `patience`, a second at
/// least, is how long a mirror may stay silent.
///
/// # Errors
/// No network, a mirror that does not answer or is not signed, a package that does not exist,
/// packages that exclude each other.
pub fn resolve(
    definition: &Definition,
    cache: &Cache,
    now: u64,
    patience: Duration,
    step: &Step,
) -> Result<Lock> {
    let debian = &definition.debian;
    let root = cache.apt(&Fingerprint::new("apt state 1").value(debian).hex());
    let apt = Apt::prepare(&root, debian, patience)?;
    step.note("reading the mirror's package lists");
    apt.update(debian)?;
    step.note("choosing packages");
    let uris = apt.uris(definition)?;
    let mirrors = Mirrors { debian: &debian.mirror, security: debian.security_mirror.as_deref() };
    let packages = deb_uri::parse(&uris, &mirrors).context("cannot read apt's answer")?;
    if packages.is_empty() {
        bail!("apt chose no packages for `{}`\nhint: list some in `packages`", definition.name);
    }
    Ok(Lock { form: FORM, request: Lock::request_of(definition), resolved: now, packages })
}

struct Apt {
    config: PathBuf,
}

impl Apt {
    fn prepare(root: &Path, debian: &Debian, patience: Duration) -> Result<Self> {
        for folder in ["state/lists/partial", "cache/archives/partial", "etc/preferences.d"] {
            fs::create_dir_all(root.join(folder))?;
        }
        fs::write(root.join("status"), "")?;
        fs::write(root.join("sources.list"), sources(debian))?;
        let config = root.join("apt.conf");
        fs::write(&config, settings(root, patience))?;
        Ok(Self { config })
    }

    fn command(&self, program: &str) -> Cmd {
        Cmd::new(program).env("APT_CONFIG", &self.config).env("LC_ALL", "C.UTF-8")
    }

    fn update(&self, debian: &Debian) -> Result<()> {
        let command = self.command("apt-get").args(["update", "-q"]).deadline(UPDATE_DEADLINE);
        command.run().with_context(|| {
            format!(
                "cannot read the package lists of `{}`\nhint: check the network and \
                 `debian.mirror`; with a complete lock and cache, a build needs no mirror",
                debian.mirror
            )
        })?;
        Ok(())
    }

    fn uris(&self, definition: &Definition) -> Result<String> {
        let install = self
            .command("apt-get")
            .args([
                "install",
                "-y",
                "--print-uris",
                "-o",
                "Acquire::ForceHash=SHA256",
                "?essential",
            ])
            .args(&definition.packages);
        match install.run() {
            Ok(output) => Ok(output.stdout_text()),
            Err(CmdError::Failed { tail, .. }) => Err(self.explain(&tail, definition)),
            Err(error) => Err(error.into()),
        }
    }

    /// Turns apt's refusal into words about the definition.
    fn explain(&self, tail: &str, definition: &Definition) -> anyhow::Error {
        let unknown = suggest::unknown_packages(tail);
        let suite = &definition.debian.suite;
        if unknown.is_empty() {
            return anyhow::anyhow!(
                "apt cannot choose packages for `{}` from {suite}: {tail}",
                definition.name
            );
        }
        let names = self.known_names();
        let mut text = Vec::new();
        for name in &unknown {
            text.push(format!("the package `{name}` does not exist in {suite}"));
            if let Some(near) = suggest::nearest(name, names.lines()) {
                text.push(format!("hint: did you mean `{near}`?"));
            }
        }
        anyhow::anyhow!(text.join("\n"))
    }

    /// Every package name that the mirror has; none when apt cannot say, for it only serves hints.
    fn known_names(&self) -> String {
        let names = self.command("apt-cache").arg("pkgnames").output();
        names.map(|output| output.stdout_text()).unwrap_or_default()
    }
}

/// The `sources.list` of a definition.
fn sources(debian: &Debian) -> String {
    let components = debian.components.join(" ");
    let keyring = debian.keyring.display();
    let line = |mirror: &str, suite: &str| {
        format!("deb [arch=amd64 signed-by={keyring}] {mirror} {suite} {components}\n")
    };
    let suites = std::iter::once(&debian.suite).chain(&debian.extra_suites);
    let mut text: String = suites.map(|suite| line(&debian.mirror, suite)).collect();
    if let Some(mirror) = &debian.security_mirror {
        text.push_str(&line(mirror, &format!("{}-security", debian.suite)));
    }
    text
}

/// apt's settings: everything in `root`, nothing of this machine's, no recommends.
fn settings(root: &Path, patience: Duration) -> String {
    let (root, seconds) = (root.display(), patience.as_secs().max(1));
    format!(
        r#"Dir "{root}/";
Dir::State "state";
Dir::State::status "{root}/status";
Dir::Cache "cache";
Dir::Etc "etc";
Dir::Etc::main "/dev/null";
Dir::Etc::parts "/dev/null";
Dir::Etc::sourcelist "{root}/sources.list";
Dir::Etc::sourceparts "/dev/null";
Dir::Log "{root}";
APT::Architecture "amd64";
APT::Architectures {{ "amd64"; }};
APT::Install-Recommends "false";
APT::Sandbox::User "root";
APT::Update::Error-Mode "any";
Acquire::Languages "none";
Acquire::Retries "2";
Acquire::http::Timeout "{seconds}";
Acquire::https::Timeout "{seconds}";
"#
    )
}

#[cfg(test)]
mod tests;
