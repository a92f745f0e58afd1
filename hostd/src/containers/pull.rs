//! Fetches images: as long as the network takes, and not without progress.

mod progress;
mod sentence;

use std::time::Duration;

use bollard::auth::DockerCredentials;
use bollard::query_parameters::CreateImageOptionsBuilder;
use futures_util::StreamExt;

use super::Settings;
use super::client::{CallError, Client, Connected, Engine};
use super::image::Reference;
use super::seen::InspectedImage;
use super::spec::refuse;
use crate::registries::{self, Registries};
use crate::runtime::RuntimeError;
use progress::Progress;

/// How long it may unpack what it has fetched, during which podman says nothing.
const UNPACK: Duration = Duration::from_secs(600);

/// The image as the engine has it; none where it has not.
///
/// # Errors
/// The engine cannot be asked.
pub(super) async fn look(
    client: &Client,
    image: &Reference,
) -> Result<Option<InspectedImage>, RuntimeError> {
    let full = image.full();
    match client.get(&format!("/images/{full}/json")).await {
        Ok(image) => Ok(Some(image)),
        Err(error) if error.has_status(404) => Ok(None),
        Err(error) => Err(error.of_workload(format!("cannot look for the image `{full}`"))),
    }
}

/// Fetches an image that is not there.
///
/// # Errors
/// The registry does not give it, in one sentence for a person.
pub(super) async fn pull(
    client: &Client,
    image: &Reference,
    settings: &Settings,
) -> Result<(), RuntimeError> {
    let connected = client.connected().await.map_err(|error| error.of_workload(""))?;
    let credentials = access(connected.engine, image, &settings.registries).await?;
    match follow(client, connected, image, credentials, settings).await {
        Ok(()) => (),
        Err(Ended::TooLong) => return Err(sentence::too_long(image, settings.total)),
        Err(Ended::Stalled(stall)) => return Err(sentence::stalled(image, stall)),
        Err(Ended::Failed(CallError::Answered { message, .. })) => {
            return Err(sentence::failure(image, &message));
        }
        Err(Ended::Failed(error)) => return Err(error.of_workload("")),
    }
    // A stream that ends early, without an error, has been seen to leave nothing behind.
    match look(client, image).await? {
        Some(_) => Ok(()),
        None => Err(refuse(format!("`{}` was fetched and is not there", image.full()))),
    }
}

enum Ended {
    Failed(CallError),
    Stalled(Duration),
    TooLong,
}

/// Brings the engine's trust up to date and reads who we are there.
async fn access(
    engine: Engine,
    image: &Reference,
    registries: &Registries,
) -> Result<Option<DockerCredentials>, RuntimeError> {
    let (registries, image) = (registries.clone(), image.clone());
    let work = move || -> Result<_, registries::FileError> {
        registries::trust(&registries, engine.certs_d()).or_else(|error| {
            // A certificate of another registry is no reason to fail here.
            let is_needed = registries.get(&image.registry).is_some_and(|it| it.ca.is_some());
            tracing::warn!(%error, "not every certificate of `[registries]` is in place");
            if is_needed { Err(error) } else { Ok(()) }
        })?;
        let login = registries.get(&image.registry).and_then(|registry| registry.login.as_ref());
        login.map(|login| Ok((login.username.clone(), login.password()?))).transpose().map(
            |login| {
                login.map(|(username, password)| DockerCredentials {
                    username: Some(username),
                    password: Some(password),
                    serveraddress: Some(image.account()),
                    ..DockerCredentials::default()
                })
            },
        )
    };
    let result = tokio::task::spawn_blocking(work).await;
    let result = result.map_err(|_| refuse("the registry's files could not be read"))?;
    result.map_err(|error| refuse(error.to_string()))
}

async fn follow(
    client: &Client,
    connected: Connected,
    image: &Reference,
    credentials: Option<DockerCredentials>,
    settings: &Settings,
) -> Result<(), Ended> {
    let stall = settings.stall;
    let over = tokio::time::Instant::now() + settings.total;
    let options =
        CreateImageOptionsBuilder::default().from_image(&image.name()).tag(image.tag()).build();
    let mut messages = connected.docker.create_image(Some(options), None, credentials);
    let mut progress = Progress::default();
    let mut deadline = tokio::time::Instant::now() + stall;
    loop {
        let message = tokio::time::timeout_at(deadline.min(over), messages.next()).await;
        // Also where messages come faster than the deadline.
        if tokio::time::Instant::now() >= over {
            return Err(Ended::TooLong);
        }
        let Ok(message) = message else { return Err(Ended::Stalled(stall)) };
        match message {
            None => return Ok(()),
            Some(Err(error)) => return Err(Ended::Failed(client.error(&error))),
            Some(Ok(message)) => {
                if progress.moved(&message) {
                    let patience = if progress.has_all() { UNPACK.max(stall) } else { stall };
                    deadline = tokio::time::Instant::now() + patience;
                }
            }
        }
    }
}
