//! `hostd` is killed between two steps of what it does to an engine. Nothing is left of what nobody
//! wants: no container, no volume, no secret in clear text.

use std::fs;
use std::path::PathBuf;

use basalt_tests::cut::{Cut, Moment, Side};
use basalt_tests::engine::Kind;
use basalt_tests::fleet::{DEADLINE, Fleet, container, text};
use basalt_tests::until::until;

/// What has a volume, and a secret as a file.
const NAME: &str = "kept";
const CONTAINER: &str = "secrets = [{ name = \"db\" }]\n\
                         volumes = [{ name = \"data\", path = \"/data\" }]";

const fn moment(method: &'static str, path: &'static str, side: Side) -> Moment {
    Moment { method, path, side }
}

/// The volume is there, the files of secrets are not yet.
const AFTER_THE_VOLUME: Moment = moment("POST", "/volumes/create", Side::After);
/// The files of secrets are there, and no container.
const BEFORE_THE_CONTAINER: Moment = moment("POST", "/containers/create", Side::Before);
/// The container is there, and `hostd` never heard of it.
const AFTER_THE_CONTAINER: Moment = moment("POST", "/containers/create", Side::After);
/// The container is gone, the files of its secrets are not.
const BEFORE_THE_FILES_GO: Moment = moment("DELETE", "/containers/", Side::After);
/// The container is gone, and so are its secrets; its volume is not.
const BEFORE_THE_VOLUME_GOES: Moment = moment("DELETE", "/volumes/", Side::Before);

/// An endpoint, a host, and somebody between `hostd` and its engine.
struct Scene {
    cut: Cut,
    fleet: Fleet,
}

impl Scene {
    fn begin(kind: Kind) -> Option<Self> {
        let fleet = Fleet::prepare(kind)?;
        let cut = Cut::between(&fleet.ground.path("cut.sock"), &fleet.ground.engine.socket());
        let socket = format!("[containers]\nsocket = {:?}\n", cut.socket());
        fleet.host.configure("cut", &socket);
        let mut scene = Self { cut, fleet };
        scene.fleet.endpoint.start();
        scene.fleet.enrol();
        let set = scene.fleet.endpoint.operator().ctl(&["secret", "set", "db"], b"a value");
        assert!(set.ok, "{}", set.errors);
        Some(scene)
    }

    fn apply(&self) {
        let file = self.fleet.put("kept.toml", &container(NAME, "", CONTAINER));
        let said = self.fleet.endpoint.ctl(&["apply", text(&file)]);
        assert!(said.ok, "{}", said.errors);
    }

    fn delete(&self) {
        let said = self.fleet.endpoint.ctl(&["delete", NAME]);
        assert!(said.ok, "{}", said.errors);
    }

    /// Does this, waits until `hostd` is killed at the moment, and says what is there then:
    /// containers, volumes, folders of secrets.
    fn cut(&mut self, moment: Moment, after: fn(&Self)) -> [usize; 3] {
        self.cut.at(moment, self.fleet.host.id());
        after(self);
        until(DEADLINE, &format!("{moment:?} comes"), || self.cut.has_cut().then_some(()));
        self.fleet.host.kill();
        self.there()
    }

    fn there(&self) -> [usize; 3] {
        let volumes = self.fleet.ground.engine.ask("GET /volumes").json();
        let volumes = volumes["Volumes"].as_array().map_or(0, Vec::len);
        [self.fleet.containers().len(), volumes, self.secrets().len()]
    }

    fn secrets(&self) -> Vec<PathBuf> {
        let folders = fs::read_dir(self.fleet.host.path("run/hostd/private"));
        folders.into_iter().flatten().flatten().map(|entry| entry.path()).collect()
    }

    fn becomes(&self, expected: [usize; 3]) {
        let mut last = self.there();
        let is_so = |there: [usize; 3]| there == expected;
        let end = std::time::Instant::now() + DEADLINE;
        while !is_so(last) && std::time::Instant::now() < end {
            std::thread::sleep(std::time::Duration::from_millis(20));
            last = self.there();
        }
        assert_eq!(last, expected, "containers, volumes, secrets\n{}", self.fleet.host.log());
    }
}

/// What was being made when `hostd` died, and is unassigned before it comes back.
fn what_a_cut_left_of_a_creation_goes(kind: Kind) {
    let Some(mut scene) = Scene::begin(kind) else { return };
    for (moment, left) in [
        (AFTER_THE_VOLUME, [0, 1, 0]),
        (BEFORE_THE_CONTAINER, [0, 1, 1]),
        (AFTER_THE_CONTAINER, [1, 1, 1]),
    ] {
        assert_eq!(scene.cut(moment, Scene::apply), left, "{moment:?}");
        // It hears that nobody wants it before it can go on with it.
        scene.cut.shut();
        scene.fleet.host.start();
        scene.delete();
        scene.fleet.host.becomes(&[]);
        assert_eq!(scene.there(), left, "{moment:?}");
        scene.cut.open();
        scene.becomes([0, 0, 0]);
    }
}

/// What was being made when `hostd` died is made when it comes back, once.
fn what_a_cut_left_of_a_creation_is_used(kind: Kind) {
    let Some(mut scene) = Scene::begin(kind) else { return };
    for moment in [BEFORE_THE_CONTAINER, AFTER_THE_CONTAINER] {
        scene.cut(moment, Scene::apply);
        scene.fleet.host.start();
        scene.fleet.host.becomes(&[(NAME, "running")]);
        assert_eq!(scene.there(), [1, 1, 1], "{moment:?}");
        scene.delete();
        scene.becomes([0, 0, 0]);
    }
}

fn what_a_cut_left_of_a_deletion_goes(kind: Kind) {
    let Some(mut scene) = Scene::begin(kind) else { return };
    for (moment, left) in [(BEFORE_THE_FILES_GO, [0, 1, 1]), (BEFORE_THE_VOLUME_GOES, [0, 1, 0])] {
        scene.apply();
        scene.fleet.host.becomes(&[(NAME, "running")]);
        assert_eq!(scene.cut(moment, Scene::delete), left, "{moment:?}");
        scene.fleet.host.start();
        scene.becomes([0, 0, 0]);
        scene.fleet.host.becomes(&[]);
    }
}

basalt_tests::on_both_engines!(
    what_a_cut_left_of_a_creation_goes,
    what_a_cut_left_of_a_creation_is_used,
    what_a_cut_left_of_a_deletion_goes,
);
