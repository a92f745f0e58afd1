//! Reboots the host in one of its windows, where somebody left that to it.
//!
//! The wish is a file of `hostd-os`, which names the boot that shall end: it outlasts this process,
//! and no boot after that one goes by it. `hostd-os` reboots, as it does at once where that was
//! asked for.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use basalt_api::os::{RebootWish, Request};
use basalt_window::{Seconds, Window, is_open};
use hostd_core::updating::GOES_DOWN;

use crate::config;
use crate::os::ask;
use crate::paths::Paths;

/// Between two looks.
pub const LOOK: Duration = Duration::from_secs(20);

/// What it goes by.
#[derive(Clone)]
pub struct Ground {
    /// Where the wish and the configuration are, and `hostd-os` listens.
    pub paths: Paths,
    /// systemd's folder of credentials, where there is one.
    pub credentials: Option<PathBuf>,
    /// The calendar.
    pub now: Arc<dyn Fn() -> Seconds + Send + Sync>,
    /// Between two looks.
    pub every: Duration,
}

/// Runs for ever.
pub async fn run(ground: Ground) {
    loop {
        if ground.is_time() {
            tracing::info!("a window is open: rebooting, as somebody wished");
            match ask(&ground.paths.os_socket(), &Request::RebootInWindow, |_| ()).await {
                Ok(_) => tokio::time::sleep(GOES_DOWN).await,
                Err(error) => tracing::warn!("cannot reboot: {error}"),
            }
        }
        tokio::time::sleep(ground.every).await;
    }
}

impl Ground {
    fn is_time(&self) -> bool {
        wish(&self.paths).is_some() && may_reboot(&self.windows(), (self.now)())
    }

    /// Those of now: who changes them after the wish is heard.
    fn windows(&self) -> Vec<Window> {
        config::load(&self.paths, self.credentials.as_deref()).config.updates.windows
    }
}

/// The wish that this boot shall end in a window. One that cannot be read is none.
#[must_use]
pub fn wish(paths: &Paths) -> Option<RebootWish> {
    let bytes = std::fs::read(paths.reboot_wish()).ok()?;
    let wish: RebootWish = serde_json::from_slice(&bytes).ok()?;
    let boot_id = std::fs::read_to_string(paths.boot_id()).ok()?;
    (wish.boot_id == boot_id.trim()).then_some(wish)
}

/// Pure. A host that has no window any more waits until it has one.
fn may_reboot(windows: &[Window], now: Seconds) -> bool {
    !windows.is_empty() && is_open(windows, now)
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::sync::atomic::{AtomicI64, Ordering};

    use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
    use tokio::net::UnixListener;

    use super::*;

    /// At half past one on a day in winter.
    const NIGHT: Seconds = 1_764_984_600;

    fn put(paths: &Paths, boot_id: &str, windows: &str) {
        let wish = RebootWish { boot_id: "one".to_owned(), at: String::new(), opens_at: None };
        let config = format!("[updates]\nwindows = [{windows}]\n");
        for (path, bytes) in [
            (paths.reboot_wish(), serde_json::to_vec(&wish).unwrap()),
            (paths.boot_id(), format!("{boot_id}\n").into_bytes()),
            (paths.image_config(), Vec::new()),
            (paths.host_config(), config.into_bytes()),
        ] {
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, bytes).unwrap();
        }
    }

    #[test]
    fn it_is_time_where_a_window_is_open_and_the_wish_is_of_this_boot() {
        let check = |boot_id: &str, windows: &str, now: Seconds, expected: bool| {
            let folder = tempfile::tempdir().unwrap();
            let paths = Paths::under(folder.path());
            put(&paths, boot_id, windows);
            let every = Duration::ZERO;
            let ground = Ground { paths, credentials: None, now: Arc::new(move || now), every };
            assert_eq!(ground.is_time(), expected, "{boot_id} {windows} {now}");
        };
        check("one", "\"01:00-02:00\"", NIGHT, true);
        check("one", "\"03:00-04:00\", \"01:00-02:00\"", NIGHT, true);
        check("one", "\"03:00-04:00\"", NIGHT, false);
        check("one", "\"01:00-02:00\"", NIGHT + 1800, false);
        check("one", "", NIGHT, false);
        check("two", "\"01:00-02:00\"", NIGHT, false);
    }

    #[test]
    fn nobodys_wish_and_half_a_wish_are_none() {
        let folder = tempfile::tempdir().unwrap();
        let paths = Paths::under(folder.path());
        assert_eq!(wish(&paths), None);
        put(&paths, "one", "");
        assert!(wish(&paths).is_some());
        fs::write(paths.reboot_wish(), "{\"boot_id\":").unwrap();
        assert_eq!(wish(&paths), None);
    }

    #[tokio::test]
    async fn the_host_reboots_when_a_window_opens_although_hostd_began_anew() {
        let folder = tempfile::tempdir().unwrap();
        let paths = Paths::under(folder.path());
        put(&paths, "one", "\"01:00-02:00\"");
        fs::create_dir_all(folder.path().join("run")).unwrap();
        let listener = UnixListener::bind(paths.os_socket()).unwrap();
        let now = Arc::new(AtomicI64::new(NIGHT - 3600));
        let clock = Arc::clone(&now);
        let ground = Ground {
            paths,
            credentials: None,
            now: Arc::new(move || clock.load(Ordering::Relaxed)),
            every: Duration::from_millis(10),
        };
        let asked = tokio::spawn(async move {
            let (stream, _) = listener.accept().await.unwrap();
            let (read, mut write) = stream.into_split();
            let line = BufReader::new(read).lines().next_line().await.unwrap().unwrap();
            write.write_all(b"{\"tell\":\"done\"}\n").await.unwrap();
            line
        });
        let first = tokio::spawn(run(ground.clone()));
        tokio::time::sleep(Duration::from_millis(200)).await;
        assert!(!asked.is_finished(), "no window is open");
        first.abort();
        let second = tokio::spawn(run(ground));
        now.store(NIGHT, Ordering::Relaxed);
        let line = tokio::time::timeout(Duration::from_secs(30), asked).await.unwrap().unwrap();
        assert_eq!(line, r#"{"ask":"reboot_in_window"}"#);
        second.abort();
    }
}
