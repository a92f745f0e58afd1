//! What the host is told is there, as it was asked for.

use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt};

use super::ground::{Ground, has_disks, read};

const KEY: &str =
    "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIEexampleexampleexampleexampleexampleexample";

#[test]
fn the_host_is_told_what_the_kickstart_says() {
    if !has_disks() {
        return;
    }
    let ground = Ground::new();
    let disk = ground.disk("disk.img", 520, 512);
    let more = format!(
        "network --hostname=rack4-17.example\n\
         network --device=ens1 --bootproto=static --ip=192.0.2.17 --netmask=255.255.255.0 --noipv6\n\
         timezone Europe/Berlin --utc\nsshkey --username=root \"{KEY} ops\"\n\
         user --name=me --uid=1234 --password=$6$abc$def --iscrypted --shell=/bin/sh\n\
         sshkey --username=me \"{KEY} me\"\nservices --enabled=own --disabled=other\n\
         firewall --enabled --port=8080:tcp\n"
    );
    ground.install(&(disk.kickstart() + &more));
    disk.check();
    let etc = ground.etc(&disk);
    assert_eq!(read(&etc.join("hostname")), "rack4-17.example\n");
    let zone = fs::read_link(etc.join("localtime")).expect("a link");
    assert_eq!(zone.to_str(), Some("../usr/share/zoneinfo/Europe/Berlin"));
    let card = read(&etc.join("systemd/network/50-kickstart-ens1.network"));
    assert!(card.contains("Address=192.0.2.17/24\n"), "{card}");
    assert!(read(&etc.join("passwd")).ends_with("me:x:1234:1234::/var/home/me:/bin/sh\n"));
    let shadow = etc.join("shadow");
    assert!(read(&shadow).ends_with("me:$6$abc$def::0:99999:7:::\n"));
    let known = fs::metadata(&shadow).expect("a file");
    assert_eq!((known.permissions().mode() & 0o7777, known.gid()), (0o640, 42));
    let rules = read(&etc.join("nftables.d/50-kickstart.nft"));
    assert!(rules.contains("open_tcp { 8080 }"), "{rules}");
    let wants = etc.join("systemd/system/multi-user.target.wants");
    assert!(wants.join("own.service").is_symlink() && !wants.join("other.service").is_symlink());
    let preset = read(&etc.join("systemd/system-preset/00-a-kickstart.preset"));
    assert!(preset.contains("enable own.service\ndisable other.service\n"), "{preset}");
    let keys = ground.taken(&disk, 3, "/roothome").join(".ssh/authorized_keys");
    assert_eq!(read(&keys), format!("{KEY} ops\n"));
    let home = ground.taken(&disk, 3, "/home").join("me");
    let known = fs::metadata(&home).expect("a home");
    assert_eq!((known.uid(), known.gid(), known.mode() & 0o7777), (1234, 1234, 0o700));
    assert_eq!(fs::metadata(home.join(".ssh/authorized_keys")).expect("a file").uid(), 1234);
}

#[test]
fn scripts_run_where_and_when_the_kickstart_says() {
    if !has_disks() {
        return;
    }
    let ground = Ground::new();
    let disk = ground.disk("disk.img", 520, 512);
    let included = ground.path("more.ks");
    let more = format!(
        "%include {included}\n\
         %pre\necho 'network --hostname=from-pre' > {included}\n%end\n\
         %post --log=/var/log/post.log\n\
         echo inside > /etc/inside; echo data > /var/inside; echo said by post\n\
         echo x > /usr/lib/os-release || echo usr is protected\n%end\n\
         %post --nochroot --interpreter=/bin/bash\n\
         [[ -e /mnt/sysroot/usr/lib/os-release ]] && echo outside > /mnt/sysroot/etc/outside\n%end\n\
         %post\nexit 7\n%end\n",
        included = included.display()
    );
    let said = ground.install(&(disk.kickstart() + &more));
    disk.check();
    assert!(said.contains("said by post") && said.contains("usr is protected"), "{said}");
    assert!(said.contains("warning: a script failed"), "{said}");
    let etc = ground.etc(&disk);
    assert_eq!(read(&etc.join("hostname")), "from-pre\n");
    assert_eq!(read(&etc.join("inside")), "inside\n");
    assert_eq!(read(&etc.join("outside")), "outside\n");
    assert_eq!(read(&ground.taken(&disk, 3, "/inside")), "data\n");
    let log = ground.taken(&disk, 3, "/log");
    // What it says on stdout and on stderr comes in either order.
    assert!(read(&log.join("post.log")).contains("said by post\n"));
    assert!(read(&log.join("basalt-install.log")).contains("said by post"));
    // Nothing of the installer's own was changed, and what fails may end all.
    let failing = disk.kickstart() + "%post --erroronfail\nexit 7\n%end\n";
    let said = ground.refused(&failing);
    assert!(said.contains("a script failed, and says that this ends all"), "{said}");
    assert!(!disk.boots(), "it boots although a script failed");
}
