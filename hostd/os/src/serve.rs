//! One request, what is done about it, and what is told meanwhile.

use std::cell::{Cell, RefCell};
use std::io::{self, BufRead, BufReader, Read, Write};
use std::os::fd::AsFd;
use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use basalt_api::os::{MAX_REQUEST_BYTES, Progress, Reboot, RebootWish, Release, Reply, Request};
use basalt_cmd::Cmd;
use jiff::Timestamp;
use rustix::net::sockopt::{Timeout, set_socket_timeout};

use crate::host;
use crate::kargs::Change;
use crate::progress::Shown;
use crate::status;
use crate::update::{Offer, Updater, Wanted, release_of};

/// How long one who asked may keep an update waiting by not reading.
const NOT_READING: Duration = Duration::from_secs(5);
/// How long one who connected may take to ask.
const NOT_ASKING: Duration = Duration::from_secs(10);
/// Bytes of a download between two words about it.
const BETWEEN: u64 = 256 << 10;

/// Sets the deadlines of a connection; nothing where this is none, as in a pipe.
pub(crate) fn give_up_on_who_does_not_listen(connection: &impl AsFd) {
    let _ = set_socket_timeout(connection, Timeout::Send, Some(NOT_READING));
    let _ = set_socket_timeout(connection, Timeout::Recv, Some(NOT_ASKING));
}

/// Reads a request, carries it out on this host, and answers.
///
/// # Errors
/// What was asked for cannot be read, or cannot be done; who asked was told.
pub(crate) fn serve(input: impl Read, output: impl Write + 'static, now: Timestamp) -> Result<()> {
    let teller = Teller::new(output);
    let done = request(input).and_then(|request| {
        let updater = host::this()?;
        let (reply, reboot) = answer(&updater, request, now, &teller)?;
        keep_wish(&updater, &reply, reboot, now).with_context(|| done_but(&reply))?;
        if matches!(reply, Reply::BootsNext(_)) {
            follow_etc().with_context(|| done_but(&reply))?;
        }
        Ok((reply, reboot))
    });
    teller.ends();
    let (reply, reboot) = match &done {
        Ok((reply, reboot)) => (reply.clone(), *reboot),
        Err(error) => (Reply::Failed { reason: basalt_explain::explain(error) }, Reboot::Never),
    };
    teller.tell(&reply);
    match reboot {
        Reboot::Now => systemctl(&["reboot"])?,
        Reboot::Window | Reboot::Never => (),
    }
    done.map(|_| ())
}

/// What is wished for the end of this boot is what was asked for last, with something that boots
/// next. Written once that is in place, and before anybody is told so: who is cut off before asks
/// again, and a boot that the power ends has no wish any more.
fn keep_wish(updater: &Updater, reply: &Reply, reboot: Reboot, now: Timestamp) -> Result<()> {
    if !matches!(reply, Reply::BootsNext(_) | Reply::ResetsNext { .. }) {
        return Ok(());
    }
    let (memory, boot_id) = (&updater.memory, updater.boot_id.clone());
    match reboot {
        Reboot::Window => {
            memory.wish_reboot(&RebootWish { boot_id, at: now.to_string(), opens_at: None })
        }
        Reboot::Now | Reboot::Never => memory.forget_reboot_wish(),
    }
}

/// What was done although something after it was not.
fn done_but(reply: &Reply) -> String {
    match reply {
        Reply::BootsNext(release) => format!("version {} boots next, but", release.version),
        _ => "the next boot resets the host, but".to_owned(),
    }
}

/// What `hostd-os refresh-etc` does; the unit below runs it when the host shuts down.
///
/// # Errors
/// The disk fails, or is full.
pub(crate) fn refresh_etc() -> Result<()> {
    let told = |progress| match progress {
        Progress::Install { step } => eprintln!("{step}"),
        Progress::Plan { .. } | Progress::Download { .. } => (),
    };
    let is_new = host::this()?.refresh_etc(told)?;
    eprintln!("{}", if is_new { "/etc is as of now" } else { "/etc has not changed" });
    Ok(())
}

/// From now on the shutdown brings along what is changed in `/etc`.
fn follow_etc() -> Result<()> {
    systemctl(&["start", "basalt-etc.service"])
        .context("what is changed in /etc until then does not come along")
}

fn request(input: impl Read) -> Result<Request> {
    let mut line = String::new();
    let limit = MAX_REQUEST_BYTES as u64;
    BufReader::new(input.take(limit)).read_line(&mut line).context("nobody asked for anything")?;
    if !line.ends_with('\n') {
        bail!("a request is a line of at most {limit} bytes, and this one does not end");
    }
    serde_json::from_str(&line).context("the request cannot be understood")
}

