//! The host's name, its time, its keyboard and language, and certificates that it trusts.

use anyhow::Result;
use basalt_kickstart::model::{Certificate, TimeSourceKind};

use super::{Change, Ground};
use crate::problems::Problems;

/// The host's name.
pub(super) const HOSTNAME: &str = "/etc/hostname";
const ZONES: &str = "usr/share/zoneinfo";
/// Where console layouts come from, by package: `kbd` has the tool, others the layouts.
const KEYMAPS: [&str; 2] = ["usr/share/keymaps", "usr/lib/kbd/keymaps"];
/// What all programs of a host trust.
const TRUSTED: &str = "etc/ssl/certs/ca-certificates.crt";

pub(super) fn settings(
    ground: &Ground<'_>,
    changes: &mut Vec<Change>,
    problems: &mut Problems,
) -> Result<()> {
    if let Some(name) = &ground.asked.hostname {
        changes.push(Change::public(HOSTNAME, format!("{}\n", name.value)));
    }
    zone(ground, changes, problems)?;
    time_servers(ground, changes);
    keyboard(ground, changes, problems)?;
    language(ground, changes, problems)?;
    certificates(ground, changes)
}

fn zone(ground: &Ground<'_>, changes: &mut Vec<Change>, problems: &mut Problems) -> Result<()> {
    let Some(zone) = &ground.asked.timezone else { return Ok(()) };
    if !zone.utc {
        changes.push(Change::public("/etc/adjtime", "0.0 0 0.0\n0\nLOCAL\n".to_owned()));
    }
    let Some(name) = &zone.name else { return Ok(()) };
    // Without the link, a host's time is UTC.
    let is_utc = ["UTC", "Etc/UTC", "Etc/UCT", "UCT", "Zulu", "Etc/Zulu"].contains(&name.as_str());
    if ground.image.has(&format!("{ZONES}/{name}"))? {
        let to = format!("../{ZONES}/{name}");
        changes.push(Change::Link { path: "/etc/localtime".to_owned(), to });
    } else if !is_utc {
        let message = format!("the image does not know the time zone `{name}`");
        problems.error(zone.span, message, "add `tzdata` to the image's packages, or `Etc/UTC`");
    }
    Ok(())
}

fn time_servers(ground: &Ground<'_>, changes: &mut Vec<Change>) {
    let names = ground.asked.timesource.iter().filter_map(|source| match &source.kind {
        TimeSourceKind::Server(name) | TimeSourceKind::Pool(name) => Some(name.as_str()),
        TimeSourceKind::Disable => None,
    });
    let names: Vec<&str> = names.collect();
    if !names.is_empty() {
        let text = format!("[Time]\nNTP={}\n", names.join(" "));
        changes.push(Change::public("/etc/systemd/timesyncd.conf.d/50-kickstart.conf", text));
    }
}

fn keyboard(ground: &Ground<'_>, changes: &mut Vec<Change>, problems: &mut Problems) -> Result<()> {
    let Some(keyboard) = &ground.asked.keyboard else { return Ok(()) };
    let first = keyboard.xlayouts.first().map(|layout| {
        // `de (nodeadkeys)` is `de-nodeadkeys` on a console.
        layout.replace(" (", "-").replace('(', "-").replace(')', "")
    });
    let Some(keymap) = keyboard.keymap.clone().or(first) else { return Ok(()) };
    let mut known = false;
    for folder in KEYMAPS {
        known |= ground.image.has(folder)?;
    }
    if known {
        changes.push(Change::public("/etc/vconsole.conf", format!("KEYMAP={keymap}\n")));
    } else if keymap != "us" {
        let message = "`keyboard` has no effect: the image has no layouts for consoles";
        problems.warning(keyboard.span, message, "add `kbd` and `console-data` to its packages");
    }
    Ok(())
}

fn language(ground: &Ground<'_>, changes: &mut Vec<Change>, problems: &mut Problems) -> Result<()> {
    let Some(lang) = &ground.asked.lang else { return Ok(()) };
    let is_built_in = ["C", "POSIX", "C.UTF-8", "C.utf8"].contains(&lang.lang.as_str());
    if !is_built_in && !ground.image.has("usr/lib/locale/locale-archive")? {
        let message = format!("`lang` has no effect: the image does not know `{}`", lang.lang);
        problems.warning(lang.span, message, "`C.UTF-8`, or add `locales-all` to its packages");
        return Ok(());
    }
    changes.push(Change::public("/etc/locale.conf", format!("LANG={}\n", lang.lang)));
    Ok(())
}

fn certificates(ground: &Ground<'_>, changes: &mut Vec<Change>) -> Result<()> {
    let mut trusted = String::new();
    for Certificate { filename, dir, anchor, pem } in
        ground.asked.certificates.iter().map(|it| &it.value)
    {
        if let Some(dir) = dir {
            changes.push(Change::public(&format!("{dir}/{filename}"), pem.clone()));
        }
        if *anchor {
            // For whoever makes the list of all anew.
            let path = format!("/var/usrlocal/share/ca-certificates/{filename}.crt");
            changes.push(Change::public(&path, pem.clone()));
            trusted.push_str(pem);
        }
    }
    if !trusted.is_empty() {
        let all = ground.image.text(TRUSTED)? + &trusted;
        changes.push(Change::public(&format!("/{TRUSTED}"), all));
    }
    Ok(())
}
