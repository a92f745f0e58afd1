//! One round of the loop: looks at the host, judges, and says how it is. Blocks.

use std::fs;
use std::io;

use basalt_api::os::Event;
use basalt_api::problem::Problem;
use basalt_api::status::{Address, Boot, HostStatus};
use basalt_sysroot::entry::EntryName;
use basalt_sysroot::loader::{Variable, decode_boot_count_path};
use hostd_core::boot::{Counted, Proof, proof};
use hostd_core::{address, health};

use crate::config::Config;
use crate::facts::Facts;
use crate::paths::Paths;
use crate::{checks, clock, units};

/// What a round goes by.
#[derive(Debug, Clone)]
pub struct Round {
    /// Where everything is.
    pub paths: Paths,
    /// What the configuration says.
    pub config: Config,
    /// What does not change.
    pub facts: Facts,
    /// What was wrong from the beginning: with the configuration.
    pub lasting: Vec<Problem>,
    /// Once a boot is blessed it stays so, and the ESP is left alone.
    pub blessed: bool,
}

impl Round {
    /// Runs it. `ledger_sequence` says how often the ledger was written, `known` what is wrong as
    /// far as others saw it: with the ledger, with what is listened on.
    pub fn run(&mut self, ledger_sequence: Option<u64>, known: Vec<Problem>) -> HostStatus {
        let proof = self.proof();
        let mut problems = known;
        problems.extend(self.lasting.iter().cloned());
        let Config { required_units, wanted_units, .. } = &self.config;
        let units = units::states(&[required_units.as_slice(), wanted_units].concat());
        problems.extend(health::of_units(&units, required_units));
        problems.extend(health::of_boot(proof.boot));
        problems.extend(verdict(&self.paths).and_then(|verdict| health::of_update(&verdict)));
        problems.extend(checks::kept(&self.paths).iter().map(health::of_check));
        let facts = self.facts.clone();
        HostStatus {
            hostname: rustix::system::uname().nodename().to_string_lossy().into_owned(),
            state: health::state(&problems),
            image: facts.image,
            version: facts.version,
            build_id: facts.build_id,
            release: facts.release,
            commit: facts.commit,
            slot: facts.slot.map(|slot| slot.to_string()),
            boot: proof.boot,
            tries_left: proof.tries_left,
            uptime_s: clock::uptime().as_secs(),
            addresses: address::own(addresses()),
            ledger_sequence,
            endpoint: None,
            problems,
        }
    }

    /// Whether this boot is known to have proved itself.
    pub fn is_blessed(&mut self) -> bool {
        self.proof().boot == Boot::Blessed
    }

    fn proof(&mut self) -> Proof {
        if self.blessed {
            return Proof { boot: Boot::Blessed, tries_left: None };
        }
        let counted = counted(&self.paths);
        let entries = match counted {
            Counted::Entry(_) => entries(&self.paths),
            Counted::None | Counted::Unreadable => None,
        };
        let proof = proof(counted, entries.as_deref());
        self.blessed = proof.boot == Boot::Blessed;
        proof
    }
}

fn counted(paths: &Paths) -> Counted {
    match fs::read(paths.variable(Variable::BootCountPath)) {
        Ok(bytes) => match decode_boot_count_path(&bytes) {
            Ok(entry) => Counted::Entry(entry),
            Err(error) => {
                tracing::warn!(%error, "cannot tell whether this boot is on trial");
                Counted::Unreadable
            }
        },
        Err(error) if error.kind() == io::ErrorKind::NotFound => Counted::None,
        Err(error) => {
            tracing::warn!(%error, "cannot tell whether this boot is on trial");
            Counted::Unreadable
        }
    }
}

/// The boot entries on the ESP that are ours.
fn entries(paths: &Paths) -> Option<Vec<EntryName>> {
    let folder = paths.entries();
    let names = fs::read_dir(&folder).map(|entries| {
        entries.flatten().filter_map(|entry| entry.file_name().to_str()?.parse().ok())
    });
    match names {
        Ok(names) => Some(names.collect()),
        Err(error) => {
            tracing::warn!(%error, folder = %folder.display(), "cannot read the boot entries");
            None
        }
    }
}

/// What became of the release that was tried last. Our own program wrote it; what cannot be read is
/// told by `hostctl os status`.
pub(crate) fn verdict(paths: &Paths) -> Option<Event> {
    serde_json::from_slice(&basalt_durable::read(&paths.verdict()).ok()??).ok()
}

fn addresses() -> Vec<Address> {
    let found = if_addrs::get_if_addrs().unwrap_or_default();
    let ours = found.into_iter().filter(|one| !one.is_loopback());
    ours.map(|one| Address { address: one.ip().to_string(), interface: one.name }).collect()
}
