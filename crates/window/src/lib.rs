//! Maintenance windows: when hosts may reboot, by the clocks on the walls of a place. Pure: what
//! time it is, is an argument.

use std::fmt;
use std::str::FromStr;

use jiff::Timestamp;
use jiff::tz::TimeZone;

/// Seconds since 1970.
pub type Seconds = i64;

/// Seconds of a minute.
const MINUTE: Seconds = 60;
/// Minutes of which each window opens in one: a week, and a day for what a change of clocks skips.
const HORIZON: Seconds = 8 * 24 * 60;
/// Minutes of a day.
const DAY: u16 = 24 * 60;
const DAYS: [&str; 7] = ["Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun"];

/// A window, as `Sat,Sun 02:00-05:00 Europe/Berlin`: days, or every day where none is named; from
/// and to, and where that is not later, to on the next day; a time zone of the IANA database, UTC
/// where none is named.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Window {
    days: [bool; 7],
    from: u16,
    to: u16,
    zone: TimeZone,
    text: String,
}

/// Why a text is no window.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NoWindow {
    /// Its form.
    #[error(
        "`{0}` is no maintenance window\n\
         hint: days, times and a time zone, as `Sat,Sun 02:00-05:00 Europe/Berlin` or \
         `22:00-04:00`"
    )]
    Form(String),
    /// Its time zone.
    #[error("there is no time zone `{0}`\nhint: as `Europe/Berlin` or `UTC`")]
    Zone(String),
}

impl Window {
    /// Whether it is open.
    #[must_use]
    pub fn is_open(&self, now: Seconds) -> bool {
        let Ok(now) = Timestamp::from_second(now) else { return false };
        let there = now.to_zoned(self.zone.clone());
        let minute =
            u16::from(there.hour().unsigned_abs()) * 60 + u16::from(there.minute().unsigned_abs());
        let today = usize::from(there.weekday().to_monday_zero_offset().unsigned_abs());
        let yesterday = (today + 6) % 7;
        if self.from < self.to {
            return self.days[today] && (self.from..self.to).contains(&minute);
        }
        (self.days[today] && minute >= self.from) || (self.days[yesterday] && minute < self.to)
    }
}

/// Whether one of them is open; there is always time where there is none.
#[must_use]
pub fn is_open(windows: &[Window], now: Seconds) -> bool {
    windows.is_empty() || windows.iter().any(|window| window.is_open(now))
}

/// When one of them is open next: now, where one is; none where there is no window.
#[must_use]
pub fn opens_at(windows: &[Window], now: Seconds) -> Option<Seconds> {
    let is_open = |at: &Seconds| windows.iter().any(|window| window.is_open(*at));
    let next = now - now.rem_euclid(MINUTE) + MINUTE;
    let minutes = (0..HORIZON).map(|minute| next + minute * MINUTE);
    std::iter::once(now).chain(minutes).find(is_open)
}

impl FromStr for Window {
    type Err = NoWindow;

    fn from_str(text: &str) -> Result<Self, NoWindow> {
        let bad = || NoWindow::Form(text.chars().take(80).collect());
        let words: Vec<&str> = text.split_whitespace().collect();
        let at = words.iter().position(|word| word.contains(':')).ok_or_else(bad)?;
        let (from, to) = words[at].split_once('-').ok_or_else(bad)?;
        let days = match &words[..at] {
            [] => [true; 7],
            [list] => days(list).ok_or_else(bad)?,
            _ => return Err(bad()),
        };
        let zone = match &words[at + 1..] {
            [] => TimeZone::UTC,
            [name] => {
                TimeZone::get(name).map_err(|_| NoWindow::Zone(name.chars().take(80).collect()))?
            }
            _ => return Err(bad()),
        };
        let (from, to) = (minutes(from).ok_or_else(bad)?, minutes(to).ok_or_else(bad)?);
        if from == DAY {
            return Err(bad());
        }
        Ok(Self { days, from, to, zone, text: words.join(" ") })
    }
}