/// Carries it out. What the host reboots for comes with the answer.
fn answer(
    updater: &Updater,
    request: Request,
    now: Timestamp,
    teller: &Teller,
) -> Result<(Reply, Reboot)> {
    let memory = &updater.memory;
    let told = |request| teller.progress(&updater.places.progress, request, now);
    let reply = match request {
        Request::Status => Reply::Status(status::of(updater, now)?),
        Request::Check(wanted) => {
            came(&updater.check(&understood(wanted, 1)?, now)?, Reply::Offered)
        }
        Request::Fetch(wanted) => {
            came(&updater.fetch(&understood(wanted, 1)?, now, told("download"))?, Reply::Fetched)
        }
        Request::Update { wanted, tries, reboot } => {
            let offer = updater.update(&understood(wanted, tries)?, now, told("update"))?;
            let is_news = matches!(offer, Offer::Another(_));
            let reboot = if is_news { reboot } else { Reboot::Never };
            return Ok((came(&offer, Reply::BootsNext), reboot));
        }
        Request::Rollback { reboot } => {
            let release = updater.roll_back(now, told("rollback"))?;
            return Ok((Reply::BootsNext(release), reboot));
        }
        Request::Kargs { append, delete, .. } if append.is_empty() && delete.is_empty() => {
            let (image, host) = updater.kargs(now)?;
            Reply::Kargs { image, host }
        }
        Request::Kargs { append, delete, tries, reboot } => {
            let change = Change { append, delete };
            let tries = allowed(tries)?;
            let release = updater.change_kargs(&change, tries, now, told("kargs"))?;
            return Ok((Reply::BootsNext(release), reboot));
        }
        Request::FactoryReset { depth, reboot } => {
            updater.ask_for_reset(depth, now)?;
            return Ok((Reply::ResetsNext { depth }, reboot));
        }
        Request::Cancel => {
            let release = updater.cancel(now, told("cancel"))?;
            return Ok((Reply::Withdrawn(release), Reboot::Never));
        }
        Request::CancelReset => {
            updater.cancel_reset()?;
            memory.forget_reboot_wish()?;
            Reply::Done
        }
        Request::RebootInWindow => {
            ensure!(
                memory.reboot_wish(&updater.boot_id)?.is_some(),
                "nobody wished this host to reboot in a window"
            );
            return Ok((Reply::Done, Reboot::Now));
        }
        Request::History => Reply::History { events: status::history(updater)? },
        Request::Pin { reason } => {
            memory.pin(Some(reason))?;
            Reply::Done
        }
        Request::Unpin => {
            memory.pin(None)?;
            Reply::Done
        }
        Request::Clear { release } => {
            memory.clear(&release)?;
            Reply::Done
        }
    };
    Ok((reply, Reboot::Never))
}

/// What is told of a release that is offered, where it is another one than runs.
fn came(offer: &Offer, another: fn(Release) -> Reply) -> Reply {
    match offer {
        Offer::Another(manifest) => another(release_of(manifest)),
        Offer::Runs(manifest) => Reply::UpToDate(release_of(manifest)),
    }
}

fn understood(wanted: basalt_api::os::Wanted, tries: u32) -> Result<Wanted> {
    let basalt_api::os::Wanted { url, ca, version } = wanted;
    Ok(Wanted { url, ca: ca.map(PathBuf::from), version, tries: allowed(tries)? })
}

fn allowed(tries: u32) -> Result<u32> {
    ensure!((1..=9).contains(&tries), "a trial has 1 to 9 tries, not {tries}");
    Ok(tries)
}

pub(crate) fn systemctl(args: &[&str]) -> Result<()> {
    Cmd::new("systemctl").args(args).run()?;
    Ok(())
}

/// Tells who asked. One who does not listen any more keeps nothing from being done.
#[derive(Clone)]
struct Teller {
    output: Rc<RefCell<Option<Box<dyn Write>>>>,
    /// Bytes of the download that were told last.
    told: Rc<Cell<u64>>,
    /// What others see, once there is any progress.
    shown: Rc<RefCell<Option<Shown>>>,
}

impl Teller {
    fn new(output: impl Write + 'static) -> Self {
        let output: Box<dyn Write> = Box::new(output);
        Self {
            output: Rc::new(RefCell::new(Some(output))),
            told: Rc::default(),
            shown: Rc::default(),
        }
    }

    fn tell(&self, reply: &Reply) {
        let mut output = self.output.borrow_mut();
        let Some(open) = output.as_mut() else { return };
        let mut line = serde_json::to_vec(reply).unwrap_or_default();
        line.push(b'\n');
        if open.write_all(&line).and_then(|()| open.flush()).is_err() {
            *output = None;
        }
    }

