//! What a host mounts beside what its image says.

use anyhow::Result;
use basalt_kickstart::model::Kickstart;

use super::{Change, Ground};
use crate::plan::{ArrayPlan, DiskPlan, Make, PartPlan, Role};

const FSTAB: &str = "etc/fstab";
/// How the image finds `/var`: on the disk that the loader came from, made by repart there.
const OWN_VAR: &str = "/dev/basalt/var";
const OPTIONS: &str = "defaults";

pub(super) fn settings(
    ground: &Ground<'_>,
    (disks, arrays): (&[DiskPlan], &[ArrayPlan]),
    changes: &mut Vec<Change>,
) -> Result<()> {
    let before = ground.image.text(FSTAB)?;
    let mut text = before.clone();
    for (at, disk) in disks.iter().enumerate() {
        for part in &disk.parts {
            let is_first = at == 0;
            match &part.role {
                Role::Var if is_first => {
                    if let Some(options) = options(ground.asked, "/var") {
                        text = with_options(&text, options);
                    }
                }
                Role::Var => {
                    text = without_own_var(&text);
                    changes.push(no_repart());
                    push(&mut text, &by_part(part), "/var", options(ground.asked, "/var"));
                }
                Role::Data(path) => {
                    push(&mut text, &by_part(part), path, options(ground.asked, path));
                }
                Role::Swap => {
                    text.push_str(&format!("PARTUUID={} none swap defaults 0 0\n", part.id));
                }
                Role::Esp | Role::Root | Role::Member(_) | Role::Other => (),
            }
        }
    }
    for array in arrays {
        of_array(ground.asked, array, &mut text, changes);
    }
    if text != before {
        changes.push(Change::public(&format!("/{FSTAB}"), text));
    }
    Ok(())
}

/// By the ids of what is in it: it has none of a partition.
fn of_array(asked: &Kickstart, array: &ArrayPlan, text: &mut String, changes: &mut Vec<Change>) {
    let (Make::Ext4 { id, .. } | Make::Swap { id }) = &array.make else { return };
    let what = format!("UUID={id}");
    match &array.role {
        Role::Var => {
            *text = without_own_var(text);
            changes.push(no_repart());
            push(text, &what, "/var", options(asked, "/var"));
        }
        Role::Data(path) => push(text, &what, path, options(asked, path)),
        Role::Swap => text.push_str(&format!("{what} none swap defaults 0 0\n")),
        Role::Esp | Role::Root | Role::Member(_) | Role::Other => (),
    }
}

/// It would make a second `/var`, on the disk of the root.
fn no_repart() -> Change {
    Change::Link {
        path: "/etc/systemd/system/systemd-repart.service".to_owned(),
        to: "/dev/null".to_owned(),
    }
}

fn by_part(part: &PartPlan) -> String {
    format!("PARTUUID={}", part.id)
}

fn push(text: &mut String, what: &str, path: &str, options: Option<&str>) {
    let options = options.unwrap_or(OPTIONS);
    text.push_str(&format!("{what} {path} ext4 {options} 0 2\n"));
}

fn options<'a>(asked: &'a Kickstart, path: &str) -> Option<&'a str> {
    let parts = asked.part.iter().map(|part| (&part.usage, &part.format));
    let arrays = asked.raid.iter().map(|raid| (&raid.usage, &raid.format));
    let format = parts.chain(arrays).find_map(|(usage, it)| usage.is_at(path).then_some(it));
    format.and_then(|format| format.fsoptions.as_deref())
}

/// What the kickstart says of the mount, before what the image says of waiting for it.
fn with_options(text: &str, options: &str) -> String {
    let lines = text.lines().map(|line| {
        let words: Vec<&str> = line.split_whitespace().collect();
        match words[..] {
            [OWN_VAR, path, kind, own, dump, pass] => {
                let waits = own.strip_prefix("defaults").unwrap_or(own).trim_start_matches(',');
                let all: Vec<&str> =
                    [options, waits].into_iter().filter(|it| !it.is_empty()).collect();
                format!("{OWN_VAR} {path} {kind} {} {dump} {pass}\n", all.join(","))
            }
            _ => format!("{line}\n"),
        }
    });
    lines.collect()
}

fn without_own_var(text: &str) -> String {
    let is_own = |line: &&str| line.split_whitespace().next() != Some(OWN_VAR);
    text.lines().filter(is_own).map(|line| format!("{line}\n")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const IMAGE: &str =
        "# x\n/dev/basalt/var /var ext4 defaults,x-systemd.requires=r 0 2\n/a /b none bind 0 0\n";

    #[test]
    fn options_come_before_what_the_image_waits_for() {
        assert_eq!(
            with_options(IMAGE, "noatime,discard"),
            "# x\n/dev/basalt/var /var ext4 noatime,discard,x-systemd.requires=r 0 2\n/a /b none bind 0 0\n"
        );
        assert_eq!(without_own_var(IMAGE), "# x\n/a /b none bind 0 0\n");
    }
}
