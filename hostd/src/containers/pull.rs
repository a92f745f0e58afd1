//! Fetches images: as long as the network takes, and not without progress.

mod progress;
mod sentence;

use std::time::Duration;

use bollard::auth::DockerCredentials;
use bollard::query_parameters::{CreateImageOptionsBuilder, RemoveImageOptions};
use futures_util::StreamExt;

use super::Settings;
use super::client::{CallError, Client, Connected, Engine};
use super::image::Reference;
use super::life::REMOVE_DEADLINE;
use super::seen::InspectedImage;
use super::spec::refuse;
use crate::registries::{self, Registries};
use crate::runtime::RuntimeError;
use progress::Progress;
use sentence::Size;

/// How long it may unpack what it has fetched, during which podman says nothing.
const UNPACK: Duration = Duration::from_secs(600);
/// How long an image may still come after its fetch was given up, and how often that is looked at.
const LANDING: Duration = Duration::from_secs(5);
const LANDING_TICK: Duration = Duration::from_millis(250);

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

/// Whether an image that is here may be used, by its size.
///
/// # Errors
/// It is larger than this host takes.
pub(super) fn judge(
    image: &Reference,
    there: &InspectedImage,
    settings: &Settings,
) -> Result<(), RuntimeError> {
    let (size, most) = (there.size(), settings.max_image_bytes);
    if size > most { Err(sentence::too_large(image, Size::OnDisk(size), most)) } else { Ok(()) }
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
        Err(Ended::TooLarge(bytes)) => {
            remove_when_it_lands(client, image).await?;
            return Err(sentence::too_large(image, Size::Sent(bytes), settings.max_image_bytes));
        }
        Err(Ended::Failed(CallError::Answered { message, .. })) => {
            return Err(sentence::failure(image, &message));
        }
        Err(Ended::Failed(error)) => return Err(error.of_workload("")),
    }
    // A stream that ends early, without an error, has been seen to leave nothing behind.
    match look(client, image).await? {
        Some(there) => {
            let judged = judge(image, &there, settings);
            if judged.is_err() {
                remove(client, image).await;
            }
            judged
        }
        None => Err(refuse(format!("`{}` was fetched and is not there", image.full()))),
    }
}

/// An engine may have had the last byte already when the fetch was given up, and goes on.
async fn remove_when_it_lands(client: &Client, image: &Reference) -> Result<(), RuntimeError> {
    let end = tokio::time::Instant::now() + LANDING;
    while tokio::time::Instant::now() < end {
        if look(client, image).await?.is_some() {
            remove(client, image).await;
            return Ok(());
        }
        tokio::time::sleep(LANDING_TICK).await;
    }
    Ok(())
}

/// Removes what was just fetched. What cannot be removed is not used, and stays.
async fn remove(client: &Client, image: &Reference) {
    let name = image.full();
    let options = None::<RemoveImageOptions>;
    let remove = async |docker: bollard::Docker| docker.remove_image(&name, options, None).await;
    if let Err(error) = client.call(REMOVE_DEADLINE, remove).await {
        tracing::warn!(?error, %name, "an image that is too large cannot be removed");
    }
}

enum Ended {
    Failed(CallError),
    Stalled(Duration),
    TooLong,
    /// It has so many bytes or more.
    TooLarge(u64),
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
                let has_moved = progress.moved(&message);
                if progress.size() > settings.max_image_bytes {
                    return Err(Ended::TooLarge(progress.size()));
                }
                if has_moved {
                    let patience = if progress.has_all() { UNPACK.max(stall) } else { stall };
                    deadline = tokio::time::Instant::now() + patience;
                }
            }
        }
    }
}
