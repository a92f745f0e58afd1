//! Releases of the system: channels, rollouts, and groups that do not reboot all at once.

use anyhow::Result;
use basalt_api::id::Name;
use basalt_api::rollout::{
    CHANNELS_PATH, ChannelSet, Channels, FleetLock, GROUPS_PATH, GroupSet, Groups, ROLLOUTS_PATH,
    RolloutHost, RolloutResume, RolloutSpec, RolloutStart, Rollouts,
};
use basalt_table::{facts, shortened, table, time};
use hyper::Method;
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};

use super::PATIENCE;
use super::args::{self, Channel, Group, Os, Rollout};
use super::login::Session;
use super::output::{Done, Named, Output};

type Shown = basalt_api::rollout::Rollout;

pub(super) async fn os(session: &Session, output: Output, command: Os) -> Result<()> {
    match command {
        Os::Channel(command) => channel(session, output, command).await,
        Os::Rollout(command) => rollout(session, output, *command).await,
        Os::Group(command) => group(session, output, command).await,
    }
}

async fn channel(session: &Session, output: Output, command: Channel) -> Result<()> {
    let client = &session.client;
    match command {
        Channel::List => {
            let channels: Channels = client.get(CHANNELS_PATH, PATIENCE).await?;
            output.show(&channels, |channels| {
                let row = |channel: &basalt_api::rollout::Channel| {
                    let (name, hosts) = (channel.name.to_string(), channel.hosts.to_string());
                    [name, channel.version.clone(), hosts, time(channel.set_at)]
                };
                let rows: Vec<_> = channels.channels.iter().map(row).collect();
                table(["channel", "version", "hosts", "set"], &rows)
            })
        }
        Channel::Set { name, version } => {
            let path = format!("{CHANNELS_PATH}/{name}");
            let set = ChannelSet { version };
            let channel: basalt_api::rollout::Channel =
                client.send(Method::PUT, &path, &set, PATIENCE).await?;
            output.show(&channel, |channel| {
                let (name, version, hosts) = (&channel.name, &channel.version, channel.hosts);
                format!(
                    "channel `{name}` means {version}; `basaltctl os rollout start --channel \
                     {name}` brings its hosts ({hosts}) there\n"
                )
            })
        }
        Channel::Rm { name } => {
            client
                .call(Method::DELETE, &format!("{CHANNELS_PATH}/{name}"), None, PATIENCE)
                .await?
                .good()?;
            let done = Done::new("removed", Named { name: &name });
            output.tell(&done, &format!("removed channel `{name}`"))
        }
    }
}

async fn rollout(session: &Session, output: Output, command: Rollout) -> Result<()> {
    let client = &session.client;
    let path = |channel: &Name, rest: &str| format!("{ROLLOUTS_PATH}/{channel}{rest}");
    let (path, body) = match command {
        Rollout::Start(start) => (ROLLOUTS_PATH.to_owned(), serde_json::to_value(begin(start))?),
        Rollout::Status { channel: None } => {
            let rollouts: Rollouts = client.get(ROLLOUTS_PATH, PATIENCE).await?;
            return output.show(&rollouts, |rollouts| match rollouts.rollouts.as_slice() {
                [] => "no channel has a rollout\n".to_owned(),
                all => all.iter().map(shown).collect::<Vec<_>>().join("\n"),
            });
        }
        Rollout::Status { channel: Some(channel) } => {
            let rollout: Shown = client.get(&path(&channel, ""), PATIENCE).await?;
            return output.show(&rollout, shown);
        }
        Rollout::Pause { channel } => (path(&channel, "/pause"), serde_json::Value::Null),
        Rollout::Resume { channel, retry } => {
            (path(&channel, "/resume"), serde_json::to_value(RolloutResume { retry })?)
        }
        Rollout::Abort { channel } => (path(&channel, "/abort"), serde_json::Value::Null),
    };
    let rollout: Shown = client.send(Method::POST, &path, &body, PATIENCE).await?;
    output.show(&rollout, shown)
}

