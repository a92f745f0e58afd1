//! Downloads from servers that stall, truncate, lie and go away.

use super::server::{Fault, Server};
use super::*;

/// A host that runs the first release, and a server that offers the second.
struct Offered {
    publisher: Publisher,
    ground: HostGround,
    server: Server,
    first: Manifest,
    second: Manifest,
}

impl Offered {
    /// As objects.
    fn new() -> Self {
        let publisher = Publisher::new();
        let first = publisher.publish("1", "kernel 1");
        let ground = HostGround::running(&publisher, &first);
        let second = publisher.publish_with("2", &[("usr/lib/modules/6.1/vmlinuz", "kernel 2")]);
        let server = Server::of(&publisher.at("archive"));
        Self { publisher, ground, server, first, second }
    }

    /// By a delta.
    fn by_delta() -> Self {
        let offered = Self::new();
        let archive = Repo::open(&offered.publisher.at("archive")).unwrap();
        archive.make_delta(&offered.first.commit, &offered.second.commit).unwrap();
        archive.summarize(&offered.publisher.commits).unwrap();
        offered
    }

    fn update(&self, patience: Patience) -> Result<Offer> {
        let wanted = Wanted { url: self.server.url(), ..wanted(&self.publisher) };
        Updater { patience, ..self.ground.updater() }.update(&wanted, now(), |_| ())
    }

    /// With this fault nothing is taken and nothing changes that boots; without it, it is taken.
    #[track_caller]
    fn check(&self, fault: Fault, expected: &str) {
        self.check_with(
            Patience { silence: Duration::from_secs(2), ..Default::default() },
            fault,
            expected,
        );
    }

    #[track_caller]
    fn check_with(&self, patience: Patience, fault: Fault, expected: &str) {
        self.server.does(Some(fault));
        let began = Instant::now();
        refused(self.update(patience), expected);
        assert!(began.elapsed() < Duration::from_secs(25), "{:?}", began.elapsed());
        assert_eq!(self.ground.names(), [self.ground.running]);
        assert_eq!(self.ground.boots_next(), self.first.commit);
        self.server.does(None);
        // What was left behind ends when the server goes on.
        std::thread::sleep(Duration::from_millis(500));
        self.update(Patience::default()).unwrap();
        assert_eq!(self.ground.boots_next(), self.second.commit);
    }
}

#[test]
fn a_server_that_stalls_is_given_up_and_changes_nothing_that_boots() {
    let silence = "nothing came for 2 s";
    Offered::new().check(Fault::Stall("/config"), silence);
    Offered::new().check(Fault::Stall(".filez"), silence);
    Offered::by_delta().check(Fault::Stall("/superblock"), silence);
    Offered::by_delta().check(Fault::Stall("/0"), silence);
    let patience = Patience { whole: Duration::from_secs(2), ..Default::default() };
    let offered = Offered::new();
    offered.check_with(patience, Fault::Stall(".dirtree"), "it took longer than 2 s");
}

#[test]
fn a_server_that_truncates_is_told_and_changes_nothing_that_boots() {
    Offered::new().check(Fault::Truncate(".filez"), "Transferred a partial file");
    Offered::by_delta().check(Fault::Truncate("/0"), "/0: [18] Transferred a partial file");
    Offered::new().check(Fault::Truncate("/releases/"), "/releases/base.json`: io: ");
}

#[test]
fn a_server_that_lies_is_told_and_changes_nothing_that_boots() {
    Offered::new().check(Fault::Lie(".filez"), ".file: File header size");
    Offered::new().check(Fault::Lie(".dirtree"), "Corrupted dirtree object; checksum expected");
    Offered::new().check(Fault::Lie(".commit"), "Corrupted commit object; checksum expected");
    Offered::by_delta().check(Fault::Lie("/superblock"), "Invalid checksum for static delta");
    Offered::by_delta().check(Fault::Lie("/0"), "Invalid ");
    Offered::new().check(Fault::Lie("/releases/"), "the release manifest is no signed envelope");
}

/// The manifest says which commit it is, and the archive that its deltas have indexes of their own.
#[test]
fn a_summary_that_lies_deceives_nobody() {
    for offered in [Offered::new(), Offered::by_delta()] {
        offered.server.does(Some(Fault::Lie("/summary")));
        offered.update(Patience::default()).unwrap();
        assert_eq!(offered.ground.boots_next(), offered.second.commit);
    }
}

#[test]
fn a_download_that_was_cut_goes_on_with_what_is_missing() {
    let publisher = Publisher::new();
    let first = publisher.publish("1", "kernel 1");
    let ground = HostGround::running(&publisher, &first);
    let texts: Vec<_> = (0..60).map(|number| format!("{number}\n").repeat(2000)).collect();
    let paths: Vec<_> = (0..60).map(|number| format!("usr/share/{number}")).collect();
    let files: Vec<_> =
        paths.iter().map(String::as_str).zip(texts.iter().map(|it| &**it)).collect();
    let second = publisher.publish_with("2", &files);
    let server = Server::of(&publisher.at("archive"));
    let wanted = Wanted { url: server.url(), ..wanted(&publisher) };
    server.does(Some(Fault::StopAfter(".filez", 30)));
    assert!(ground.update(&wanted).is_err());
    assert_eq!(ground.boots_next(), first.commit);
    let before = server.sent(".filez");
    assert_eq!(before.len(), 30);
    server.does(None);
    ground.update(&wanted).unwrap();
    assert_eq!(ground.boots_next(), second.commit);
    let after = server.sent(".filez");
    let again: Vec<_> = after.iter().filter(|sent| before.contains(sent)).collect();
    let bytes = |sent: &[(String, usize)]| sent.iter().map(|(_, bytes)| bytes).sum::<usize>();
    println!("{} bytes before the cut, {} after it", bytes(&before), bytes(&after));
    assert_eq!(again, Vec::<&(String, usize)>::new());
    assert!((30..36).contains(&after.len()), "{}", after.len());
}
