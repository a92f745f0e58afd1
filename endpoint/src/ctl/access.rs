//! Tokens and secrets.

use std::fs::File;
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use basalt_api::enrol::{JoinString, Left};
use basalt_api::operator::{
    OperatorToken, ROTATE_PATH, SECRETS_PATH, TOKENS_PATH, TokenCreate, TokenCreated, TokenInfo,
    Tokens,
};
use basalt_api::secret::{MAX_VALUE, SecretInfo, SecretValue, Secrets};
use basalt_durable::PRIVATE;
use basalt_table::{labels, table, time};
use hyper::Method;
use serde::Serialize;
use uuid::Uuid;

use super::PATIENCE;
use super::args::{Operator, Secret, Token};
use super::login::Session;
use super::output::{Done, Named, Output};

/// A token for enrolment.
#[derive(Debug, Serialize)]
struct TokenOf {
    id: Uuid,
}

/// Where the operator's token is.
#[derive(Debug, Serialize)]
struct TokenFile<'a> {
    token_file: &'a Path,
}

pub(super) async fn token(session: &Session, output: Output, command: Token) -> Result<()> {
    let client = &session.client;
    match command {
        Token::Create { uses, expires, labels, replace, bare } => {
            let asked = TokenCreate {
                uses: Some(uses),
                expires_s: Some(expires.unsigned_abs()),
                labels: labels.into_iter().collect(),
                replace,
            };
            let mut created: TokenCreated =
                client.send(Method::POST, TOKENS_PATH, &asked, PATIENCE).await?;
            let join: JoinString = created.join.parse()?;
            if bare {
                created.join = Left::Secret(join.secret.clone()).reveal();
            }
            output.show(&created, |created| format!("{}\n", created.join))?;
            if !output.is_json {
                eprintln!("good until {}; it is a secret", time(created.expires_at));
                if bare {
                    eprintln!("kernel arguments of its hosts: {}", arguments(&join));
                }
            }
            Ok(())
        }
        Token::List => {
            let tokens: Tokens = client.get(TOKENS_PATH, PATIENCE).await?;
            output.show(&tokens, |tokens| {
                let rows: Vec<_> = tokens.tokens.iter().map(token_row).collect();
                table(["id", "uses left", "expires", "labels", "replaces", "hosts"], &rows)
            })
        }
        Token::Revoke { id } => {
            let path = format!("{TOKENS_PATH}/{id}");
            client.call(Method::DELETE, &path, None, PATIENCE).await?.good()?;
            let done = Done::new("revoked", TokenOf { id });
            output.tell(&done, &format!("revoked token `{id}`"))
        }
    }
}

/// What tells hosts with a secret alone where to go. It is none itself.
fn arguments(join: &JoinString) -> String {
    let urls = join.urls.iter().map(|url| format!("basalt.endpoint={url}"));
    urls.chain([format!("basalt.ca={}", join.ca_sha256)]).collect::<Vec<_>>().join(" ")
}

fn token_row(token: &TokenInfo) -> [String; 6] {
    let hosts: Vec<&str> = token.hosts.iter().map(|host| host.as_str()).collect();
    [
        token.id.to_string(),
        token.uses_left.to_string(),
        time(token.expires_at),
        labels(&token.labels),
        token.replace.as_ref().map(ToString::to_string).unwrap_or_default(),
        hosts.join(", "),
    ]
}

pub(super) async fn operator(session: &Session, output: Output, command: Operator) -> Result<()> {
    let Operator::Rotate = command;
    let path = &session.token_file;
    // The old token is worth nothing once the new one comes: there must be a place for it.
    try_to_write_beside(path).with_context(|| {
        format!("`{}` cannot be written, so the old token stays", path.display())
    })?;
    let new: OperatorToken = session.client.send(Method::POST, ROTATE_PATH, &(), PATIENCE).await?;
    basalt_durable::write(path, new.token.as_bytes(), PRIVATE).with_context(|| {
        format!(
            "cannot write the new token to `{}`\n\
             hint: `operator.token` in the endpoint's folder holds it",
            path.display()
        )
    })?;
    let done = Done::new("rotated", TokenFile { token_file: path });
    output.tell(&done, &format!("the new token is in `{}`", path.display()))
}

/// Does all that replacing the file takes but the last step.
fn try_to_write_beside(path: &Path) -> io::Result<()> {
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty());
    let mut file =
        tempfile::Builder::new().prefix(".new-").tempfile_in(folder.unwrap_or(Path::new(".")))?;
    // As long as a token: a full disk has no room for it.
    file.write_all(&[b'x'; 64])?;
    file.as_file().sync_all()
}

pub(super) async fn secret(session: &Session, output: Output, command: Secret) -> Result<()> {
    let client = &session.client;
    match command {
        Secret::Set { name, file } => {
            let value = SecretValue::of(&read_value(file.as_deref())?);
            let path = format!("{SECRETS_PATH}/{name}");
            let info: SecretInfo = client.send(Method::PUT, &path, &value, PATIENCE).await?;
            output.show(&info, |info| {
                let users = match info.used_by.len() {
                    0 => String::new(),
                    users => format!("; workloads that use it: {users}"),
                };
                format!("secret `{}` has version {}{users}\n", info.name, info.version)
            })
        }
        Secret::List => {
            let secrets: Secrets = client.get(SECRETS_PATH, PATIENCE).await?;
            output.show(&secrets, |secrets| {
                let rows: Vec<_> = secrets.secrets.iter().map(secret_row).collect();
                table(["name", "version", "set", "used by"], &rows)
            })
        }
        Secret::Rm { name } => {
            let path = format!("{SECRETS_PATH}/{name}");
            client.call(Method::DELETE, &path, None, PATIENCE).await?.good()?;
            let done = Done::new("removed", Named { name: &name });
            output.tell(&done, &format!("removed secret `{name}`"))
        }
    }
}

fn secret_row(secret: &SecretInfo) -> [String; 4] {
    let users: Vec<&str> = secret.used_by.iter().map(|name| name.as_str()).collect();
    [secret.name.to_string(), secret.version.to_string(), time(secret.set_at), users.join(", ")]
}

/// Never an argument: every process of the machine could read it.
fn read_value(file: Option<&Path>) -> Result<Vec<u8>> {
    let name = file.map_or_else(|| PathBuf::from("standard input"), Path::to_owned);
    let mut value = Vec::new();
    let limit = MAX_VALUE as u64 + 1;
    let read = match file {
        Some(file) => File::open(file).and_then(|file| file.take(limit).read_to_end(&mut value)),
        None => io::stdin().take(limit).read_to_end(&mut value),
    };
    read.with_context(|| format!("cannot read `{}`", name.display()))?;
    if value.len() > MAX_VALUE {
        bail!("a secret has at most {MAX_VALUE} bytes");
    }
    Ok(value)
}
