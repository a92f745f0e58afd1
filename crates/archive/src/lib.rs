//! An archive of releases, as `basalt publish` makes it: its signed manifests, and the keys that they
//! are believed by. What a manifest names is brought by `basalt-deploy`.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result, bail};
use basalt_release::{MAX_BYTES, Manifest, PublicKey, open};
use ureq::tls::{Certificate, PemItem, RootCerts, TlsConfig, parse_pem};

/// The whole of asking for a manifest.
const DEADLINE: Duration = Duration::from_secs(60);

/// Where Debian keeps the CAs that the system knows; libostree's downloads go by them too.
const SYSTEM_CAS: &str = "/etc/ssl/certs/ca-certificates.crt";

/// The keys that this host trusts; they come with the image that runs.
#[derive(Debug)]
pub struct Keys {
    /// For manifests.
    pub manifests: Vec<PublicKey>,
    /// Files with those for commits.
    pub commits: Vec<PathBuf>,
}

impl Keys {
    /// Reads the folder: `*.pem` for manifests, `*.asc` for commits.
    ///
    /// # Errors
    /// A file cannot be read, or one of the two kinds is missing.
    pub fn read(folder: &Path) -> Result<Self> {
        let mut keys = Self { manifests: Vec::new(), commits: Vec::new() };
        let doing = || format!("cannot read the trusted keys in `{}`", folder.display());
        for entry in fs::read_dir(folder).into_iter().flatten() {
            let path = entry.with_context(doing)?.path();
            match path.extension().and_then(|extension| extension.to_str()) {
                Some("asc") => keys.commits.push(path),
                Some("pem") => {
                    let text = fs::read(&path).with_context(doing)?;
                    let key = PublicKey::parse(&text)
                        .with_context(|| format!("cannot read the key `{}`", path.display()))?;
                    keys.manifests.push(key);
                }
                _ => (),
            }
        }
        if keys.manifests.is_empty() || keys.commits.is_empty() {
            bail!(
                "the image that runs trusts no key of releases: there is none in `{}`\n\
                 hint: build it with `--sign-key`, and install that one",
                folder.display()
            );
        }
        keys.commits.sort();
        Ok(keys)
    }
}

/// Where an archive is, and who vouches for its server.
#[derive(Debug, Clone, Copy)]
pub struct Archive<'a> {
    /// Its URL: http, https or file.
    pub url: &'a str,
    /// A file with the CA; the system's are asked otherwise.
    pub ca: Option<&'a Path>,
}

/// The manifest of an image's release: the one of now, or the one of this version.
///
/// # Errors
/// The archive cannot be reached, has none, or no trusted key signed it.
pub fn manifest(
    archive: Archive<'_>,
    image: &str,
    version: Option<&str>,
    keys: &Keys,
) -> Result<Manifest> {
    let url = archive.url.trim_end_matches('/');
    let address = match version {
        None => format!("{url}/releases/{image}.json"),
        Some(version) if is_plain(version) => format!("{url}/releases/{image}/{version}.json"),
        Some(version) => bail!("`{version}` is not the name of a version"),
    };
    let bytes = get(&address, archive.ca).with_context(|| format!("cannot get `{address}`"))?;
    open(&bytes, &keys.manifests).with_context(|| format!("`{address}`"))
}

/// What a version may be that becomes part of an address.
fn is_plain(version: &str) -> bool {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.+~".contains(&byte);
    !version.is_empty() && !version.starts_with('.') && version.bytes().all(plain)
}

fn get(address: &str, ca: Option<&Path>) -> Result<Vec<u8>> {
    // An archive on a disk, as on a USB stick.
    if let Some(path) = address.strip_prefix("file://") {
        if fs::metadata(path)?.len() > MAX_BYTES as u64 {
            bail!("it has more than {MAX_BYTES} bytes");
        }
        return Ok(fs::read(path)?);
    }
    let mut response = agent(address, ca, DEADLINE)?.get(address).call()?;
    Ok(response.body_mut().with_config().limit(MAX_BYTES as u64).read_to_vec()?)
}

/// Who asks a server, within this time for the whole of an answer. By https it knows the server by
/// the file `ca`, or else by the CAs of the system.
///
/// # Errors
/// The certificates cannot be read.
pub fn agent(address: &str, ca: Option<&Path>, deadline: Duration) -> Result<ureq::Agent> {
    let mut config = ureq::Agent::config_builder().timeout_global(Some(deadline));
    if address.starts_with("https:") {
        let roots = RootCerts::from(certificates(ca.unwrap_or(Path::new(SYSTEM_CAS)))?);
        config = config.tls_config(TlsConfig::builder().root_certs(roots).build());
    }
    Ok(config.build().into())
}

/// Those in a PEM file.
fn certificates(file: &Path) -> Result<Vec<Certificate<'static>>> {
    let doing = || format!("cannot read the CA's certificate `{}`", file.display());
    let text = fs::read(file).with_context(doing)?;
    let mut found = Vec::new();
    for item in parse_pem(&text) {
        if let PemItem::Certificate(certificate) = item.with_context(doing)? {
            found.push(certificate);
        }
    }
    if found.is_empty() {
        bail!("`{}` holds no certificate in PEM", file.display());
    }
    Ok(found)
}
