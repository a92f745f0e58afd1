//! What a host's policy denies, by either way to the host: `hostctl apply`, and the endpoint.

use std::collections::BTreeMap;

use basalt_tests::engine::Kind;
use basalt_tests::fleet::{DEADLINE, Fleet, container, text};
use basalt_tests::image::hash;
use basalt_tests::until::until;

const DEVICE: &str = "/dev/fuse";
const IMAGE: &[u8] = &[0; 65_536];

/// What is asked for, and why it is refused.
struct Denial {
    what: &'static str,
    spec: String,
    reason: String,
}

impl Denial {
    fn of_container(what: &'static str, field: &str, reason: String) -> Self {
        Self { what, spec: container(what, "", field), reason }
    }

    /// Its spec under the name that the host's own operator gives it.
    fn own(&self) -> (String, String) {
        let name = format!("own-{}", self.what);
        let spec = self.spec.replacen(&format!("{:?}", self.what), &format!("{name:?}"), 1);
        (name, spec)
    }
}

fn reason(what: &str, key: &str) -> String {
    format!("this host does not allow {what} (hostd.toml: [policy] {key})")
}

/// One of each kind. Folders and files lie beside the one that is allowed.
fn denials(fleet: &Fleet) -> Vec<Denial> {
    let (folder, image) = (fleet.ground.path("open-not"), fleet.ground.path("disk.raw"));
    let (folder, image) = (text(&folder), text(&image));
    let path =
        reason(&format!("the host's path `{folder}`"), &format!("host_paths = [{folder:?}]"));
    let file = reason(&format!("the host's file `{image}`"), &format!("host_paths = [{image:?}]"));
    let device = reason(&format!("the device `{DEVICE}`"), &format!("devices = [{DEVICE:?}]"));
    let volume = format!("volumes = [{{ host = {folder:?}, path = \"/a\" }}]");
    let machine = format!(
        "name = \"machine\"\nkind = \"vm\"\n[resources]\nmemory_mib = 32\n[vm]\nnetwork = \"none\"\n\
         [vm.disk]\nfile = {image:?}\nformat = \"raw\"\nsha256 = {:?}\n",
        hash(IMAGE)
    );
    vec![
        Denial::of_container(
            "privileged",
            "privileged = true",
            reason("privileged containers", "privileged = true"),
        ),
        Denial::of_container("path", &volume, path),
        Denial::of_container("device", &format!("devices = [{{ host = {DEVICE:?} }}]"), device),
        Denial { what: "machine", spec: machine, reason: file },
    ]
}

/// Waits until this workload is refused for this reason.
fn is_refused(fleet: &Fleet, name: &str, reason: &str) {
    until(DEADLINE, &format!("{name} is refused"), || {
        let workloads = fleet.host.workloads()?;
        (workloads.get(name)?["state"] == "refused").then_some(())
    });
    assert_eq!(fleet.host.workloads().unwrap()[name]["reason"], reason, "{name}");
    let described = fleet.host.ctl(&["describe", name]);
    assert!(described.ok && described.text.contains(reason), "{}", described.text);
}

/// Names of the containers that the engine has, without what stands after a workload's own.
fn names(fleet: &Fleet) -> BTreeMap<String, String> {
    let list = fleet.ground.engine.ask("GET /containers/json?all=true").json();
    let named = list.as_array().unwrap().iter().map(|one| {
        let name = one["Names"][0].as_str().unwrap().trim_start_matches('/');
        let (name, _) = name.rsplit_once('-').unwrap();
        (name.to_owned(), one["Id"].as_str().unwrap().to_owned())
    });
    named.collect()
}

