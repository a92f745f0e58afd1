//! What a host is and has, as the endpoint shows it.

use basalt_tests::engine::Kind;
use basalt_tests::fleet::{DEADLINE, Fleet};
use basalt_tests::until::until;

pub(crate) fn devices_and_problems_come_through_to_the_endpoint(kind: Kind) {
    let Some(mut fleet) = Fleet::prepare(kind) else { return };
    fleet.host.configure("devices", "[policy]\ndevices = [\"/dev/null\", \"/dev/not-there\"]\n");
    fleet.host.configure("mistaken", "round_interval = 5\n");
    fleet.host.put("usr/lib/os-release", "IMAGE_ID=base\nIMAGE_VERSION=3\n");
    fleet.host.put("proc/cmdline", "quiet androidboot.slot_suffix=_b ostree");
    fleet.endpoint.start();
    fleet.enrol();
    let name = fleet.endpoint.host().unwrap()["name"].as_str().unwrap().to_owned();
    let host = until(DEADLINE, "the endpoint knows what the host has", || {
        let host = fleet.endpoint.ctl(&["hosts", "show", &name, "--json"]).json();
        let facts = &host["host"]["facts"];
        (facts["os"]["state"] == "degraded").then(|| facts.clone())
    });
    let devices = &host["capacity"]["devices"];
    assert_eq!(*devices, serde_json::json!(["/dev/null"]), "{host:#}");
    let os = &host["os"];
    assert_eq!((&os["version"], &os["slot"]), (&"3".into(), &"b".into()), "{os:#}");
    assert!(os["problems"].to_string().contains("did you mean `round_interval_s`?"), "{os:#}");
}