fn begin(start: args::RolloutStart) -> RolloutStart {
    // A span that was typed is a century at most.
    let seconds = |span: i64| u32::try_from(span).unwrap_or(u32::MAX);
    let spec = RolloutSpec {
        waves: start.waves,
        soak_s: seconds(start.soak),
        max_failures: start.max_failures,
        windows: start.windows,
        group: start.group,
        drain_s: if start.no_drain { 0 } else { seconds(start.drain) },
        ..RolloutSpec::default()
    };
    RolloutStart { channel: start.channel, spec }
}

fn shown(rollout: &Shown) -> String {
    let complete = if rollout.complete { ", all hosts are through" } else { "" };
    let mut text = facts(&[
        ("channel", rollout.channel.to_string()),
        ("version", rollout.version.clone()),
        ("state", format!("{}{complete}", rollout.state)),
        ("reason", rollout.reason.clone().unwrap_or_default()),
        ("wave", format!("{} of {}", rollout.wave, rollout.of_waves)),
        ("windows", rollout.spec.windows.join("; ")),
        ("begun", time(rollout.started_at)),
    ]);
    if !rollout.hosts.is_empty() {
        let rows: Vec<_> = rollout.hosts.iter().map(host_row).collect();
        text.push('\n');
        text += &table(["host", "wave", "stage", "since", "reason"], &rows);
    }
    text
}

fn host_row(host: &RolloutHost) -> [String; 5] {
    let percent = host.percent.filter(|_| host.reason.is_none());
    let percent = percent.map(|percent| format!("{percent} %"));
    [
        host.host.to_string(),
        host.wave.to_string(),
        host.stage.to_string(),
        time(host.since),
        shortened(host.reason.as_deref().or(percent.as_deref()).unwrap_or_default()),
    ]
}

async fn group(session: &Session, output: Output, command: Group) -> Result<()> {
    let client = &session.client;
    let path = |name: &Name, rest: &str| format!("{GROUPS_PATH}/{name}{rest}");
    match command {
        Group::List => {
            let groups: Groups = client.get(GROUPS_PATH, PATIENCE).await?;
            output.show(&groups, |groups| {
                let rows: Vec<_> = groups.groups.iter().map(group_row).collect();
                table(["group", "slots", "fleetlock", "rebooting"], &rows)
            })
        }
        Group::Set { name, slots } => {
            let set = GroupSet { slots };
            let group: basalt_api::rollout::Group =
                client.send(Method::PUT, &path(&name, ""), &set, PATIENCE).await?;
            output.show(&group, |group| {
                format!("group `{}`: {} may reboot at once\n", group.name, group.slots)
            })
        }
        Group::Rm { name } => {
            client.call(Method::DELETE, &path(&name, ""), None, PATIENCE).await?.good()?;
            let done = Done::new("removed", Named { name: &name });
            output.tell(&done, &format!("removed group `{name}`"))
        }
        Group::Fleetlock { name, off: false } => {
            let path = path(&name, "/fleetlock");
            let key: FleetLock = client.send(Method::POST, &path, &(), PATIENCE).await?;
            output.show(&key, |key| key.base_urls.join("\n") + "\n")?;
            if !output.is_json {
                eprintln!("with `group = \"{name}\"`; it is a secret, and an older one is void");
            }
            Ok(())
        }
        Group::Fleetlock { name, off: true } => {
            client
                .call(Method::DELETE, &path(&name, "/fleetlock"), None, PATIENCE)
                .await?
                .good()?;
            let done = Done::new("closed", Named { name: &name });
            output.tell(&done, &format!("group `{name}` takes no hosts by FleetLock any more"))
        }
        Group::Unlock { name, id } => {
            let path =
                path(&name, &format!("/locks?id={}", utf8_percent_encode(&id, NON_ALPHANUMERIC)));
            client.call(Method::DELETE, &path, None, PATIENCE).await?.good()?;
            let done = Done::new("unlocked", Named { name: &name });
            output.tell(&done, &format!("`{id}` has no leave to reboot in group `{name}` any more"))
        }
    }
}

fn group_row(group: &basalt_api::rollout::Group) -> [String; 4] {
    let holders: Vec<&str> = group.holders.iter().map(|holder| holder.id.as_str()).collect();
    let fleetlock = if group.fleetlock { "on" } else { "" };
    [group.name.to_string(), group.slots.to_string(), fleetlock.to_owned(), holders.join(", ")]
}
