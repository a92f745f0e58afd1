//! `basalt publish`: offers a build to hosts: the commit in an archive that any web server serves,
//! shorter ways to it from the releases before, and a signed manifest that says that it is the
//! release now.
//!
//! Each thing comes after what it leads to: the commit, its deltas, the refs, the summary with its
//! signature, the manifest. A publication that is cut off anywhere offers what was offered before,
//! and may be run again.

mod history;
mod image;
mod offer;
mod remote;
mod target;

use std::collections::BTreeMap;
use std::path::PathBuf;

use anyhow::{Context, Result, bail};
use basalt_deploy::Repo;
use basalt_release::{Delta, FORM, Manifest, PublicKey, SecretKey};
use jiff::{SignedDuration, Timestamp};
use serde::Serialize;

use crate::cache::{self, Claim};
use crate::key::{self, ReleaseKey};
use crate::progress::Progress;
use history::History;
use image::Image;
use offer::Offer;

pub use remote::publish as publish_remotely;
pub use target::{NoTarget, Remote, Target};

/// Not libostree's own `.lock`, which it takes meanwhile: over NFS the two kinds of locks are one.
const LOCK: &str = ".publish.lock";

/// What `basalt publish` was asked for.
pub struct Options {
    /// The repository of a build.
    pub source: PathBuf,
    /// The archive.
    pub to: PathBuf,
    /// `--ref`.
    pub ref_name: Option<String>,
    /// `--sign-key`.
    pub sign_key: PathBuf,
    /// `--trust`.
    pub trust: Vec<PathBuf>,
    /// From how many of the releases before a static delta leads here.
    pub deltas: usize,
    /// How long hosts may believe that this is the release.
    pub valid: SignedDuration,
    /// Now.
    pub now: Timestamp,
}

/// What was published.
#[derive(Debug, Serialize)]
pub struct Published {
    /// What hosts read.
    pub manifest: Manifest,
    /// The file that holds it, signed.
    pub file: PathBuf,
}

/// Publishes what the source's ref leads to.
///
/// # Errors
/// The source has no such ref or its commit is not signed by the key, the version was published
/// with another content, or the archive cannot be written.
pub fn publish(options: &Options, progress: Progress) -> Result<Published> {
    let key = key::load(&options.sign_key)?;
    let signer = manifest_key(&key, options)?;
    let source = source(options)?;
    let ref_name = chosen_ref(&source.refs()?, options)?;
    let commit = source.resolve(&ref_name)?.context("the ref leads to no commit")?;
    source.verify(&commit, &key.keyring).context(
        "the build is not signed by this key\nhint: build it with `basalt build --sign-key` first",
    )?;
    let image = Image::read(&source, &commit)?;
    let claim = Claim { user: "publication", what: "archive", flag: "--to" };
    std::fs::create_dir_all(&options.to)
        .with_context(|| format!("cannot create `{}`", options.to.display()))?;
    let _lock = cache::lock(&options.to.join(LOCK), claim, progress)?;
    let offer = Offer::of(&options.to, &image.name);
    let history = History::new(offer.published(&known_keys(signer, options)?)?);
    history.refuse_another(&image.version, &commit)?;
    let work = Work { options, progress, key: &key, image: &image, commit: &commit };
    let archive = work.pull(&source)?;
    let deltas = work.deltas(&archive, &source, &history)?;
    work.name(&archive, &ref_name)?;
    let manifest = Manifest {
        form: FORM,
        name: image.name.clone(),
        ref_name,
        version: image.version.clone(),
        commit: commit.clone(),
        sequence: history.next_sequence(options.now),
        published: options.now,
        expires: options.now.checked_add(options.valid).context("`--valid` is too long")?,
        tree_bytes: source.sizes(&commit)?.blocks,
        boot_bytes: image.boot_bytes(),
        boot_files: image.boot_files.clone(),
        download_bytes: archive.sizes(&commit)?.stored,
        deltas,
    };
    let file = offer.write(&manifest, signer)?;
    Ok(Published { manifest, file })
}

fn manifest_key<'a>(key: &'a ReleaseKey, options: &Options) -> Result<&'a SecretKey> {
    let path = options.sign_key.display();
    key.manifests.as_ref().with_context(|| {
        format!(
            "`{path}` has no half that signs release manifests\nhint: `basalt key create` makes \
             keys with both"
        )
    })
}

/// Those whose releases are known: the one that signs now, and those before it.
fn known_keys(signer: &SecretKey, options: &Options) -> Result<Vec<PublicKey>> {
    let mut keys = vec![signer.public()];
    for path in &options.trust {
        let pem = key::public(path)?.manifests.unwrap_or_default();
        keys.push(PublicKey::parse(pem.as_bytes())?);
    }
    Ok(keys)
}

