//! A system that is not here: what planning reads of it is brought from its archive, into memory; the
//! rest comes once the disk is there.

use std::fs;
use std::path::Path;
use std::thread::sleep;
use std::time::{Duration, Instant, SystemTime};

use anyhow::{Context, Error, Result, bail};
use basalt_archive::Keys;
use basalt_deploy::Repo;
use basalt_kickstart::model::OsTreeSetup;
use basalt_release::Manifest;

use super::{About, Archive, Commit, Origin, Signed};
use crate::log::Log;
use crate::source::is_final;

/// How long the network may take to come up.
const PATIENCE: Duration = Duration::from_secs(180);
/// Between two tries.
const PAUSE: Duration = Duration::from_secs(5);
/// Where the parts lie.
const PARTS: &str = "/run/basalt-install/repo";
/// What is read of a system before it is installed: accounts, units, configuration, names of zones,
/// and of the other folders what is in them.
const PATHS: &[&str] = &[
    "/bin",
    "/lib",
    "/sbin",
    "/usr/bin/.",
    "/usr/etc",
    "/usr/lib/basalt",
    "/usr/lib/kbd",
    "/usr/lib/locale/.",
    "/usr/lib/os-release",
    "/usr/lib/systemd/system",
    "/usr/sbin/.",
    "/usr/share/zoneinfo",
];

/// The release of `now` in the archive that `setup` names, which a key in the folder `keys` must have
/// signed. What the repository `carried` has of it is not brought.
///
/// # Errors
/// The archive cannot be reached, has no such release, or nobody who is trusted signed it.
pub(crate) fn bring(
    setup: &OsTreeSetup,
    carried: &Path,
    keys: &Path,
    now: SystemTime,
    log: &mut Log,
) -> Result<(About, Commit)> {
    let url = setup.url.trim_end_matches('/');
    let doing = || format!("cannot install from the archive `{url}`");
    let trusted = Keys::read(keys).with_context(doing)?;
    log.say(&format!("asking `{url}` for the release of `{}`", setup.branch));
    let manifest = manifest(setup, &trusted, log).with_context(doing)?;
    check(&manifest, setup, now).with_context(doing)?;
    let archive = Archive {
        url: url.to_owned(),
        keyrings: trusted.commits,
        carried: carried.canonicalize().with_context(doing)?,
    };
    let commit = manifest.commit;
    let repo = parts().with_context(doing)?;
    repo.pull_parts(&archive.remote(), &setup.branch, &commit, PATHS).with_context(doing)?;
    let about = About {
        origin: Origin::Archive(archive),
        version: Some(manifest.version),
        title: repo.title(&commit).with_context(doing)?,
        arguments: repo.kernel_arguments(&commit).with_context(doing)?,
        bytes: manifest.tree_bytes,
        boot_bytes: manifest.boot_bytes,
        signed: Signed::ByTrustedKey,
        branch: setup.branch.clone(),
        commit: commit.clone(),
    };
    Ok((about, Commit { repo, commit }))
}

/// Asks again as long as nobody answers: the network may come up later than the installer.
fn manifest(setup: &OsTreeSetup, keys: &Keys, log: &mut Log) -> Result<Manifest> {
    let name = name(setup);
    let archive = basalt_archive::Archive { url: &setup.url, ca: None };
    let began = Instant::now();
    loop {
        let error = match basalt_archive::manifest(archive, name, None, keys) {
            Ok(manifest) => return Ok(manifest),
            Err(error) => error,
        };
        if !is_silence(&error) || began.elapsed() + PAUSE > PATIENCE {
            return Err(error);
        }
        log.say(&format!("{error:#}; once more in {} s", PAUSE.as_secs()));
        sleep(PAUSE);
    }
}

/// What the image is called: by its name an archive has its release of now. A ref ends with it,
/// unless a definition says otherwise.
fn name(setup: &OsTreeSetup) -> &str {
    setup.branch.rsplit('/').next().unwrap_or_default()
}

/// Whether it was nobody's answer.
fn is_silence(error: &Error) -> bool {
    error.downcast_ref::<ureq::Error>().is_some_and(|error| !is_final(error))
}

/// Whether it is the release that is asked for, and may still be believed. Pure.
fn check(manifest: &Manifest, setup: &OsTreeSetup, now: SystemTime) -> Result<()> {
    if manifest.ref_name != setup.branch || manifest.name != name(setup) {
        bail!("its release is of the image `{}`, ref `{}`", manifest.name, manifest.ref_name);
    }
    if now >= SystemTime::from(manifest.expires) {
        bail!(
            "its release {} may be believed until {}\nhint: `basalt publish` renews it; `date` \
             says what this machine takes for now",
            manifest.version,
            manifest.expires
        );
    }
    Ok(())
}

/// An empty repository in memory.
fn parts() -> Result<Repo> {
    let path = Path::new(PARTS);
    match fs::remove_dir_all(path) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            return Err(error).with_context(|| format!("cannot clear `{PARTS}`"));
        }
        _ => (),
    }
    Ok(Repo::open_or_create_archive(path)?)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_release_of_another_ref_or_of_the_past_is_none() {
        let manifest = json!({
            "form": 1, "name": "base", "ref": "basalt/base", "version": "2",
            "commit": "ab".repeat(32), "sequence": 1, "published": "2026-11-24T12:00:00Z",
            "expires": "2026-12-24T12:00:00Z", "tree_bytes": 1, "boot_bytes": 1,
            "download_bytes": 1,
        });
        let manifest = Manifest::parse(manifest.to_string().as_bytes()).unwrap();
        let setup = |branch: &str| OsTreeSetup {
            osname: "basalt".to_owned(),
            remote: "basalt".to_owned(),
            url: "https://images.example/site".to_owned(),
            branch: branch.to_owned(),
        };
        let (good, before) = (setup(&manifest.ref_name), SystemTime::from(manifest.published));
        check(&manifest, &good, before).unwrap();
        let said = check(&manifest, &setup("basalt/other"), before).unwrap_err().to_string();
        assert!(said.contains("is of the image `base`, ref `basalt/base`"), "{said}");
        let after = SystemTime::from(manifest.expires);
        let said = check(&manifest, &good, after).unwrap_err().to_string();
        assert!(said.contains("may be believed until"), "{said}");
    }

    #[test]
    fn who_answers_is_not_asked_again() {
        let of = |error: ureq::Error| is_silence(&Error::from(error).context("cannot get it"));
        assert!(of(ureq::Error::HostNotFound));
        assert!(of(ureq::Error::StatusCode(503)));
        assert!(!of(ureq::Error::StatusCode(404)));
        assert!(!is_silence(&anyhow::anyhow!("no trusted key signed it")));
    }
}
