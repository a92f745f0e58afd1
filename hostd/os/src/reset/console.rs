//! The consoles of the machine: what is told there, and the one word that is asked for.

use std::fs::{self, File, OpenOptions};
use std::io::{Read, Write};
use std::os::fd::AsFd;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::time::{Duration, Instant};

use basalt_api::os::ResetDepth;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fs::OFlags;
use rustix::termios::{QueueSelector, tcflush};

/// Bytes of a line that somebody types.
const MAX_LINE: usize = 256;

/// What was typed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Answer {
    /// Nothing that could be meant.
    Nothing,
    Reset(ResetDepth),
    Other,
}

/// All of them: nobody knows at which one somebody sits.
pub(crate) struct Consoles(Vec<Console>);

struct Console {
    terminal: File,
    /// A line that has no end yet.
    typed: Vec<u8>,
}

impl Consoles {
    /// Those of the kernel, by `list`, a file as `/sys/class/tty/console/active`. One that cannot
    /// be opened is left out.
    pub(crate) fn open(list: &Path, devices: &Path) -> Self {
        let names = fs::read_to_string(list).unwrap_or_default();
        let open = |name: &str| {
            let flags = (OFlags::NOCTTY | OFlags::NONBLOCK).bits();
            let mut options = OpenOptions::new();
            let flags = i32::try_from(flags).unwrap_or_default();
            options.read(true).write(true).custom_flags(flags).open(devices.join(name)).ok()
        };
        Self::of(names.split_whitespace().filter_map(open).collect())
    }

    fn of(terminals: Vec<File>) -> Self {
        Self(
            terminals.into_iter().map(|terminal| Console { terminal, typed: Vec::new() }).collect(),
        )
    }

    /// Tells it on each; one that takes nothing keeps it from no other.
    pub(crate) fn say(&mut self, text: &str) {
        for line in text.lines() {
            println!("{line}");
            for console in &mut self.0 {
                let _ = write!(console.terminal, "basalt: {line}\r\n");
            }
        }
    }

    /// Asks this and waits for a word, for so long at most. None where nothing was typed in time,
    /// or something else.
    pub(crate) fn ask(&mut self, question: &str, time: Duration) -> Option<ResetDepth> {
        for console in &self.0 {
            // What was typed to the loader was not meant for us.
            let _ = tcflush(&console.terminal, QueueSelector::IFlush);
        }
        self.say(question);
        let end = Instant::now() + time;
        loop {
            let left = end.checked_duration_since(Instant::now())?;
            for line in self.lines(left) {
                match answer(&line) {
                    Answer::Nothing => (),
                    Answer::Reset(depth) => return Some(depth),
                    Answer::Other => return None,
                }
            }
        }
    }

    /// Lines that were ended now, after at most `time`.
    fn lines(&mut self, time: Duration) -> Vec<Vec<u8>> {
        let mut waits: Vec<_> = self
            .0
            .iter()
            .map(|console| PollFd::from_borrowed_fd(console.terminal.as_fd(), PollFlags::IN))
            .collect();
        let time = Timespec::try_from(time.min(Duration::from_secs(1))).ok();
        let _ = poll(&mut waits, time.as_ref());
        let ready: Vec<bool> = waits.iter().map(|it| !it.revents().is_empty()).collect();
        let mut lines = Vec::new();
        let mut gone = Vec::new();
        for (console, _) in self.0.iter_mut().zip(ready).filter(|(_, is_ready)| *is_ready) {
            gone.push(!console.read(&mut lines));
        }
        if gone.contains(&true) {
            // One that hung up would be ready for ever.
            std::thread::sleep(Duration::from_millis(100));
        }
        lines
    }
}

impl Console {
    /// Takes what was typed; whether somebody is there.
    fn read(&mut self, lines: &mut Vec<Vec<u8>>) -> bool {
        let mut bytes = [0; MAX_LINE];
        let Ok(count @ 1..) = self.terminal.read(&mut bytes) else { return false };
        for byte in &bytes[..count] {
            match byte {
                b'\n' | b'\r' => lines.push(std::mem::take(&mut self.typed)),
                _ if self.typed.len() < MAX_LINE => self.typed.push(*byte),
                _ => (),
            }
        }
        true
    }
}

