use basalt_api::workload::Cpus;
use proptest::prelude::*;
use uuid::Uuid;

use super::*;

fn id(number: u128) -> HostId {
    HostId(Uuid::from_u128(number))
}

fn name(text: &str) -> Name {
    text.parse().unwrap()
}

/// A host with two processors and so much memory.
fn host(number: u128, memory_mib: u64) -> Host {
    Host {
        id: id(number),
        name: name(&format!("h{number}")),
        labels: BTreeMap::from([("rack".to_owned(), number.to_string())]),
        features: vec!["container".to_owned()],
        capacity: Some(Capacity { cpus: Cpus::whole(2), memory_mib, ..Capacity::default() }),
        local: Taken::default(),
        closed: None,
    }
}

fn spec(text: &str, memory_mib: u64) -> WorkloadSpec {
    serde_json::from_value(serde_json::json!({
        "name": text, "kind": "container", "container": { "image": "x" },
        "resources": { "memory_mib": memory_mib },
    }))
    .unwrap()
}

fn decide(hosts: &[Host], workloads: &[(WorkloadSpec, Place)]) -> Vec<String> {
    let wanted: Vec<Wanted> = workloads
        .iter()
        .enumerate()
        .map(|(number, (spec, place))| Wanted {
            uid: WorkloadUid(Uuid::from_u128(number as u128)),
            spec,
            place: *place,
        })
        .collect();
    let shown = |decision: Decision| match decision {
        Ok(host) => format!("h{}", host.0.as_u128()),
        Err(reason) => reason,
    };
    place(hosts, &wanted).into_values().map(shown).collect()
}

/// Places one container that is nowhere and wants 100 MiB, after `change`.
fn check(hosts: &[Host], change: fn(&mut WorkloadSpec), expected: &str) {
    let mut spec = spec("w", 100);
    change(&mut spec);
    assert_eq!(decide(hosts, &[(spec, Place::Nowhere)]), [expected]);
}

#[test]
fn the_emptiest_host_gets_it() {
    check(&[host(1, 1000), host(2, 2000)], |_| (), "h2");
    let busy = Host { local: Taken { cpus: Cpus::whole(1), memory_mib: 1900 }, ..host(2, 2000) };
    check(&[host(1, 1000), busy], |_| (), "h1");
}

#[test]
fn what_runs_locally_takes_room() {
    let local = |cpus, memory_mib| Host {
        local: Taken { cpus: Cpus::from_milli(cpus), memory_mib },
        ..host(1, 1000)
    };
    check(&[local(0, 900)], |_| (), "h1");
    let short = "no host can run it: `h1`: 99 MiB of memory are free, 100 wanted";
    check(&[local(0, 901)], |_| (), short);
    check(
        &[local(1900, 0)],
        |spec| spec.resources.cpus = Some(Cpus::from_milli(200)),
        "no host can run it: `h1`: 0.1 processors are free, 0.2 wanted",
    );
}

#[test]
fn labels_and_names_are_conditions() {
    let label = |spec: &mut WorkloadSpec| {
        spec.placement.labels.insert("rack".to_owned(), "1".to_owned());
    };
    check(&[host(1, 1000), host(2, 2000)], label, "h1");
    check(&[host(2, 2000)], label, "no host can run it: `h2`: it has no label `rack=1`");
    let by_name = |spec: &mut WorkloadSpec| spec.placement.host = Some(name("h1"));
    check(&[host(1, 1000), host(2, 2000)], by_name, "h1");
    check(&[host(2, 1)], by_name, "no host can run it: `h2`: it is not the host that was named");
}

#[test]
fn hosts_that_are_closed_get_nothing_new_and_say_why() {
    let closed = |closed| Host { closed: Some(closed), ..host(1, 1000) };
    check(&[closed(Closed::Cordoned)], |_| (), "no host can run it: `h1`: it is cordoned");
    check(&[closed(Closed::Lost)], |_| (), "no host can run it: `h1`: it is lost");
    check(&[], |_| (), "there is no host");
    for reason in [Closed::Cordoned, Closed::Lost, Closed::Frozen] {
        let stays = decide(&[closed(reason)], &[(spec("w", 100), Place::Settled(id(1)))]);
        assert_eq!(stays, ["h1"]);
    }
}