    /// For a request to say how far it is: to who asked, and in `folder` to everybody.
    fn progress(
        &self,
        folder: &Path,
        request: &'static str,
        at: Timestamp,
    ) -> impl Fn(Progress) + Clone + 'static {
        let (teller, folder) = (self.clone(), folder.to_owned());
        move |progress| {
            teller.show(&progress, || Shown::begin(&folder, request, at));
            if let Progress::Download { bytes, of_bytes, .. } = progress {
                let is_news = bytes == of_bytes || bytes >= teller.told.get() + BETWEEN;
                if !is_news {
                    return;
                }
                teller.told.set(bytes);
            }
            teller.tell(&Reply::Progress(progress));
        }
    }

    /// Where it cannot be shown, it is done all the same.
    fn show(&self, progress: &Progress, begin: impl FnOnce() -> io::Result<Shown>) {
        let mut shown = self.shown.borrow_mut();
        if shown.is_none() {
            *shown = begin()
                .inspect_err(|error| eprintln!("cannot show others how far it is: {error}"))
                .ok();
        }
        if let Some(shown) = &*shown {
            shown.tell(progress, Instant::now());
        }
    }

    /// Nobody sees anything of it any more.
    fn ends(&self) {
        self.shown.take();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::update::tests::ground::HostGround;
    use crate::update::tests::publisher::Publisher;

    /// What is written, for the test to look at.
    #[derive(Clone, Default)]
    struct Written(Rc<RefCell<Vec<u8>>>);

    impl Write for Written {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.borrow_mut().extend(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    /// One that nobody reads any more.
    struct Gone(Rc<Cell<u32>>);

    impl Write for Gone {
        fn write(&mut self, _: &[u8]) -> io::Result<usize> {
            self.0.set(self.0.get() + 1);
            Err(io::ErrorKind::BrokenPipe.into())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[track_caller]
    fn check(request: &str, expected: &str) {
        let written = Written::default();
        let now = Timestamp::UNIX_EPOCH;
        serve(io::Cursor::new(request.to_owned()), written.clone(), now).unwrap_err();
        let said = String::from_utf8(written.0.borrow().clone()).unwrap();
        assert!(said.starts_with(r#"{"tell":"failed","reason":""#) && said.ends_with("\"}\n"));
        assert!(said.contains(expected), "{said}");
    }

    #[test]
    fn what_cannot_be_understood_is_told_to_who_asked() {
        check("", "does not end");
        check("{\"ask\":\"status\"}", "does not end");
        check("{\"ask\":\"dance\"}\n", "unknown variant `dance`");
        check(&format!("{}\n", "x".repeat(MAX_REQUEST_BYTES)), "at most 65536 bytes");
    }

    #[test]
    fn a_release_has_a_few_tries() {
        let wanted = basalt_api::os::Wanted { url: "https://a".into(), ca: None, version: None };
        assert!(understood(wanted.clone(), 9).is_ok());
        for tries in [0, 10] {
            let error = understood(wanted.clone(), tries).unwrap_err().to_string();
            assert!(error.contains("1 to 9 tries"), "{error}");
        }
    }

    #[test]
    fn the_wish_for_a_window_is_of_this_boot_and_of_what_was_asked_for_last() {
        let publisher = Publisher::new();
        let mut ground = HostGround::running(&publisher, &publisher.publish("1", "kernel 1"));
        let now = Timestamp::UNIX_EPOCH;
        let next = Reply::BootsNext(basalt_api::os::Release {
            version: "2".to_owned(),
            commit: "2b".repeat(32),
        });
        let asked = |ground: &HostGround, reply: &Reply, reboot| {
            keep_wish(&ground.updater(), reply, reboot, now).unwrap();
            let status = status::of(&ground.updater(), now).unwrap();
            let again =
                answer(&ground.updater(), Request::RebootInWindow, now, &Teller::new(vec![]));
            assert_eq!(again.is_ok(), status.reboot.is_some());
            assert!(again.is_err() || again.unwrap() == (Reply::Done, Reboot::Now));
            status.reboot.is_some()
        };
        assert!(!asked(&ground, &Reply::Done, Reboot::Window), "nothing boots next");
        assert!(asked(&ground, &next, Reboot::Window));
        assert!(asked(&ground, &Reply::Done, Reboot::Never), "nothing else boots next");
        assert!(!asked(&ground, &next, Reboot::Never));
        let reset = Reply::ResetsNext { depth: basalt_api::os::ResetDepth::All };
        assert!(asked(&ground, &reset, Reboot::Window));
        // Whatever ended the boot.
        ground.running.serial += 1;
        assert_eq!(ground.updater().memory.reboot_wish(&ground.updater().boot_id).unwrap(), None);
    }

    #[test]
    fn who_does_not_listen_any_more_is_told_once_and_never_again() {
        let tried = Rc::new(Cell::new(0));
        let teller = Teller::new(Gone(tried.clone()));
        let dir = tempfile::tempdir().unwrap();
        let progress = teller.progress(dir.path(), "update", Timestamp::UNIX_EPOCH);
        for step in ["one", "two", "three"] {
            progress(Progress::Install { step: step.into() });
        }
        assert_eq!(tried.get(), 1);
    }

    #[test]
    fn a_download_is_told_now_and_then_and_at_its_end() {
        let written = Written::default();
        let dir = tempfile::tempdir().unwrap();
        let teller = Teller::new(written.clone());
        let progress = teller.progress(dir.path(), "update", Timestamp::UNIX_EPOCH);
        for bytes in (0..=1 << 20).step_by(1 << 10) {
            progress(Progress::Download { bytes, of_bytes: 1 << 20, files: 0, of_files: 0 });
        }
        let said = String::from_utf8(written.0.borrow().clone()).unwrap();
        assert_eq!(said.lines().count(), 4, "{said}");
        assert!(
            said.ends_with("\"bytes\":1048576,\"of_bytes\":1048576,\"files\":0,\"of_files\":0}\n")
        );
    }
}
