//! What is refused before the first write leaves the disk as it was.

use std::fs::{self, File};
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use basalt_cmd::Cmd;
use basalt_deploy::SigningKey;
use rustix::fs::{FlockOperation, flock};

use super::ground::{Disk, Ground, has_disks, tool};

/// How long another test may take.
const PATIENCE: Duration = Duration::from_secs(60);

/// A disk as it was.
pub(crate) struct Copy(PathBuf);

impl Copy {
    pub(crate) fn of(disk: &Disk) -> Self {
        let to = disk.file.with_extension("copy");
        let copy = Cmd::new("cp").args(["--sparse=always", "-f"]).arg(&disk.file).arg(&to);
        copy.run().expect("a copy");
        Self(to)
    }

    pub(crate) fn check(&self, disk: &Disk) {
        let cmp = Cmd::new("cmp").arg(&self.0).arg(&disk.file).output().expect("cmp");
        assert!(cmp.status.success(), "the disk changed: {}", cmp.stdout_text());
    }
}

/// A key to sign with, whose public part is the file `NAME.asc`.
pub(crate) fn key(ground: &Ground, name: &str) -> SigningKey {
    let home = ground.path(name);
    fs::create_dir(&home).expect("a folder");
    fs::set_permissions(&home, fs::Permissions::from_mode(0o700)).expect("a mode");
    let gpg = |args: &[&str]| {
        let gpg = Cmd::new("gpg").arg("--homedir").arg(&home);
        let gpg = gpg.args(["--batch", "--quiet", "--passphrase", ""]).args(args);
        gpg.run().expect("gpg").stdout_text()
    };
    gpg(&["--quick-generate-key", name, "ed25519", "sign", "never"]);
    let listed = gpg(&["--list-keys", "--with-colons"]);
    let fingerprint = listed.lines().find(|line| line.starts_with("fpr:")).expect("a key");
    let fingerprint = fingerprint.split(':').nth(9).expect("a fingerprint").to_owned();
    fs::write(ground.path(&format!("{name}.asc")), gpg(&["--armor", "--export"])).expect("a file");
    SigningKey { home, fingerprint }
}

#[test]
fn what_cannot_be_carried_out_leaves_the_disk_as_it_was() {
    if !has_disks() {
        return;
    }
    let ground = Ground::new();
    let disk = ground.disk("disk.img", 520, 512);
    ground.install(&disk.kickstart());
    let before = Copy::of(&disk);
    let good = disk.kickstart();
    for (kickstart, expected) in [
        (good.replace(&disk.name, "loop4711"), "must mean exactly one disk, and no disk matches"),
        (good.replace("/ --size=320", "/ --size=3200"), "there is no room for `/`"),
        (good.replace("/ --size=320", "/ --size=32"), "are too few for `/`"),
        (good.replace("zerombr", "zeromb"), "unknown command `zeromb`"),
        (good.clone() + "repo --name=x --baseurl=http://x\n", "no packages are installed"),
        (good.clone() + "user --name=me --groups=nobody\n", "there is no group `nobody`"),
        (good.clone() + "timezone Europe/Paris\n", "does not know the time zone `Europe/Paris`"),
        (good.clone() + "services --enabled=nothing\n", "has no unit `nothing.service`"),
        (
            good.clone()
                + "%addon basalt\nendpoint = https://x\nca-sha256 = "
                + &"ab".repeat(32)
                + "\ntoken-file = /nowhere/token\n%end\n",
            "cannot read the token `/nowhere/token`",
        ),
        (
            good.clone() + "%post --interpreter=/usr/bin/python3 --erroronfail\npass\n%end\n",
            "the image has no `/usr/bin/python3`, which is to run this script",
        ),
    ] {
        let said = ground.refused(&kickstart);
        assert!(said.contains(expected), "no `{expected}` in {said}");
        assert!(said.ends_with("nothing was changed\n"), "{said}");
        before.check(&disk);
    }
    // What a script has yet to write.
    let said = ground.refused(&(good.clone() + "%include /nowhere/x.ks\n%pre\ntrue\n%end\n"));
    assert!(said.contains("`/nowhere/x.ks`, which the kickstart includes, is not there"), "{said}");
    assert!(said.ends_with("nothing was changed but by the scripts of `%pre`\n"), "{said}");
    before.check(&disk);
    // All of it at once.
    let said = ground
        .refused(&(good.replace("/ --size=320", "/ --size=32") + "services --enabled=nothing\n"));
    assert!(
        said.contains("too few for `/`") && said.contains("no unit `nothing.service`"),
        "{said}"
    );
    before.check(&disk);
}

#[test]
fn a_disk_in_use_is_refused_untouched() {
    if !has_disks() {
        return;
    }
    let ground = Ground::new();
    let disk = ground.disk("disk.img", 520, 512);
    ground.install(&disk.kickstart());
    let before = Copy::of(&disk);
    let locked = File::open(format!("/dev/{}", disk.name)).expect("the disk");
    flock(&locked, FlockOperation::LockExclusive).expect("a lock");
    let said = ground.refused(&disk.kickstart());
    assert!(said.contains("somebody else is writing to it"), "{said}");
    before.check(&disk);
    drop(locked);
    let at = ground.path("mounted");
    fs::create_dir(&at).expect("a folder");
    tool("mount").args(["-o", "ro,noload"]).arg(disk.part(3)).arg(&at).run().expect("a mount");
    let said = ground.refused(&disk.kickstart());
    tool("umount").arg(&at).run().expect("no mount");
    assert!(said.contains("is in use: it is mounted at"), "{said}");
    before.check(&disk);
    // Who has a mount namespace of another test may have had it mounted, too, for a moment.
    let began = Instant::now();
    while !ground.program(&disk.kickstart()).output().expect("it runs").status.success() {
        assert!(began.elapsed() < PATIENCE, "it is free, and is still refused");
    }
}

#[test]
fn a_system_that_no_trusted_key_signed_or_that_is_missing_is_refused() {
    if !has_disks() {
        return;
    }
    let mut ground = Ground::new();
    let disk = ground.disk("disk.img", 520, 512);
    let before = Copy::of(&disk);
    let [own, other] = ["own", "other"].map(|name| key(&ground, name));
    fs::copy(ground.path("own.asc"), ground.path("keys/own.asc")).expect("a copy");
    let said = ground.refused(&disk.kickstart());
    assert!(said.contains("no key that this system trusts has signed the commit"), "{said}");
    ground.commit_by(Some(&other));
    let said = ground.refused(&disk.kickstart());
    assert!(said.contains("no key that this system trusts has signed the commit"), "{said}");
    let file = ground.path("host.ks");
    let program = ground.program_of("/nowhere".as_ref()).arg("--kickstart").arg(file);
    let nowhere = program.output();
    let nowhere = super::ground::said(&nowhere.expect("it runs"));
    assert!(nowhere.contains("cannot install from the repository `/nowhere`"), "{nowhere}");
    before.check(&disk);
    ground.commit = ground.commit_by(Some(&own));
    let said = ground.install(&disk.kickstart());
    assert!(said.contains("signed by a key that the installer trusts"), "{said}");
    let objects = ground.path("repo/objects").join(&ground.commit[..2]);
    let object = objects.join(format!("{}.commit", &ground.commit[2..]));
    fs::remove_file(object).expect("the commit goes");
    let whole = Copy::of(&disk);
    let said = ground.refused(&disk.kickstart());
    assert!(said.contains("it lacks the commit") || said.contains("cannot install"), "{said}");
    whole.check(&disk);
}
