//! The reader of release 0.1, as it was: a fallback to it reads what this release writes. These
//! types are frozen; they go when 0.1 is no release before any more.

#![expect(dead_code, reason = "what is read has to be there, whoever looks at it")]

use std::collections::{BTreeMap, BTreeSet};

use basalt_api::ledger::{FORM, Ledger};
use serde::Deserialize;
use serde_json::{Map, Value};
use sha2::{Digest, Sha256};
use uuid::Uuid;

#[derive(Debug, Deserialize)]
struct LedgerThen {
    sequence: u64,
    boot_id: String,
    #[serde(default)]
    session: u64,
    #[serde(default)]
    assigned: Option<GenerationThen>,
    #[serde(default)]
    local: Vec<AssignedThen>,
    #[serde(default)]
    held: BTreeSet<Uuid>,
    #[serde(flatten)]
    later: Map<String, Value>,
}

#[derive(Debug, Deserialize)]
struct GenerationThen {
    lineage: Uuid,
    generation: u64,
    hash: String,
    set: SetThen,
}

#[derive(Debug, Deserialize)]
struct SetThen {
    workloads: Vec<AssignedThen>,
}

#[derive(Debug, Deserialize)]
struct AssignedThen {
    uid: Uuid,
    spec: SpecThen,
    #[serde(default)]
    secret_versions: BTreeMap<String, u64>,
}

#[derive(Debug, Deserialize)]
struct SpecThen {
    name: String,
    kind: KindThen,
    #[serde(default)]
    labels: BTreeMap<String, String>,
    #[serde(default)]
    priority: i32,
    #[serde(default)]
    restart: RestartThen,
    #[serde(default)]
    resources: ResourcesThen,
    #[serde(default)]
    disconnect: DisconnectThen,
    #[serde(default)]
    container: Option<ContainerThen>,
    #[serde(default)]
    vm: Option<VmThen>,
}

#[derive(Debug, PartialEq, Deserialize)]
#[serde(rename_all = "snake_case")]
enum KindThen {
    Container,
    Vm,
}

#[derive(Debug, Default, PartialEq, Deserialize)]
#[serde(rename_all = "snake_case")]
enum RestartThen {
    #[default]
    Always,
    OnFailure,
    Never,
}

#[derive(Debug, Default, Deserialize)]
struct ResourcesThen {
    #[serde(default)]
    cpus: Option<f64>,
    #[serde(default)]
    memory_mib: Option<u64>,
}

#[derive(Debug, Default, Deserialize)]
struct DisconnectThen {
    #[serde(default)]
    policy: PolicyThen,
    #[serde(default)]
    after_s: Option<u32>,
}

#[derive(Debug, Default, PartialEq, Deserialize)]
#[serde(rename_all = "snake_case")]
enum PolicyThen {
    #[default]
    Keep,
    StopAfter,
    ReplaceAfter,
}

#[derive(Debug, Deserialize)]
struct ContainerThen {
    image: String,
    #[serde(default)]
    command: Vec<String>,
    #[serde(default)]
    environment: BTreeMap<String, String>,
    #[serde(default)]
    secrets: Vec<SecretThen>,
    #[serde(default)]
    ports: Vec<PortThen>,
    #[serde(default)]
    volumes: Vec<VolumeThen>,
    #[serde(default)]
    stop_grace_s: Option<u32>,
}

#[derive(Debug, Deserialize)]
struct SecretThen {
    name: String,
}

#[derive(Debug, Deserialize)]
struct PortThen {
    host: u16,
    container: u16,
}

#[derive(Debug, Deserialize)]
struct VolumeThen {
    #[serde(default)]
    name: Option<String>,
    path: String,
}

#[derive(Debug, Deserialize)]
struct VmThen {
    disk: DiskThen,
    #[serde(default)]
    user_data: Option<String>,
}

#[derive(Debug, Deserialize)]
struct DiskThen {
    #[serde(default)]
    url: Option<String>,
    sha256: String,
    format: String,
    #[serde(default)]
    size_gib: Option<u32>,
}