impl fmt::Display for Window {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

/// `Sat,Sun` or `Mon-Fri`, and both together.
fn days(list: &str) -> Option<[bool; 7]> {
    let number = |name: &str| DAYS.iter().position(|word| word.eq_ignore_ascii_case(name));
    let mut days = [false; 7];
    for part in list.split(',') {
        let (first, last) = part.split_once('-').unwrap_or((part, part));
        let (first, last) = (number(first)?, number(last)?);
        let length = (last + 7 - first) % 7;
        (0..=length).for_each(|day| days[(first + day) % 7] = true);
    }
    Some(days)
}

/// `02:00`, up to `24:00`.
fn minutes(text: &str) -> Option<u16> {
    let (hour, minute) = text.split_once(':')?;
    let is_two = |text: &str| text.len() == 2 && text.bytes().all(|byte| byte.is_ascii_digit());
    if !(is_two(hour) && is_two(minute)) {
        return None;
    }
    let (hour, minute): (u16, u16) = (hour.parse().ok()?, minute.parse().ok()?);
    let all = hour * 60 + minute;
    (minute < 60 && all <= DAY).then_some(all)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(window: &str, cases: &[(&str, bool)]) {
        let window: Window = window.parse().unwrap();
        for (at, expected) in cases {
            let now = at.parse::<Timestamp>().unwrap().as_second();
            assert_eq!(window.is_open(now), *expected, "{window} at {at}");
        }
    }

    #[test]
    fn a_window_goes_by_the_clocks_of_its_place_in_summer_and_winter() {
        // Berlin is two hours ahead in July and one in December.
        let cases = [
            ("2026-07-04T00:00:00Z", true),
            ("2026-07-03T23:59:00Z", false),
            ("2026-07-04T02:59:59Z", true),
            ("2026-07-04T03:00:00Z", false),
            ("2026-12-05T00:59:00Z", false),
            ("2026-12-05T01:00:00Z", true),
            ("2026-12-07T01:00:00Z", false),
        ];
        check("Sat,Sun 02:00-05:00 Europe/Berlin", &cases);
    }

    #[test]
    fn one_that_passes_midnight_belongs_to_the_day_on_which_it_opens() {
        let cases = [
            ("2026-12-04T22:00:00Z", true),
            ("2026-12-05T03:59:00Z", true),
            ("2026-12-05T04:00:00Z", false),
            // Of Saturday's there is none.
            ("2026-12-05T22:00:00Z", false),
            ("2026-12-06T03:00:00Z", false),
        ];
        check("Mon-Fri 22:00-04:00", &cases);
        check("00:00-24:00", &[("2026-12-05T23:59:59Z", true), ("2026-12-05T00:00:00Z", true)]);
        check(
            "Sun 12:00-12:00",
            &[("2026-12-07T11:59:00Z", true), ("2026-12-07T12:00:00Z", false)],
        );
        check(
            "Sat-Mon 10:00-11:00",
            &[("2026-12-07T10:00:00Z", true), ("2026-12-08T10:00:00Z", false)],
        );
    }

    /// When the windows, separated by `;`, are open next.
    fn opens(windows: &str, now: &str, expected: Option<&str>) {
        let windows: Vec<Window> =
            windows.split_terminator(';').map(|window| window.parse().unwrap()).collect();
        let now = now.parse::<Timestamp>().unwrap().as_second();
        let at = opens_at(&windows, now).map(|at| Timestamp::from_second(at).unwrap().to_string());
        assert_eq!(at.as_deref(), expected);
    }

    #[test]
    fn the_next_opening_is_now_or_the_first_of_all() {
        let now = "2026-12-05T02:30:20Z";
        opens("", now, None);
        opens("02:00-05:00", now, Some(now));
        opens("02:31-05:00", now, Some("2026-12-05T02:31:00Z"));
        opens("Sat 01:00-02:30", now, Some("2026-12-12T01:00:00Z"));
        opens("Fri 22:00-04:00", now, Some(now));
        opens("Sun 03:00-04:00;Sat 23:00-01:00", now, Some("2026-12-05T23:00:00Z"));
        // At two o'clock the clocks of Berlin go on to three, where summer begins.
        opens(
            "Sun 02:00-03:00 Europe/Berlin",
            "2026-03-28T12:00:00Z",
            Some("2026-04-05T00:00:00Z"),
        );
        opens(
            "Sun 02:30-03:30 Europe/Berlin",
            "2026-03-28T12:00:00Z",
            Some("2026-03-29T01:00:00Z"),
        );
    }

    #[test]
    fn what_is_no_window_says_how_one_looks() {
        for bad in [
            "",
            "02:00",
            "2:00-5:00",
            "02:00-25:00",
            "02:60-03:00",
            "24:00-02:00",
            "Sat Sun 02:00-05:00",
            "Caturday 02:00-05:00",
            "02:00-05:00 UTC x",
        ] {
            assert!(matches!(bad.parse::<Window>(), Err(NoWindow::Form(_))), "{bad}");
        }
        let error = "02:00-05:00 Europe/Atlantis".parse::<Window>().unwrap_err();
        assert_eq!(error, NoWindow::Zone("Europe/Atlantis".to_owned()));
        assert!(is_open(&[], 0));
    }

    #[test]
    fn fuzz_maintenance_window() {
        let seeds = &["Sat,Sun 02:00-05:00 Europe/Berlin", "Fri-Mon 22:00-04:00", "00:00-24:00"];
        basalt_fuzz::run_on_text!(seeds, |text| {
            // What is read is said so that it is read as the same; any clock can be asked.
            if let Ok(window) = text.parse::<Window>() {
                let again: Window = window.to_string().parse().unwrap();
                for now in [i64::MIN, -1, 0, 1_796_000_000, i64::MAX] {
                    assert_eq!(window.is_open(now), again.is_open(now));
                }
            }
        });
    }
}
