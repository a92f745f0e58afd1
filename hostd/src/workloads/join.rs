//! The join string that somebody left for this host, or the secret of one alone: as a systemd
//! credential, or as a file. Never by the kernel's command line, which everybody on the host may
//! read; that may say where the endpoint is.

use std::io::{self, Read};
use std::path::{Path, PathBuf};

use basalt_api::enrol::{JoinString, Left};
use hostd_core::cmdline::OnCmdline;
use hostd_core::joining;

use crate::paths::Paths;

/// The credential's name.
const CREDENTIAL: &str = "basalt.join";
/// Bytes that a file may have.
const MAX_BYTES: u64 = 8 << 10;

/// Reads it, with what the command line says of the endpoint; `configured` are the endpoint's URLs
/// by the host's own configuration. None where nothing was left.
pub(super) fn read(
    paths: &Paths,
    on_cmdline: Option<OnCmdline>,
    configured: &[String],
) -> Result<Option<JoinString>, String> {
    let Some(left) = left(paths, on_cmdline)? else { return Ok(None) };
    joining::join(left, joining::named(&cmdline(paths))?, configured).map(Some)
}

/// Reads it as it was left. The credential comes before the file, and is not taken where the command
/// line has one. None where there is neither.
pub(super) fn left(paths: &Paths, on_cmdline: Option<OnCmdline>) -> Result<Option<Left>, String> {
    let credentials = std::env::var_os("CREDENTIALS_DIRECTORY").map(PathBuf::from);
    let credentials = credentials.filter(|_| on_cmdline != Some(OnCmdline::Credential));
    read_from(credentials, paths)
}

fn read_from(credentials: Option<PathBuf>, paths: &Paths) -> Result<Option<Left>, String> {
    let credential = credentials.map(|folder| folder.join(CREDENTIAL));
    for path in credential.into_iter().chain([paths.join()]) {
        if let Some(text) = text(&path)? {
            return text.parse().map(Some).map_err(|bad| format!("`{}`: {bad}", path.display()));
        }
    }
    Ok(None)
}

/// The kernel's command line; empty where it cannot be read.
pub(super) fn cmdline(paths: &Paths) -> String {
    let bytes = std::fs::read(paths.cmdline()).unwrap_or_default();
    String::from_utf8_lossy(&bytes).into_owned()
}

fn text(path: &Path) -> Result<Option<String>, String> {
    let told = |error: io::Error| format!("cannot read `{}`: {error}", path.display());
    let Some(file) = basalt_durable::open(path).map_err(told)? else { return Ok(None) };
    let mut text = String::new();
    file.take(MAX_BYTES).read_to_string(&mut text).map_err(told)?;
    Ok(Some(text))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bad_join_string_is_told_by_its_place_alone() {
        let root = tempfile::tempdir().unwrap();
        let paths = Paths::under(root.path());
        assert_eq!(read_from(None, &paths), Ok(None));
        std::fs::create_dir_all(root.path().join("etc/basalt")).unwrap();
        std::fs::write(root.path().join("etc/basalt/join"), "basalt1.s3cret\n").unwrap();
        let told = read_from(None, &paths).unwrap_err();
        assert!(told.contains("etc/basalt/join`: the join string was cut off"), "{told}");
        assert!(!told.contains("s3cret"));
    }
}
