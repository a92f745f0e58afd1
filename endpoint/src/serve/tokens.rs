//! Tokens for enrolment, and the operator's own.

use anyhow::{Context, Result};
use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use basalt_api::fault::FaultKind;
use basalt_api::operator::{OperatorToken, TokenCreate, TokenCreated, Tokens};
use basalt_endpoint_core::token::Token;
use uuid::Uuid;

use crate::app::Shared;
use crate::refusal::Answer;
use crate::routes::{In, StrictBody};
use crate::store::{hosts, tokens};
use crate::{chance, clock};

pub(crate) async fn create(
    State(app): State<Shared>,
    StrictBody(asked): StrictBody<TokenCreate>,
) -> Answer<Json<TokenCreated>> {
    let now = clock::now();
    let token =
        Token::create(&asked, now).map_err(|bad| FaultKind::Invalid.with(bad.to_string()))?;
    if !basalt_api::validate::are_labels(&token.labels) {
        let fault = FaultKind::Invalid.with("these are no labels");
        let hint = "letters, digits, `.`, `_`, `-`, `/`, at most 128 characters";
        return Err(fault.hint(hint).into());
    }
    let mut write = app.store.write().await?;
    if let Some(name) = &token.replace {
        // A typing mistake must not become a host.
        hosts::named(&mut write, name).await?;
    }
    let (id, secret) = (Uuid::new_v4(), chance::token().context("there is no randomness")?);
    tokens::insert(&mut write, id, &secret, &token, now).await?;
    write.commit().await.map_err(anyhow::Error::from)?;
    let join = app.join_string(&secret).reveal();
    Ok(Json(TokenCreated { id, join, expires_at: token.expires_at }))
}

pub(crate) async fn list(State(app): State<Shared>) -> Answer<Json<Tokens>> {
    let mut read = app.store.read().await?;
    Ok(Json(Tokens { tokens: tokens::all(&mut read).await? }))
}

pub(crate) async fn revoke(State(app): State<Shared>, In(id): In<Uuid>) -> Answer<StatusCode> {
    let mut write = app.store.write().await?;
    let was_there = tokens::revoke(&mut write, id, clock::now()).await?;
    write.commit().await.map_err(anyhow::Error::from)?;
    if !was_there {
        return Err(FaultKind::NotFound.with(format!("there is no token `{id}`")).into());
    }
    Ok(StatusCode::NO_CONTENT)
}

pub(crate) async fn rotate(State(app): State<Shared>) -> Answer<Json<OperatorToken>> {
    let rotated: Result<String> = tokio::task::spawn_blocking(move || app.operator.rotate())
        .await
        .context("a request panicked")
        .and_then(|rotated| rotated);
    Ok(Json(OperatorToken { token: rotated? }))
}
