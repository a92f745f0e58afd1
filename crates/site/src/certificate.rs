//! What servers with TLS are known by.

use std::fs;
use std::net::IpAddr;
use std::path::Path;

use anyhow::{Context, Result};
use basalt_cmd::Cmd;

/// An authority `ca.pem`, and `certificate.pem` of it with `key.pem`, for this name or address.
pub(crate) fn certify(folder: &Path, name: &str) -> Result<()> {
    let openssl = |words: &[&str]| {
        let openssl = Cmd::new("openssl").args(words).current_dir(folder);
        openssl.run().map(drop).context("cannot make a certificate")
    };
    let key = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"];
    let mut words = vec!["req", "-x509", "-keyout", "ca-key.pem", "-out", "ca.pem"];
    words.extend(["-subj", "/CN=authority of a server", "-days", "2"]);
    openssl(&[&words[..], &key].concat())?;
    let subject = format!("/CN={name}");
    let words = ["req", "-keyout", "key.pem", "-out", "request.pem", "-subj", &subject];
    openssl(&[&words[..], &key].concat())?;
    let kind = if name.parse::<IpAddr>().is_ok() { "IP" } else { "DNS" };
    let names = folder.join("names");
    fs::write(&names, format!("subjectAltName={kind}:{name}"))
        .with_context(|| format!("cannot write `{}`", names.display()))?;
    let mut words = vec!["x509", "-req", "-in", "request.pem", "-CA", "ca.pem", "-CAkey"];
    words.extend(["ca-key.pem", "-CAcreateserial", "-days", "2", "-extfile", "names"]);
    words.extend(["-out", "certificate.pem"]);
    openssl(&words)
}
