//! `part`, and what it has in common with `raid`.

use super::disks::LUKS;
use super::{Command, at, disks};
use crate::diagnostic::Log;
use crate::lex::Word;
use crate::model::{FileSystem, Format, Kickstart, Part, Place, Use};
use crate::option::{Args, Opt, Syntax, flag, value};

/// MiB that a partition may have: 1 EiB.
const MAX_MIB: u64 = 1 << 40;

pub(super) const PART: Command = Command {
    names: &["part", "partition"],
    syntax: Syntax::new(
        (1, 1),
        &[
            value(&["--size"]),
            value(&["--maxsize"]),
            flag(&["--grow"]),
            flag(&["--resize"]),
            flag(&["--recommended"]),
            flag(&["--hibernation"]).refused("a host does not hibernate", "leave it away"),
            value(&["--ondisk", "--ondrive"]),
            value(&["--onpart", "--usepart"]),
            value(&["--fstype", "--type"]),
            value(&["--label"]),
            value(&["--fsoptions"]),
            value(&["--mkfsoptions"]),
            flag(&["--noformat"]),
            value(&["--fsprofile"]).refused(NO_PROFILES, "say it with `--mkfsoptions`"),
            flag(&["--asprimary"]).moot("every partition of a GPT is one"),
            value(&["--onbiosdisk"]).refused(
                "there is no BIOS to ask",
                "`--ondisk=` takes a name, an id, a serial number, a size",
            ),
        ],
    )
    .with(&LUKS),
    carry: part,
};

pub(super) const NO_PROFILES: &str = "there are no profiles of file systems";

/// What both call the same; their values are read by [`format`].
pub(super) const FORMAT: [Opt; 5] = [
    value(&["--fstype"]),
    value(&["--label"]),
    value(&["--fsoptions"]),
    value(&["--mkfsoptions"]),
    flag(&["--noformat"]),
];

fn part(args: &Args, kickstart: &mut Kickstart, log: &mut Log) {
    let Some(usage) = args.words.first().and_then(|word| usage(word, log)) else { return };
    let part = Part {
        place: place(args, log),
        size_mib: args.number("--size", 1..=MAX_MIB, log),
        max_size_mib: args.number("--maxsize", 1..=MAX_MIB, log),
        grow: args.has("--grow"),
        resize: args.has("--resize"),
        recommended: args.has("--recommended"),
        format: format(args, &usage, log),
        usage,
    };
    check_size(args, &part, log);
    check_resize(args, &part, log);
    kickstart.part.push(at(args, part));
}

fn place(args: &Args, log: &mut Log) -> Place {
    args.only_one(&["--ondisk", "--onpart"], log);
    if let Some(part) = args.value("--onpart") {
        let name = part.text.strip_prefix("/dev/").unwrap_or(&part.text);
        if name.is_empty() || name.contains(char::is_whitespace) {
            log.error(part.span, "this is no partition", "as `sda2`, `LABEL=data` or `UUID=…`");
        }
        return Place::OnPart(name.to_owned());
    }
    let disk = args.value("--ondisk").and_then(|word| disks::selector(word, log));
    disk.map_or(Place::Any, Place::OnDisk)
}

fn check_size(args: &Args, part: &Part, log: &mut Log) {
    if let (Some(size), Some(most)) = (part.size_mib, part.max_size_mib)
        && size > most
    {
        let message = format!("it cannot have {size} MiB and at most {most}");
        log.error(args.at("--maxsize"), message, "");
    }
    if part.max_size_mib.is_some() && !part.grow {
        log.error(args.at("--maxsize"), "it does not grow", "`--maxsize=` goes with `--grow`");
    }
    let is_there = matches!(part.place, Place::OnPart(_));
    let has_size = args.has("--size") || part.grow || part.recommended || args.has("--hibernation");
    if !is_there && !has_size {
        log.error(
            args.span,
            "it has no size",
            "`--size=` in MiB, or `--grow` for all that is left",
        );
    }
    if is_there && part.grow {
        log.error(args.at("--grow"), "a partition that is there does not grow", "`--resize`");
    }
    if part.recommended && part.usage != Use::Swap {
        log.error(args.at("--recommended"), "only swap has a size of its own", "`--size=` in MiB");
    }
}

fn check_resize(args: &Args, part: &Part, log: &mut Log) {
    if !part.resize {
        return;
    }
    if !matches!(part.place, Place::OnPart(_)) {
        log.error(args.at("--resize"), "`--resize` needs `--onpart=`", "");
    }
    if !args.has("--size") {
        log.error(args.at("--resize"), "`--resize` needs `--size=`", "");
    }
}