#[test]
fn what_a_host_cannot_do_is_told() {
    check(
        &[Host { features: vec![], ..host(1, 1000) }],
        |_| (),
        "no host can run it: `h1`: its release has no feature `container`",
    );
    check(
        &[host(1, 1000)],
        |spec| {
            let device = serde_json::json!([{ "host": "/dev/kvm" }]);
            spec.container.as_mut().unwrap().devices = serde_json::from_value(device).unwrap();
        },
        "no host can run it: `h1`: it has no device `/dev/kvm`",
    );
    check(
        &[host(1, 99)],
        |_| (),
        "no host can run it: `h1`: 99 MiB of memory are free, 100 wanted",
    );
    check(
        &[host(1, 1000)],
        |spec| spec.resources.cpus = Some(Cpus::from_milli(2500)),
        "no host can run it: `h1`: 2 processors are free, 2.5 wanted",
    );
}

#[test]
fn one_port_of_a_host_is_given_once() {
    let with_port = |text: &str| {
        let mut spec = spec(text, 1);
        let ports = serde_json::json!([{ "host": 80, "container": 80 }]);
        spec.container.as_mut().unwrap().ports = serde_json::from_value(ports).unwrap();
        (spec, Place::Nowhere)
    };
    let two = [with_port("a"), with_port("b")];
    assert_eq!(decide(&[host(1, 1000), host(2, 1000)], &two), ["h1", "h2"]);
    assert_eq!(
        decide(&[host(1, 1000)], &two),
        ["h1", "no host can run it: `h1`: port 80/tcp is taken"]
    );
}

#[test]
fn priority_goes_first_but_stops_nothing_that_runs() {
    let urgent = WorkloadSpec { priority: 5, ..spec("z", 100) };
    let new = [(spec("a", 100), Place::Nowhere), (urgent.clone(), Place::Nowhere)];
    let short = "no host can run it: `h1`: 0 MiB of memory are free, 100 wanted";
    assert_eq!(decide(&[host(1, 100)], &new), [short, "h1"]);
    let running = [(spec("a", 100), Place::Settled(id(1))), (urgent.clone(), Place::Nowhere)];
    assert_eq!(decide(&[host(1, 100)], &running), ["h1", short]);
}

#[test]
fn what_changes_pushes_nothing_out_that_runs() {
    let grown = WorkloadSpec { priority: 5, ..spec("a", 900) };
    let two = [(grown, Place::Changed(id(1))), (spec("b", 500), Place::Settled(id(1)))];
    assert_eq!(decide(&[host(1, 1000), host(2, 1000)], &two), ["h2", "h1"]);
    let short = "no host can run it: `h1`: 500 MiB of memory are free, 900 wanted";
    assert_eq!(decide(&[host(1, 1000)], &two), [short, "h1"]);
}

#[test]
fn what_changes_leaves_a_host_that_cannot_run_it() {
    let mut with_secret = spec("a", 1);
    let secret = serde_json::json!([{ "name": "db", "file": "/run/db" }]);
    with_secret.container.as_mut().unwrap().secrets = serde_json::from_value(secret).unwrap();
    let able = Host { features: vec!["container".to_owned(), "secrets".to_owned()], ..host(2, 10) };
    let changed = [(with_secret, Place::Changed(id(1)))];
    assert_eq!(decide(&[host(1, 1000), able], &changed), ["h2"]);
}

#[test]
fn nothing_leaves_a_host_that_would_not_hear_of_it() {
    let elsewhere = |spec: &mut WorkloadSpec| spec.placement.host = Some(name("h2"));
    for closed in [Closed::Lost, Closed::Frozen] {
        let deaf = Host { closed: Some(closed), ..host(1, 50) };
        for place in [Place::Settled(id(1)), Place::Changed(id(1))] {
            let mut spec = spec("a", 100);
            assert_eq!(decide(&[deaf.clone(), host(2, 1000)], &[(spec.clone(), place)]), ["h1"]);
            elsewhere(&mut spec);
            assert_eq!(decide(&[deaf.clone(), host(2, 1000)], &[(spec, place)]), ["h1"]);
        }
    }
}

#[test]
fn a_host_gets_no_more_than_it_can_be_told() {
    let mut large = spec("large", 0);
    let container = large.container.as_mut().unwrap();
    container.environment.insert("X".to_owned(), "x".repeat(3 << 20));
    let two = [(large.clone(), Place::Nowhere), (large, Place::Nowhere)];
    let reasons = decide(&[host(1, 1000)], &two);
    assert_eq!(reasons[0], "h1");
    assert!(reasons[1].contains("specs together would pass"), "{reasons:?}");
    let many: Vec<_> =
        (0..=1000).map(|number| (spec(&format!("w{number:04}"), 0), Place::Nowhere)).collect();
    let reasons = decide(&[host(1, 1000)], &many);
    assert!(reasons[1000].contains("1000 workloads"), "{}", reasons[1000]);
}

