//! Release keys: a GnuPG key that signs commits, and an Ed25519 key that signs release manifests.
//!
//! Each is a file with the secret key (0600) and one beside it with its public half. A use of the
//! first imports it into a GnuPG home of its own, which goes away with it.

mod home;
mod manifest;
mod place;

use std::fs;
use std::io;
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use basalt_cmd::CmdError;
use basalt_deploy::SigningKey;
use basalt_durable::PUBLIC;
use basalt_release::SecretKey;
use serde::Serialize;

use home::Home;
pub use home::clear_on_signals;
use place::{Files, Place};

/// The name of the key that signs what nobody publishes.
const DEVELOPMENT: &str = "development";

/// A key that is ready to sign.
pub struct ReleaseKey {
    /// For release manifests, where there is one.
    pub manifests: Option<SecretKey>,
    /// For libostree.
    pub signing: SigningKey,
    /// The public half, armored.
    pub public: String,
    /// A file with the public half as libostree reads it.
    pub keyring: PathBuf,
    _home: Home,
}

/// What a host trusts whose releases a key signs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct TrustedKey {
    /// The key of commits, armored.
    pub commits: String,
    /// The key of release manifests, as PEM. Without one, no release is offered to the host.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub manifests: Option<String>,
}

impl ReleaseKey {
    /// What a host has to trust.
    #[must_use]
    pub fn trusted(&self) -> TrustedKey {
        let manifests = self.manifests.as_ref().map(|key| key.public().to_pem());
        TrustedKey { commits: self.public.clone(), manifests }
    }
}

/// Makes a key and writes `NAME.key` and `NAME.pub` into `folder`, and `NAME.manifest.key` and
/// `NAME.manifest.pub` with the half that signs release manifests: all or none of them. A key that
/// was made and not finished, as by a power cut, is finished. Returns the first two paths.
///
/// # Errors
/// One of the files exists, the folder cannot be written, or GnuPG fails.
pub fn create(name: &str, folder: &Path) -> Result<(PathBuf, PathBuf)> {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte);
    if name.is_empty() || name.starts_with('.') || !name.bytes().all(plain) {
        bail!("`{name}` is no key name\nhint: use letters, digits, `-`, `_` and `.`");
    }
    let place = Place::take(folder, name)?;
    let files = place.files();
    if !place.finish()? {
        if let Some(path) = files.all().into_iter().find(|path| path.exists()) {
            bail!("`{}` exists\nhint: choose another `--name`", path.display());
        }
        make(name, &place)?;
    }
    Ok((files.secret, files.public))
}

/// Makes a key where none of its files is.
fn make(name: &str, place: &Place) -> Result<()> {
    let home = Home::new()?;
    let user_id = format!("Basalt release key {name}");
    home.gpg()
        .args(["--passphrase", "", "--quick-generate-key", &user_id, "ed25519", "sign", "never"])
        .run()
        .context("cannot make a key")?;
    let secret_text = home.gpg().args(["--armor", "--export-secret-keys"]).run()?.stdout;
    let public_text = home.gpg().args(["--armor", "--export"]).run()?.stdout;
    let Files { secret, public } = Files::of(&place.draft()?, name);
    let doing = |path: &Path| format!("cannot write `{}`", path.display());
    manifest::create(&secret)?;
    write_secret(&secret, &secret_text).with_context(|| doing(&secret))?;
    basalt_durable::write(&public, &public_text, PUBLIC).with_context(|| doing(&public))?;
    place.settle()
}

