//! Which endpoint, and as whom: what `login` saved, and what the environment says instead.

use std::env;
use std::fs::{self, DirBuilder};
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, anyhow};
use basalt_document::parse_toml;
use basalt_durable::PRIVATE;
use basalt_https::{Fingerprint, Trust};
use serde::{Deserialize, Serialize};

use super::args::Login;
use super::output::{Done, Output};
use super::pages;
use crate::client::Client;
use crate::names::EndpointUrl;

/// What the environment says.
#[derive(Debug, Clone, Default)]
pub(super) struct Environment {
    url: Option<String>,
    fingerprint: Option<String>,
    token_file: Option<PathBuf>,
    folder: Option<PathBuf>,
}

/// What `login` saves, besides the token.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Saved {
    url: String,
    ca_fingerprint: String,
}

/// The endpoint that `login` found.
#[derive(Debug, Serialize)]
struct Endpoint {
    url: String,
    /// How many it has.
    hosts: usize,
}

/// An operator at an endpoint.
#[derive(Debug)]
pub(super) struct Session {
    pub(super) client: Client,
    /// The file that the token came from.
    pub(super) token_file: PathBuf,
}

impl Environment {
    pub(super) fn read() -> Self {
        let text = |key: &str| env::var(key).ok().filter(|value| !value.is_empty());
        let path =
            |key: &str| env::var_os(key).filter(|value| !value.is_empty()).map(PathBuf::from);
        let config = path("XDG_CONFIG_HOME").or_else(|| Some(path("HOME")?.join(".config")));
        Self {
            url: text("BASALT_URL"),
            fingerprint: text("BASALT_CA_FINGERPRINT"),
            token_file: path("BASALT_TOKEN_FILE"),
            folder: config.map(|config| config.join("basalt")),
        }
    }
}

impl Session {
    /// The session that was saved, or that the environment describes.
    pub(super) fn load(environment: Environment) -> Result<Self> {
        let folder = environment.folder.as_deref();
        let saved = folder.map(read_saved).transpose()?.flatten();
        let saved = saved.as_ref();
        let none = || anyhow!("it is not known which endpoint is meant\nhint: `basaltctl login`");
        let url = environment.url.as_deref().or_else(|| Some(&saved?.url)).ok_or_else(none)?;
        let ca = environment.fingerprint.as_deref().or_else(|| Some(&saved?.ca_fingerprint));
        let url: EndpointUrl = url.parse().context("`BASALT_URL` is no URL of an endpoint")?;
        let ca: Fingerprint = ca.ok_or_else(none)?.parse()?;
        let token_file = environment.token_file.or_else(|| Some(token_file(folder?)));
        let token_file = token_file.ok_or_else(none)?;
        let token = read_token(&token_file)?;
        let client = Client::new(url, &Trust::Fingerprint(ca), None)?.with_token(&token)?;
        Ok(Self { client, token_file })
    }
}

/// Tries the token and saves what is needed.
pub(super) async fn login(login: &Login, output: Output) -> Result<()> {
    let token = read_token(&login.token_file)?;
    let trust = Trust::Fingerprint(login.ca_fingerprint);
    let client = Client::new(login.url.clone(), &trust, None)?.with_token(&token)?;
    let hosts = pages::hosts(&client).await?;
    let folder =
        Environment::read().folder.context("neither `XDG_CONFIG_HOME` nor `HOME` is set")?;
    save(&folder, login, &token)
        .with_context(|| format!("cannot write to `{}`", folder.display()))?;
    let hosts = hosts.hosts.len();
    let done = Done::new("logged_in", Endpoint { url: login.url.to_string(), hosts });
    output.tell(&done, &format!("logged in to `{}`; hosts there: {hosts}", login.url))
}

fn save(folder: &Path, login: &Login, token: &str) -> Result<()> {
    DirBuilder::new().recursive(true).mode(0o700).create(folder)?;
    let (url, ca_fingerprint) = (login.url.to_string(), login.ca_fingerprint.to_string());
    let text = toml::to_string(&Saved { url, ca_fingerprint })?;
    basalt_durable::write(&token_file(folder), token.as_bytes(), PRIVATE)?;
    basalt_durable::write(&login_file(folder), text.as_bytes(), PRIVATE)?;
    Ok(())
}

fn read_saved(folder: &Path) -> Result<Option<Saved>> {
    let path = login_file(folder);
    let cannot = || format!("cannot read `{}`", path.display());
    let Some(bytes) = basalt_durable::read(&path).with_context(cannot)? else { return Ok(None) };
    let text = String::from_utf8(bytes).with_context(cannot)?;
    Ok(Some(parse_toml(&path.display().to_string(), &text)?))
}

fn read_token(path: &Path) -> Result<String> {
    let token = fs::read_to_string(path)
        .with_context(|| format!("cannot read the operator's token in `{}`", path.display()))?;
    Ok(token.trim().to_owned())
}

fn login_file(folder: &Path) -> PathBuf {
    folder.join("login.toml")
}

fn token_file(folder: &Path) -> PathBuf {
    folder.join("token")
}