/// What a mount point says.
pub(super) fn usage(word: &Word, log: &mut Log) -> Option<Use> {
    let text = word.text.as_str();
    let mut no = |message: &str, hint: &str| {
        log.error(word.span, message, hint);
        None
    };
    if text == "swap" {
        return Some(Use::Swap);
    }
    if text.starts_with("raid.") && text.len() > 5 {
        return Some(Use::RaidMember(text.to_owned()));
    }
    if text.starts_with("pv.") {
        return no("there is no LVM here", "make `/` and `/var` of plain partitions or arrays");
    }
    if text.starts_with("btrfs.") {
        return no("there is no btrfs here", "file systems are ext4");
    }
    if text == "biosboot" || text == "prepboot" {
        return no("a host boots by UEFI", "`reqpart` makes what that needs");
    }
    if !text.starts_with('/') {
        return no("this is no mount point", "as `/`, `/var`, `/boot/efi`, `swap` or `raid.01`");
    }
    mount(text).map_or_else(|(message, hint)| no(message, hint), |path| Some(Use::Mount(path)))
}

/// A path that something may be mounted at, or why not and what to do.
fn mount(text: &str) -> Result<String, (&'static str, &'static str)> {
    let parts: Vec<&str> =
        text.split('/').filter(|part| !part.is_empty() && *part != ".").collect();
    if parts.contains(&"..") || text.contains(|c: char| c.is_control() || c == ' ') {
        return Err(("this is no mount point", "a path without `..` and blanks"));
    }
    match parts.as_slice() {
        [] | ["boot", "efi"] | ["efi"] | ["var", ..] => Ok(format!("/{}", parts.join("/"))),
        ["boot", ..] => Err((
            "there is no `/boot`: kernels lie on the EFI partition",
            "leave it away; `reqpart` makes the EFI partition",
        )),
        ["home", ..] => {
            Err(("`/home` lies in `/var/home`", "as `part /var/home`, or `/var` alone"))
        }
        ["srv" | "opt" | "root" | "mnt" | "media", ..] => {
            Err(("it lies in `/var` on a host", "as `part /var`, which holds all that changes"))
        }
        ["usr" | "etc" | "bin" | "sbin" | "lib", ..] => {
            Err(("it is a part of the system's image", "leave it away"))
        }
        _ => Err(("nothing can be mounted there", "all that changes lies below `/var`")),
    }
}

pub(super) fn format(args: &Args, usage: &Use, log: &mut Log) -> Format {
    let fstype = args.value("--fstype").and_then(|word| fstype(word, usage, log));
    let noformat = args.has("--noformat");
    if noformat && args.has("--mkfsoptions") {
        log.error(args.at("--mkfsoptions"), "nothing is made with `--noformat`", "leave it away");
    }
    if noformat && usage.is_at("/") {
        let hint = "keep `/var` in its place: the root is always new";
        log.error(args.at("--noformat"), "the root is made anew", hint);
    }
    Format {
        fstype,
        label: args.text("--label"),
        fsoptions: args.text("--fsoptions"),
        mkfsoptions: args.text("--mkfsoptions"),
        noformat,
    }
}

fn fstype(word: &Word, usage: &Use, log: &mut Log) -> Option<FileSystem> {
    let found = match word.text.as_str() {
        "ext4" => FileSystem::Ext4,
        "efi" => FileSystem::Efi,
        "vfat" => FileSystem::Vfat,
        "swap" => FileSystem::Swap,
        "mdmember" => FileSystem::MdMember,
        "xfs" | "ext2" | "ext3" | "btrfs" | "tmpfs" | "ntfs" => {
            let message = format!("{} cannot be made here", word.text);
            log.error(word.span, message, "file systems are ext4: `--fstype=ext4`, or none");
            return None;
        }
        _ => {
            log.error(word.span, "there is no such file system", "`--fstype=ext4`, or none");
            return None;
        }
    };
    let fits = match usage {
        _ if usage.is_esp() => matches!(found, FileSystem::Efi | FileSystem::Vfat),
        Use::Mount(_) => found == FileSystem::Ext4,
        Use::Swap => found == FileSystem::Swap,
        Use::RaidMember(_) => matches!(found, FileSystem::MdMember | FileSystem::Ext4),
    };
    if !fits {
        log.error(word.span, format!("it cannot be {} there", found.name()), "leave it away");
    }
    Some(found)
}