/// Loads the secret key in `path`.
///
/// # Errors
/// The file cannot be read, is readable by others, or holds no secret key.
pub fn load(path: &Path) -> Result<ReleaseKey> {
    let doing = || format!("cannot use the key `{}`", path.display());
    let hint = "hint: make one with `basalt key create`";
    let text = fs::read(path).with_context(doing).context(hint)?;
    refuse_readable(path)?;
    let home = Home::new()?;
    match home.gpg().arg("--import").stdin(text).run() {
        Err(CmdError::Failed { .. }) => bail!("{}: it holds no GnuPG key\n{hint}", doing()),
        Err(error @ CmdError::Start { .. }) => {
            return Err(error).with_context(|| format!("{}\nhint: install `gnupg`", doing()));
        }
        result => result.with_context(doing)?,
    };
    let list =
        home.gpg().args(["--with-colons", "--list-secret-keys"]).run().with_context(doing)?;
    let Some(fingerprint) = fingerprint(&list.stdout_text()) else {
        bail!("{}: it holds no secret key, only a public one\n{hint}", doing());
    };
    let public = home.gpg().args(["--armor", "--export", &fingerprint]).run()?.stdout_text();
    let keyring = home.path().join("public.gpg");
    fs::write(&keyring, home.gpg().args(["--export", &fingerprint]).run()?.stdout)
        .with_context(doing)?;
    let signing = SigningKey { home: home.path().to_owned(), fingerprint };
    let manifests = manifest::load(path)?;
    Ok(ReleaseKey { manifests, signing, public, keyring, _home: home })
}

/// The public half of the secret key in `path`.
///
/// # Errors
/// As [`load`].
pub fn public_half(path: &Path) -> Result<TrustedKey> {
    Ok(load(path)?.trusted())
}

/// A public key that was made elsewhere: `NAME.pub`, with `NAME.manifest.pub` beside it.
///
/// # Errors
/// One of the files cannot be read or holds something else, also where it holds the secret half.
pub fn public(path: &Path) -> Result<TrustedKey> {
    let doing = || format!("cannot trust the key `{}`", path.display());
    let hint = "hint: `basalt key create` makes `NAME.pub`, and `NAME.manifest.pub` beside it";
    let text = fs::read_to_string(path).with_context(doing).context(hint)?;
    if text.contains("PRIVATE KEY") {
        bail!("{}: it holds the secret half\n{hint}", doing());
    }
    let home = Home::new()?;
    if home.gpg().arg("--import").stdin(text.as_bytes()).run().is_err() {
        bail!("{}: it holds no GnuPG key\n{hint}", doing());
    }
    let manifests = manifest::public(path).with_context(doing).context(hint)?;
    Ok(TrustedKey { commits: text, manifests: Some(manifests) })
}

/// What an image trusts: the half of the key that signs it, and others that may sign what follows.
///
/// # Errors
/// As [`load`] and [`public`]; or others are to be trusted by what nobody signs.
pub fn trusted(sign_key: Option<&Path>, others: &[PathBuf]) -> Result<Vec<TrustedKey>> {
    let Some(sign_key) = sign_key else {
        if others.is_empty() {
            return Ok(Vec::new());
        }
        bail!("an image that no key signs trusts no key\nhint: add `--sign-key`");
    };
    let mut keys = vec![public_half(sign_key)?];
    for other in others {
        let other = public(other)?;
        if !keys.iter().any(|key| key.manifests == other.manifests) {
            keys.push(other);
        }
    }
    Ok(keys)
}

fn refuse_readable(path: &Path) -> Result<()> {
    if fs::metadata(path)?.permissions().mode() & 0o077 == 0 {
        return Ok(());
    }
    let path = path.display();
    bail!("cannot use the key `{path}`: other users may read it\nhint: `chmod 600 {path}`")
}

/// The development key of this user, made at its first use. No host trusts it.
///
/// # Errors
/// There is no home folder to keep it in, or it cannot be made.
pub fn development() -> Result<ReleaseKey> {
    let folder = development_folder()?;
    let path = Files::of(&folder, DEVELOPMENT).secret;
    if !path.exists() {
        create_development(&folder).context("cannot make a development key")?;
    }
    load(&path)
}

fn create_development(folder: &Path) -> Result<()> {
    let place = Place::take(folder, DEVELOPMENT)?;
    let files = place.files();
    if place.finish()? || files.secret.exists() {
        return Ok(());
    }
    // Whoever removes the key alone wants another one.
    for rest in files.all() {
        basalt_durable::remove(&rest)?;
    }
    make(DEVELOPMENT, &place)
}

fn development_folder() -> Result<PathBuf> {
    let var = |name| std::env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
    let base = var("XDG_DATA_HOME").or_else(|| Some(var("HOME")?.join(".local/share")));
    let hint = "no home folder to keep a development key in\nhint: set `HOME`, or use `--sign-key`";
    Ok(base.context(hint)?.join("basalt"))
}

