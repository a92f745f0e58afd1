//! `BASALT_UPDATE_GOLDEN=1 cargo test --release -p hostd-virt` writes the golden files anew.

use std::fs;

use basalt_api::virt::Secret;
use basalt_api::workload::{Body, Vm, VmNetwork, WorkloadSpec};

use super::*;

fn legacy() -> Machine {
    let text = include_str!("../../../../crates/api/examples/workload-vm.json");
    let spec: WorkloadSpec = serde_json::from_str(text).unwrap();
    let Some(Body::Vm(vm)) = spec.body() else { panic!("the example is a machine") };
    Machine {
        uid: "d8a6c9b2-0a3c-4d4e-9b1f-6f4f8a1c2b3d".parse().unwrap(),
        name: spec.name.clone(),
        owner: Some("11111111-2222-4333-8444-555555555555".parse().unwrap()),
        hash: "1-0f4de9d7c8a4a9ff".to_owned(),
        vcpus: 2,
        memory_mib: 2048,
        vm: vm.clone(),
        user_data: None,
    }
}

fn small() -> Machine {
    let vm = legacy().vm;
    let network = VmNetwork::None;
    let vm = Vm { firmware: Firmware::Bios, network, user_data: None, ..vm };
    Machine { vcpus: 1, memory_mib: 256, owner: None, vm, ..legacy() }
}

fn files(machine: &Machine) -> Files {
    let seed = machine.vm.user_data.as_ref().map(|_| PathBuf::from("/run/seeds/d8a6.img"));
    Files::of(Path::new("/var/lib/vms"), "/var/lib/vms/images/0f4d.qcow2".into(), seed, machine)
}

fn check(file: &str, machine: &Machine, hypervisor: Hypervisor) {
    let xml = xml(machine, &files(machine), hypervisor);
    roxmltree::Document::parse(&xml).unwrap();
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("golden").join(file);
    if std::env::var_os("BASALT_UPDATE_GOLDEN").is_some() {
        fs::write(&path, &xml).unwrap();
    }
    let golden = fs::read_to_string(&path).unwrap_or_default();
    assert!(xml == golden, "{file} says otherwise; now it is\n{xml}");
}

#[test]
fn a_machine_with_everything_is_as_in_its_golden_file() {
    check("full-kvm.xml", &legacy(), Hypervisor::Kvm);
}

#[test]
fn a_machine_without_a_network_or_seed_is_as_in_its_golden_file() {
    check("small-tcg.xml", &small(), Hypervisor::Tcg);
}

#[test]
fn the_test_driver_gets_what_it_knows() {
    check("small-test.xml", &small(), Hypervisor::Test);
}

#[test]
fn the_mark_comes_back_from_the_document() {
    let xml = xml(&legacy(), &files(&legacy()), Hypervisor::Tcg);
    let document = roxmltree::Document::parse(&xml).unwrap();
    let element =
        document.descendants().find(|node| node.has_tag_name((crate::mark::NAMESPACE, "workload")));
    let range = element.unwrap().range();
    assert_eq!(Mark::parse(&xml[range]), Some(Mark::of(&legacy())));
}

#[test]
fn no_user_data_stands_in_the_document() {
    let user_data = Some(Secret(b"canary".to_vec()));
    let vm = Vm { user_data: Some("canary".to_owned()), ..legacy().vm };
    let machine = Machine { user_data, vm, ..legacy() };
    assert!(!xml(&machine, &files(&machine), Hypervisor::Kvm).contains("canary"));
}

#[test]
fn a_path_with_marks_of_xml_in_it_stays_a_path() {
    let image = PathBuf::from("/a'b<&>/0f.qcow2");
    let files = Files { image: image.clone(), ..files(&small()) };
    let xml = xml(&small(), &files, Hypervisor::Tcg);
    let document = roxmltree::Document::parse(&xml).unwrap();
    let found = document.descendants().any(|node| node.attribute("file") == image.to_str());
    assert!(found, "{xml}");
}
