//! Where the kickstart comes from.

use std::fs;
use std::io::{BufRead, BufReader};
use std::path::Path;

use basalt_cmd::{Cmd, Running};
use basalt_deploy::{CommitRequest, Repo};
use basalt_release::{FORM, Manifest, SecretKey, seal};

use super::ground::{Ground, MIB, REF, alone_with_volumes, has_disks, said, tool};

#[test]
fn a_kickstart_on_the_volume_oemdrv_is_found_and_what_lies_beside_it() {
    if !has_disks() {
        return;
    }
    let _alone = alone_with_volumes();
    let ground = Ground::new();
    let disk = ground.disk("disk.img", 520, 512);
    let stick = ground.disk("stick.img", 520, 512);
    let folder = ground.path("on-the-stick");
    fs::create_dir(&folder).expect("a folder");
    fs::write(folder.join("ks.cfg"), disk.kickstart() + "%include name.ks\n").expect("a file");
    fs::write(folder.join("name.ks"), "network --hostname=beside.example\n").expect("a file");
    let device = format!("/dev/{}", stick.name);
    let mke2fs = tool("mke2fs").args(["-q", "-t", "ext4", "-L", "OEMDRV", "-d"]).arg(&folder);
    mke2fs.arg(&device).run().expect("a file system");
    let output = ground.program_of(&ground.path("repo")).output().expect("it runs");
    let text = said(&output);
    assert!(output.status.success(), "{text}");
    assert!(text.contains("/ks.cfg, by the volume `OEMDRV`"), "{text}");
    let hostname = ground.etc(&disk).join("hostname");
    assert_eq!(super::ground::read(&hostname), "beside.example\n");
    // What the kickstart lies on is in use, and stays what it is.
    let on_itself = disk.kickstart().replace(&disk.name, &stick.name);
    fs::write(folder.join("ks.cfg"), on_itself).expect("a file");
    let again = tool("mke2fs").args(["-q", "-F", "-t", "ext4", "-L", "OEMDRV", "-d"]);
    again.arg(&folder).arg(&device).run().expect("a file system");
    let output = ground.program_of(&ground.path("repo")).output().expect("it runs");
    let text = said(&output);
    assert!(text.contains("it is in use") && text.contains("nothing was changed"), "{text}");
}

#[test]
fn a_credential_is_a_kickstart_where_nothing_else_is() {
    if !has_disks() {
        return;
    }
    let _alone = alone_with_volumes();
    let ground = Ground::new();
    let folder = ground.path("credentials");
    fs::create_dir(&folder).expect("a folder");
    let program = || ground.program_of(&ground.path("repo")).env("CREDENTIALS_DIRECTORY", &folder);
    let none = said(&program().arg("--dry-run").output().expect("it runs"));
    assert!(none.contains("there is no kickstart"), "{none}");
    fs::write(folder.join("basalt.kickstart"), "autopar\n").expect("a file");
    let text = said(&program().arg("--dry-run").output().expect("it runs"));
    assert!(text.contains("by the credential `basalt.kickstart`"), "{text}");
    assert!(text.contains("unknown command `autopar`"), "{text}");
}

/// A web server.
struct Server {
    _running: Running,
    port: String,
}

impl Server {
    fn of(folder: &Path) -> Self {
        let python = Cmd::new("python3").args(["-u", "-m", "http.server"]);
        Self::by(python.args(["--bind", "127.0.0.1", "0"]), folder)
    }

    /// One that says `port` and which.
    fn by(cmd: Cmd, folder: &Path) -> Self {
        let null = std::process::Stdio::null;
        let piped = std::process::Stdio::piped();
        let running = cmd.current_dir(folder).spawn(null(), piped, null());
        let mut running = running.expect("a server");
        let stdout = running.child().stdout.take().expect("its stdout");
        let mut line = String::new();
        BufReader::new(stdout).read_line(&mut line).expect("a line");
        let port = line.split_whitespace().skip_while(|word| *word != "port").nth(1);
        Self { port: port.expect("a port").to_owned(), _running: running }
    }