/// The fingerprint of the first secret key in `gpg --with-colons` output.
fn fingerprint(colons: &str) -> Option<String> {
    let mut lines = colons.lines().skip_while(|line| !line.starts_with("sec:"));
    let line = lines.find(|line| line.starts_with("fpr:"))?;
    line.split(':').nth(9).map(str::to_owned)
}

/// Writes a new file that only its owner can read, whole or not at all.
fn write_secret(path: &Path, bytes: &[u8]) -> io::Result<()> {
    use io::Write;
    let temporary = path.with_extension("key.new");
    let mut options = fs::OpenOptions::new();
    let mut file = options.write(true).create(true).truncate(true).mode(0o600).open(&temporary)?;
    file.write_all(bytes)?;
    file.sync_all()?;
    basalt_durable::rename(&temporary, path)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_new_key_can_be_loaded_and_is_its_owners_alone() {
        let dir = tempfile::tempdir().unwrap();
        let (secret, public) = create("test", dir.path()).unwrap();
        assert_eq!(fs::metadata(&secret).unwrap().permissions().mode() & 0o777, 0o600);
        let key = load(&secret).unwrap();
        assert_eq!(key.signing.fingerprint.len(), 40);
        assert_eq!(key.public.trim(), fs::read_to_string(public).unwrap().trim());
        assert!(create("test", dir.path()).unwrap_err().to_string().contains("exists"));
    }

    #[test]
    fn a_development_key_is_made_once_and_again_when_it_alone_was_removed() {
        let dir = tempfile::tempdir().unwrap();
        let text = |name: &str| fs::read_to_string(dir.path().join(name)).unwrap();
        create_development(dir.path()).unwrap();
        let first = (text("development.key"), text("development.manifest.pub"));
        create_development(dir.path()).unwrap();
        assert_eq!((text("development.key"), text("development.manifest.pub")), first);
        fs::remove_file(dir.path().join("development.key")).unwrap();
        create_development(dir.path()).unwrap();
        assert_ne!(text("development.manifest.pub"), first.1);
        load(&dir.path().join("development.key")).unwrap();
    }

    #[test]
    fn an_image_trusts_the_key_that_signs_it_and_others_once_each() {
        let dir = tempfile::tempdir().unwrap();
        let (one, one_public) = create("one", dir.path()).unwrap();
        let (_, two) = create("two", dir.path()).unwrap();
        let trusted = |sign_key, others: &[PathBuf]| trusted(sign_key, others);
        assert_eq!(trusted(None, &[]).unwrap(), []);
        let said = trusted(None, std::slice::from_ref(&two)).unwrap_err().to_string();
        assert!(said.contains("add `--sign-key`"), "{said}");
        let keys = trusted(Some(&one), &[two.clone(), one_public, two.clone()]).unwrap();
        let text = |name: &str| fs::read_to_string(dir.path().join(name)).unwrap();
        let pems: Vec<_> = keys.iter().map(|key| key.manifests.clone().unwrap()).collect();
        assert_eq!(pems, [text("one.manifest.pub"), text("two.manifest.pub")]);
        assert_eq!(keys[1].commits, text("two.pub"));
        fs::remove_file(dir.path().join("two.manifest.pub")).unwrap();
        let said = format!("{:#}", trusted(Some(&one), &[two]).unwrap_err());
        assert!(said.contains("two.manifest.pub"), "{said}");
    }

    #[test]
    fn a_bad_key_is_refused_with_the_reason() {
        let dir = tempfile::tempdir().unwrap();
        let (secret, public) = create("test", dir.path()).unwrap();
        let reason = |path: &Path| format!("{:#}", load(path).err().unwrap());
        fs::set_permissions(&public, fs::Permissions::from_mode(0o600)).unwrap();
        assert!(reason(&public).contains("only a public one"));
        fs::set_permissions(&secret, fs::Permissions::from_mode(0o644)).unwrap();
        assert!(reason(&secret).contains("chmod 600"));
        let garbage = dir.path().join("garbage");
        write_secret(&garbage, b"not a key").unwrap();
        assert!(reason(&garbage).contains("holds no GnuPG key"));
        assert!(reason(Path::new("/nonexistent.key")).contains("basalt key create"));
    }
}