/// A fleet whose host allows one folder, and whose machines need no libvirtd.
fn prepare(kind: Kind) -> Option<Fleet> {
    let mut fleet = Fleet::prepare(kind)?;
    for folder in ["open", "open-not"] {
        std::fs::create_dir(fleet.ground.path(folder)).expect("a folder");
    }
    std::fs::write(fleet.ground.path("disk.raw"), IMAGE).expect("a file");
    let open = fleet.ground.path("open");
    let policy = format!("[policy]\nhost_paths = [{:?}]\n", text(&open));
    fleet.host.configure("policy", &format!("{policy}[machines]\nuri = \"test:///default\"\n"));
    fleet.endpoint.start();
    fleet.enrol();
    Some(fleet)
}

pub(crate) fn what_the_policy_denies_is_told_and_harms_no_other(kind: Kind) {
    let Some(fleet) = prepare(kind) else { return };
    let denials = denials(&fleet);
    for denial in &denials {
        let file = fleet.put("denied.toml", &denial.spec);
        assert!(fleet.endpoint.ctl(&["apply", text(&file)]).ok);
        let (_, own) = denial.own();
        let file = fleet.put("own.toml", &own);
        let said = fleet.host.ctl(&["apply", text(&file)]);
        assert!(said.ok, "{}", said.errors);
    }
    fleet.apply("web", "");
    let open = fleet.ground.path("open");
    let volume = format!("volumes = [{{ host = {:?}, path = \"/a\" }}]", text(&open));
    let open = fleet.put("open.toml", &container("open", "", &volume));
    assert!(fleet.host.ctl(&["apply", text(&open)]).ok);

    for denial in &denials {
        let (own, _) = denial.own();
        is_refused(&fleet, &own, &denial.reason);
        let at_endpoint = if denial.what == "device" {
            // Placement knows already that no host has it.
            format!("it has no device `{DEVICE}`")
        } else {
            is_refused(&fleet, denial.what, &denial.reason);
            denial.reason.clone()
        };
        until(DEADLINE, "the endpoint tells why", || {
            let told = fleet.endpoint.ctl(&["describe", denial.what]).text;
            told.contains(&at_endpoint).then_some(())
        });
    }
    until(DEADLINE, "what is allowed runs", || {
        let workloads = fleet.host.workloads()?;
        let running = workloads.iter().filter(|(_, one)| one["state"] == "running");
        running.map(|(name, _)| name.as_str()).eq(["open", "web"]).then_some(())
    });
    let names = names(&fleet);
    assert_eq!(names.keys().collect::<Vec<_>>(), ["open", "web"], "nothing else was made");
    assert!(!fleet.host.path("var/lib/hostd-virt/images").exists(), "nor was an image taken");
}

/// The endpoint cannot lift it, and what the policy does not allow any more does not go on.
pub(crate) fn what_the_policy_allows_no_more_is_stopped(kind: Kind) {
    let Some(mut fleet) = prepare(kind) else { return };
    fleet.host.configure("device", &format!("[policy]\ndevices = [{DEVICE:?}]\n"));
    fleet.host.kill();
    fleet.host.start();
    let denials = denials(&fleet);
    let device = denials.iter().find(|denial| denial.what == "device").unwrap();
    let file = fleet.put("device.toml", &device.spec);
    assert!(fleet.endpoint.ctl(&["apply", text(&file)]).ok);
    let (own, spec) = device.own();
    let file = fleet.put("own.toml", &spec);
    assert!(fleet.host.ctl(&["apply", text(&file)]).ok);
    fleet.apply("web", "");
    fleet.host.becomes(&[("device", "running"), (&own, "running"), ("web", "running")]);
    let before = names(&fleet);

    fleet.host.kill();
    fleet.host.configure("device", "");
    fleet.host.start();
    for name in ["device", &own] {
        is_refused(&fleet, name, &device.reason);
    }
    fleet.host.becomes(&[("device", "refused"), (&own, "refused"), ("web", "running")]);
    assert_eq!(names(&fleet)["web"], before["web"]);
    let list = fleet.ground.engine.ask("GET /containers/json").json();
    let running: Vec<_> = list.as_array().unwrap().iter().map(|one| &one["Id"]).collect();
    assert_eq!(running, [before["web"].as_str()], "they do not run any more");
}