/// Reads a copy as 0.1 does; the error is its sentence.
fn read_then(bytes: &[u8]) -> Result<LedgerThen, String> {
    let end = bytes.iter().position(|byte| *byte == b'\n').ok_or("it is no ledger")?;
    let line = std::str::from_utf8(&bytes[..end]).map_err(|error| error.to_string())?;
    let rest = line.strip_prefix("basalt-ledger ").ok_or("it is no ledger")?;
    let (form, checksum) = rest.split_once(' ').ok_or("it is no ledger")?;
    let body = &bytes[end + 1..];
    if hex::encode(Sha256::digest(body)) != checksum {
        return Err("its checksum does not match".to_owned());
    }
    if form != "1" {
        return Err(format!("its form is {form}, and this release reads 1"));
    }
    serde_json::from_slice(body).map_err(|error| format!("its content makes no sense: {error}"))
}

/// Sealed, a spec has two fields that no valid one has together, which each release refuses alone.
#[test]
fn release_0_1_reads_a_ledger_with_something_sealed_and_finds_that_spec_contradicting_itself() {
    let folder = tempfile::tempdir().unwrap();
    let vault = crate::vault::Vault::at(folder.path().to_owned());
    let full = Ledger::decode(include_bytes!("../../../crates/api/examples/ledger-full")).unwrap();
    assert!(full.local[0].spec.is_clear());
    let sealed = full.sealed(&vault).unwrap();
    let read = read_then(&sealed.encode()).unwrap();
    assert_eq!(read.local.len(), full.local.len());
    let mut spec = sealed.local[0].spec.clone();
    let vm = spec.vm.as_mut().unwrap();
    assert!(vm.user_data.is_some() && vm.user_data_secret.is_some());
    // The rule that was always there.
    vm.user_data_secret = Some("any".parse().unwrap());
    let mistakes = basalt_api::validate::mistakes(&spec);
    assert_eq!(mistakes[0].to_string(), "vm.user_data_secret: there is `user_data` already");
}

#[test]
fn release_0_1_reads_a_full_ledger_of_today_or_says_that_its_form_is_later() {
    let full = include_bytes!("../../../crates/api/examples/ledger-full");
    let today = Ledger::decode(full).unwrap().encode();
    let read = read_then(&today);
    if FORM != 1 {
        assert_eq!(read.unwrap_err(), format!("its form is {FORM}, and this release reads 1"));
        return;
    }
    let ledger = read.unwrap();
    let written = Ledger::decode(full).unwrap();
    assert_eq!((ledger.sequence, ledger.boot_id), (written.sequence, written.boot_id));
    assert_eq!(ledger.session, written.session);
    assert_eq!(ledger.held.len(), written.held.len());
    let generation = ledger.assigned.unwrap();
    assert_eq!((generation.generation, generation.hash.as_str()), (12, "beef"));
    let web = &generation.set.workloads[0].spec;
    assert_eq!(
        (web.name.as_str(), &web.kind, &web.restart),
        ("web", &KindThen::Container, &RestartThen::Always)
    );
    let container = web.container.as_ref().unwrap();
    assert_eq!(container.image, "registry.example:5000/shop/web:3");
    assert_eq!((container.ports[0].host, container.ports[0].container), (8080, 80));
    assert_eq!(container.volumes[0].name.as_deref(), Some("data"));
    let legacy = &ledger.local[0].spec;
    assert_eq!((&legacy.kind, &legacy.restart), (&KindThen::Vm, &RestartThen::OnFailure));
    assert_eq!(
        (&legacy.disconnect.policy, legacy.disconnect.after_s),
        (&PolicyThen::StopAfter, Some(600))
    );
    assert_eq!((legacy.resources.cpus, legacy.resources.memory_mib), (Some(2.0), Some(2048)));
    assert_eq!(legacy.vm.as_ref().unwrap().disk.format, "qcow2");
    // What it does not know it keeps, and writes again.
    let later: Vec<&str> = ledger.later.keys().map(String::as_str).collect();
    assert_eq!(later, ["forgotten", "later", "leaving"]);
}
