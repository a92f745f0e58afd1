//! What is good and has no effect is told, and nothing that is taken is ignored in silence.

use super::{check, read, said};
use crate::{Accepted, Fate, Severity, options};

/// A line with the option, and a section's end where it is one.
fn line_with(accepted: &Accepted) -> String {
    let value = if accepted.takes_value { "=1" } else { "" };
    let end = if accepted.command.starts_with('%') { "\ntrue\n%end" } else { "" };
    format!("{} {}{value}{end}\n", accepted.command, accepted.option)
}

#[test]
fn an_option_without_effect_is_told_with_its_reason_and_what_to_do() {
    let mut told = 0;
    for accepted in options() {
        let (severity, why) = match accepted.fate {
            Fate::Used => continue,
            Fate::Anyway(why) => {
                assert!(!why.is_empty(), "{accepted:?}");
                continue;
            }
            Fate::Moot(why) => (Severity::Warning, why),
            Fate::Refused(why) => (Severity::Error, why),
        };
        let parsed = read(&line_with(&accepted));
        let of_it = parsed.diagnostics.iter().find(|it| it.message.contains(why));
        let of_it = of_it.unwrap_or_else(|| panic!("{accepted:?}: {:?}", said(&parsed)));
        assert_eq!(of_it.severity, severity, "{accepted:?}");
        assert!(of_it.message.starts_with(&format!("`{}`", accepted.option)), "{of_it:?}");
        assert!(!of_it.hint.is_empty(), "{accepted:?}");
        assert_eq!(of_it.span.start, accepted.command.len() + 1, "{accepted:?}");
        told += 1;
    }
    assert!(told > 30, "{told}");
}

#[test]
fn no_option_is_taken_twice_by_one_command() {
    let mut seen = std::collections::BTreeSet::new();
    for accepted in options() {
        assert!(seen.insert((accepted.command, accepted.option)), "{accepted:?}");
    }
}

#[test]
fn what_an_installer_does_not_carry_out_is_told_where_it_stands() {
    let no_swap = read("autopart");
    assert_eq!(said(&no_swap), ["W 1:1: `autopart` makes no swap here"]);
    check(
        "network --device=a --activate --bindto=mac",
        &[
            "W 1:20: `--activate` has no effect: the installer's own network stays as it is",
            "W 1:31: `--bindto` has no effect: a connection is bound to the device's name",
        ],
    );
    check(
        "bootloader --timeout=5",
        &["W 1:12: `--timeout` has no effect: a key that is held at power-on shows the menu"],
    );
    check("bootloader --leavebootorder\nreboot --eject", &[]);
    check(
        "ostreesetup --osname=site --remote=x --url=http://x --ref=b",
        &[
            "W 1:13: `--osname` has no effect: every host has `basalt`",
            "W 1:27: `--remote` has no effect: a host knows its archive by one name",
        ],
    );
    check(
        "keyboard --vckeymap=us --xlayouts=us",
        &["W 1:24: `--xlayouts` has no effect: a host has no desktop"],
    );
    check(
        "keyboard --xlayouts=us,de",
        &["W 1:10: `--xlayouts`: only the first has an effect, at the console"],
    );
    check("keyboard --xlayouts=us", &[]);
}

#[test]
fn an_option_that_another_one_makes_idle_is_told() {
    check(
        "network --bootproto=static --ip=10.0.0.2/24 --gateway=10.0.0.1 --nodefroute --dhcpclass=x",
        &[
            "W 1:45: `--gateway` has no effect: `--nodefroute` says that this is no way to everywhere",
            "W 1:77: `--dhcpclass` has no effect: no DHCP is asked for IPv4",
        ],
    );
    check(
        "network --ipv6=auto --ipv6gateway=fe80::1",
        &["W 1:21: `--ipv6gateway` has no effect: it goes with an address by `--ipv6=`"],
    );
    check("network --hostname=", &["W 1:9: `--hostname` has no effect: it says no name"]);
    check(
        "firewall --use-system-defaults --port=80",
        &["W 1:32: `--port` has no effect beside `--use-system-defaults`"],
    );
    check(
        "firewall --disabled --remove-service=nfs",
        &["W 1:21: `--remove-service` has no effect beside `--disabled`: all is let in"],
    );
    check(
        "firewall --remove-service=ssh",
        &["W 1:27: `--remove-service=ssh` has no effect: sshd opens its port while it runs"],
    );
}

/// Of a line behind what a host cannot be without.
fn check_part(text: &str, expected: &[&str]) {
    assert_eq!(said(&read(&format!("reqpart\npart / --size=1\n{text}"))), expected, "{text}");
}

#[test]
fn what_a_partition_is_told_in_vain_is_told() {
    let image = "the image says how a host knows and mounts it";
    let parsed = read(
        "part / --size=1 --label=x --fsoptions=noatime --mkfsoptions=-m0\n\
         part /boot/efi --size=1 --label=x --fsoptions=ro --mkfsoptions=x",
    );
    assert_eq!(
        said(&parsed),
        [
            format!("W 1:17: `--label` has no effect for `/`: {image}"),
            format!("W 1:27: `--fsoptions` has no effect for `/`: {image}"),
            format!("W 2:25: `--label` has no effect for `/boot/efi`: {image}"),
            format!("W 2:35: `--fsoptions` has no effect for `/boot/efi`: {image}"),
            format!("W 2:50: `--mkfsoptions` has no effect for `/boot/efi`: {image}"),
        ]
    );
    check_part(
        "part swap --size=1 --fsoptions=x",
        &["W 3:20: `--fsoptions` has no effect for `swap`: swap is the same everywhere"],
    );
    check_part(
        "part /var --onpart=sda3 --size=1",
        &["W 3:25: `--size` has no effect: a partition that is there stays as large as it is"],
    );
    check_part(
        "part /var --onpart=sda3 --noformat --label=x",
        &["W 3:36: `--label` has no effect for `/var`: what is there keeps its own"],
    );
    check_part(
        "part swap --size=1 --recommended",
        &["W 3:20: `--recommended` has no effect: `--size=` says it"],
    );
    check_part(
        "part raid.1 --size=1 --label=x\npart raid.2 --size=1\n\
         raid swap --device=a --level=1 --label=y raid.1 raid.2",
        &[
            "W 3:22: `--label` has no effect for `raid.1`: the array has the file system",
            "W 5:32: `--label` has no effect for `swap`: swap is the same everywhere",
        ],
    );
}