fn source(options: &Options) -> Result<Repo> {
    let path = options.source.display();
    let hint = || format!("cannot publish from `{path}`\nhint: `basalt build` makes `out/repo`");
    let source = Repo::open(&options.source).with_context(hint)?;
    if !source.is_bare() {
        bail!("cannot publish from `{path}`: it is an archive, as this command makes them");
    }
    Ok(source)
}

/// The ref that was asked for, or the only one there is.
fn chosen_ref(refs: &BTreeMap<String, String>, options: &Options) -> Result<String> {
    let listed = || refs.keys().map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", ");
    let source = options.source.display();
    match (&options.ref_name, refs.len()) {
        (Some(name), _) if refs.contains_key(name) => Ok(name.clone()),
        (Some(name), _) => bail!("`{source}` has no ref `{name}`\nhint: it has {}", listed()),
        (None, 0) => bail!("`{source}` has no ref\nhint: `basalt build` makes one"),
        (None, 1) => Ok(refs.keys().cloned().collect()),
        (None, _) => bail!("`{source}` has several refs: {}\nhint: choose with `--ref`", listed()),
    }
}

/// One publication under way.
struct Work<'a> {
    options: &'a Options,
    progress: Progress,
    key: &'a ReleaseKey,
    image: &'a Image,
    commit: &'a str,
}

impl Work<'_> {
    /// The archive, with the commit. libostree hashes every object that it writes there.
    fn pull(&self, source: &Repo) -> Result<Repo> {
        let step = self.progress.step("archive");
        let archive = Repo::open_or_create_archive(&self.options.to)?;
        step.note("compressing what is new");
        archive.pull_local(source, self.commit)?;
        archive.verify(self.commit, &self.key.keyring)?;
        step.finish(&self.commit[..12]);
        Ok(archive)
    }

    fn deltas(&self, archive: &Repo, source: &Repo, history: &History) -> Result<Vec<Delta>> {
        let mut deltas = Vec::new();
        for base in history.bases(self.commit, self.options.deltas) {
            if !archive.has(&base.commit)? {
                continue;
            }
            let step = self.progress.step(&format!("delta from {}", base.version));
            let bytes = archive.make_delta(&base.commit, self.commit)?;
            let from = base.commit.clone();
            let tree_bytes = source.sizes_beside(self.commit, (archive, &from))?.blocks;
            deltas.push(Delta { from, bytes, tree_bytes });
            step.finish(&format!("{} kB", bytes / 1000));
        }
        Ok(deltas)
    }

    /// The names of the commit: the image's own, which moves on, and the release's, which keeps it.
    fn name(&self, archive: &Repo, ref_name: &str) -> Result<()> {
        let step = self.progress.step("summary");
        let Image { name, version, .. } = self.image;
        archive.set_ref(&format!("releases/{name}/{version}"), self.commit)?;
        archive.set_ref(ref_name, self.commit)?;
        archive.summarize(&self.key.signing)?;
        step.finish(ref_name);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn options(ref_name: Option<&str>) -> Options {
        Options {
            source: "out/repo".into(),
            to: "site".into(),
            ref_name: ref_name.map(str::to_owned),
            sign_key: "release.key".into(),
            trust: Vec::new(),
            deltas: 3,
            valid: SignedDuration::from_hours(24),
            now: Timestamp::UNIX_EPOCH,
        }
    }

    fn choose(refs: &[&str], asked: Option<&str>) -> Result<String, String> {
        let refs = refs.iter().map(|name| ((*name).to_owned(), "c".repeat(64))).collect();
        chosen_ref(&refs, &options(asked)).map_err(|error| error.to_string())
    }

    #[test]
    fn a_ref_is_chosen_where_there_is_no_choice_to_make() {
        assert_eq!(choose(&["a/base"], None), Ok("a/base".to_owned()));
        assert_eq!(choose(&["a/base", "a/dev"], Some("a/dev")), Ok("a/dev".to_owned()));
        let several = choose(&["a/base", "a/dev"], None).unwrap_err();
        assert!(several.contains("`a/base`, `a/dev`") && several.contains("--ref"), "{several}");
        let unknown = choose(&["a/base"], Some("base")).unwrap_err();
        assert!(unknown.contains("no ref `base`") && unknown.contains("`a/base`"), "{unknown}");
        assert!(choose(&[], None).unwrap_err().contains("basalt build"));
    }
}
