//! What a podman that is killed leaves by half: its store and its own list of containers are two
//! files, and neither of the two orders spares somebody who is cut off between them.

use bollard::query_parameters::{InspectContainerOptions, RemoveContainerOptionsBuilder};

use super::Containers;
use super::client::CallError;
use super::life::REMOVE_DEADLINE;
use crate::runtime::RuntimeError;

/// What podman says, before the id, where its store has nothing of a container that it lists. It
/// lists none at all then.
const NOT_IN_STORE: &str = "getting container from store \"";

/// The id of a container that was removed by half, which keeps an engine from listing those that it
/// was asked for.
pub(super) fn removed(error: &CallError) -> Option<String> {
    let CallError::Answered { message, .. } = error else { return None };
    let (_, rest) = message.split_once(NOT_IN_STORE)?;
    let (id, why) = rest.split_once('"')?;
    let is_id = id.len() == 64 && id.bytes().all(|c| c.is_ascii_hexdigit());
    (is_id && why.contains("container not known")).then(|| id.to_owned())
}

impl Containers {
    /// Removes what is left of a container whose removal was cut off. Somebody wanted it gone.
    pub(super) async fn finish_removal(&self, id: &str) -> Result<(), RuntimeError> {
        tracing::warn!(container = id, "its engine was cut off while it removed it");
        self.end_leftovers(id).await?;
        self.remove_half(id).await
    }

    /// Whether the engine's store has the name and the engine no such container: it was killed
    /// between the two. Nobody else gives this name, and nothing of it can run.
    pub(super) async fn is_half_made(&self, name: &str) -> bool {
        let look = async move |docker: bollard::Docker| {
            docker.inspect_container(name, None::<InspectContainerOptions>).await
        };
        let looked = self.client.call(self.client.patience, look).await;
        looked.is_err_and(|error| error.has_status(404))
    }

    pub(super) async fn remove_half(&self, name: &str) -> Result<(), RuntimeError> {
        let options = RemoveContainerOptionsBuilder::default().force(true).build();
        let remove =
            async move |docker: bollard::Docker| docker.remove_container(name, Some(options)).await;
        match self.client.call(REMOVE_DEADLINE, remove).await {
            Err(error) if !error.has_status(404) => {
                Err(error.of_workload("cannot remove what a cut left of it"))
            }
            _ => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(message: &str, expected: Option<&str>) {
        let error = CallError::Answered { status: 500, message: message.to_owned() };
        assert_eq!(removed(&error).as_deref(), expected, "{message}");
    }

    #[test]
    fn what_was_removed_by_half_is_told_by_its_whole_id() {
        let id = "c0d464d3".repeat(8);
        let says = |id: &str, why: &str| format!("getting container from store \"{id}\": {why}");
        check(&says(&id, "container not known"), Some(&id));
        check(&says(&id, "no space left on device"), None);
        check(&says("../../x", "container not known"), None);
        check("container not known", None);
    }
}
