//! What a host mounts beside what its image says.

use anyhow::Result;
use basalt_kickstart::model::{Kickstart, Part};

use super::{Change, Ground};
use crate::plan::{DiskPlan, PartPlan, Role};

const FSTAB: &str = "etc/fstab";
/// How the image finds `/var`: on the disk that the loader came from, made by repart there.
const OWN_VAR: &str = "/dev/basalt/var";
const OPTIONS: &str = "defaults";

pub(super) fn settings(
    ground: &Ground<'_>,
    disks: &[DiskPlan],
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
                    push(&mut text, part, "/var", options(ground.asked, "/var"));
                    // It would make a second one, on the disk of the root.
                    changes.push(Change::Link {
                        path: "/etc/systemd/system/systemd-repart.service".to_owned(),
                        to: "/dev/null".to_owned(),
                    });
                }
                Role::Data(path) => push(&mut text, part, path, options(ground.asked, path)),
                Role::Swap => {
                    text.push_str(&format!("PARTUUID={} none swap defaults 0 0\n", part.id));
                }
                Role::Esp | Role::Root | Role::Other => (),
            }
        }
    }
    if text != before {
        changes.push(Change::public(&format!("/{FSTAB}"), text));
    }
    Ok(())
}

fn push(text: &mut String, part: &PartPlan, path: &str, options: Option<&str>) {
    let options = options.unwrap_or(OPTIONS);
    text.push_str(&format!("PARTUUID={} {path} ext4 {options} 0 2\n", part.id));
}

fn options<'a>(asked: &'a Kickstart, path: &str) -> Option<&'a str> {
    let parts = asked.part.iter().map(|part| &part.value);
    let part = parts.into_iter().find(|part: &&Part| part.usage.is_at(path));
    part.and_then(|part| part.format.fsoptions.as_deref())
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
