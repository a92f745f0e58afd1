//! `clearpart`, `zerombr`, `ignoredisk`, `autopart`, `reqpart`.

use super::{Command, once};
use crate::diagnostic::Log;
use crate::disk::DiskSelector;
use crate::lex::Word;
use crate::model::{AutoPart, Clear, ClearPart, IgnoreDisk, Kickstart, ReqPart};
use crate::option::{Args, Opt, Syntax, flag, value};

const NO_LUKS: &str = "disks are not encrypted here yet";
const LEAVE_LUKS: &str = "leave it away if the disk may be readable";

pub(super) const CLEARPART: Command = Command {
    names: &["clearpart"],
    syntax: Syntax::new(
        (0, 0),
        &[
            flag(&["--all"]),
            flag(&["--linux"]),
            flag(&["--none"]).anyway("nothing is removed unless it is said"),
            value(&["--list"]),
            value(&["--drives"]),
            flag(&["--initlabel"]),
            value(&["--disklabel"]).anyway("disks have a GPT"),
            flag(&["--cdl"]).moot("there are no DASDs", "leave it away"),
        ],
    ),
    carry: clearpart,
};

pub(super) const ZEROMBR: Command = Command {
    names: &["zerombr"],
    syntax: Syntax::new((0, 0), &[]),
    carry: |_, kickstart, _| kickstart.zerombr = true,
};

pub(super) const IGNOREDISK: Command = Command {
    names: &["ignoredisk"],
    syntax: Syntax::new((0, 0), &[value(&["--drives"]), value(&["--only-use"])]),
    carry: |args, kickstart, log| {
        let (ignored, used) = (args.list("--drives"), args.list("--only-use"));
        let value = match (ignored.is_empty(), used.is_empty()) {
            (false, true) => IgnoreDisk::Drives(selectors(&ignored, log)),
            (true, false) => IgnoreDisk::OnlyUse(selectors(&used, log)),
            _ => {
                let message = "`ignoredisk` needs one of `--drives=` and `--only-use=`";
                return log.error(args.span, message, "as `ignoredisk --only-use=sda`");
            }
        };
        once(&mut kickstart.ignoredisk, args, value, log);
    },
};

pub(super) const AUTOPART: Command = Command {
    names: &["autopart"],
    syntax: Syntax::new(
        (0, 0),
        &[
            value(&["--type"]).anyway("partitions are plain ones"),
            value(&["--fstype"]).anyway("file systems are ext4"),
            flag(&["--nolvm"]).anyway("there is no LVM"),
            flag(&["--nohome"]).anyway("homes lie in `/var`"),
            flag(&["--noboot"]).anyway("kernels lie on the EFI partition"),
            flag(&["--noswap"]).anyway("`autopart` makes no swap"),
            flag(&["--hibernation"]).refused("a host does not hibernate", "leave it away"),
        ],
    )
    .with(&LUKS),
    carry: |args, kickstart, log| {
        if let Some(kind) = args.value("--type") {
            check_type(kind, log);
        }
        if let Some(fstype) = args.value("--fstype").filter(|it| it.text != "ext4") {
            log.error(fstype.span, "file systems are ext4 here", "`--fstype=ext4`, or none");
        }
        let noswap = args.has("--noswap");
        if !noswap {
            let hint = "`--noswap` says so; or `reqpart`, `part / --size=4096` and `part swap \
                        --size=…` in its place";
            log.warning(args.span, "`autopart` makes no swap here", hint);
        }
        let value = AutoPart { noswap };
        once(&mut kickstart.autopart, args, value, log);
    },
};

pub(super) const REQPART: Command = Command {
    names: &["reqpart"],
    syntax: Syntax::new(
        (0, 0),
        &[flag(&["--add-boot"])
            .moot("there is no `/boot`: kernels lie on the EFI partition", "leave it away")],
    ),
    carry: |args, kickstart, log| {
        let value = ReqPart { add_boot: args.has("--add-boot") };
        once(&mut kickstart.reqpart, args, value, log);
    },
};

/// What all commands say of LUKS.
pub(super) const LUKS: [Opt; 10] = [
    flag(&["--encrypted"]).refused(NO_LUKS, LEAVE_LUKS),
    value(&["--passphrase"]).refused(NO_LUKS, LEAVE_LUKS),
    value(&["--escrowcert"]).refused(NO_LUKS, LEAVE_LUKS),
    flag(&["--backuppassphrase"]).refused(NO_LUKS, LEAVE_LUKS),
    value(&["--cipher"]).refused(NO_LUKS, LEAVE_LUKS),
    value(&["--luks-version"]).refused(NO_LUKS, LEAVE_LUKS),
    value(&["--pbkdf"]).refused(NO_LUKS, LEAVE_LUKS),
    value(&["--pbkdf-memory"]).refused(NO_LUKS, LEAVE_LUKS),
    value(&["--pbkdf-time"]).refused(NO_LUKS, LEAVE_LUKS),
    value(&["--pbkdf-iterations"]).refused(NO_LUKS, LEAVE_LUKS),
];

/// A disk's selector, or what is wrong with it.
pub(super) fn selector(word: &Word, log: &mut Log) -> Option<DiskSelector> {
    match word.text.parse() {
        Ok(selector) => Some(selector),
        Err(error) => {
            log.error(word.part(error.range).span, error.message, &error.hint);
            None
        }
    }
}

fn selectors(words: &[Word], log: &mut Log) -> Vec<DiskSelector> {
    words.iter().filter_map(|word| selector(word, log)).collect()
}

fn clearpart(args: &Args, kickstart: &mut Kickstart, log: &mut Log) {
    args.only_one(&["--all", "--linux", "--none", "--list"], log);
    let list = args.list("--list");
    let clear = match () {
        () if !list.is_empty() => Clear::List(list.into_iter().map(|it| it.text).collect()),
        () if args.has("--all") => Clear::All,
        () if args.has("--linux") => Clear::Linux,
        () => Clear::None,
    };
    if let Some(label) = args.value("--disklabel").filter(|label| label.text != "gpt") {
        log.error(label.span, "disks have a GPT here", "`--disklabel=gpt`, or none");
    }
    let drives = selectors(&args.list("--drives"), log);
    let value = ClearPart { clear, drives, initlabel: args.has("--initlabel") };
    once(&mut kickstart.clearpart, args, value, log);
}

fn check_type(kind: &Word, log: &mut Log) {
    match kind.text.to_lowercase().as_str() {
        "plain" | "partition" => (),
        "lvm" | "thinp" | "btrfs" | "stratis" => {
            let message = format!("there is no {} here", kind.text);
            log.error(kind.span, message, "`--type=plain`: the root, and `/var` in the rest");
        }
        _ => log.error(kind.span, "there is no such type", "`--type=plain`"),
    }
}
