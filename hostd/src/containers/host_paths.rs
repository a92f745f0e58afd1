//! Looks whether paths of the host are there. One may lie on a file system that is away, and then a
//! look ends when that is back, if ever: there is one at a time, and nobody waits for it for long.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Semaphore;
use tokio::time::timeout;

use super::spec::refuse;
use crate::runtime::RuntimeError;

/// How long a look may take, and how long others may wait for it.
const PATIENCE: Duration = Duration::from_secs(10);

/// The looks of one runtime.
#[derive(Debug)]
pub(super) struct HostPaths {
    turn: Arc<Semaphore>,
    patience: Duration,
}

impl HostPaths {
    pub(super) fn new() -> Self {
        Self { turn: Arc::new(Semaphore::new(1)), patience: PATIENCE }
    }

    /// Fails where one is missing. Both engines would make it as a folder, and the workload would
    /// find it empty.
    pub(super) async fn must_be_there(&self, paths: Vec<String>) -> Result<(), RuntimeError> {
        self.look(paths, |path| Path::new(path).exists()).await
    }

    async fn look(
        &self,
        paths: Vec<String>,
        is_there: impl Fn(&str) -> bool + Send + 'static,
    ) -> Result<(), RuntimeError> {
        if paths.is_empty() {
            return Ok(());
        }
        let shown = paths.join("`, `");
        let seconds = self.patience.as_secs();
        let turn = timeout(self.patience, Arc::clone(&self.turn).acquire_owned()).await;
        let Ok(Ok(turn)) = turn else {
            let text = "a look at another workload's paths of the host has not ended; is a file \
                        system away?";
            return Err(refuse(format!("`{shown}` was not looked at within {seconds} s: {text}")));
        };
        let missing = move || {
            let missing = paths.into_iter().find(|path| !is_there(path));
            drop(turn);
            missing
        };
        match timeout(self.patience, tokio::task::spawn_blocking(missing)).await {
            Ok(Ok(None)) => Ok(()),
            Ok(Ok(Some(path))) => Err(refuse(format!("the host has no `{path}`"))),
            Ok(Err(_)) => Err(refuse("the host's paths could not be looked at")),
            Err(_) => Err(refuse(format!(
                "a look at `{shown}` did not end within {seconds} s: is a file system away?"
            ))),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc::channel;

    use super::*;

    fn paths(path: &str) -> Vec<String> {
        vec![path.to_owned()]
    }

    #[tokio::test]
    async fn a_missing_path_is_named() {
        let looks = HostPaths::new();
        looks.must_be_there(paths("/proc/self")).await.unwrap();
        let error = looks.must_be_there(paths("/nowhere/at/all")).await.unwrap_err();
        assert_eq!(error.message, "the host has no `/nowhere/at/all`");
    }

    #[tokio::test]
    async fn a_look_that_hangs_takes_one_thread_and_nobodys_time() {
        let looks = HostPaths { patience: Duration::from_millis(50), ..HostPaths::new() };
        let (let_go, hangs) = channel::<()>();
        let error = looks.look(paths("/away"), move |_| hangs.recv().is_ok()).await.unwrap_err();
        assert!(error.message.contains("a look at `/away` did not end"), "{error}");
        let error = looks.must_be_there(paths("/proc/self")).await.unwrap_err();
        assert!(error.message.starts_with("`/proc/self` was not looked at"), "{error}");
        looks.must_be_there(Vec::new()).await.unwrap();
        // It is back.
        let_go.send(()).unwrap();
        let looks = HostPaths { patience: PATIENCE, ..looks };
        looks.must_be_there(paths("/proc/self")).await.unwrap();
    }
}
