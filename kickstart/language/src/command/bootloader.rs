//! `bootloader`.

use super::{Command, once};
use crate::command::disks;
use crate::model::BootLoader;
use crate::option::{Syntax, flag, value};

const NO_EDITOR: &str = "nobody can change the kernel's arguments in the menu";
const NOT_GRUB: &str = "the loader is systemd-boot, which has none";

pub(super) const BOOTLOADER: Command = Command {
    names: &["bootloader"],
    syntax: Syntax::new(
        (0, 0),
        &[
            value(&["--append"]),
            value(&["--timeout"])
                .moot("a key that is held at power-on shows the menu", "leave it away"),
            value(&["--boot-drive"]),
            value(&["--location"]).anyway("the loader lies on the EFI partition"),
            flag(&["--leavebootorder"]),
            flag(&["--sdboot"]).anyway("the loader is systemd-boot"),
            flag(&["--nombr"]).anyway("firmware reads no loader of an MBR"),
            value(&["--driveorder"])
                .moot("firmware says which disk comes first", "`--boot-drive=` names the disk"),
            value(&["--default"])
                .moot("the newest release that proved itself is booted", "leave it away"),
            value(&["--password"]).moot(NO_EDITOR, "leave it away"),
            value(&["--md5pass"]).moot(NO_EDITOR, "leave it away"),
            flag(&["--iscrypted"]).moot(NO_EDITOR, "leave it away"),
            flag(&["--extlinux"]).refused(NOT_GRUB, "leave it away"),
            flag(&["--disabled"]).refused("a host boots by its own loader", "leave it away"),
        ],
    ),
    carry: |args, kickstart, log| {
        let append = args.value("--append");
        let mut arguments = append.map_or_else(Vec::new, |word| split_arguments(&word.text));
        if let (Some(word), true) = (append, arguments.iter().any(|it| is_secret(it))) {
            arguments.clear();
            let hint = "say it in `%addon basalt`, with `token-file` or `join-file`";
            log.error(word.span, "everybody can read the kernel's arguments", hint);
        }
        match args.value("--location").map(|word| (word, word.text.as_str())) {
            None | Some((_, "mbr")) => (),
            Some((word, "boot" | "partition")) => {
                let why = "`--location` has no effect: the loader lies on the EFI partition";
                log.warning(word.span, why, "leave it away");
            }
            Some((word, "none")) => {
                log.error(word.span, "without a loader the host does not boot", "leave it away");
            }
            Some((word, _)) => {
                log.error(word.span, "there is no such place for a loader", "leave it away");
            }
        }
        let value = BootLoader {
            append: arguments,
            timeout_s: args.small("--timeout", 0..=3600, log),
            boot_drive: args.value("--boot-drive").and_then(|word| disks::selector(word, log)),
            leavebootorder: args.has("--leavebootorder"),
        };
        once(&mut kickstart.bootloader, args, value, log);
    },
};

/// Between blanks, but for those in double quotes, as the kernel reads its arguments.
fn split_arguments(text: &str) -> Vec<String> {
    let mut quoted = false;
    let is_cut = |c: char| {
        quoted ^= c == '"';
        c.is_whitespace() && !quoted
    };
    text.split(is_cut).filter(|part| !part.is_empty()).map(str::to_owned).collect()
}

fn is_secret(argument: &str) -> bool {
    argument.starts_with("basalt.join=") || argument.contains("credential=basalt.join:")
}
