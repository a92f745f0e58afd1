//! A file on a volume that is named and not numbered, in the words of Anaconda:
//! `hd:LABEL=NAME:/PATH`.

use std::fmt;

/// What such a place begins with.
const SCHEME: &str = "hd:";

/// Where a live system that came from a medium says from which device, as `/dev/sda1`.
pub const FROM: &str = "/run/live/from";

/// A file on a volume.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OnVolume {
    /// `LABEL=…`, `UUID=…`, or a device's whole path.
    pub volume: String,
    /// The file, from the volume's root: begins with a slash and leads nowhere else.
    pub path: String,
}

/// Why a text names no file on a volume.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum NotOnVolume {
    /// There is no volume in it.
    #[error("names no volume")]
    NoVolume,
    /// It is named by what nobody looks for.
    #[error("names a volume by something else than `LABEL=`, `UUID=` or its device")]
    Tag,
    /// There is no file in it, or one that is not below the volume's root.
    #[error("names no file")]
    NoFile,
}

impl OnVolume {
    /// Reads it; none where it does not begin with `hd:`. Where it has no path it is `or_else`. A
    /// volume without `=` is a device, also without `/dev/`.
    ///
    /// # Errors
    /// It names no volume, or no file on it.
    pub fn parse(text: &str, or_else: &str) -> Option<Result<Self, NotOnVolume>> {
        let rest = text.strip_prefix(SCHEME)?;
        let (volume, path) = rest.rsplit_once(':').unwrap_or((rest, or_else));
        let is_below = path.starts_with('/') && !path.split('/').any(|part| part == "..");
        if volume.is_empty() {
            return Some(Err(NotOnVolume::NoVolume));
        }
        let is_known = ["LABEL=", "UUID="].iter().any(|tag| volume.starts_with(tag));
        if volume.contains('=') && !is_known {
            return Some(Err(NotOnVolume::Tag));
        }
        if !is_below || path.ends_with('/') {
            return Some(Err(NotOnVolume::NoFile));
        }
        let is_whole = volume.contains('=') || volume.starts_with("/dev/");
        let volume = if is_whole { volume.to_owned() } else { format!("/dev/{volume}") };
        Some(Ok(Self { volume, path: path.to_owned() }))
    }
}

impl fmt::Display for OnVolume {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{SCHEME}{}:{}", self.volume, self.path)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(text: &str, expected: Option<Result<&str, NotOnVolume>>) {
        let found = OnVolume::parse(text, "/ks.cfg").map(|found| found.map(|it| it.to_string()));
        assert_eq!(found, expected.map(|it| it.map(str::to_owned)), "{text}");
    }

    #[test]
    fn a_volume_is_a_label_an_id_or_a_device_and_the_file_lies_on_it() {
        check("hd:LABEL=KS:/a/host.ks", Some(Ok("hd:LABEL=KS:/a/host.ks")));
        check("hd:LABEL=A:B:/host.ks", Some(Ok("hd:LABEL=A:B:/host.ks")));
        check("hd:UUID=1A-2B", Some(Ok("hd:UUID=1A-2B:/ks.cfg")));
        check("hd:sda1:/a", Some(Ok("hd:/dev/sda1:/a")));
        check("hd:/dev/sda1:/a", Some(Ok("hd:/dev/sda1:/a")));
        check("hd:LABEL=KS:/../a", Some(Err(NotOnVolume::NoFile)));
        check("hd:LABEL=KS:a", Some(Err(NotOnVolume::NoFile)));
        check("hd:LABEL=KS:/", Some(Err(NotOnVolume::NoFile)));
        check("hd::/a", Some(Err(NotOnVolume::NoVolume)));
        check("hd:", Some(Err(NotOnVolume::NoVolume)));
        check("hd:PARTUUID=1-2:/a", Some(Err(NotOnVolume::Tag)));
        check("http://a/b", None);
    }

    #[test]
    fn fuzz_file_on_a_volume() {
        let seeds = ["hd:LABEL=KS:/a", "hd:sda1"];
        basalt_fuzz::run_on_text!(&seeds, |text| {
            OnVolume::parse(text, "/ks.cfg").map(|found| {
                found.map(|it| {
                    let again = OnVolume::parse(&it.to_string(), "/").unwrap().unwrap();
                    assert_eq!(again, it);
                })
            })
        });
    }
}
