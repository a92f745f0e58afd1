//! `raid`.

use std::collections::BTreeSet;

use super::disks::LUKS;
use super::part::{FORMAT, NO_PROFILES, format, usage};
use super::{Command, at};
use crate::diagnostic::Log;
use crate::lex::Word;
use crate::model::{Kickstart, Raid, RaidLevel, Use};
use crate::option::{Args, Syntax, flag, value};

const NOT_AGAIN: &str = "an array that is there is not used again";
const MADE_ANEW: &str = "leave it away, name the members, and they are used anew";

pub(super) const RAID: Command = Command {
    names: &["raid"],
    syntax: Syntax::new(
        (1, usize::MAX),
        &[
            value(&["--device"]).required(),
            value(&["--level"]),
            value(&["--spares"]),
            value(&["--chunksize"]),
            flag(&["--useexisting"]).refused(NOT_AGAIN, MADE_ANEW),
            flag(&["--noformat"]).refused(NOT_AGAIN, MADE_ANEW),
            FORMAT[0],
            FORMAT[1],
            FORMAT[2],
            FORMAT[3],
            value(&["--fsprofile"]).refused(NO_PROFILES, "say it with `--mkfsoptions`"),
        ],
    )
    .with(&LUKS),
    carry: raid,
};

fn raid(args: &Args, kickstart: &mut Kickstart, log: &mut Log) {
    let Some((word, members)) = args.words.split_first() else { return };
    let Some(usage) = usage(word, log) else { return };
    if matches!(usage, Use::RaidMember(_)) {
        return log.error(word.span, "an array is no member of another", "as `raid /var`");
    }
    if usage.is_esp() || usage.is_at("/") {
        let hint = "mirror `/var`; the system itself is in the image, and is installed anew";
        return log.error(word.span, "firmware and loader read no array", hint);
    }
    let raid = Raid {
        device: device(args, log),
        level: args.value("--level").and_then(|word| level(word, log)),
        members: members.iter().map(|member| member.text.clone()).collect(),
        spares: args.small("--spares", 0..=64, log).unwrap_or(0),
        chunk_kib: args.number("--chunksize", 4..=1 << 20, log),
        format: format(args, &usage, log),
        usage,
    };
    check_members(args, &raid, members, log);
    kickstart.raid.push(at(args, raid));
}

fn device(args: &Args, log: &mut Log) -> String {
    let Some(word) = args.value("--device") else { return String::new() };
    let is_good = |c: char| c.is_ascii_alphanumeric() || "-_.".contains(c);
    let name = word.text.strip_prefix("/dev/md/").unwrap_or(&word.text);
    let begins_well = name.starts_with(|c: char| c.is_ascii_alphanumeric());
    if !begins_well || name.len() > 32 || !name.chars().all(is_good) {
        let hint =
            "as `md0` or `var`: letters, digits, `-`, `_`, `.`, the first none of the last three";
        log.error(word.span, "this is no name of an array", hint);
    }
    name.to_owned()
}

fn level(word: &Word, log: &mut Log) -> Option<RaidLevel> {
    let upper = word.text.to_uppercase();
    let found = match upper.strip_prefix("RAID").unwrap_or(&upper) {
        "0" => RaidLevel::Raid0,
        "1" => RaidLevel::Raid1,
        "10" => RaidLevel::Raid10,
        "5" => RaidLevel::Raid5,
        "6" => RaidLevel::Raid6,
        _ => {
            log.error(word.span, "there is no such level", "`--level=1` mirrors; 0, 5, 6, 10");
            return None;
        }
    };
    Some(found)
}

fn check_members(args: &Args, raid: &Raid, members: &[Word], log: &mut Log) {
    // That was told, and has neither members nor a level.
    if args.has("--useexisting") || args.has("--noformat") {
        return;
    }
    if members.is_empty() {
        return log.error(args.span, "the array has no members", "as `raid.01 raid.02`");
    }
    let Some(level) = raid.level else {
        if !args.has("--level") {
            log.error(args.span, "the array has no level", "`--level=1` mirrors");
        }
        return;
    };
    if level == RaidLevel::Raid0 && raid.spares > 0 {
        let hint = "leave `--spares` away, or take a level that outlives a disk";
        log.error(args.span, "RAID0 has no use for spares", hint);
    }
    let spares = usize::try_from(raid.spares).unwrap_or(usize::MAX);
    let working = members.len().saturating_sub(spares);
    if working < level.min_members() {
        let least = level.min_members();
        let message = format!("{} needs {least} members, and has {working}", level.name());
        log.error(args.span, message, "name more of them, or take another level");
    }
    let mut seen = BTreeSet::new();
    for member in members {
        if !seen.insert(&member.text) {
            log.error(member.span, "it is a member already", "leave it away");
        }
    }
}
