//! Looks at the paths of the host that a container shall have, before an engine does: each must be
//! there, below a folder that the policy allows, and no symbolic link may lead elsewhere.
//!
//! What is left: the engine opens the path anew, a moment later and as it likes. Whoever may write
//! to an allowed folder on the host itself, or from a container that has it, can put a link there
//! between. So a folder that containers write to is no good folder to allow others below.

use std::sync::Arc;
use std::time::Duration;

use basalt_api::workload::{Body, WorkloadSpec};
use tokio::sync::Semaphore;

/// How long a look may take: a path may lie on a server that is away.
const DEADLINE: Duration = Duration::from_secs(10);

/// One look at a time, so that a server that is away keeps one thread and no more.
#[derive(Debug, Clone)]
pub struct HostPaths {
    allowed: Arc<[String]>,
    one: Arc<Semaphore>,
}

impl HostPaths {
    /// Below these folders.
    #[must_use]
    pub fn new(allowed: &[String]) -> Self {
        Self { allowed: allowed.into(), one: Arc::new(Semaphore::new(1)) }
    }

    /// Looks at those of a workload.
    ///
    /// # Errors
    /// One must not be mounted, for this reason, or cannot be looked at in time.
    pub async fn check(&self, spec: &WorkloadSpec) -> Result<(), String> {
        let Some(Body::Container(container)) = spec.body() else { return Ok(()) };
        let paths = container.volumes.iter().filter_map(|volume| volume.host.clone());
        let paths: Vec<String> = paths.collect();
        if paths.is_empty() {
            return Ok(());
        }
        let allowed = Arc::clone(&self.allowed);
        let one = Arc::clone(&self.one);
        let look = async {
            let place = one.acquire_owned().await.map_err(|error| error.to_string())?;
            let look = move || {
                // Kept by the thread: it may hang for longer than anybody waits.
                let _place = place;
                paths.iter().try_for_each(|path| basalt_beneath::look(path, &allowed))
            };
            let looked = tokio::task::spawn_blocking(look).await;
            looked
                .map_err(|error| error.to_string())?
                .map_err(|error| basalt_explain::explain(&error.into()))
        };
        let late = || {
            let seconds = DEADLINE.as_secs();
            format!("the host's paths could not be looked at within {seconds} s")
        };
        tokio::time::timeout(DEADLINE, look).await.map_err(|_| late())?
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn spec(path: &str) -> WorkloadSpec {
        let volumes = serde_json::json!([{ "host": path, "path": "/a" }]);
        let container = serde_json::json!({ "image": "a", "volumes": volumes });
        let spec = serde_json::json!({ "name": "a", "kind": "container", "container": container });
        serde_json::from_value(spec).unwrap()
    }

    #[tokio::test]
    async fn a_link_out_of_an_allowed_folder_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let allowed = folder.path().to_str().unwrap().to_owned();
        std::os::unix::fs::symlink("/etc", folder.path().join("link")).unwrap();
        let paths = HostPaths::new(std::slice::from_ref(&allowed));
        assert_eq!(paths.check(&spec(&allowed)).await, Ok(()));
        let refused = paths.check(&spec(&format!("{allowed}/link/ssh"))).await.unwrap_err();
        assert!(refused.contains("leads through a symbolic link"), "{refused}");
    }

    #[tokio::test(start_paused = true)]
    async fn a_look_that_hangs_keeps_the_next_one_for_its_deadline_only() {
        let paths = HostPaths::new(&["/".to_owned()]);
        let _hangs = Arc::clone(&paths.one).acquire_owned().await.unwrap();
        let late = paths.check(&spec("/etc")).await.unwrap_err();
        assert!(late.contains("within 10 s"), "{late}");
    }
}
