//! Where the kickstart comes from: what was typed, what the kernel's command line says, and the
//! places where one may lie. The decision is pure; [`find`] goes and looks.

mod fetch;
mod volume;

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use basalt_kickstart::{Include, Included, NotRead};
use basalt_live::OnVolume;

use crate::facts::Facts;
use crate::log::Log;

pub(crate) use fetch::is_final;

/// The kernel argument that names one, as Anaconda's.
const ARGUMENT: &str = "inst.ks=";
/// The label of a volume that is looked at by itself, as Anaconda does.
const VOLUME: &str = "OEMDRV";
/// The credential's name.
const CREDENTIAL: &str = "basalt.kickstart";
/// Where systemd keeps those of the whole system.
const CREDENTIALS: &str = "/run/credentials/@system";
/// Where one lies on a volume that is looked at by itself.
const NAMES: [&str; 2] = ["ks.cfg", "basalt/host.ks"];

/// A place where a kickstart may be.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Place {
    /// A file of the installer's own system.
    File(PathBuf),
    /// A web server's.
    Url(String),
    /// A file on a volume: by `LABEL=…`, `UUID=…` or a device.
    Volume(OnVolume),
    /// On the partition that the installer was started from, which any laptop can edit.
    BootMedium,
}

/// A place, and why it is looked at.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Candidate {
    place: Place,
    why: &'static str,
    /// It was named: without it nothing is installed.
    named: bool,
}

/// A kickstart's text.
pub(crate) struct Found {
    /// The file, as errors name it.
    pub(crate) name: String,
    /// What is in it.
    pub(crate) text: String,
    /// Where it is from, and why that was looked at.
    pub(crate) from: String,
}

/// Where one may be, in the order in which it is looked for; what was named is the only one.
fn candidates(
    typed: Option<&str>,
    cmdline: &str,
    credentials: &[PathBuf],
) -> Result<Vec<Candidate>> {
    if let Some(typed) = typed {
        let place = match is_url(typed) {
            true => Place::Url(typed.to_owned()),
            false => Place::File(typed.into()),
        };
        return Ok(vec![Candidate { place, why: "`--kickstart`", named: true }]);
    }
    // As the kernel reads its arguments, the last one counts.
    let words = cmdline.split_whitespace().map(|word| word.trim_matches('"'));
    if let Some(value) = words.filter_map(|word| word.strip_prefix(ARGUMENT)).next_back() {
        let place = place(value.trim_matches('"'))?;
        return Ok(vec![Candidate { place, why: "the kernel argument `inst.ks=`", named: true }]);
    }
    let by_itself = |place, why| Candidate { place, why, named: false };
    let (volume, path) = (format!("LABEL={VOLUME}"), format!("/{}", NAMES[0]));
    let mut found = vec![
        by_itself(Place::Volume(OnVolume { volume, path }), "the volume `OEMDRV`"),
        by_itself(Place::BootMedium, "the partition that the installer was started from"),
    ];
    found.extend(credentials.iter().map(|folder| {
        by_itself(Place::File(folder.join(CREDENTIAL)), "the credential `basalt.kickstart`")
    }));
    Ok(found)
}

/// Whether it lies with a web server.
pub(crate) fn is_url(text: &str) -> bool {
    text.starts_with("http://") || text.starts_with("https://")
}

/// What `inst.ks=` says.
fn place(value: &str) -> Result<Place> {
    let hint = "`inst.ks=` takes `https://…`, `http://…`, `hd:LABEL=NAME:/PATH` or `file:/PATH`";
    if is_url(value) {
        return Ok(Place::Url(value.to_owned()));
    }
    let whole = |path: &str| path.starts_with('/').then(|| path.to_owned());
    if let Some(rest) = value.strip_prefix("file:") {
        let path = rest.strip_prefix("//").unwrap_or(rest);
        let path =
            whole(path).with_context(|| format!("`{value}` is no whole path\nhint: {hint}"))?;
        return Ok(Place::File(path.into()));
    }
    match OnVolume::parse(value, "/ks.cfg") {
        Some(Ok(file)) => return Ok(Place::Volume(file)),
        Some(Err(why)) => bail!("`{value}` {why}\nhint: {hint}"),
        None => (),
    }
    bail!("a kickstart cannot come from `{value}`\nhint: {hint}")
}

/// There is no kickstart anywhere.
#[derive(Debug, thiserror::Error)]
#[error(
    "there is no kickstart: `--kickstart` and the kernel argument `inst.ks=` name none, no volume is \
     called `{VOLUME}`, the medium has no `/{}` and no `/{}`, and there is no credential \
     `{CREDENTIAL}`\nhint: put one there; `basalt kickstart check` says whether it is good",
    NAMES[0],
    NAMES[1]
)]
pub(crate) struct NoKickstart;

