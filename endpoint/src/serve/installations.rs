//! An installer says how far it is; operators see it among the events.

use axum::extract::State;
use axum::http::StatusCode;
use basalt_api::fault::FaultKind;
use basalt_api::install::InstallReport;

use super::enrol::{fault, unknown};
use crate::app::Shared;
use crate::clock;
use crate::refusal::Answer;
use crate::routes::JsonBody;
use crate::store::events;
use crate::store::tokens;

pub(crate) async fn report(
    State(app): State<Shared>,
    JsonBody(report): JsonBody<InstallReport>,
) -> Answer<StatusCode> {
    let now = clock::now();
    // The cheap look-up first: nobody without a token writes anything.
    let mut read = app.store.read().await?;
    let found = tokens::by_secret(&mut read, &report.secret).await?;
    drop(read);
    let (_, token) = found.ok_or_else(unknown)?;
    token.is_good(now).map_err(|refused| fault(&refused))?;
    if let Some(problem) = report.problem() {
        return Err(FaultKind::Invalid.with(problem).into());
    }
    let mut write = app.store.write().await?;
    events::put_installation(&mut write, &report, now).await?;
    write.commit().await.map_err(anyhow::Error::from)?;
    app.publish(&[]);
    Ok(StatusCode::NO_CONTENT)
}
