//! Brings an image into the cache: fetches or copies it under a half name, verifies it, renames.

use std::fs::{self, File};
use std::io::{self, BufRead, BufReader, Read, Seek, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{ChildStderr, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::thread;
use std::time::{Duration, Instant};

use basalt_api::virt::{Refusal, Settings, images};
use basalt_api::workload::{DiskFormat, VmDisk};
use basalt_cmd::Cmd;
use sha2::{Digest, Sha256};

use super::fetch::{BROKE, FAILED, Wanted};
use super::half::Half;
use super::url::shown;
use super::{check, not_written, path, qcow};

/// Read by everybody, written by nobody: QEMU is another user, and machines share it.
const FINISHED: u32 = 0o444;
const CHUNK: usize = 1 << 20;
/// How often a download is looked at while it says nothing.
const TICK: Duration = Duration::from_millis(500);
/// How long a helper may take to end after it has said its last.
const END: Duration = Duration::from_secs(10);
/// Characters of a line that the helper says.
const MAX_LINE: u64 = 4096;

/// Whoever waits for an image.
pub(crate) trait Patience {
    /// It has come further.
    fn progress(&self);
    /// Nobody waits any more.
    fn is_over(&self) -> bool;
}

/// Makes the image of a disk lie in the cache, fetched and verified. Where that fails, nothing is
/// left of it but what a broken download goes on from.
pub(crate) fn prepare(
    settings: &Settings,
    disk: &VmDisk,
    patience: &dyn Patience,
) -> Result<(), Refusal> {
    let image = path(Path::new(&settings.state), disk);
    if image.is_file() {
        return touch(&image).map_err(|error| cannot_write(&error));
    }
    let half = match (&disk.url, &disk.file) {
        (Some(url), _) => fetched(settings, disk, url, patience)?,
        (None, Some(file)) => copied(settings, disk, file, patience)?,
        (None, None) => return Err(Refusal::workload("nothing says where its image is")),
    };
    half.finish(&image).map_err(|error| cannot_write(&error))
}

/// A copy of the host's file, verified.
fn copied(
    settings: &Settings,
    disk: &VmDisk,
    file: &str,
    patience: &dyn Patience,
) -> Result<Half, Refusal> {
    let folder = images(Path::new(&settings.state));
    let mut half = Half::new(&folder).map_err(|error| cannot_write(&error))?;
    let from = basalt_beneath::open(file, &settings.host_paths);
    let mut from = File::from(from.map_err(|error| cannot_open(&error))?);
    copy(&mut from, file, &mut half.file, settings.max_image_bytes, patience)?;
    verify(disk, &mut half, patience)?;
    Ok(half)
}

/// What a URL leads to, verified. It goes on where an earlier download broke off; where the whole
/// is not what was asked for then, it may have become another one between, and is fetched anew.
fn fetched(
    settings: &Settings,
    disk: &VmDisk,
    url: &str,
    patience: &dyn Patience,
) -> Result<Half, Refusal> {
    let half = Half::part(&images(Path::new(&settings.state)), disk);
    let mut half = half.map_err(|error| cannot_write(&error))?;
    let from = half.length();
    download(settings, url, &mut half, patience)?;
    if from > 0 {
        match verify(disk, &mut half, patience) {
            Ok(()) => return Ok(half),
            Err(refusal) if patience.is_over() => return Err(refusal),
            Err(refusal) => tracing::info!("{}; it is fetched from its beginning", refusal.message),
        }
        half.empty().map_err(|error| cannot_write(&error))?;
        download(settings, url, &mut half, patience)?;
    }
    verify(disk, &mut half, patience)?;
    Ok(half)
}

/// Tells the sweep that somebody wants it.
fn touch(image: &Path) -> io::Result<()> {
    File::open(image)?.set_modified(now())
}

#[expect(clippy::disallowed_methods, reason = "a file's own time, which nothing decides by")]
fn now() -> std::time::SystemTime {
    std::time::SystemTime::now()
}

fn verify(disk: &VmDisk, half: &mut Half, patience: &dyn Patience) -> Result<(), Refusal> {
    let from = source(disk);
    // By this process, not by the one that spoke with strangers.
    let sha256 = hash(&mut half.file, patience)?;
    if sha256 != disk.sha256 {
        let wanted = &disk.sha256;
        let message = format!("{from} has the SHA-256 {sha256}, and not {wanted}");
        return Err(Refusal::workload(message));
    }
    let finished = fs::Permissions::from_mode(FINISHED);
    half.file.set_permissions(finished).map_err(|error| cannot_write(&error))?;
    let bad = |why: String| Refusal::workload(format!("{from} {why}"));
    if disk.format == DiskFormat::Qcow2 {
        let mut head = Vec::new();
        let file = &mut half.file;
        let read = file.rewind().and_then(|()| file.take(qcow::HEAD as u64).read_to_end(&mut head));
        read.map_err(|error| cannot_write(&error))?;
        qcow::judge_head(&head).map_err(bad)?;
        check::qcow2(&half.path).map_err(bad)?;
    } else if half.length() == 0 {
        return Err(bad("is empty".to_owned()));
    }
    Ok(())
}

fn source(disk: &VmDisk) -> String {
    disk.url.as_deref().map_or_else(|| disk.file.clone().unwrap_or_default(), shown)
}

fn hash(file: &mut File, patience: &dyn Patience) -> Result<String, Refusal> {
    let mut hasher = Sha256::new();
    file.rewind().map_err(|error| cannot_write(&error))?;
    let read = each_chunk(file, patience, |chunk| {
        hasher.update(chunk);
        Ok(())
    });
    read?;
    Ok(hex::encode(hasher.finalize()))
}

/// Copies a file of the host's, which `file` names.
fn copy(
    from: &mut File,
    file: &str,
    half: &mut File,
    max: u64,
    patience: &dyn Patience,
) -> Result<(), Refusal> {
    let cannot = |error: &io::Error| Refusal::workload(format!("cannot read {file}: {error}"));
    let metadata = from.metadata().map_err(|error| cannot(&error))?;
    if !metadata.is_file() {
        return Err(Refusal::workload(format!("{file} is no plain file")));
    }
    let mut done = 0;
    each_chunk(from, patience, |chunk| {
        done += chunk.len() as u64;
        if done > max {
            let message = format!("{file} is longer than {max} bytes, which is the most");
            return Err(Refusal::workload(message));
        }
        half.write_all(chunk).map_err(|error| cannot_write(&error))
    })
}

fn each_chunk(
    from: &mut File,
    patience: &dyn Patience,
    mut each: impl FnMut(&[u8]) -> Result<(), Refusal>,
) -> Result<(), Refusal> {
    let mut buffer = vec![0; CHUNK];
    let mut told = Instant::now();
    loop {
        match from.read(&mut buffer) {
            Ok(0) => return Ok(()),
            Ok(read) => each(&buffer[..read])?,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => (),
            Err(error) => return Err(Refusal::workload(format!("cannot read an image: {error}"))),
        }
        if patience.is_over() {
            return Err(given_up());
        }
        if told.elapsed() >= TICK {
            patience.progress();
            told = Instant::now();
        }
    }
}

/// Has the helper fetch what is not here yet, and ends the helper when nothing comes or nobody
/// waits.
fn download(
    settings: &Settings,
    url: &str,
    half: &mut Half,
    patience: &dyn Patience,
) -> Result<(), Refusal> {
    let wanted = Wanted {
        url: url.to_owned(),
        from: half.length(),
        allow: settings.url_allow.clone(),
        max_bytes: settings.max_image_bytes,
        idle_s: settings.idle_s,
    };
    let broken = |error: String| Refusal::workload(format!("cannot fetch {}: {error}", shown(url)));
    let wanted = serde_json::to_vec(&wanted).map_err(|error| broken(error.to_string()))?;
    let own = std::env::current_exe().map_err(|error| broken(error.to_string()))?;
    let to = half.at_its_end().map_err(|error| cannot_write(&error))?;
    // Without the caller's environment: a proxy that it names would lead round every check.
    let cmd = Cmd::new(own).arg("fetch").env_clear().env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin");
    let helper = cmd.spawn(Stdio::piped(), to.into(), Stdio::piped());
    let mut helper = helper.map_err(|error| broken(error.to_string()))?;
    let (stdin, stderr) = (helper.child().stdin.take(), helper.child().stderr.take());
    if let Some(mut stdin) = stdin {
        stdin.write_all(&wanted).map_err(|error| broken(error.to_string()))?;
    }
    let lines = stderr.map(lines).ok_or_else(|| broken("no pipe".to_owned()))?;
    let idle = Duration::from_secs(settings.idle_s.into());
    let said = listen(&lines, idle, patience).map_err(|stopped| {
        half.keep_for_later();
        match stopped {
            Stopped::Idle => {
                let seconds = idle.as_secs();
                Refusal::workload(format!("nothing came from {} for {seconds} s", shown(url)))
            }
            Stopped::GivenUp => given_up(),
        }
    })?;
    match (helper.wait_for(END), said) {
        (Ok(Some(status)), _) if status.success() => Ok(()),
        (Ok(Some(_)), Some(Said::Broke(why))) => {
            half.keep_for_later();
            Err(Refusal::workload(why))
        }
        (Ok(Some(_)), Some(Said::Failed(why))) => Err(Refusal::workload(why)),
        (Ok(Some(status)), None) => Err(broken(status.to_string())),
        (Ok(None), _) => Err(broken("it does not end".to_owned())),
        (Err(error), _) => Err(broken(error.to_string())),
    }
}

/// How a helper said that it failed.
enum Said {
    /// What came so far is worth nothing.
    Failed(String),
    /// What came so far is worth going on from.
    Broke(String),
}

impl Said {
    fn read(line: &str) -> Option<Self> {
        let failed = || line.strip_prefix(FAILED).map(|why| Self::Failed(why.to_owned()));
        line.strip_prefix(BROKE).map(|why| Self::Broke(why.to_owned())).or_else(failed)
    }
}

/// Why a download was not waited for.
enum Stopped {
    Idle,
    GivenUp,
}

/// Listens until the helper has said its last; what it says of a failure.
fn listen(
    lines: &Receiver<String>,
    idle: Duration,
    patience: &dyn Patience,
) -> Result<Option<Said>, Stopped> {
    let mut why = None;
    let mut heard = Instant::now();
    loop {
        match lines.recv_timeout(TICK) {
            Ok(line) => {
                heard = Instant::now();
                patience.progress();
                why = Said::read(&line).or(why);
            }
            Err(RecvTimeoutError::Timeout) => (),
            Err(RecvTimeoutError::Disconnected) => return Ok(why),
        }
        if heard.elapsed() >= idle {
            return Err(Stopped::Idle);
        }
        if patience.is_over() {
            return Err(Stopped::GivenUp);
        }
    }
}

fn lines(from: ChildStderr) -> Receiver<String> {
    let (sender, receiver) = channel();
    thread::spawn(move || {
        let mut from = BufReader::new(from);
        loop {
            let mut line = Vec::new();
            let read = from.by_ref().take(MAX_LINE).read_until(b'\n', &mut line);
            let line = String::from_utf8_lossy(&line).trim().to_owned();
            if !matches!(read, Ok(1..)) || sender.send(line).is_err() {
                return;
            }
        }
    });
    receiver
}

fn cannot_open(error: &basalt_beneath::BeneathError) -> Refusal {
    match std::error::Error::source(error) {
        Some(cause) => Refusal::workload(format!("{error}: {cause}")),
        None => Refusal::workload(error.to_string()),
    }
}

fn given_up() -> Refusal {
    Refusal::workload("nobody waits for the image any more")
}

fn cannot_write(error: &io::Error) -> Refusal {
    Refusal::workload(not_written(error))
}
