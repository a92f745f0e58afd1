//! Looks at the paths of the host that a container shall have, before an engine does: each must be
//! there, below a folder that the policy allows, and no symbolic link may lead elsewhere.
//!
//! What is left: the engine opens the path anew, a moment later and as it likes. Whoever may write
//! to an allowed folder on the host itself, or from a container that has it, can put a link there
//! between. So a folder that containers write to is no good folder to allow others below.

use std::sync::Arc;
use std::time::Duration;

use basalt_api::workload::{Body, WorkloadSpec};
use basalt_beneath::BeneathError;
use tokio::sync::Semaphore;

/// How long a look may take: a path may lie on a server that is away.
const DEADLINE: Duration = Duration::from_secs(10);

/// One look at a time, so that a server that is away keeps one thread and no more.
#[derive(Debug, Clone)]
pub struct HostPaths {
    allowed: Arc<[String]>,
    one: Arc<Semaphore>,
    deadline: Duration,
}

impl HostPaths {
    /// Below these folders.
    #[must_use]
    pub fn new(allowed: &[String]) -> Self {
        Self { allowed: allowed.into(), one: Arc::new(Semaphore::new(1)), deadline: DEADLINE }
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
        self.look(paths, move |path| basalt_beneath::look(path, &allowed)).await
    }

    async fn look(
        &self,
        paths: Vec<String>,
        look_at: impl Fn(&str) -> Result<(), BeneathError> + Send + 'static,
    ) -> Result<(), String> {
        let shown = paths.join("`, `");
        let late = |_| {
            let seconds = self.deadline.as_secs();
            format!("`{shown}` could not be looked at within {seconds} s: is a file system away?")
        };
        let one = Arc::clone(&self.one);
        let look = async {
            let place = one.acquire_owned().await.map_err(|error| error.to_string())?;
            let look = move || {
                // Kept by the thread: it may hang for longer than anybody waits.
                let _place = place;
                paths.iter().try_for_each(|path| look_at(path))
            };
            let looked = tokio::task::spawn_blocking(look).await;
            looked
                .map_err(|error| error.to_string())?
                .map_err(|error| basalt_explain::explain(&error.into()))
        };
        tokio::time::timeout(self.deadline, look).await.map_err(late)?
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

    #[tokio::test]
    async fn a_missing_path_is_named() {
        let folder = tempfile::tempdir().unwrap();
        let allowed = folder.path().to_str().unwrap().to_owned();
        let paths = HostPaths::new(std::slice::from_ref(&allowed));
        let missing = paths.check(&spec(&format!("{allowed}/nowhere"))).await.unwrap_err();
        assert!(missing.starts_with(&format!("the host has no `{allowed}/nowhere`")), "{missing}");
    }

    const UNIT: &str = include_str!("../../images/base/usr/lib/systemd/system/hostd.service");
    const TEST: &str = "host_paths::tests::what_the_unit_keeps_from_us_is_told_as_that";
    const INSIDE: &str = "BASALT_TEST_UNDER_THE_UNIT";
    /// What the unit does to `/home`, somebody's own folder, and the unit's capabilities.
    const UNDER_THE_UNIT: &str = "set -e; mount -t tmpfs -o mode=0 none /home; \
        mount -t tmpfs none /srv; mkdir -p /srv/private/data; chmod 700 /srv/private; \
        chown 65534 /srv/private; bounds=$1; shift; exec setpriv --bounding-set=$bounds \"$@\"";

    /// The unit's capabilities as `setpriv` says them.
    fn bounds() -> String {
        let line = UNIT.lines().find_map(|line| line.strip_prefix("CapabilityBoundingSet="));
        let names = line.unwrap().split_whitespace().map(|name| name.strip_prefix("CAP_").unwrap());
        names.fold("-all".to_owned(), |all, name| format!("{all},+{}", name.to_lowercase()))
    }

    #[tokio::test]
    async fn what_the_unit_keeps_from_us_is_told_as_that() {
        if !rustix::process::geteuid().is_root() {
            assert!(std::env::var_os("BASALT_NO_SKIP").is_none(), "this test needs root");
            eprintln!("skipped: only root can be given the rights of the unit");
            return;
        }
        if std::env::var_os(INSIDE).is_none() {
            let again = basalt_cmd::Cmd::new(std::env::current_exe().unwrap());
            let again = again.args(["--exact", TEST, "--nocapture"]).env(INSIDE, "1");
            let unit = ["unshare", "--mount", "sh", "-c", UNDER_THE_UNIT, "sh", &bounds()];
            again.behind(unit).run().unwrap();
            return;
        }
        assert!(UNIT.contains("\nProtectHome=yes\n") && UNIT.contains("\nPrivateTmp=yes\n"));
        let paths = HostPaths::new(&["/home".to_owned(), "/srv".to_owned(), "/tmp".to_owned()]);
        for path in ["/home/ann/data", "/tmp/none-of-this-name"] {
            let told = paths.check(&spec(path)).await.unwrap_err();
            let hidden = format!("the host has no `{path}` that hostd sees: hostd.service hides");
            assert!(told.starts_with(&hidden), "{told}");
        }
        let told = paths.check(&spec("/srv/private/data")).await.unwrap_err();
        let closed = "hostd may not look at the host's `/srv/private/data`: a folder on the way";
        assert!(told.starts_with(closed), "{told}");
        let told = paths.check(&spec("/srv/none")).await.unwrap_err();
        assert_eq!(told, "the host has no `/srv/none`");
    }

    #[tokio::test]
    async fn a_look_that_hangs_takes_one_thread_and_nobodys_time() {
        let all = HostPaths::new(&["/".to_owned()]);
        let paths = HostPaths { deadline: Duration::from_millis(50), ..all.clone() };
        let (let_go, hangs) = std::sync::mpsc::channel::<()>();
        let hang = move |_: &str| {
            let _ = hangs.recv();
            Ok(())
        };
        let late = paths.look(vec!["/away".to_owned()], hang).await.unwrap_err();
        assert!(late.starts_with("`/away` could not be looked at within 0 s"), "{late}");
        // The next one has no thread, and waits no longer.
        let late = paths.check(&spec("/etc")).await.unwrap_err();
        assert!(late.starts_with("`/etc` could not be looked at within 0 s"), "{late}");
        // It is back.
        let_go.send(()).unwrap();
        assert_eq!(all.check(&spec("/etc")).await, Ok(()));
    }
}
