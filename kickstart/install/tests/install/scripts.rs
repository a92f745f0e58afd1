//! Which scripts run when, what they find, and what follows where one fails.

use std::fs;
use std::path::Path;

use super::ground::{Ground, has_disks, read, tool};
use super::refusals::Copy;

/// A script that leaves a file, and what that is.
fn leaves(kind: &str, file: &Path) -> String {
    format!("{kind}\necho ran >> {}\n%end\n", file.display())
}

#[test]
fn no_script_runs_while_the_kickstart_is_known_to_be_bad() {
    if !has_disks() {
        return;
    }
    let ground = Ground::new();
    let disk = ground.disk("disk.img", 520, 512);
    let before = Copy::of(&disk);
    let (ran, included) = (ground.path("ran"), ground.path("written.ks"));
    let wipes = format!(
        "%include {}\n%pre\necho wiped > /dev/{}\necho ran > {}\n\
         echo 'network --hostname=x' > {}\n%end\n",
        included.display(),
        disk.name,
        ran.display(),
        included.display()
    );
    let onerror = leaves("%onerror", &ran);
    for (wrong, expected) in [
        ("zeromb\n", "unknown command `zeromb`"),
        ("sshkey --username=me\n", "sshkey"),
        ("%post --interpreter=sh\necho\n%end\n", "takes a whole path"),
        ("%pre --interpreter=/nowhere/python\npass\n%end\n", "has no `/nowhere/python`"),
    ] {
        let said = ground.refused(&(disk.kickstart() + wrong + &wipes + &onerror));
        assert!(said.contains(expected), "no `{expected}` in {said}");
        assert!(said.ends_with("\nnothing was changed\n"), "{said}");
        assert!(!ran.exists(), "a script ran: {said}");
        before.check(&disk);
    }
}

#[test]
fn what_a_pre_script_wrote_is_checked_once_it_did() {
    if !has_disks() {
        return;
    }
    let ground = Ground::new();
    let disk = ground.disk("disk.img", 520, 512);
    let before = Copy::of(&disk);
    let (ran, included) = (ground.path("ran"), ground.path("written.ks"));
    // What is there is of a run before, and the script writes it anew.
    fs::write(&included, "autopar\n").expect("a file");
    let with = |line: &str| {
        format!(
            "%include {at}\nsshkey --username=me \"ssh-ed25519 AAAA\"\n\
             %pre\necho '{line}' > {at}\n%end\n{onerror}{kickstart}",
            at = included.display(),
            onerror = leaves("%onerror", &ran),
            kickstart = disk.kickstart()
        )
    };
    let said = ground.refused(&with("zeromb"));
    assert!(said.contains("unknown command `zeromb`"), "{said}");
    assert!(said.ends_with("nothing was changed but by the scripts of `%pre`\n"), "{said}");
    assert_eq!(read(&ran), "ran\n");
    before.check(&disk);
    ground.install(&with("user --name=me --shell=/bin/sh"));
    assert!(read(&ground.etc(&disk).join("passwd")).contains("me:"));
    assert_eq!(read(&ran), "ran\n", "an installation that is whole has no error");
}

#[test]
fn a_disk_is_looked_at_again_after_a_pre_script() {
    if !has_disks() {
        return;
    }
    let ground = Ground::new();
    let disk = ground.disk("disk.img", 520, 512);
    // Without `clearpart` the disk needs a table, which only the script makes.
    let kickstart = disk.kickstart().replace("zerombr\nclearpart --all --initlabel", "ignoredisk");
    let kickstart = kickstart.replace("--drives=", "--only-use=");
    let said = ground.refused(&kickstart);
    assert!(said.contains("has no partition table"), "{said}");
    let table = format!(
        "%pre --erroronfail\nPATH=$PATH:/usr/sbin sgdisk --new=4:400M:+8M --change-name=4:stays \
         /dev/{}\n%end\n",
        disk.name
    );
    ground.install(&(kickstart + &table));
    disk.check();
    let stays = tool("sgdisk").args(["-i", "4"]).arg(format!("/dev/{}", disk.name));
    assert!(stays.run().expect("sgdisk").stdout_text().contains("'stays'"));
}

#[test]
fn scripts_of_onerror_run_whenever_an_installation_fails_after_its_kickstart_was_read() {
    if !has_disks() {
        return;
    }
    let ground = Ground::new();
    let disk = ground.disk("disk.img", 520, 512);
    let before = Copy::of(&disk);
    let ran = ground.path("ran");
    let onerror = leaves("%onerror", &ran) + "%onerror --erroronfail\nexit 3\n%end\n";
    let with = |more: &str| disk.kickstart() + &leaves("%onerror", &ran) + &onerror + more;
    let times = || fs::read_to_string(&ran).unwrap_or_default().lines().count();
    let dry = ground.program(&with("timezone Europe/Paris\n")).arg("--dry-run");
    assert_eq!(dry.output().expect("it runs").status.code(), Some(1));
    assert_eq!(times(), 0, "a dry run runs no script");
    let mut expected = 0;
    for (more, error) in [
        ("timezone Europe/Paris\n", "does not know the time zone `Europe/Paris`"),
        ("%pre --erroronfail\nexit 3\n%end\n", "a script failed, and says that this ends all"),
    ] {
        let said = ground.refused(&with(more));
        expected += 2;
        assert_eq!(times(), expected, "{said}");
        let (told, after) = said.split_once("error: ").expect("an error");
        assert!(after.contains(error), "no `{error}` in {said}");
        assert!(!told.contains("for the installation failed"), "{said}");
        assert!(after.contains("\nnothing was changed"), "{said}");
        before.check(&disk);
    }
    let said = ground.refused(&with("%post --erroronfail\nexit 7\n%end\n"));
    assert_eq!(times(), expected + 2, "{said}");
    assert!(!disk.boots(), "it boots although a script failed");
}
