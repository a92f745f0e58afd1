//! Turns what libvirt tells by itself into a word to `hostd`, and waits for a libvirt that is gone.

use std::io;
use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::thread;
use std::time::Duration;

use basalt_api::virt::Message;

use super::Server;
use crate::raw::Event;

/// Time between two looks for a libvirt that is gone: the first, and the longest.
const FIRST: Duration = Duration::from_secs(1);
const LONGEST: Duration = Duration::from_secs(30);

/// Starts libvirt's event loop, which must be there before the first connection, and who listens.
pub(super) fn start(server: &Server, heard: Receiver<Event>) -> io::Result<()> {
    virt::event::event_register_default_impl().map_err(io::Error::other)?;
    let run = || {
        while virt::event::event_run_default_impl().is_ok() {}
        // Without it no call to libvirt ends: hostd starts another process.
        eprintln!("libvirt's event loop ended");
        std::process::abort();
    };
    thread::Builder::new().name("events".to_owned()).spawn(run)?;
    let server = server.clone();
    let listen = move || listen(&server, &heard);
    thread::Builder::new().name("listen".to_owned()).spawn(listen).map(|_| ())
}

fn listen(server: &Server, heard: &Receiver<Event>) {
    // While libvirt is gone: how long until the next look.
    let mut pause: Option<Duration> = None;
    loop {
        let first = match pause {
            None => heard.recv().map_err(|_| RecvTimeoutError::Disconnected),
            Some(pause) => heard.recv_timeout(pause),
        };
        match first {
            Ok(event) => {
                // What comes at once is told once.
                let all: Vec<Event> = std::iter::once(event).chain(heard.try_iter()).collect();
                let is_news = all.iter().fold(false, |news, event| take(server, *event) | news);
                if is_news {
                    server.out.send(&Message::Changed);
                }
                if all.contains(&Event::Refused) && pause.is_none() {
                    pause = Some(FIRST);
                }
            }
            Err(RecvTimeoutError::Timeout) => {
                let is_back = server.machines.get().is_some_and(|all| all.link.open().is_ok());
                // The look that failed is an event of its own, and no reason to look at once.
                let longer = pause.map(|pause| (pause * 2).min(LONGEST));
                pause = if is_back { None } else { longer };
                if is_back {
                    server.out.send(&Message::Changed);
                }
            }
            Err(RecvTimeoutError::Disconnected) => return,
        }
    }
}

/// Whether it is news to `hostd`.
fn take(server: &Server, event: Event) -> bool {
    match event {
        Event::Domain(uid) => {
            if let Some(machines) = server.machines.get() {
                machines.link.forget(uid);
            }
            server.calls.hasten(uid);
            true
        }
        Event::Closed => true,
        // Whoever asked was told.
        Event::Refused => false,
    }
}
