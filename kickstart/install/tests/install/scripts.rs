//! Which scripts run when, what they find, and what follows where one fails.

use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::Path;

use super::ground::{Ground, has_disks, read, said, tool};
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
fn a_post_script_finds_what_a_first_boot_makes_of_var() {
    if !has_disks() {
        return;
    }
    let ground = Ground::new();
    let disk = ground.disk("disk.img", 520, 512);
    let post = "%post --log=/root/ks-post.log --erroronfail\necho said by post\nset -e\n\
                echo x > $HOME/own; echo x > /opt/own; echo x > /srv/own; echo x > /mnt/own\n\
                echo x > /home/own; echo x > /usr/local/bin/own; echo x > /var/tmp/own\n\
                echo changed > /root/.profile\n%end\n";
    ground.install(&(disk.kickstart() + post));
    disk.check();
    let var = ground.taken(&disk, 3, "/");
    for file in ["roothome", "opt", "srv", "mnt", "home", "usrlocal/bin", "tmp"] {
        assert_eq!(read(&var.join(file).join("own")), "x\n");
    }
    assert_eq!(read(&var.join("roothome/ks-post.log")), "said by post\n");
    assert!(!var.join("never").exists());
    let known = |path: &str| {
        let known = fs::symlink_metadata(var.join(path)).expect("it is there");
        (known.permissions().mode() & 0o7777, known.uid(), known.gid())
    };
    assert_eq!(known("roothome"), (0o700, 0, 0));
    let tmp = tool("debugfs").args(["-R", "stat /tmp"]).arg(disk.part(3)).run().expect("debugfs");
    assert!(tmp.stdout_text().contains("Mode:  01777 "), "{}", tmp.stdout_text());
    assert_eq!(known("home"), (0o755, 0, 0));
    // By the names of the host, and not of the installer.
    assert_eq!(known("lib/own"), (0o750, 0, 42));
    assert_eq!(fs::read_link(var.join("run")).expect("a link"), Path::new("/run"));
    // The host's first boot finds it done, and leaves what the script wrote.
    let host = ground.path("tree");
    fs::remove_dir(host.join("var")).expect("it is empty");
    fs::rename(&var, host.join("var")).expect("the same file system");
    fs::rename(host.join("usr/etc"), host.join("etc")).expect("as on a host");
    let boot = tool("systemd-tmpfiles").args(["--create", "--remove", "--boot", "--prefix=/var"]);
    let boot = boot.arg(format!("--root={}", host.display())).output().expect("it runs");
    let text = said(&boot);
    assert!(boot.status.success(), "{text}");
    assert_eq!(read(&host.join("var/roothome/.profile")), "changed\n", "{text}");
    assert_eq!(read(&host.join("var/roothome/ks-post.log")), "said by post\n", "{text}");
}

#[test]
fn a_kept_var_gets_nothing_but_what_scripts_write() {
    if !has_disks() {
        return;
    }
    let ground = Ground::new();
    let disk = ground.disk("disk.img", 520, 512);
    ground.install(&disk.kickstart());
    // A log that cannot be kept ends nothing, unless the script says so.
    let post =
        |more: &str| format!("%post --log=/root/ks-post.log{more}\necho said by post\n%end\n");
    let said = ground.install(&(disk.keeping_var() + &post("")));
    assert!(said.contains("said by post"), "{said}");
    assert!(said.contains("warning: a script has no log: cannot write the script's log"), "{said}");
    disk.check();
    let var = ground.taken(&disk, 3, "/");
    assert!(!var.join("roothome").exists() && !var.join("opt").exists());
    let said = ground.refused(&(disk.keeping_var() + &post(" --erroronfail")));
    assert!(said.contains("a script has no log, and says that this ends all"), "{said}");
}

#[test]
fn what_is_kept_below_a_new_var_stays_as_it_is() {
    if !has_disks() {
        return;
    }
    let ground = Ground::new();
    let disk = ground.disk("disk.img", 520, 512);
    let name = &disk.name;
    let kickstart = |parts: &str, containers: &str| {
        format!(
            "{parts}part /boot/efi --fstype=efi --size=64 --ondisk={name}\n\
             part / --size=320 --ondisk={name}\npart /var --size=64 --ondisk={name}\n\
             part /var/lib/containers {containers}\n%post\necho x > /opt/own\n%end\n"
        )
    };
    let anew = format!("zerombr\nclearpart --all --initlabel --drives={name}\n");
    ground.install(&kickstart(&anew, &format!("--size=32 --ondisk={name}")));
    let containers = |device: String| {
        let stat = tool("debugfs").args(["-R", "stat /"]).arg(device).run().expect("debugfs");
        stat.stdout_text()
    };
    // It was new, too, and is what a first boot makes of it.
    assert!(containers(disk.part(4)).contains("Mode:  0711 "), "{}", containers(disk.part(4)));
    let mode = tool("debugfs").args(["-w", "-R", "set_inode_field / mode 040750"]);
    mode.arg(disk.part(4)).run().expect("debugfs");
    let again = format!("clearpart --list={name}p1,{name}p2,{name}p3\n");
    ground.install(&kickstart(&again, &format!("--onpart={name}p4 --noformat")));
    assert!(containers(disk.part(4)).contains("Mode:  0750 "), "{}", containers(disk.part(4)));
    assert_eq!(read(&ground.taken(&disk, 3, "/opt").join("own")), "x\n");
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
