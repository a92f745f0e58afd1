//! Decides for a host that is frozen. What its set claims is shown before it is kept.

use anyhow::Result;
use basalt_api::id::Name;
use basalt_api::operator::{Change, Claim, Claims, HOSTS_PATH, Keep, Resync};
use basalt_table::table;

use super::PATIENCE;
use super::ask;
use super::hosts::change;
use super::login::Session;
use super::output::Output;

/// Whether somebody is asked first.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Asks {
    First,
    Nothing,
}

pub(super) async fn from_endpoint(session: &Session, output: Output, host: &Name) -> Result<()> {
    let how = Resync { keep: Keep::Endpoint, set_hash: None };
    change(session, output, &path(host), &how).await
}

pub(super) async fn keep_host(
    session: &Session,
    output: Output,
    host: &Name,
    asks: Asks,
) -> Result<()> {
    let claims: Claims = session.client.get(&path(host), PATIENCE).await?;
    if asks == Asks::First {
        eprint!("{}", shown(host, &claims));
        ask::confirm("keep all this, as the host says it is?", "keeps it")?;
    }
    // Another set than the one that was shown is refused.
    let how = Resync { keep: Keep::Host, set_hash: Some(claims.set_hash) };
    change(session, output, &path(host), &how).await
}

fn path(host: &Name) -> String {
    format!("{HOSTS_PATH}/{host}/resync")
}

fn shown(host: &Name, claims: &Claims) -> String {
    let mut text = format!("what host `{host}` says that it runs:\n");
    let rows: Vec<_> = claims.workloads.iter().map(row).collect();
    text += &table(["workload", "kind", "here", "moves from", "secrets", "uid"], &rows);
    if !claims.parked.is_empty() {
        let names: Vec<&str> = claims.parked.iter().map(|name| name.as_str()).collect();
        text += &format!(
            "what it does not have, and nobody runs until it is applied again: {}\n",
            names.join(", ")
        );
    }
    text
}

fn row(claim: &Claim) -> [String; 6] {
    let here = match claim.change {
        Change::Created => "new",
        Change::Changed => "changed",
        Change::Unchanged => "known",
    };
    let secrets: Vec<&str> = claim.secrets.iter().map(|name| name.as_str()).collect();
    [
        claim.name.to_string(),
        claim.kind.to_string(),
        here.to_owned(),
        claim.moves_from.as_ref().map(ToString::to_string).unwrap_or_default(),
        secrets.join(", "),
        claim.uid.to_string(),
    ]
}
