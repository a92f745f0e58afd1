//! Tokens for enrolment, and who redeemed them.

use anyhow::Result;
use basalt_api::id::{HostId, Name};
use basalt_api::operator::TokenInfo;
use basalt_endpoint_core::Seconds;
use basalt_endpoint_core::token::{Standing, Token};
use sha2::{Digest, Sha256};
use uuid::Uuid;

use super::{Db, from_json, to_json};

#[derive(sqlx::FromRow)]
struct Row {
    id: String,
    uses_left: i64,
    expires_at: i64,
    created_at: i64,
    revoked_at: Option<i64>,
    labels: String,
    replace_host: Option<String>,
}

impl Row {
    fn token(&self) -> Result<Token> {
        Ok(Token {
            uses_left: u32::try_from(self.uses_left)?,
            expires_at: self.expires_at,
            is_revoked: self.revoked_at.is_some(),
            labels: from_json(&self.labels)?,
            replace: self.replace_host.as_deref().map(str::parse).transpose()?,
        })
    }
}

/// Writes a token down. Of its secret only the hash is kept.
///
/// # Errors
/// The database is broken.
pub async fn insert(
    db: &mut Db,
    id: Uuid,
    secret: &str,
    token: &Token,
    now: Seconds,
) -> Result<()> {
    let put = sqlx::query(
        "INSERT INTO tokens (id, secret_hash, uses_left, expires_at, created_at, labels, replace_host)
         VALUES (?, ?, ?, ?, ?, ?, ?)",
    );
    let put = put.bind(id.to_string()).bind(hash(secret)).bind(i64::from(token.uses_left));
    let put = put.bind(token.expires_at).bind(now).bind(to_json(&token.labels)?);
    put.bind(token.replace.as_ref().map(Name::as_str)).execute(&mut **db).await?;
    Ok(())
}

/// The token with a secret, and its id.
///
/// # Errors
/// The database is broken.
pub async fn by_secret(db: &mut Db, secret: &str) -> Result<Option<(Uuid, Token)>> {
    let row: Option<Row> = sqlx::query_as("SELECT * FROM tokens WHERE secret_hash = ?")
        .bind(hash(secret))
        .fetch_optional(&mut **db)
        .await?;
    row.map(|row| Ok((row.id.parse()?, row.token()?))).transpose()
}

/// Whom a token and a key made a host, and whether that one still is.
///
/// # Errors
/// The database is broken.
pub async fn redeemed(db: &mut Db, id: Uuid, key: &[u8; 32]) -> Result<Option<(HostId, Standing)>> {
    let row: Option<(String, Option<i64>)> = sqlx::query_as(
        "SELECT hosts.id, hosts.revoked_at FROM redemptions JOIN hosts ON hosts.id = host
         WHERE token = ? AND key_hash = ?",
    )
    .bind(id.to_string())
    .bind(&key[..])
    .fetch_optional(&mut **db)
    .await?;
    let Some((host, revoked_at)) = row else { return Ok(None) };
    let standing = if revoked_at.is_some() { Standing::Revoked } else { Standing::Good };
    Ok(Some((host.parse()?, standing)))
}

/// Writes down that a host redeemed a token, which has one use less now.
///
/// # Errors
/// The database is broken.
pub async fn redeem(db: &mut Db, id: Uuid, key: &[u8; 32], host: HostId) -> Result<()> {
    let put = sqlx::query("INSERT INTO redemptions (token, key_hash, host) VALUES (?, ?, ?)");
    put.bind(id.to_string()).bind(&key[..]).bind(host.to_string()).execute(&mut **db).await?;
    let use_up = sqlx::query("UPDATE tokens SET uses_left = uses_left - 1 WHERE id = ?");
    use_up.bind(id.to_string()).execute(&mut **db).await?;
    Ok(())
}

/// Takes a token back. Whether there was one.
///
/// # Errors
/// The database is broken.
pub async fn revoke(db: &mut Db, id: Uuid, now: Seconds) -> Result<bool> {
    let revoke =
        sqlx::query("UPDATE tokens SET revoked_at = ? WHERE id = ? AND revoked_at IS NULL");
    let done = revoke.bind(now).bind(id.to_string()).execute(&mut **db).await?;
    Ok(done.rows_affected() > 0)
}

/// Tokens that are not revoked, the newest first.
///
/// # Errors
/// The database is broken.
pub async fn all(db: &mut Db) -> Result<Vec<TokenInfo>> {
    let rows: Vec<Row> = sqlx::query_as(
        "SELECT * FROM tokens WHERE revoked_at IS NULL ORDER BY created_at DESC, id",
    )
    .fetch_all(&mut **db)
    .await?;
    let mut tokens = Vec::new();
    for row in rows {
        let hosts: Vec<String> = sqlx::query_scalar(
            "SELECT hosts.name FROM redemptions JOIN hosts ON hosts.id = host
             WHERE token = ? ORDER BY hosts.name",
        )
        .bind(&row.id)
        .fetch_all(&mut **db)
        .await?;
        let token = row.token()?;
        tokens.push(TokenInfo {
            id: row.id.parse()?,
            uses_left: token.uses_left,
            expires_at: token.expires_at,
            created_at: row.created_at,
            labels: token.labels,
            replace: token.replace,
            hosts: hosts.iter().map(|host| host.parse()).collect::<Result<_, _>>()?,
        });
    }
    Ok(tokens)
}

fn hash(secret: &str) -> Vec<u8> {
    Sha256::digest(secret).to_vec()
}
