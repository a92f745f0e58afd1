//! What only the whole file shows.

use super::{check, read, said};

fn check_all(text: &str, expected: &[&str]) {
    assert_eq!(said(&read(text)), expected, "{text}");
}

const ROOT: &str = "reqpart\npart / --size=1\n";

#[test]
fn a_layout_that_is_missing_is_told() {
    check_all("lang a", &["1:1: nothing says where the system goes"]);
    check_all(
        "part /var --size=1",
        &["1:1: there is no partition for `/`", "1:1: there is no EFI partition"],
    );
    check_all("part / --size=1\npart /boot/efi --size=1", &[]);
    // Not where what is there was not understood.
    check_all("part / --size=x", &["1:15: `--size` takes a number from 1 to 1099511627776"]);
    check_all("prat / --size=1", &["1:1: unknown command `prat`"]);
}

#[test]
fn what_is_mounted_twice_is_told() {
    check_all(
        &format!("{ROOT}part /var --size=1\npart /var/ --size=2"),
        &["4:1: there is something for `/var` already"],
    );
    check_all(
        "part /efi --size=1\npart /boot/efi --size=1\npart / --size=1",
        &["2:1: there is something for `/boot/efi` already"],
    );
    check_all(
        &format!("{ROOT}part /boot/efi --size=1"),
        &["3:1: `reqpart` makes the EFI partition already"],
    );
}

#[test]
fn members_and_arrays_belong_together() {
    check_all(
        &format!("{ROOT}part raid.1 --size=1\nraid /var --device=a --level=1 raid.1 raid.2"),
        &["4:1: there is no partition `raid.2`"],
    );
    check_all(&format!("{ROOT}part raid.1 --size=1"), &["3:1: no array has the member `raid.1`"]);
    let members = "part raid.1 --size=1 --ondisk=sda\npart raid.2 --size=1 --ondisk=sda\n";
    check_all(
        &format!("{ROOT}{members}raid /var --device=a --level=1 raid.1 raid.2"),
        &["5:1: two members are on the disk `sda`: it outlives no disk"],
    );
    let members = "part raid.1 --size=1\npart raid.2 --size=1\n";
    let raid = "raid /var --device=a --level=1 raid.1 raid.2\n";
    check_all(
        &format!("{ROOT}{members}{raid}raid swap --device=a --level=1 raid.1 raid.2"),
        &["6:1: `raid.1` is a member of another array", "6:1: there is an array `a` already"],
    );
}

#[test]
fn of_an_array_that_cannot_be_no_member_is_told() {
    let members = "part raid.1 --size=1 --ondisk=sda\npart raid.2 --size=1 --ondisk=sdb\n";
    check_all(
        &format!("reqpart\n{members}raid / --device=a --level=1 raid.1 raid.2"),
        &["4:6: firmware and loader read no array"],
    );
    check_all(
        &format!("{ROOT}part raid.1 --size=x\nraid /var --device=a --level=1 raid.1 raid.2"),
        &["3:20: `--size` takes a number from 1 to 1099511627776"],
    );
}

#[test]
fn a_layout_of_ones_own_contradicts_autopart() {
    check("part /var --size=1", &["1:1: `part` contradicts `autopart`"]);
    check("reqpart", &["1:1: `reqpart` contradicts `autopart`"]);
}

#[test]
fn what_is_ignored_is_not_used() {
    check_all(
        &format!("ignoredisk --drives=sdb\n{ROOT}part /var --size=1 --ondisk=sdb"),
        &["4:1: `ignoredisk` leaves the disk `sdb` alone"],
    );
    check(
        "ignoredisk --only-use=sda\nclearpart --all --drives=sdb\nbootloader --boot-drive=sdc",
        &[
            "2:1: `ignoredisk` leaves the disk `sdb` alone",
            "3:1: `ignoredisk` leaves the disk `sdc` alone",
        ],
    );
    // Which disk it is, the machine says.
    check("ignoredisk --only-use=disk/by-id/x\nclearpart --all --drives=sdb", &[]);
}

#[test]
fn what_is_kept_is_not_removed() {
    let part = "part /var --onpart=sda3 --noformat";
    check_all(
        &format!("clearpart --all\n{ROOT}{part}"),
        &["4:1: `clearpart` removes the partition `sda3` before"],
    );
    check_all(&format!("clearpart --all --drives=sdb\n{ROOT}{part}"), &[]);
    check_all(&format!("clearpart --list=sda1,sda2\n{ROOT}{part}"), &[]);
    check_all(
        &format!("clearpart --list=/dev/sda3\n{ROOT}{part}"),
        &["4:1: `clearpart` removes the partition `sda3` before"],
    );
}

#[test]
fn accounts_fit_together() {
    check(
        "user --name=a --uid=1\nuser --name=a\nuser --name=b --uid=1",
        &["2:1: there is a user `a` already", "3:1: another user has the number 1"],
    );
    check(
        "group --name=a --gid=1\ngroup --name=a --gid=1",
        &["2:1: there is a group `a` already", "2:1: another group has the number 1"],
    );
    check("user --name=root", &["1:1: root is there already"]);
    check("sshkey --username=a \"ssh-rsa AAAA\"", &["1:1: there is no user `a`"]);
    check("sshkey --username=root \"ssh-rsa AAAA\"", &[]);
}

#[test]
fn connections_fit_together() {
    check("network --device=a\nnetwork --device=a", &["2:1: the device `a` is set up already"]);
    check("network --device=a\nnetwork --device=a --vlanid=1\nnetwork --device=a --vlanid=2", &[]);
    check(
        "network --device=b --bondslaves=x,y\nnetwork --device=c --bridgeslaves=y",
        &["2:1: `y` is a member of another bond or bridge, or twice of this one"],
    );
    check(
        "network --device=x\nnetwork --device=b --bondslaves=x",
        &["2:1: `x` is set up by itself, and is a member here"],
    );
    check(
        "network --hostname=a\nnetwork --hostname=b",
        &["2:20: the host has another name already"],
    );
}

#[test]
fn services_and_times_do_not_contradict_themselves() {
    check(
        "services --enabled=a\nservices --disabled=a.service",
        &["2:21: it is enabled and disabled"],
    );
    check(
        "timesource --ntp-disable\ntimesource --ntp-server=x",
        &["2:1: the time comes from a server, and from none"],
    );
}

#[test]
fn all_that_is_wrong_is_told_and_in_the_order_of_its_lines() {
    check_all(
        "lang\nfoo\nuser --nmae=x\n%post\n%end\nautopart --noswap\nreqpart",
        &[
            "1:1: `lang` needs a word beside its options",
            "2:1: unknown command `foo`",
            "3:6: unknown option `--nmae`",
            "7:1: `reqpart` contradicts `autopart`",
        ],
    );
}
