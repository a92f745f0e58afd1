//! `services`: units that run at each boot, or do not.

use anyhow::{Context, Result};
use basalt_kickstart::model::{Service, TimeSourceKind};
use serde::{Deserialize, Serialize};

use super::{Change, Ground};
use crate::problems::Problems;

/// Read before the image's own, which knows nothing of what a kickstart switches on.
const PRESET: &str = "/etc/systemd/system-preset/00-a-kickstart.preset";
const FOLDERS: [&str; 2] = ["usr/lib/systemd/system", "etc/systemd/system"];
/// What the host's gate goes by.
const GATE: &str = "usr/lib/basalt/hostd.toml";
const TIME: &str = "systemd-timesyncd.service";
/// What the end of a unit's name may be.
const KINDS: [&str; 6] = [".service", ".socket", ".timer", ".path", ".target", ".mount"];

/// Units that are switched on and off.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Units {
    /// Started at each boot.
    pub enable: Vec<String>,
    /// Not started.
    pub disable: Vec<String>,
}

pub(super) fn settings(
    ground: &Ground<'_>,
    changes: &mut Vec<Change>,
    problems: &mut Problems,
) -> Result<Units> {
    let mut units = Units::default();
    let required = required(ground)?;
    for said in &ground.asked.services.said {
        let (Service::Enabled(name) | Service::Disabled(name)) = &said.value;
        let unit = match KINDS.iter().any(|kind| name.ends_with(kind)) {
            true => name.clone(),
            false => format!("{name}.service"),
        };
        let file = template(&unit);
        let is_known = ground.image.has(&format!("{}/{file}", FOLDERS[0]))?
            || ground.image.has(&format!("{}/{file}", FOLDERS[1]))?;
        match (&said.value, is_known) {
            (Service::Enabled(_), true) => units.enable.push(unit),
            (Service::Disabled(_), true) if required.contains(&unit) => {
                let message = format!("without `{unit}` no boot of this host is good");
                let hint = "leave it on: the image's gate waits for it, and no update would stay";
                problems.error(said.span, message, hint);
            }
            (Service::Disabled(_), true) => units.disable.push(unit),
            (Service::Enabled(_), false) => {
                let message = format!("the image has no unit `{unit}`");
                problems.error(said.span, message, "add its package to the image's definition");
            }
            (Service::Disabled(_), false) => {
                let message = format!("`{unit}` is not in the image anyway");
                problems.warning(said.span, message, "leave it away");
            }
        }
    }
    let no_time = |source: &TimeSourceKind| *source == TimeSourceKind::Disable;
    if ground.asked.timesource.iter().any(|source| no_time(&source.kind)) {
        units.disable.push(TIME.to_owned());
    }
    if !units.enable.is_empty() || !units.disable.is_empty() {
        changes.push(Change::public(PRESET, preset(&units)));
    }
    Ok(units)
}

/// Units without which the image takes no boot for a good one.
fn required(ground: &Ground<'_>) -> Result<Vec<String>> {
    #[derive(Default, Deserialize)]
    struct Config {
        #[serde(default)]
        gate: Gate,
    }
    #[derive(Default, Deserialize)]
    struct Gate {
        #[serde(default)]
        required_units: Vec<String>,
    }
    let text = ground.image.text(GATE)?;
    let config: Config =
        toml::from_str(&text).with_context(|| format!("`/{GATE}` of the image is damaged"))?;
    Ok(config.gate.required_units)
}

/// The file of `x@y.service` is `x@.service`.
fn template(unit: &str) -> String {
    match (unit.split_once('@'), unit.rsplit_once('.')) {
        (Some((name, _)), Some((_, kind))) => format!("{name}@.{kind}"),
        _ => unit.to_owned(),
    }
}

/// A first boot goes by presets, and would switch on again what was switched off.
fn preset(units: &Units) -> String {
    let line = |verb: &str, unit: &String| format!("{verb} {unit}\n");
    let enabled = units.enable.iter().map(|unit| line("enable", unit));
    let disabled = units.disable.iter().map(|unit| line("disable", unit));
    let lines = enabled.chain(disabled);
    std::iter::once("# From the kickstart.\n".to_owned()).chain(lines).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_instance_is_of_its_template() {
        assert_eq!(template("getty@tty2.service"), "getty@.service");
        assert_eq!(template("podman.socket"), "podman.socket");
    }
}
