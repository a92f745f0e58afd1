//! An update of a host whose disk is recorded.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use basalt_cmd::Cmd;
use basalt_power_cut::recording::{Recording, Release};

use crate::host::Host;

/// The unit in which the log counts.
const SECTOR: u64 = 512;
/// A machine that was told to end.
const END: Duration = Duration::from_secs(120);

/// A host that runs and is recorded.
pub struct Recorded {
    folder: PathBuf,
    /// The disk before the first write.
    before: PathBuf,
}

impl Recorded {
    /// One that was started before, in the same folder, from this disk.
    #[must_use]
    pub fn of(folder: &Path, before: &Path) -> Self {
        Self { folder: folder.to_owned(), before: before.to_owned() }
    }

    /// Shuts the host down and starts it again from a cold machine, recorded from its first write
    /// on.
    ///
    /// # Errors
    /// It does not end, or does not start.
    pub fn start(host: &mut Host, folder: &Path) -> Result<Self> {
        host.powers_off()?;
        Self::start_again(host, folder)
    }

    /// The same of one whose machine has ended.
    ///
    /// # Errors
    /// It does not start.
    pub fn start_again(host: &mut Host, folder: &Path) -> Result<Self> {
        fs::create_dir(folder).with_context(|| format!("cannot make `{}`", folder.display()))?;
        let before = fs::canonicalize(&host.image.disk)?;
        host.image = host.image.on(&folder.join("disk.qcow2"))?;
        let machine = host.of_releases()?.record_writes(&folder.join("log"));
        host.vm = machine.start(&folder.join("machine"))?;
        Ok(Self { folder: folder.to_owned(), before })
    }

    /// Runs the command that updates the host to `to`, and writes down what was recorded.
    ///
    /// # Errors
    /// It fails.
    pub fn update(&self, host: &mut Host, command: &str, to: &Release) -> Result<Recording> {
        let from = release(host)?;
        let begin = self.position()?;
        host.ok(command)?;
        let end = self.position()?;
        host.ok("sync")?;
        let recording = Recording {
            base: "base.raw".into(),
            log: "log".into(),
            begin,
            end,
            last: self.position()?,
            from,
            to: to.clone(),
        };
        let base = self.folder.join(&recording.base);
        let convert = Cmd::new("qemu-img").args(["convert", "-O", "raw"]).deadline(END);
        convert.arg(&self.before).arg(base).run()?;
        recording.write(&self.folder)?;
        Recording::read(&self.folder)?.context("it was just written")
    }

    fn position(&self) -> Result<u64> {
        let length = fs::metadata(self.folder.join("log"))?.len();
        ensure!(length > 0, "nothing is recorded");
        Ok(length.div_ceil(SECTOR))
    }
}

fn release(host: &mut Host) -> Result<Release> {
    let status = host.status()?;
    let word = |key: &str| status[key].as_str().map(str::to_owned);
    let both = word("version").zip(word("commit"));
    let (version, commit) = both.with_context(|| format!("no version and commit: {status}"))?;
    Ok(Release { version, commit })
}