fn answer(line: &[u8]) -> Answer {
    match String::from_utf8_lossy(line).trim() {
        "" => Answer::Nothing,
        "reset" => Answer::Reset(ResetDepth::Settings),
        "erase" => Answer::Reset(ResetDepth::All),
        _ => Answer::Other,
    }
}

#[cfg(test)]
mod tests {
    use std::os::fd::OwnedFd;

    use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};

    use super::*;

    /// A terminal, and who sits at it.
    fn terminal() -> (File, File) {
        let keys: OwnedFd = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY).unwrap();
        grantpt(&keys).unwrap();
        unlockpt(&keys).unwrap();
        let name = ptsname(&keys, Vec::new()).unwrap().into_string().unwrap();
        let flags = i32::try_from((OFlags::NOCTTY | OFlags::NONBLOCK).bits()).unwrap();
        let terminal =
            OpenOptions::new().read(true).write(true).custom_flags(flags).open(name).unwrap();
        (terminal, File::from(keys))
    }

    /// Waits until the terminal's screen shows this.
    fn shows(keys: &mut File, text: &str) {
        let mut shown = String::new();
        while !shown.contains(text) {
            let mut bytes = [0; 256];
            let count = keys.read(&mut bytes).unwrap();
            shown.push_str(&String::from_utf8_lossy(&bytes[..count]));
        }
    }

    /// The same on either of two consoles, typed once it is asked for.
    fn check(typed: &'static str, time: Duration, expected: Option<ResetDepth>) {
        for at in [0, 1] {
            let (terminals, mut keys): (Vec<_>, Vec<_>) =
                [terminal(), terminal()].into_iter().unzip();
            let mut consoles = Consoles::of(terminals);
            let asked = std::thread::spawn(move || consoles.ask("well?", time));
            shows(&mut keys[at], "basalt: well?");
            keys[at].write_all(typed.as_bytes()).unwrap();
            assert_eq!(asked.join().unwrap(), expected, "{typed:?} at {at}");
        }
    }

    #[test]
    fn only_the_very_word_resets() {
        let long = Duration::from_secs(60);
        check("reset\n", long, Some(ResetDepth::Settings));
        check("\n\nerase\r", long, Some(ResetDepth::All));
        check("  reset \n", long, Some(ResetDepth::Settings));
        check("y\nreset\n", long, None);
        check("Reset\n", long, None);
        check("erasereset\n", long, None);
    }

    #[test]
    fn who_types_no_word_in_time_has_not_asked_for_it() {
        let short = Duration::from_millis(300);
        check("reset", short, None);
        check("\n\n\n\n", short, None);
        check("", short, None);
    }

    #[test]
    fn what_was_typed_before_it_was_asked_for_is_no_answer() {
        let (terminal, mut keys) = terminal();
        keys.write_all(b"erase\n").unwrap();
        let mut there = [PollFd::new(&terminal, PollFlags::IN)];
        assert_eq!(poll(&mut there, None), Ok(1));
        let mut consoles = Consoles::of(vec![terminal]);
        assert_eq!(consoles.ask("well?", Duration::from_millis(300)), None);
    }

    #[test]
    fn nobody_there_is_no_answer() {
        let short = Duration::from_millis(50);
        assert_eq!(Consoles::of(Vec::new()).ask("well?", short), None);
        let (terminal, keys) = terminal();
        drop(keys);
        assert_eq!(Consoles::of(vec![terminal]).ask("well?", short), None);
    }

    #[test]
    fn all_consoles_are_told() {
        let (terminals, keys): (Vec<_>, Vec<_>) = [terminal(), terminal()].into_iter().unzip();
        Consoles::of(terminals).say("one\ntwo");
        for mut screen in keys {
            shows(&mut screen, "basalt: two");
        }
    }
}
