//! apt against an archive on this machine, signed by a key of the test's own.

use std::io::{BufRead, BufReader, Write};
use std::net::{TcpListener, TcpStream};
use std::thread;
use std::time::Instant;

use sha2::{Digest, Sha256};
use tempfile::TempDir;

use super::*;
use crate::cache::CachePaths;
use crate::progress::Progress;

/// The least that apt knows.
const PATIENCE: Duration = Duration::from_secs(1);
const PACKAGES: &str = "\
Package: rock
Version: 1:2.0-1
Architecture: amd64
Essential: yes
Maintainer: m
Filename: pool/main/r/rock_2.0-1_amd64.deb
Size: 11
SHA256: aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa

Package: stone
Version: 1.2-3
Architecture: all
Depends: rock
Recommends: pebble
Maintainer: m
Filename: pool/main/s/stone_1.2-3_all.deb
Size: 7
SHA256: bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb
";

/// What the mirror does.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Mirror {
    Works,
    Has404s,
    Stalls,
}

/// A cache, a definition, and what the mirror gives out.
struct Ground {
    folder: TempDir,
    cache: Cache,
    definition: Definition,
}

impl Ground {
    fn new(mirror: Mirror, packages: &[&str]) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let cache =
            Cache::open(&CachePaths::new(folder.path().join("cache")), Progress::Silent).unwrap();
        let mut definition = crate::definition::example();
        definition.packages = packages.iter().map(ToString::to_string).collect();
        definition.debian.keyring = folder.path().join("keyring.gpg");
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        definition.debian.mirror = format!("http://{}/debian", listener.local_addr().unwrap());
        let ground = Self { folder, cache, definition };
        let release = ground.sign();
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let release = release.clone();
                thread::spawn(move || reply(stream, mirror, &release));
            }
        });
        ground
    }

    /// Makes the keyring; the `InRelease` that it verifies.
    fn sign(&self) -> Vec<u8> {
        let home = self.folder.path().join("gpg");
        fs::create_dir(&home).unwrap();
        fs::set_permissions(&home, std::os::unix::fs::PermissionsExt::from_mode(0o700)).unwrap();
        let gpg = || Cmd::new("gpg").args(["--batch", "--quiet", "--homedir"]).arg(&home);
        let key = ["--passphrase", "", "--pinentry-mode", "loopback", "--quick-generate-key"];
        gpg().args(key).args(["archive", "ed25519", "sign", "never"]).run().unwrap();
        let public = gpg().arg("--export").run().unwrap().stdout;
        fs::write(&self.definition.debian.keyring, public).unwrap();
        let hash = hex::encode(Sha256::digest(PACKAGES));
        let release = format!(
            "Suite: trixie\nCodename: trixie\nArchitectures: amd64\nComponents: main\n\
             Date: Thu, 01 Jan 2026 00:00:00 UTC\nSHA256:\n {hash} {} main/binary-amd64/Packages\n",
            PACKAGES.len()
        );
        let signed = gpg().arg("--clearsign").stdin(release).run().unwrap().stdout;
        Cmd::new("gpgconf").arg("--homedir").arg(&home).args(["--kill", "all"]).run().unwrap();
        signed
    }

    fn resolve(&self) -> Result<Lock> {
        resolve(&self.definition, &self.cache, 7, PATIENCE, &Progress::Silent.step("lock"))
    }

    fn refused(&self) -> String {
        basalt_explain::explain(&self.resolve().unwrap_err())
    }
}

fn reply(mut stream: TcpStream, mirror: Mirror, release: &[u8]) {
    let mut lines = BufReader::new(stream.try_clone().unwrap()).lines();
    while let Some(Ok(request)) = lines.next() {
        let _ = lines.by_ref().map_while(Result::ok).find(String::is_empty);
        let path = request.split(' ').nth(1).unwrap_or_default();
        let body = match path.rsplit('/').next() {
            _ if mirror == Mirror::Stalls => return thread::sleep(60 * PATIENCE),
            _ if mirror == Mirror::Has404s => None,
            Some("InRelease") => Some(release),
            Some("Packages") => Some(PACKAGES.as_bytes()),
            _ => None,
        };
        let (status, body) = body.map_or(("404 Not Found", &b""[..]), |body| ("200 OK", body));
        let head = format!("HTTP/1.1 {status}\r\ncontent-length: {}\r\n\r\n", body.len());
        if stream.write_all(head.as_bytes()).and_then(|()| stream.write_all(body)).is_err() {
            return;
        }
    }
}

#[test]
fn a_package_comes_with_what_it_depends_on_and_what_is_essential() {
    let lock = Ground::new(Mirror::Works, &["stone"]).resolve().unwrap();
    let versions =
        lock.packages.iter().map(|package| format!("{} {}", package.name, package.version));
    assert_eq!(versions.collect::<Vec<_>>(), ["rock 1:2.0-1", "stone 1.2-3"]);
    assert_eq!(lock.packages[1].path, "pool/main/s/stone_1.2-3_all.deb");
    assert_eq!((lock.packages[1].size, lock.resolved), (7, 7));
}

#[test]
fn a_package_that_does_not_exist_is_named_with_the_nearest_one() {
    let said = Ground::new(Mirror::Works, &["stnoe"]).refused();
    assert_eq!(said, "the package `stnoe` does not exist in trixie\nhint: did you mean `stone`?");
}

#[test]
fn a_mirror_without_lists_is_named() {
    let ground = Ground::new(Mirror::Has404s, &["stone"]);
    let said = ground.refused();
    let mirror = &ground.definition.debian.mirror;
    assert!(said.starts_with(&format!("cannot read the package lists of `{mirror}`: ")), "{said}");
    assert!(
        said.contains("does not have a Release file") && said.contains("hint: check the network"),
        "{said}"
    );
}

#[test]
fn a_mirror_that_stalls_is_given_up() {
    let began = Instant::now();
    let said = Ground::new(Mirror::Stalls, &["stone"]).refused();
    assert!(said.contains("hint: check the network"), "{said}");
    assert!(began.elapsed() < 40 * PATIENCE, "{:?}", began.elapsed());
}

#[test]
fn lists_that_another_key_signed_are_refused() {
    let ground = Ground::new(Mirror::Works, &["stone"]);
    let other = Ground::new(Mirror::Works, &["stone"]);
    fs::copy(&other.definition.debian.keyring, &ground.definition.debian.keyring).unwrap();
    let said = ground.refused();
    assert!(said.contains("NO_PUBKEY") || said.contains("not signed"), "{said}");
}
