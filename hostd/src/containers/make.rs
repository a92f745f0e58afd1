//! From an image to a container that is made and does not run.

use std::time::Duration;

use bollard::query_parameters::{
    CreateContainerOptionsBuilder, DownloadFromContainerOptionsBuilder,
};
use futures_util::StreamExt;

use super::client::{CallError, shown};
use super::secrets::{self, Owner};
use super::seen::Ours;
use super::spec::{self, Wanted, refuse};
use super::{Containers, pull};
use crate::runtime::{Failure, Make, RuntimeError};

/// How long an engine may take to make something: what an image has in a volume's place is copied.
const MAKE_DEADLINE: Duration = Duration::from_secs(120);
/// What engines say of a name that a container has.
const TAKEN: &str = "already in use";
/// Bytes that an image's `/etc/passwd` may have, with its archive.
const MAX_PASSWD: usize = 1 << 20;

impl Containers {
    /// Has the image here, and a workload's secrets where its container looks for them: after a
    /// reboot their tmpfs is empty.
    pub(super) async fn prepare_image(&self, make: &Make) -> Result<(), RuntimeError> {
        let wanted = spec::wanted(make)?;
        match pull::look(&self.client, &wanted.image).await? {
            Some(there) => pull::judge(&wanted.image, &there, &self.settings)?,
            None => {
                self.may_reach(&wanted.image).await?;
                pull::pull(&self.client, &wanted.image, &self.settings).await?;
            }
        }
        if !wanted.files.is_empty()
            && let Some(ours) = self.of(make.assigned.uid).await?.pop()
        {
            self.hand_over(make, &wanted, &ours.id).await?;
        }
        Ok(())
    }

    /// Makes the container, its volumes and its files.
    pub(super) async fn make(&self, make: &Make) -> Result<(), RuntimeError> {
        let wanted = spec::wanted(make)?;
        if let Some(ours) = self.of(make.assigned.uid).await?.pop() {
            let is_same = ours.labels.hash == make.assigned.replacement_hash();
            if !is_same || ours.labels.owner != make.owner {
                return Err(refuse(format!("another container of it is there: {}", ours.id)));
            }
            return self.hand_over(make, &wanted, &ours.id).await;
        }
        let made = self.make_volumes(&wanted).await;
        // A list from before it does not know them.
        self.volumes.forget();
        made?;
        let made = self.make_new(make, &wanted).await;
        if made.is_err() {
            // Whatever is there now belongs to no container. One that was made all the same, as
            // after a lost answer, gets its files when it is made again.
            self.remove_private(make.private.clone(), make.assigned.uid).await?;
        }
        made
    }

    async fn make_new(&self, make: &Make, wanted: &Wanted) -> Result<(), RuntimeError> {
        // The files are there first: an engine would make a missing one as a folder.
        write_files(make, wanted, None).await?;
        let mut made = self.ask_to_make(wanted).await;
        let is_taken = made.as_ref().is_err_and(|error| error.answer_has(TAKEN));
        if is_taken && self.is_half_made(&wanted.name).await {
            tracing::warn!(container = wanted.name, "its engine was cut off while it made it");
            self.remove_half(&wanted.name).await?;
            made = self.ask_to_make(wanted).await;
        }
        let id = made.map_err(|error| not_made(make, wanted, error))?;
        self.hand_over(make, wanted, &id).await
    }

    async fn ask_to_make(&self, wanted: &Wanted) -> Result<String, CallError> {
        let options = CreateContainerOptionsBuilder::default().name(&wanted.name).build();
        let body = wanted.body.clone();
        let create =
            async move |docker: bollard::Docker| docker.create_container(Some(options), body).await;
        Ok(self.client.call(MAKE_DEADLINE, create).await?.id)
    }

    async fn make_volumes(&self, wanted: &Wanted) -> Result<(), RuntimeError> {
        for volume in &wanted.volumes {
            let request = volume.clone();
            let name = volume.name.clone().unwrap_or_default();
            // One that is there already is a success on both engines.
            let create = async move |docker: bollard::Docker| docker.create_volume(request).await;
            let made = self.client.call(MAKE_DEADLINE, create).await;
            made.map_err(|error| error.of_workload(format!("cannot make the volume `{name}`")))?;
        }
        Ok(())
    }

