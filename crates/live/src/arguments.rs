//! Kernel arguments of a live system.

use std::fmt;

use basalt_sysroot::slot::Slot;
use url::Url;

use crate::share::{BadShare, Share};
use crate::volume::{NotOnVolume, OnVolume};

/// What it is booted for.
const MODE: &str = "basalt.live";
/// Where its rootfs lies.
const URL: &str = "basalt.live.url";
/// How much may be written over its root.
const OVERLAY: &str = "basalt.live.overlay";
/// The machine's own id stays the same over boots, though nothing is kept: `hostd` knows the
/// machine by it.
const MACHINE_ID: &str = "systemd.machine_id=firmware";
/// Tells the initramfs to look for a deployment; the slot says which.
const OSTREE: &str = "ostree";

/// What a live system is booted for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    /// It is a host, which keeps nothing but what lies on a partition for `/var`.
    Host,
    /// It installs a host.
    Install,
}

/// What a kernel command line asks of a live system.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Asked {
    /// What for.
    pub mode: Mode,
    /// Where its rootfs lies.
    pub rootfs: Source,
    /// How much may be written over its root; none where nobody says.
    pub overlay: Option<Share>,
}

/// Where a rootfs lies.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Source {
    /// With a web server.
    Web(Url),
    /// On a medium of the machine.
    Volume(OnVolume),
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Web(url) => url.fmt(f),
            Self::Volume(file) => file.fmt(f),
        }
    }
}

/// Why a kernel command line boots no live system.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NotAsked {
    /// It does not say what for.
    #[error("the kernel argument `{MODE}=host` or `{MODE}=install` is missing")]
    NoMode,
    /// It is for nothing that we know.
    #[error("`{MODE}={0}` is neither `host` nor `install`")]
    UnknownMode(String),
    /// It does not say where the rootfs lies.
    #[error(
        "the kernel argument `{URL}=` is missing\nhint: it says where the rootfs is fetched from"
    )]
    NoUrl,
    /// What it says is no place that anything can be fetched from.
    #[error("`{URL}={0}` is no http or https URL\nhint: on a medium it is `hd:LABEL=NAME:/PATH`")]
    BadUrl(String),
    /// What it says is no file on a medium.
    #[error("`{URL}={0}` {1}\nhint: on a medium it is `hd:LABEL=NAME:/PATH`")]
    BadVolume(String, NotOnVolume),
    /// The overlay's size makes no sense.
    #[error("`{OVERLAY}=`: {0}")]
    Overlay(#[from] BadShare),
}

impl Mode {
    /// The word for it.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::Host => "host",
            Self::Install => "install",
        }
    }
}

impl Asked {
    /// Reads a kernel command line. Of an argument that is there twice the later one counts, as
    /// for the kernel.
    ///
    /// # Errors
    /// It says not enough, or something that makes no sense.
    pub fn parse(cmdline: &str) -> Result<Self, NotAsked> {
        let value = |key: &str| {
            let mut values = words(cmdline).filter_map(|word| {
                let (name, value) = word.split_once('=')?;
                (name == key).then(|| value.to_owned())
            });
            values.by_ref().last()
        };
        let mode = match value(MODE).ok_or(NotAsked::NoMode)?.as_str() {
            "host" => Mode::Host,
            "install" => Mode::Install,
            other => return Err(NotAsked::UnknownMode(other.to_owned())),
        };
        let rootfs = source(value(URL).ok_or(NotAsked::NoUrl)?)?;
        let overlay = value(OVERLAY).map(|text| text.parse()).transpose()?;
        Ok(Self { mode, rootfs, overlay })
    }
}

fn source(text: String) -> Result<Source, NotAsked> {
    match OnVolume::parse(&text, "") {
        Some(Ok(file)) => Ok(Source::Volume(file)),
        Some(Err(why)) => Err(NotAsked::BadVolume(text, why)),
        None => fetchable(&text).map(Source::Web).ok_or(NotAsked::BadUrl(text)),
    }
}

/// A URL that something can be fetched from: http or https, with a host.
#[must_use]
pub fn fetchable(text: &str) -> Option<Url> {
    let url = Url::parse(text).ok()?;
    (matches!(url.scheme(), "http" | "https") && url.host().is_some()).then_some(url)
}

