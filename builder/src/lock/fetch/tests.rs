//! The fetcher against a mirror on this machine that misbehaves.

use std::io::{BufRead, BufReader};
use std::net::{TcpListener, TcpStream};
use std::path::PathBuf;
use std::sync::Arc;
use std::thread;

use tempfile::TempDir;

use super::*;
use crate::cache::CachePaths;
use crate::progress::Progress;

const PATIENCE: Duration = Duration::from_millis(400);
/// The size of a kernel's package, which a slow line may take half an hour for.
const LARGE: u64 = 108_000_000;
const BODY: &[u8] = b"this is a package";

/// What the mirror does with a request for this path.
#[derive(Clone, Copy)]
enum Answer {
    Gone,
    Stalls,
    /// Says that a large package comes, begins with it, and says no more.
    StallsMidway,
    Gives(&'static [u8]),
    /// Says that it is long and ends early.
    CutOff(&'static [u8]),
    Fails,
}

/// A mirror that answers every request alike, until the test ends.
fn mirror(answer: Answer) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = format!("http://{}", listener.local_addr().unwrap());
    thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            thread::spawn(move || reply(stream, answer));
        }
    });
    address
}

fn reply(mut stream: TcpStream, answer: Answer) {
    let reader = BufReader::new(stream.try_clone().unwrap());
    let _ = reader.lines().map_while(Result::ok).find(String::is_empty);
    let (head, body): (_, &[u8]) = match answer {
        Answer::Gone => ("404 Not Found\r\ncontent-length: 0".to_owned(), b""),
        Answer::Fails => ("503 Busy\r\ncontent-length: 0".to_owned(), b""),
        Answer::Gives(body) => (format!("200 OK\r\ncontent-length: {}", body.len()), body),
        Answer::CutOff(body) => (format!("200 OK\r\ncontent-length: {}", body.len() + 9), body),
        // Held open: whoever asked has to lose patience.
        Answer::Stalls => return thread::sleep(20 * PATIENCE),
        Answer::StallsMidway => (format!("200 OK\r\ncontent-length: {LARGE}"), b"this"),
    };
    let _ = write!(stream, "HTTP/1.1 {head}\r\nconnection: close\r\n\r\n");
    let _ = stream.write_all(body);
    if matches!(answer, Answer::StallsMidway) {
        thread::sleep(20 * PATIENCE);
    }
}

struct Ground {
    folder: TempDir,
    cache: Cache,
    debian: Debian,
    lock: Lock,
}

impl Ground {
    fn with(mirror: String, snapshot_mirror: Option<String>) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let paths = CachePaths::new(folder.path().join("cache"));
        let cache = Cache::open(&paths, Progress::Silent).unwrap();
        let debian = Debian {
            suite: "trixie".to_owned(),
            components: vec!["main".to_owned()],
            mirror,
            extra_suites: Vec::new(),
            security_mirror: None,
            snapshot_mirror,
            keyring: PathBuf::new(),
        };
        let package = LockedPackage {
            name: "stone".to_owned(),
            version: "1.2-3".to_owned(),
            architecture: "all".to_owned(),
            sha256: hex::encode(Sha256::digest(BODY)),
            size: BODY.len() as u64,
            archive: Archive::Debian,
            path: "pool/main/s/stone_1.2-3_all.deb".to_owned(),
        };
        let lock = Lock {
            form: 1,
            request: String::new(),
            resolved: 1_763_882_220,
            packages: vec![package],
        };
        Self { folder, cache, debian, lock }
    }

    fn fetch(&self) -> Result<()> {
        let step = Progress::Silent.step("fetch");
        Fetcher::new(&self.debian, PATIENCE).fetch(&self.lock, &self.cache, &step)
    }

    fn package(&self) -> PathBuf {
        self.cache.package(&self.lock.packages[0].sha256)
    }

    /// Names of what lies in the cache's folder of packages.
    fn cached(&self) -> usize {
        fs::read_dir(self.folder.path().join("cache/packages")).unwrap().count()
    }
}

/// A mirror of this kind gives nothing, for a reason that has this in it, and leaves nothing.
fn check(answer: Answer, expected: &str) {
    let ground = Ground::with(mirror(answer), None);
    let error = basalt_explain::explain(&ground.fetch().unwrap_err());
    assert!(error.starts_with("cannot get `stone 1.2-3`:\n  http://127.0.0.1:"), "{error}");
    assert!(error.contains(expected), "{error}");
    assert!(error.contains("\nhint: check the network; "), "{error}");
    assert_eq!(ground.cached(), 0);
}

#[test]
fn a_package_that_the_mirror_dropped_is_named() {
    check(Answer::Gone, "the server answered 404");
}

#[test]
fn a_mirror_that_stalls_is_not_waited_for_forever() {
    check(Answer::Stalls, "timeout");
}

#[test]
fn a_large_package_that_stalls_midway_is_not_waited_for_either() {
    let mut ground = Ground::with(mirror(Answer::StallsMidway), None);
    ground.lock.packages[0].size = LARGE;
    let error = ground.fetch().unwrap_err().to_string();
    assert!(error.contains("cannot get `stone 1.2-3`:") && error.contains("timeout"), "{error}");
    assert_eq!(ground.cached(), 0);
}