    /// Gives the files of a container to the user that it runs as.
    async fn hand_over(&self, make: &Make, wanted: &Wanted, id: &str) -> Result<(), RuntimeError> {
        if wanted.files.is_empty() {
            return Ok(());
        }
        // All are there before the engine is asked: Docker hands out no file of a container while
        // something that it mounts is missing.
        write_files(make, wanted, None).await?;
        let user = match &wanted.body.user {
            Some(user) => user.clone(),
            None => match pull::look(&self.client, &wanted.image).await? {
                Some(image) => image.user().to_owned(),
                None => String::new(),
            },
        };
        let owner = match Owner::of(&user) {
            Some(owner) => owner,
            None => secrets::from_passwd(&user, &self.passwd(id, &user).await?)?,
        };
        write_files(make, wanted, Some(owner)).await
    }

    /// `/etc/passwd` of a container that runs as `user`.
    async fn passwd(&self, id: &str, user: &str) -> Result<Vec<u8>, RuntimeError> {
        let options = DownloadFromContainerOptionsBuilder::default().path("/etc/passwd").build();
        let read = async move |docker: bollard::Docker| {
            let mut pieces = docker.download_from_container(id, Some(options));
            let mut archive = Vec::new();
            while let Some(piece) = pieces.next().await {
                archive.extend_from_slice(&piece?);
                if archive.len() > MAX_PASSWD {
                    break;
                }
            }
            Ok(archive)
        };
        let archive = self.client.call(self.client.patience, read).await;
        let archive = archive.map_err(|error| match error {
            // podman looks the user up itself before it hands out any file.
            CallError::Answered { message, .. } if message.contains("unknown user") => {
                secrets::no_user(user)
            }
            error => error.of_workload("cannot read the users of its image"),
        })?;
        let passwd = secrets::passwd_of(&archive).map(<[u8]>::to_vec);
        passwd.ok_or_else(|| refuse("the image has no `/etc/passwd` that can be read"))
    }
}

/// Why the engine did not make it, without what it may have repeated of a secret.
fn not_made(make: &Make, wanted: &Wanted, error: CallError) -> RuntimeError {
    let (image, name) = (wanted.image.full(), &wanted.name);
    match error {
        CallError::Answered { status: 404, .. } => {
            refuse(format!("the image `{image}` is not here"))
        }
        CallError::Answered { message, .. } if message.contains(TAKEN) => {
            refuse(format!("the name `{name}` is taken by a container that is not ours"))
        }
        CallError::Answered { message, .. } => {
            let message = shown(&secrets::without(make, &message));
            refuse(format!("cannot make the container `{name}`: {message}"))
        }
        CallError::Unavailable(message) => RuntimeError { kind: Failure::Unavailable, message },
    }
}

async fn write_files(
    make: &Make,
    wanted: &Wanted,
    owner: Option<Owner>,
) -> Result<(), RuntimeError> {
    let (make, files) = (make.clone(), wanted.files.clone());
    let written = tokio::task::spawn_blocking(move || secrets::write(&make, &files, owner)).await;
    written.map_err(|_| refuse("its secrets could not be written"))?
}

impl Containers {
    /// Removes the folder of a container's secrets.
    pub(super) async fn remove_private_of(&self, ours: &Ours) -> Result<(), RuntimeError> {
        match &ours.labels.private {
            Some(private) => self.remove_private(private.clone(), ours.labels.uid).await,
            None => Ok(()),
        }
    }

    async fn remove_private(
        &self,
        folder: std::path::PathBuf,
        uid: basalt_api::id::WorkloadUid,
    ) -> Result<(), RuntimeError> {
        let shown = folder.display().to_string();
        let removed = tokio::task::spawn_blocking(move || secrets::remove(&folder, uid)).await;
        match removed {
            Ok(Ok(())) => Ok(()),
            Ok(Err(error)) => Err(refuse(format!("`{shown}` cannot be removed: {error}"))),
            Err(_) => Err(refuse(format!("`{shown}` could not be removed"))),
        }
    }
}