#[test]
fn a_changed_one_moves_when_its_host_is_too_small_and_a_settled_one_stays() {
    let hosts = [host(1, 50), host(2, 1000)];
    assert_eq!(decide(&hosts, &[(spec("a", 100), Place::Changed(id(1)))]), ["h2"]);
    assert_eq!(decide(&hosts, &[(spec("a", 100), Place::Settled(id(1)))]), ["h1"]);
    let reason = decide(&hosts[..1], &[(spec("a", 100), Place::Changed(id(1)))]);
    assert!(reason[0].contains("50 MiB of memory are free"), "{reason:?}");
}

#[test]
fn an_abandoned_one_goes_elsewhere_and_never_back_to_the_silent_host() {
    let abandoned = [(spec("a", 100), Place::Abandoned(id(1)))];
    assert_eq!(decide(&[host(1, 1000), host(2, 1000)], &abandoned), ["h2"]);
    assert_eq!(decide(&[host(1, 1000)], &abandoned), ["no host can run it: `h1`: it is lost"]);
}

fn any_place() -> impl Strategy<Value = Place> {
    prop_oneof![
        Just(Place::Nowhere),
        (1_u128..5).prop_map(|host| Place::Settled(id(host))),
        (1_u128..5).prop_map(|host| Place::Changed(id(host))),
    ]
}

proptest! {
    #[test]
    fn what_was_decided_stays_decided(
        memory in proptest::collection::vec(0_u64..500, 1..5),
        workloads in proptest::collection::vec((0_u64..200, any_place()), 0..12),
    ) {
        let hosts: Vec<Host> =
            memory.iter().enumerate().map(|(number, memory)| host(number as u128 + 1, *memory)).collect();
        let specs: Vec<WorkloadSpec> =
            workloads.iter().enumerate().map(|(number, (memory, _))| spec(&format!("w{number:02}"), *memory)).collect();
        let wanted = |places: &[Place]| -> Vec<Wanted<'_>> {
            specs.iter().zip(places).enumerate().map(|(number, (spec, place))| {
                Wanted { uid: WorkloadUid(Uuid::from_u128(number as u128)), spec, place: *place }
            }).collect()
        };
        let places: Vec<Place> = workloads.iter().map(|(_, place)| *place).collect();
        let first = place(&hosts, &wanted(&places));
        prop_assert_eq!(first.len(), workloads.len());
        let settled: Vec<Place> = first.values().map(|decision| match decision {
            Ok(host) => Place::Settled(*host),
            Err(_) => Place::Nowhere,
        }).collect();
        let second = place(&hosts, &wanted(&settled));
        prop_assert_eq!(&second, &first);
        let mut backwards = wanted(&places);
        backwards.reverse();
        prop_assert_eq!(&place(&hosts, &backwards), &first);
        for (number, (_, decision)) in first.iter().enumerate() {
            if let Place::Settled(host) = places[number] && hosts.iter().any(|known| known.id == host) {
                prop_assert_eq!(decision, &Ok(host), "what runs was moved");
            }
        }
        for host in &hosts {
            let newcomers = first.iter().enumerate().filter(|(number, (_, decision))| {
                decision.as_ref().ok() == Some(&host.id) && places[*number] != Place::Settled(host.id)
            });
            let new: Vec<u64> = newcomers.map(|(number, _)| workloads[number].0).collect();
            let settled: u64 = places.iter().zip(&workloads).filter(|(place, _)| **place == Place::Settled(host.id)).map(|(_, (memory, _))| *memory).sum();
            let memory = host.capacity.as_ref().unwrap().memory_mib;
            let new_memory: u64 = new.iter().sum();
            prop_assert!(new_memory == 0 || settled + new_memory <= memory, "overfull");
        }
    }
}

#[test]
fn what_shall_leave_a_host_goes_where_there_is_room_and_stays_otherwise() {
    let [mut first, second] = [host(1, 1000), host(2, 1000)];
    first.closed = Some(Closed::Rebooting);
    let evicted = |mib| (spec("w", mib), Place::Evicted(id(1)));
    assert_eq!(decide(&[first.clone(), second.clone()], &[evicted(100)]), ["h2"]);
    assert_eq!(decide(&[first.clone(), second.clone()], &[evicted(1001)]), ["h1"]);
    let full = Host { closed: Some(Closed::Cordoned), ..second };
    assert_eq!(decide(&[first.clone(), full], &[evicted(100)]), ["h1"]);
    // What may not be there at all, does not stay.
    let mut elsewhere = spec("w", 100);
    elsewhere.placement.labels.insert("rack".to_owned(), "9".to_owned());
    let decided = decide(&[first], &[(elsewhere, Place::Evicted(id(1)))]);
    assert_eq!(decided, ["no host can run it: `h1`: it has no label `rack=9`"]);
}
