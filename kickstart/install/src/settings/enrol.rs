//! `%addon basalt`: how the host finds its endpoint, and what it is let in for.

use anyhow::{Context, Error, Result, anyhow, bail};
use basalt_api::enrol::{JoinString, Left};
use basalt_kickstart::model::{At, Authority, Basalt, Join};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use sha2::{Digest, Sha256};

use super::{Change, Ground};
use crate::problems::Problems;

/// Where `hostd` looks for what it enrols by.
pub(super) const JOIN: &str = "/etc/basalt/join";
/// A part of `hostd`'s configuration.
const CONFIG: &str = "/etc/basalt/hostd.toml.d/50-kickstart.toml";

pub(super) fn settings(
    ground: &Ground<'_>,
    changes: &mut Vec<Change>,
    problems: &mut Problems,
) -> Result<()> {
    let asked = ground.asked;
    if let Some(basalt) = &asked.basalt {
        match join(ground, basalt) {
            Ok(Some(text)) => changes.push(Change::private(JOIN, format!("{text}\n"))),
            Ok(None) => (),
            Err(wrong) => problems.error(wrong.span, format!("{:#}", wrong.value), ""),
        }
    }
    let archive = asked.ostreesetup.as_ref().filter(|setup| setup.is_elsewhere());
    let archive = archive.map(|setup| setup.url.as_str());
    if let Some(text) = config(asked.basalt.as_deref(), archive) {
        changes.push(Change::public(CONFIG, text));
    }
    Ok(())
}

/// The join string of this host, none where nothing lets it in; or what is wrong, and in which line.
fn join(ground: &Ground<'_>, basalt: &Basalt) -> Result<Option<String>, At<Error>> {
    let Some(join) = &basalt.join else { return Ok(None) };
    let at_join = |value| At { value, span: join.span };
    let left = left(ground, join).map_err(at_join)?;
    let span = basalt.ca.as_ref().map_or(join.span, |ca| ca.span);
    let at_ca = |value| At { value, span };
    let ca = basalt.ca.as_ref().map(|ca| fingerprint(ground, ca)).transpose().map_err(at_ca)?;
    let secret = match left {
        Left::Whole(join) => {
            let join = whole(join, ca, &basalt.endpoints).map_err(at_ca)?;
            return Ok(Some(join.reveal()));
        }
        Left::Secret(secret) => secret,
    };
    let Some(ca_sha256) = ca.filter(|_| !basalt.endpoints.is_empty()) else {
        let why = "a token alone says neither where the endpoint is nor how it is known";
        return Err(at_join(anyhow!(why)));
    };
    Ok(Some(JoinString { urls: basalt.endpoints.clone(), ca_sha256, secret }.reveal()))
}

/// What lets the host in.
fn left(ground: &Ground<'_>, join: &Join) -> Result<Left> {
    let text = match join {
        Join::Inline(secret) => secret.reveal().to_owned(),
        Join::JoinFile(path) | Join::TokenFile(path) => {
            ground.edge.file(path).with_context(|| format!("cannot read the token `{path}`"))?
        }
    };
    // Quotes nothing of it.
    text.trim().parse().context("what lets the host in is no token")
}

/// A join string with further ways to the same endpoint.
fn whole(join: JoinString, ca: Option<String>, endpoints: &[String]) -> Result<JoinString> {
    if ca.is_some_and(|ca| !ca.eq_ignore_ascii_case(&join.ca_sha256)) {
        bail!("the join string names another CA than the kickstart");
    }
    let others = join.urls.iter().filter(|url| !endpoints.contains(url));
    let urls = endpoints.iter().chain(others).cloned().collect();
    Ok(JoinString { urls, ..join })
}

/// The SHA-256 of a certificate.
fn fingerprint(ground: &Ground<'_>, ca: &Authority) -> Result<String> {
    let pem = match ca {
        Authority::Sha256(hex) => return Ok(hex.clone()),
        Authority::Pem(pem) => pem.clone(),
        Authority::File(path) => {
            ground.edge.file(path).with_context(|| format!("cannot read the CA `{path}`"))?
        }
    };
    let body = pem.split("-----BEGIN CERTIFICATE-----").nth(1);
    let body = body.and_then(|rest| rest.split("-----END CERTIFICATE-----").next());
    let body: String =
        body.context("the CA is no certificate in PEM")?.split_whitespace().collect();
    let der = STANDARD.decode(body).context("the CA's certificate is damaged")?;
    Ok(hex::encode(Sha256::digest(der)))
}

/// What `hostd` is told beside it, and that the archive which the host came from has its updates;
/// none where that is nothing.
fn config(basalt: Option<&Basalt>, archive: Option<&str>) -> Option<String> {
    let quoted = |text: &str| serde_json::Value::from(text).to_string();
    let mut text = String::new();
    // With a token they stand in the join string.
    let endpoints = basalt.filter(|it| it.join.is_none()).map(|it| &it.endpoints);
    if let Some(endpoints) = endpoints.filter(|it| !it.is_empty()) {
        let urls: Vec<String> = endpoints.iter().map(|url| quoted(url)).collect();
        text.push_str(&format!("endpoints = [{}]\n", urls.join(", ")));
    }
    if let Some(labels) = basalt.map(|it| &it.labels).filter(|it| !it.is_empty()) {
        text.push_str("[labels]\n");
        for (key, value) in labels {
            text.push_str(&format!("{} = {}\n", quoted(key), quoted(value)));
        }
    }
    if let Some(url) = archive {
        text.push_str(&format!("[updates]\nurl = {}\n", quoted(url)));
    }
    (!text.is_empty()).then(|| format!("# From the kickstart.\n{text}"))
}