/// The arguments that boot a live system: those that make it one, then the image's own, then
/// others. Of two that contradict each other the later counts.
#[must_use]
pub fn arguments(mode: Mode, url: &str, image: &[String], more: &[String]) -> Vec<String> {
    let own = [
        Slot::A.argument(),
        OSTREE.to_owned(),
        MACHINE_ID.to_owned(),
        format!("{MODE}={}", mode.word()),
        format!("{URL}={url}"),
    ];
    own.into_iter().chain(image.iter().cloned()).chain(more.iter().cloned()).collect()
}

/// The arguments of a command line, without their quotes. Blanks between double quotes part none.
fn words(cmdline: &str) -> impl Iterator<Item = String> {
    let mut inside = false;
    let parts = cmdline.split(move |letter: char| {
        inside ^= letter == '"';
        !inside && letter.is_whitespace()
    });
    parts.filter(|word| !word.is_empty()).map(|word| word.replace('"', ""))
}

#[cfg(test)]
mod tests {
    use super::*;

    const LINE: &str = "quiet basalt.live=host basalt.live.url=http://10.0.2.2:8080/a/rootfs";

    #[test]
    fn a_command_line_says_what_for_and_where_from() {
        let asked = Asked::parse(LINE).unwrap();
        assert_eq!(
            (asked.mode, &*asked.rootfs.to_string()),
            (Mode::Host, "http://10.0.2.2:8080/a/rootfs")
        );
        assert_eq!(asked.overlay, None);
        let later = format!("{LINE} basalt.live=install \"basalt.live.overlay=64M\"\n");
        let later = Asked::parse(&later).unwrap();
        assert_eq!((later.mode, later.overlay), (Mode::Install, Some(Share::Bytes(64 << 20))));
    }

    #[test]
    fn a_rootfs_may_lie_on_a_medium() {
        let line = "basalt.live=install basalt.live.url=hd:LABEL=BASALT_LIVE:/live/rootfs.squashfs";
        let asked = Asked::parse(line).unwrap();
        let file = OnVolume {
            volume: "LABEL=BASALT_LIVE".to_owned(),
            path: "/live/rootfs.squashfs".to_owned(),
        };
        assert_eq!(asked.rootfs, Source::Volume(file));
    }

    #[test]
    fn what_boots_no_live_system_is_told_with_the_reason() {
        let check = |line: &str, expected: &str| {
            let told = Asked::parse(line).unwrap_err().to_string();
            assert_eq!(told.lines().next(), Some(expected));
        };
        check("", "the kernel argument `basalt.live=host` or `basalt.live=install` is missing");
        check(
            "x=\"basalt.live=host\"",
            "the kernel argument `basalt.live=host` or `basalt.live=install` is missing",
        );
        check("basalt.live=x", "`basalt.live=x` is neither `host` nor `install`");
        check("basalt.live=host", "the kernel argument `basalt.live.url=` is missing");
        for url in ["ftp://a/b", "/rootfs", "http://", ""] {
            let line = format!("basalt.live=host basalt.live.url={url}");
            check(&line, &format!("`basalt.live.url={url}` is no http or https URL"));
        }
        for place in ["hd:LABEL=BASALT", "hd::/rootfs"] {
            let line = format!("basalt.live=host basalt.live.url={place}");
            let names = if place.contains('=') { "names no file" } else { "names no volume" };
            check(&line, &format!("`basalt.live.url={place}` {names}"));
        }
        check(
            &format!("{LINE} basalt.live.overlay=much"),
            "`basalt.live.overlay=`: `much` is no amount of memory, as `192M`, `1G` or `25%` are",
        );
    }

    #[test]
    fn what_boots_a_live_system_is_read_as_it_was_meant() {
        let url = "https://a.example/live/rootfs.squashfs";
        let more = ["basalt.live.overlay=10%".to_owned()];
        let line = arguments(Mode::Install, url, &["quiet".to_owned()], &more).join(" ");
        assert_eq!(
            line,
            "androidboot.slot_suffix=_a ostree systemd.machine_id=firmware basalt.live=install \
             basalt.live.url=https://a.example/live/rootfs.squashfs quiet basalt.live.overlay=10%"
        );
        let asked = Asked::parse(&line).unwrap();
        assert_eq!((asked.mode, &*asked.rootfs.to_string()), (Mode::Install, url));
        assert_eq!(Slot::from_cmdline(&line), Some(Slot::A));
    }

    #[test]
    fn fuzz_command_line_of_a_live_system() {
        let quoted = "basalt.live=install x=\"a b\" \"basalt.live.overlay=10%\"";
        basalt_fuzz::run_on_text!(&[LINE, quoted], |text| Asked::parse(text));
    }
}
