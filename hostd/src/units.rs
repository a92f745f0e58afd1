//! Asks systemd how units are.

use std::time::Duration;

use basalt_cmd::Cmd;
use hostd_core::health::{Unit, Units};

/// systemd answers in milliseconds; a `hostd` that waits longer misses its watchdog.
const DEADLINE: Duration = Duration::from_secs(10);

/// The state of each of `names`. Blocks.
pub fn states(names: &[String]) -> Units {
    if names.is_empty() {
        return Ok(Vec::new());
    }
    let cmd = Cmd::new("systemctl")
        .args(["show", "--property=Id,ActiveState", "--"])
        .args(names)
        .deadline(DEADLINE);
    let output = cmd.run().map_err(|error| error.to_string())?;
    Ok(parse(names, &output.stdout_text()))
}

/// Reads what `systemctl show` prints: a block of properties for each unit, in the order asked
/// for. A name that is an alias prints the unit's own, so that the order tells them apart.
fn parse(names: &[String], text: &str) -> Vec<Unit> {
    let mut blocks = text.split("\n\n");
    let state = |block: &str| {
        block.lines().find_map(|line| line.strip_prefix("ActiveState=")).map(str::to_owned)
    };
    let unit = |name: &String| Unit {
        name: name.clone(),
        active_state: blocks.next().and_then(state).unwrap_or_else(|| "unknown".to_owned()),
    };
    names.iter().map(unit).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_unit_has_its_own_state_whatever_it_calls_itself() {
        let text =
            "Id=podman.socket\nActiveState=active\n\nId=dbus-broker.service\nActiveState=failed";
        let names = ["podman.socket", "dbus.service", "cut.service"].map(str::to_owned);
        let units = parse(&names, text);
        let units: Vec<_> =
            units.iter().map(|unit| (unit.name.as_str(), unit.active_state.as_str())).collect();
        let expected =
            [("podman.socket", "active"), ("dbus.service", "failed"), ("cut.service", "unknown")];
        assert_eq!(units, expected);
    }

    #[test]
    fn fuzz_words_of_systemctl() {
        let seed = "Id=podman.socket\nActiveState=active\n\nId=b.service\nActiveState=failed";
        basalt_fuzz::run_on_text!(&[seed], |text| {
            let names = ["podman.socket", "b.service"].map(str::to_owned);
            assert_eq!(parse(&names, text).len(), names.len());
        });
    }
}