    fn url(&self, path: &str) -> String {
        format!("http://127.0.0.1:{}/{path}", self.port)
    }
}

/// An archive with one release that the installer does not carry, and the keys that vouch for it.
fn archive(ground: &Ground) -> String {
    let key = super::refusals::key(ground, "trusted");
    let (manifests, _) = SecretKey::create().expect("a key");
    fs::copy(ground.path("trusted.asc"), ground.path("keys/trusted.asc")).expect("a copy");
    fs::write(ground.path("keys/trusted.pem"), manifests.public().to_pem()).expect("a file");
    fs::write(ground.path("tree/usr/etc/motd"), "from the archive\n").expect("a file");
    let work = Repo::open_or_create(&ground.path("work")).expect("a repository");
    let request = CommitRequest {
        ref_name: REF,
        time: 2,
        version: Some("2"),
        build_id: None,
        key: Some(&key),
    };
    let commit = work.commit(&ground.path("tree"), &request).expect("a commit");
    let archive = Repo::open_or_create_archive(&ground.path("archive")).expect("an archive");
    archive.pull_local(&work, &commit).expect("the commit");
    archive.set_ref(REF, &commit).expect("a ref");
    archive.summarize(&key).expect("a summary");
    let manifest = serde_json::json!({
        "form": FORM, "name": "base", "ref": REF, "version": "2", "commit": commit, "sequence": 1,
        "published": "2026-11-24T12:00:00Z", "expires": "9000-01-01T00:00:00Z",
        "tree_bytes": 4 * MIB, "boot_bytes": 4 * MIB, "download_bytes": 4 * MIB,
    });
    let manifest = Manifest::parse(manifest.to_string().as_bytes()).expect("a manifest");
    let sealed = seal(&manifest, &[manifests]).expect("a signed manifest");
    fs::create_dir(ground.path("archive/releases")).expect("a folder");
    fs::write(ground.path("archive/releases/base.json"), sealed).expect("a file");
    commit
}

#[test]
fn a_system_that_the_installer_does_not_carry_comes_from_an_archive() {
    if !has_disks() {
        return;
    }
    let mut ground = Ground::new();
    let disk = ground.disk("disk.img", 520, 512);
    let before = super::refusals::Copy::of(&disk);
    let commit = archive(&ground);
    let server = Server::of(ground.dir.path());
    let setup = |path: &str| {
        let url = server.url(path);
        disk.kickstart() + &format!("ostreesetup --osname=basalt --url={url} --ref={REF}\n")
    };
    let text = ground.refused(&setup("nothing"));
    assert!(text.contains("/nothing/releases/base.json") && text.contains("404"), "{text}");
    let text = ground.refused(&(setup("archive") + "timezone Mars/Olympus --utc\n"));
    assert!(text.contains("Mars/Olympus"), "{text}");
    before.check(&disk);
    // What is in a folder is known without what is in its files.
    let operator = "user --name=operator --shell=/usr/bin/sh\n";
    let text = ground.install(&(setup("archive") + operator));
    assert!(text.contains(&format!("from {}", server.url("archive"))), "{text}");
    ground.commit = commit;
    disk.check();
    let etc = ground.etc(&disk);
    assert_eq!(super::ground::read(&etc.join("motd")), "from the archive\n");
    assert!(super::ground::read(&etc.join("passwd")).contains("operator:"));
    let config = super::ground::read(&etc.join("basalt/hostd.toml.d/50-kickstart.toml"));
    assert!(config.ends_with(&format!("url = \"{}\"\n", server.url("archive"))), "{config}");
    // Somebody else's is none.
    let (others, _) = SecretKey::create().expect("a key");
    fs::write(ground.path("keys/trusted.pem"), others.public().to_pem()).expect("a file");
    let text = ground.refused(&setup("archive"));
    assert!(text.contains("no trusted key signed the release manifest"), "{text}");
}

