//! What is seen of a process from outside: its files, its limits, its rights.

use std::fs;
use std::os::fd::AsFd;
use std::path::{Path, PathBuf};

use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};

/// A process, by its id here.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Process(pub u64);

impl Process {
    /// A file of `/proc/PID`.
    #[must_use]
    pub fn file(&self, name: &str) -> PathBuf {
        Path::new("/proc").join(self.0.to_string()).join(name)
    }

    /// A path as the process sees it.
    #[must_use]
    pub fn root(&self, path: &str) -> PathBuf {
        self.file("root").join(path.trim_start_matches('/'))
    }

    /// A file of `/proc/PID` as text; empty where it is gone.
    #[must_use]
    pub fn text(&self, name: &str) -> String {
        let bytes = fs::read(self.file(name)).unwrap_or_default();
        String::from_utf8_lossy(&bytes).into_owned()
    }

    /// The fields of a line of `/proc/PID/status`, as `Uid`.
    #[must_use]
    pub fn status(&self, key: &str) -> Vec<String> {
        let status = self.text("status");
        let line = status.lines().find_map(|line| line.strip_prefix(key)?.strip_prefix(':'));
        line.unwrap_or_default().split_whitespace().map(str::to_owned).collect()
    }

    /// Words that end with a zero byte, as in `environ` and `cmdline`.
    #[must_use]
    pub fn words(&self, name: &str) -> Vec<String> {
        self.text(name).split_terminator('\0').map(str::to_owned).collect()
    }

    /// The mount at this path of its own: its options, and those of its file system after it.
    #[must_use]
    pub fn mount(&self, path: &str) -> Option<Mount> {
        let mounts = self.text("mountinfo");
        let mut mounts = mounts.lines().rev().map(|line| line.split(' ').collect::<Vec<_>>());
        let fields = mounts.find(|fields| fields.get(4) == Some(&path))?;
        let separator = fields.iter().position(|field| *field == "-")?;
        Some(Mount {
            is_read_only: fields.get(5)?.split(',').any(|option| option == "ro"),
            kind: (*fields.get(separator + 1)?).to_owned(),
        })
    }

    /// Does something within the process's network, on a thread of its own.
    ///
    /// # Panics
    /// The process is gone, or `work` panics.
    pub fn in_network<T: Send>(&self, work: impl FnOnce() -> T + Send) -> T {
        let network = fs::File::open(self.file("ns/net")).expect("it runs");
        let enter = || {
            let kind = Some(LinkNameSpaceType::Network);
            move_into_link_name_space(network.as_fd(), kind).expect("its network");
            work()
        };
        let thread = std::thread::scope(|scope| scope.spawn(enter).join());
        thread.unwrap_or_else(|panic| std::panic::resume_unwind(panic))
    }

    /// A limit by its file in version 1 of cgroups and in version 2: the first one that is there,
    /// as text.
    #[must_use]
    pub fn limit(&self, [controller, first, second]: [&str; 3]) -> Option<String> {
        let groups = self.text("cgroup");
        let mut lines = groups.lines().filter_map(|line| {
            let mut fields = line.splitn(3, ':');
            let _ = fields.next()?;
            Some((fields.next()?, fields.next()?))
        });
        let path = lines.find_map(|(controllers, path)| {
            let hierarchy = Path::new("/sys/fs/cgroup");
            if controllers.split(',').any(|name| name == controller) {
                let folder = hierarchy.join(controller).join(path.trim_start_matches('/'));
                return Some(folder.join(first)).filter(|path| path.exists());
            }
            let folder = hierarchy.join(path.trim_start_matches('/'));
            Some(folder.join(second)).filter(|path| controllers.is_empty() && path.exists())
        })?;
        fs::read_to_string(path).ok().map(|text| text.trim().to_owned())
    }
}

/// Something that is mounted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mount {
    /// Whether it cannot be written.
    pub is_read_only: bool,
    /// The kind of its file system.
    pub kind: String,
}
