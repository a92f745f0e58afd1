//! Tokens and secrets.

use std::fs::{self, File};
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use basalt_api::operator::{
    OperatorToken, ROTATE_PATH, SECRETS_PATH, TOKENS_PATH, TokenCreate, TokenCreated, TokenInfo,
    Tokens,
};
use basalt_api::secret::{MAX_VALUE, SecretInfo, SecretValue, Secrets};
use basalt_durable::PRIVATE;
use basalt_table::{labels, table, time};
use hyper::Method;

use super::PATIENCE;
use super::args::{Operator, Secret, Token};
use super::login::Session;
use super::output::Output;

pub(super) async fn token(session: &Session, output: Output, command: Token) -> Result<()> {
    let client = &session.client;
    match command {
        Token::Create { uses, expires, labels, replace } => {
            let asked = TokenCreate {
                uses: Some(uses),
                expires_s: Some(expires.unsigned_abs()),
                labels: labels.into_iter().collect(),
                replace,
            };
            let created: TokenCreated =
                client.send(Method::POST, TOKENS_PATH, &asked, PATIENCE).await?;
            output.show(&created, |created| format!("{}\n", created.join))?;
            if !output.is_json {
                eprintln!("good until {}; it is a secret", time(created.expires_at));
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
            eprintln!("revoked token `{id}`");
            Ok(())
        }
    }
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

pub(super) async fn operator(session: &Session, command: Operator) -> Result<()> {
    let Operator::Rotate = command;
    let path = &session.token_file;
    // The old token is worth nothing once the new one comes: there must be a place for it.
    let is_writable = fs::metadata(path).is_ok_and(|file| !file.permissions().readonly());
    if !is_writable {
        bail!("`{}` cannot be written", path.display());
    }
    let new: OperatorToken = session.client.send(Method::POST, ROTATE_PATH, &(), PATIENCE).await?;
    basalt_durable::write(path, new.token.as_bytes(), PRIVATE).with_context(|| {
        format!(
            "cannot write the new token to `{}`\n\
             hint: `operator.token` in the endpoint's folder holds it",
            path.display()
        )
    })?;
    eprintln!("the new token is in `{}`", path.display());
    Ok(())
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
            eprintln!("removed secret `{name}`");
            Ok(())
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