#[test]
fn a_kickstart_comes_from_a_web_server() {
    if !has_disks() {
        return;
    }
    let ground = Ground::new();
    let disk = ground.disk("disk.img", 520, 512);
    fs::write(ground.path("web.ks"), disk.kickstart()).expect("a file");
    let server = Server::of(ground.dir.path());
    let url = server.url("web.ks");
    let program = ground.program_of(&ground.path("repo")).args(["--dry-run", "--kickstart", &url]);
    let text = said(&program.output().expect("it runs"));
    assert!(text.contains(&format!("kickstart: {url}, by `--kickstart`")), "{text}");
    assert!(text.contains("from now on the disk boots"), "{text}");
}

/// Serves the folder that it runs in by the certificate `tls.pem`.
const HTTPS: &str = "import http.server, ssl
server = http.server.HTTPServer(('127.0.0.1', 0), http.server.SimpleHTTPRequestHandler)
context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
context.load_cert_chain('tls.pem', 'tls.key')
server.socket = context.wrap_socket(server.socket, server_side=True)
print('port', server.server_port, flush=True)
server.serve_forever()";
/// Runs a program where `tls.pem` is the one certificate that the system knows.
const KNOWN: &str = "mount --bind tls.pem /etc/ssl/certs/ca-certificates.crt && exec \"$@\"";

#[test]
fn a_kickstart_by_https_comes_from_a_server_that_the_system_knows() {
    if !has_disks() {
        return;
    }
    let ground = Ground::new();
    let disk = ground.disk("disk.img", 520, 512);
    fs::write(ground.path("web.ks"), disk.kickstart()).expect("a file");
    let request = ["req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1"];
    let openssl = Cmd::new("openssl").args(request).args(["-noenc", "-days", "2"]);
    let openssl = openssl.args(["-subj", "/CN=web", "-addext", "subjectAltName=IP:127.0.0.1"]);
    let openssl = openssl.args(["-addext", "basicConstraints=critical,CA:FALSE"]);
    let openssl = openssl.args(["-keyout", "tls.key", "-out", "tls.pem"]);
    openssl.current_dir(ground.dir.path()).run().expect("a certificate");
    let server = Server::by(Cmd::new("python3").args(["-c", HTTPS]), ground.dir.path());
    let url = server.url("web.ks").replace("http:", "https:");
    let program = || {
        let program = ground.program_of(&ground.path("repo"));
        program.args(["--dry-run", "--kickstart", &url]).current_dir(ground.dir.path())
    };
    let text = said(&program().output().expect("it runs"));
    assert!(text.contains(&format!("cannot get `{url}`")), "{text}");
    assert!(text.contains("certificate") && text.contains("nothing was changed"), "{text}");
    let known = program().behind(["unshare", "--mount", "sh", "-c", KNOWN, "sh"]);
    let text = said(&known.output().expect("it runs"));
    assert!(text.contains("from now on the disk boots"), "{text}");
}

#[test]
fn who_sits_at_a_terminal_is_asked_and_nothing_goes_without_its_name() {
    if !has_disks() {
        return;
    }
    let ground = Ground::new();
    let disk = ground.disk("disk.img", 8192, 512);
    let before = super::refusals::Copy::of(&disk);
    let asked = |last: &str| {
        let program = ground.program_of(&ground.path("repo")).args(["--ask", "--stay"]);
        let typed = format!("{}\nasked.example\n\n{last}\n", disk.name);
        program.stdin(typed).output().expect("it runs")
    };
    let output = asked("yes");
    let text = said(&output);
    assert!(!output.status.success() && text.contains("it was not confirmed"), "{text}");
    before.check(&disk);
    let output = asked(&disk.name);
    let text = said(&output);
    assert!(output.status.success(), "{text}");
    disk.check();
    assert_eq!(super::ground::read(&ground.etc(&disk).join("hostname")), "asked.example\n");
}
