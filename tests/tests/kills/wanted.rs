//! What the acknowledged writes say, and the next write.

use std::collections::BTreeMap;
use std::path::PathBuf;

use basalt_tests::fleet::{Fleet, Operator, container, hostctl, text};
use basalt_tests::until::until;
use serde_json::Value;

/// Names at the endpoint, and names of the host's own.
const ASSIGNED: [&str; 3] = ["a1", "a2", "a3"];
const LOCAL: [&str; 2] = ["l1", "l2"];

/// A workload that shall be there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Want {
    /// Stands in a variable: another one is another container.
    pub(crate) version: u32,
    /// The host's operator keeps it stopped.
    pub(crate) held: bool,
    /// The host's own, not the endpoint's.
    pub(crate) is_local: bool,
}

/// Everything that shall be there, by name.
pub(crate) type Wanted = BTreeMap<&'static str, Want>;

/// A write.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Write {
    Apply(&'static str, Want),
    Delete(&'static str, Want),
    Hold(&'static str),
    LetGo(&'static str),
    Nothing,
}

impl Write {
    pub(crate) fn choose(rng: &mut fastrand::Rng, wanted: &Wanted) -> Self {
        let is_local = rng.u32(..3) == 0;
        let name = if is_local { LOCAL[rng.usize(..2)] } else { ASSIGNED[rng.usize(..3)] };
        let known = wanted.get(name).copied();
        let version = rng.u32(..);
        match (rng.u32(..10), known) {
            (0 | 1, _) => Self::Nothing,
            (2 | 3, Some(want)) => Self::Delete(name, want),
            (4, Some(_)) => Self::Hold(name),
            (5, Some(_)) => Self::LetGo(name),
            (_, Some(want)) => Self::Apply(name, Want { version, ..want }),
            (_, None) => Self::Apply(name, Want { version, held: false, is_local }),
        }
    }

    /// Writes it until it is acknowledged: whoever was just killed comes back.
    pub(crate) fn carry_out(self, writer: &Writer) {
        until(basalt_tests::fleet::DEADLINE, &format!("{self:?} is acknowledged"), || {
            self.once(writer).then_some(())
        });
    }

    fn once(self, writer: &Writer) -> bool {
        match self {
            Self::Apply(name, want) => writer.apply(name, want),
            // A delete whose answer was lost is answered with "there is none".
            Self::Delete(name, Want { is_local: true, .. }) => {
                writer.hostctl(&["delete", name]) || writer.host_has_no(name)
            }
            Self::Delete(name, _) => {
                writer.basaltctl(&["delete", name]) || writer.endpoint_has_no(name)
            }
            Self::Hold(name) => writer.hostctl(&["stop", name]),
            Self::LetGo(name) => writer.hostctl(&["start", name]),
            Self::Nothing => true,
        }
    }

    /// What shall be there once it is acknowledged.
    pub(crate) fn note(self, wanted: &mut Wanted) {
        match self {
            Self::Apply(name, want) => drop(wanted.insert(name, want)),
            Self::Delete(name, _) => drop(wanted.remove(name)),
            Self::Hold(name) => wanted.get_mut(name).unwrap().held = true,
            Self::LetGo(name) => wanted.get_mut(name).unwrap().held = false,
            Self::Nothing => (),
        }
    }
}

/// Operators of the endpoint and of the host, apart from the programs that are killed meanwhile.
pub(crate) struct Writer {
    host: PathBuf,
    operator: Operator,
    folder: PathBuf,
}

impl Writer {
    pub(crate) fn of(fleet: &Fleet) -> Self {
        let (host, operator) = (fleet.host.root(), fleet.endpoint.operator());
        Self { host, operator, folder: fleet.ground.path("written") }
    }

    fn apply(&self, name: &str, want: Want) -> bool {
        std::fs::create_dir_all(&self.folder).unwrap();
        let file = self.folder.join(format!("{name}.toml"));
        let version =
            format!("environment = {{ VERSION = \"{}\" }}\nstop_grace_s = 2", want.version);
        std::fs::write(&file, container(name, "", &version)).unwrap();
        let args = ["apply", text(&file)];
        if want.is_local { self.hostctl(&args) } else { self.basaltctl(&args) }
    }

    fn hostctl(&self, args: &[&str]) -> bool {
        hostctl(&self.host, args).ok
    }

    fn basaltctl(&self, args: &[&str]) -> bool {
        self.operator.ctl(args, b"").ok
    }

    /// Whether `hostd` answers, and has no such workload of its own that anybody wants.
    fn host_has_no(&self, name: &str) -> bool {
        let said = hostctl(&self.host, &["describe", name, "--json"]);
        // One that is on its way out has no spec.
        (said.ok && said.json()["spec"].is_null()) || said.errors.contains("there is no workload")
    }

    /// Whether the endpoint answers, and has no such workload.
    fn endpoint_has_no(&self, name: &str) -> bool {
        let said = self.operator.ctl(&["workloads", "--json"], b"");
        let list = said.json();
        let has = |list: &Vec<Value>| list.iter().any(|one| one["spec"]["name"] == name);
        list["workloads"].as_array().is_some_and(|list| !has(list))
    }
}