#[test]
fn a_mirror_that_fails_is_asked_again_and_then_named() {
    check(Answer::Fails, "503");
}

#[test]
fn another_file_under_the_same_name_is_refused() {
    check(Answer::Gives(b"this is a pAckage"), "another file than the lock says");
    check(Answer::Gives(b"this is a package and more"), "another file than the lock says");
}

#[test]
fn half_a_package_is_none() {
    check(Answer::CutOff(b"this is"), "");
}

#[test]
fn a_mirror_that_is_not_there_is_named() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = format!("http://{}", listener.local_addr().unwrap());
    drop(listener);
    let error = Ground::with(address.clone(), None).fetch().unwrap_err().to_string();
    assert!(error.contains(&address), "{error}");
}

#[test]
fn the_snapshot_mirror_has_what_the_mirror_dropped() {
    let snapshot = mirror(Answer::Gives(BODY));
    let ground = Ground::with(mirror(Answer::Gone), Some(snapshot));
    ground.fetch().unwrap();
    assert_eq!(fs::read(ground.package()).unwrap(), BODY);
}

#[test]
fn when_both_mirrors_dropped_it_both_are_named() {
    let ground = Ground::with(mirror(Answer::Gone), Some(mirror(Answer::Gone)));
    let error = ground.fetch().unwrap_err().to_string();
    assert_eq!(error.matches("the server answered 404").count(), 2, "{error}");
    assert!(error.contains("/20251123T071700Z/pool/main/s/stone"), "{error}");
}

#[test]
fn a_damaged_package_in_the_cache_is_fetched_again() {
    let ground = Ground::with(mirror(Answer::Gives(BODY)), None);
    fs::write(ground.package(), b"this is a pXckage").unwrap();
    ground.fetch().unwrap();
    assert_eq!(fs::read(ground.package()).unwrap(), BODY);
}

#[test]
fn a_full_cache_needs_no_network() {
    let ground = Ground::with("http://127.0.0.1:1".to_owned(), None);
    fs::write(ground.package(), BODY).unwrap();
    ground.fetch().unwrap();
}

#[test]
fn a_cache_that_cannot_be_written_is_named() {
    let ground = Ground::with(mirror(Answer::Gives(BODY)), None);
    let packages = ground.folder.path().join("cache/packages");
    fs::remove_dir(&packages).unwrap();
    let error = basalt_explain::explain(&ground.fetch().unwrap_err());
    assert!(error.starts_with("cannot store `stone` in the cache"), "{error}");
}

#[test]
fn many_packages_are_fetched_side_by_side() {
    let mut ground = Ground::with(mirror(Answer::Gives(BODY)), None);
    let one = ground.lock.packages[0].clone();
    let name = |number| LockedPackage { name: format!("stone-{number}"), ..one.clone() };
    ground.lock.packages = (0..20).map(name).collect();
    let ground = Arc::new(ground);
    ground.fetch().unwrap();
    assert_eq!(ground.cached(), 1);
}

#[test]
fn without_a_network_not_every_package_is_waited_for() {
    let mut ground = Ground::with("http://127.0.0.1:1".to_owned(), None);
    let one = ground.lock.packages[0].clone();
    let other = |number| LockedPackage { sha256: format!("{number:064}"), ..one.clone() };
    ground.lock.packages = (0..200).map(other).collect();
    let error = ground.fetch().unwrap_err().to_string();
    assert!(error.contains(" more packages were not tried\n"), "{error}");
    assert!(error.matches("cannot get").count() < 2 * UNREACHABLE, "{error}");
}

/// snapshot.debian.org keeps each archive below a name of its own, at the time of the lock.
#[test]
fn a_package_comes_from_its_own_archive_and_from_that_ones_snapshot() {
    let snapshot = "http://snapshot/archive/debian/".to_owned();
    let mut ground = Ground::with("http://mirror/debian/".to_owned(), Some(snapshot));
    ground.debian.security_mirror = Some("http://mirror/debian-security".to_owned());
    let mut package = ground.lock.packages[0].clone();
    package.path = "pool/updates/s/stone_1.2+deb13~1_all.deb".to_owned();
    let addresses =
        |package: &LockedPackage, debian: &Debian| addresses(debian, package, ground.lock.resolved);
    let file = "pool/updates/s/stone_1.2%2bdeb13%7e1_all.deb";
    assert_eq!(
        addresses(&package, &ground.debian),
        [
            format!("http://mirror/debian/{file}"),
            format!("http://snapshot/archive/debian/20251123T071700Z/{file}"),
        ]
    );
    package.archive = Archive::Security;
    let security = format!("http://snapshot/archive/debian-security/20251123T071700Z/{file}");
    assert_eq!(
        addresses(&package, &ground.debian),
        [format!("http://mirror/debian-security/{file}"), security.clone()]
    );
    let without = Debian { security_mirror: None, ..ground.debian.clone() };
    assert_eq!(addresses(&package, &without), [security]);
}
