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
            flag(&["--resize"]).refused(
                "a partition that is there is not made larger or smaller",
                "leave `--resize` and `--size=` away: it is used as large as it is",
            ),
            flag(&["--recommended"]),
            flag(&["--hibernation"]).refused("a host does not hibernate", "leave it away"),
            value(&["--ondisk", "--ondrive"]),
            value(&["--onpart", "--usepart"]),
            value(&["--fstype", "--type"]).anyway(ONE_KIND),
            value(&["--label"]),
            value(&["--fsoptions"]),
            value(&["--mkfsoptions"]),
            flag(&["--noformat"]),
            value(&["--fsprofile"]).refused(NO_PROFILES, "say it with `--mkfsoptions`"),
            flag(&["--asprimary"]).moot("every partition of a GPT is one", "leave it away"),
            value(&["--onbiosdisk"]).refused(
                "there is no BIOS to ask",
                "`--ondisk=` takes a name, an id, a serial number, a size",
            ),
        ],
    )
    .with(&LUKS),
    carry: part,
};

/// Why `--fstype` is said in vain: whatever else is refused.
const ONE_KIND: &str = "there is one kind of file system for each use";
pub(super) const NO_PROFILES: &str = "there are no profiles of file systems";

/// What both call the same; their values are read by [`format`].
pub(super) const FORMAT: [Opt; 4] = [
    value(&["--fstype"]).anyway(ONE_KIND),
    value(&["--label"]),
    value(&["--fsoptions"]),
    value(&["--mkfsoptions"]),
];

fn part(args: &Args, kickstart: &mut Kickstart, log: &mut Log) {
    let Some(usage) = args.words.first().and_then(|word| usage(word, log)) else { return };
    let part = Part {
        place: place(args, log),
        size_mib: args.number("--size", 1..=MAX_MIB, log),
        max_size_mib: args.number("--maxsize", 1..=MAX_MIB, log),
        grow: args.has("--grow"),
        recommended: args.has("--recommended"),
        format: format(args, &usage, log),
        usage,
    };
    check_size(args, &part, log);
    check_there(args, &part, log);
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
        log.error(args.at("--maxsize"), message, "leave one of them away");
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
        log.error(args.at("--grow"), "a partition that is there does not grow", "leave it away");
    }
    if part.recommended && part.usage != Use::Swap {
        log.error(args.at("--recommended"), "only swap has a size of its own", "`--size=` in MiB");
    }
}

/// What is said of a partition that is there as if it were new, or the other way round.
fn check_there(args: &Args, part: &Part, log: &mut Log) {
    let is_there = matches!(part.place, Place::OnPart(_));
    if part.format.noformat && !is_there {
        let hint = "`--onpart=` names one that is there; or leave it away";
        log.error(args.at("--noformat"), "a new partition has nothing to keep", hint);
    }
    let has_size = is_there || args.has("--size");
    for option in ["--size", "--recommended"].iter().filter(|option| args.has(option)) {
        let why = match is_there {
            true if !args.has("--resize") => "a partition that is there stays as large as it is",
            false if has_size && *option == "--recommended" => "`--size=` says it",
            _ => continue,
        };
        let message = format!("`{option}` has no effect: {why}");
        log.warning(args.at(option), message, "leave it away");
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
    tell_of_no_effect(args, usage, log);
    Format {
        fstype,
        label: args.text("--label"),
        fsoptions: args.text("--fsoptions"),
        mkfsoptions: args.text("--mkfsoptions"),
        noformat,
    }
}

/// What is said of a file system that the image or an array says already.
fn tell_of_no_effect(args: &Args, usage: &Use, log: &mut Log) {
    let is_root = usage.is_at("/");
    let why = match usage {
        Use::Mount(_) if usage.is_esp() || is_root => {
            "the image says how a host knows and mounts it"
        }
        Use::Mount(_) if args.has("--noformat") => "what is there keeps its own",
        Use::Mount(_) => return,
        Use::Swap => "swap is the same everywhere",
        Use::RaidMember(_) => "the array has the file system",
    };
    let options: &[&str] = match usage {
        Use::Mount(_) if is_root => &["--label", "--fsoptions"],
        Use::Mount(_) if !usage.is_esp() => &["--label"],
        _ => &["--label", "--fsoptions", "--mkfsoptions"],
    };
    for option in options.iter().filter(|option| args.has(option)) {
        let what = args.words.first().map_or("", |word| &word.text);
        let message = format!("`{option}` has no effect for `{what}`: {why}");
        log.warning(args.at(option), message, "leave it away");
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
