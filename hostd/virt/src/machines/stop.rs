//! Asks a guest to shut down, and switches the machine off when its time is up.

use std::time::{Duration, Instant};

use basalt_api::id::WorkloadUid;
use basalt_api::virt::Refusal;
use virt::error::ErrorNumber;

use super::Machines;
use crate::link::is;

/// Time between two presses of the button: a guest that is still booting misses the first.
const AGAIN: Duration = Duration::from_secs(10);

/// A stop on its way.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Stop {
    pub(crate) uid: WorkloadUid,
    until: Instant,
    pressed: Option<Instant>,
}

/// What comes next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Next {
    /// The button.
    Press,
    /// Nothing before then.
    Wait(Instant),
    /// The plug.
    SwitchOff,
}

impl Stop {
    pub(crate) fn new(uid: WorkloadUid, grace: Duration, now: Instant) -> Self {
        Self { uid, until: now + grace, pressed: None }
    }

    /// What comes next for a machine that still runs. Pure.
    fn next(self, now: Instant) -> Next {
        if now >= self.until {
            return Next::SwitchOff;
        }
        match self.pressed.map(|pressed| pressed + AGAIN) {
            Some(again) if now < again => Next::Wait(again.min(self.until)),
            _ => Next::Press,
        }
    }
}

impl Machines {
    /// Goes on with a stop; none when it is done, else when and with what it goes on.
    pub(crate) fn stop(&self, mut stop: Stop) -> Result<Option<(Instant, Stop)>, Refusal> {
        let open = self.link.open()?;
        let Some((domain, mark)) = open.find(stop.uid)? else { return Ok(None) };
        let failed = |error| open.failed(&format!("cannot stop `{}`", mark.name), &error);
        loop {
            if !domain.is_active().map_err(failed)? {
                return Ok(None);
            }
            let now = Instant::now();
            match stop.next(now) {
                Next::Wait(until) => return Ok(Some((until, stop))),
                Next::Press => {
                    stop.pressed = Some(now);
                    match domain.shutdown() {
                        // It ended just before, or has no button; that comes out later.
                        Err(error) if is(&error, ErrorNumber::OperationInvalid) => (),
                        other => other.map_err(failed)?,
                    }
                }
                Next::SwitchOff => {
                    return match domain.destroy() {
                        Err(error) if domain.is_active().map_err(failed)? => Err(failed(error)),
                        _ => Ok(None),
                    };
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_button_is_pressed_again_and_the_plug_pulled_last() {
        let (uid, now) = ("d8a6c9b2-0a3c-4d4e-9b1f-6f4f8a1c2b3d".parse().unwrap(), Instant::now());
        let second = |seconds| now + Duration::from_secs(seconds);
        let stop = Stop::new(uid, Duration::from_secs(15), now);
        assert_eq!(stop.next(now), Next::Press);
        let stop = Stop { pressed: Some(now), ..stop };
        assert_eq!(stop.next(second(1)), Next::Wait(second(10)));
        assert_eq!(stop.next(second(10)), Next::Press);
        let stop = Stop { pressed: Some(second(10)), ..stop };
        assert_eq!(stop.next(second(11)), Next::Wait(second(15)));
        assert_eq!(stop.next(second(15)), Next::SwitchOff);
    }

    #[test]
    fn without_a_grace_the_plug_is_pulled_at_once() {
        let (uid, now) = ("d8a6c9b2-0a3c-4d4e-9b1f-6f4f8a1c2b3d".parse().unwrap(), Instant::now());
        assert_eq!(Stop::new(uid, Duration::ZERO, now).next(now), Next::SwitchOff);
    }
}