/// The first one that is there.
///
/// # Errors
/// One was named and cannot be had, or there is none, which is [`NoKickstart`].
pub(crate) fn find(typed: Option<&str>, facts: &Facts, log: &mut Log) -> Result<Found> {
    let cmdline = std::fs::read_to_string("/proc/cmdline").unwrap_or_default();
    let own = std::env::var_os("CREDENTIALS_DIRECTORY").map(PathBuf::from);
    let credentials: Vec<PathBuf> = own.into_iter().chain([CREDENTIALS.into()]).collect();
    for candidate in candidates(typed, &cmdline, &credentials)? {
        let doing = || format!("cannot read the kickstart, which {} names", candidate.why);
        let read = read(&candidate, facts, log).with_context(doing)?;
        if let Some((name, text)) = read {
            let from = format!("{name}, by {}", candidate.why);
            return Ok(Found { name, text, from });
        }
    }
    Err(NoKickstart.into())
}

/// Its name and text; none where it is not there and was not named.
fn read(candidate: &Candidate, facts: &Facts, log: &mut Log) -> Result<Option<(String, String)>> {
    let at = |path: &Path| -> Result<(String, String)> {
        Ok((path.display().to_string(), basalt_kickstart_file::read(path)?))
    };
    match &candidate.place {
        Place::Url(url) => Ok(Some((url.clone(), fetch::text(url, log)?))),
        Place::File(path) if candidate.named || path.exists() => Ok(Some(at(path)?)),
        Place::File(_) => Ok(None),
        Place::Volume(OnVolume { volume, path }) => {
            let Some(device) = volume::device(volume)? else {
                if candidate.named {
                    bail!("there is no volume `{volume}`\nhint: `lsblk -f` shows what there is");
                }
                return Ok(None);
            };
            let medium = volume::mount(&device)?;
            let path = path.trim_start_matches('/');
            if !medium.path().join(path).exists() && !candidate.named {
                return Ok(None);
            }
            Ok(Some(at(&medium.keep().join(path))?))
        }
        Place::BootMedium => {
            let Some(device) = &facts.loader_device else { return Ok(None) };
            let medium = volume::mount(&Path::new("/dev").join(device))?;
            let Some(name) = NAMES.iter().find(|name| medium.path().join(name).exists()) else {
                return Ok(None);
            };
            Ok(Some(at(&medium.keep().join(name))?))
        }
    }
}

/// Leaves what the kickstart lies on, once all of it was carried out.
pub(crate) fn leave() {
    volume::leave();
}

/// What a kickstart includes: from files, as everywhere, or from a web server.
pub(crate) fn included(include: &Include<'_>, log: &mut Log) -> Result<Included, NotRead> {
    if !is_url(include.what) {
        return basalt_kickstart_file::included(include);
    }
    let text = fetch::text(include.what, log);
    let text = text.map_err(|error| NotRead::Broken(format!("{error:#}")))?;
    Ok(Included { name: include.what.to_owned(), text })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The places, one behind the other, and whether they were named.
    fn check(typed: Option<&str>, cmdline: &str, expected: &str) {
        let credentials = [PathBuf::from("/own"), PathBuf::from("/system")];
        let found = match candidates(typed, cmdline, &credentials) {
            Ok(found) => found,
            Err(error) => return assert_eq!(error.to_string().lines().next(), Some(expected)),
        };
        let words = found.iter().map(|it| match &it.place {
            Place::File(path) => path.display().to_string(),
            Place::Url(url) => url.clone(),
            Place::Volume(OnVolume { volume, path }) => format!("{volume}!{path}"),
            Place::BootMedium => "medium".to_owned(),
        });
        assert_eq!(words.collect::<Vec<_>>().join(" "), expected);
        assert!(found.iter().all(|it| it.named == (found.len() == 1)));
    }

    #[test]
    fn what_was_named_is_the_only_one() {
        check(Some("/x/host.ks"), "inst.ks=http://y/ks", "/x/host.ks");
        check(Some("https://x/host.ks"), "", "https://x/host.ks");
        check(None, "quiet inst.ks=http://x/a inst.ks=http://y/b", "http://y/b");
        check(None, "inst.ks=file:/x/host.ks", "/x/host.ks");
        check(None, "inst.ks=file:///x/host.ks", "/x/host.ks");
        check(None, "inst.ks=hd:LABEL=MY:DISK:/a/b.ks", "LABEL=MY:DISK!/a/b.ks");
        check(None, "inst.ks=hd:UUID=1-2:/a", "UUID=1-2!/a");
        check(None, "inst.ks=hd:sda1:/a", "/dev/sda1!/a");
        check(None, "inst.ks=hd:/dev/sda1", "/dev/sda1!/ks.cfg");
    }

    #[test]
    fn without_a_word_the_volume_the_medium_and_credentials_are_looked_at() {
        let expected = "LABEL=OEMDRV!/ks.cfg medium /own/basalt.kickstart /system/basalt.kickstart";
        check(None, "quiet ks=http://x", expected);
    }

    #[test]
    fn what_cannot_be_is_told() {
        check(None, "inst.ks=nfs:server:/a", "a kickstart cannot come from `nfs:server:/a`");
        check(None, "inst.ks=file:a", "`file:a` is no whole path");
        check(None, "inst.ks=hd:sda1:a", "`hd:sda1:a` names no file");
        check(None, "inst.ks=hd:sda1:/a/../b", "`hd:sda1:/a/../b` names no file");
        check(None, "inst.ks=hd::/a", "`hd::/a` names no volume");
        check(None, "inst.ks=", "a kickstart cannot come from ``");
    }
}
