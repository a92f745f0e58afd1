//! Which version a build gets.

use basalt_deploy::CommitInfo;

/// Why no version can be given.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum VersionError {
    /// The last version is no number, so there is no next one.
    #[error(
        "the last version, `{0}`, is no number, so the next one is unknown\nhint: name it with `--version`"
    )]
    NotANumber(String),
    /// A version that a file name or a boot menu cannot carry.
    #[error("`{0}` is no version\nhint: use letters, digits, `.`, `-` and `_`, at most 64")]
    Malformed(String),
}

/// The version of a build with this `build_id`: the requested one, else that of the ref's head
/// when nothing changed since, else one more than the highest that was ever given, else 1. `given`
/// are the versions whose output is there; a lower one may have been built after a higher one.
///
/// # Errors
/// The requested version is malformed, or the head's is no number.
pub fn choose(
    requested: Option<&str>,
    head: Option<&CommitInfo>,
    given: &[String],
    build_id: &str,
) -> Result<String, VersionError> {
    if let Some(version) = requested {
        return if well_formed(version) {
            Ok(version.to_owned())
        } else {
            Err(VersionError::Malformed(version.to_owned()))
        };
    }
    let mut highest = given.iter().filter_map(|version| version.parse::<u64>().ok()).max();
    if let Some(CommitInfo { version: Some(version), build_id: last, .. }) = head {
        if last.as_deref() == Some(build_id) {
            return Ok(version.clone());
        }
        let number =
            version.parse::<u64>().map_err(|_| VersionError::NotANumber(version.clone()))?;
        highest = highest.max(Some(number));
    }
    Ok(highest.map_or(1, |number| number.saturating_add(1)).to_string())
}

fn well_formed(version: &str) -> bool {
    let fits = (1..=64).contains(&version.len()) && !version.starts_with(['.', '-']);
    fits && version.bytes().all(|byte| byte.is_ascii_alphanumeric() || b".-_".contains(&byte))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn head(version: &str, build_id: &str) -> CommitInfo {
        let (version, build_id) = (Some(version.to_owned()), Some(build_id.to_owned()));
        CommitInfo { commit: String::new(), version, build_id }
    }

    #[test]
    fn the_first_version_is_1_and_a_change_adds_one() {
        assert_eq!(choose(None, None, &[], "x"), Ok("1".into()));
        assert_eq!(choose(None, Some(&head("9", "x")), &[], "y"), Ok("10".into()));
    }

    #[test]
    fn the_same_inputs_keep_their_version() {
        assert_eq!(choose(None, Some(&head("9", "x")), &[], "x"), Ok("9".into()));
    }

    #[test]
    fn no_version_is_given_twice_although_a_lower_one_came_last() {
        let given = ["4", "5", "10", "rc"].map(str::to_owned);
        assert_eq!(choose(None, Some(&head("4", "x")), &given, "y"), Ok("11".into()));
        assert_eq!(choose(None, Some(&head("12", "x")), &given, "y"), Ok("13".into()));
        assert_eq!(choose(None, None, &given, "y"), Ok("11".into()));
        assert_eq!(choose(None, Some(&head("4", "x")), &given, "x"), Ok("4".into()));
    }

    #[test]
    fn a_requested_version_is_taken_or_refused() {
        assert_eq!(choose(Some("2026.1"), Some(&head("9", "x")), &[], "x"), Ok("2026.1".into()));
        for bad in ["", "../1", "-1", "a b", "ü"] {
            assert_eq!(choose(Some(bad), None, &[], "x"), Err(VersionError::Malformed(bad.into())));
        }
    }

    #[test]
    fn after_a_version_that_is_no_number_one_must_be_named() {
        let result = choose(None, Some(&head("rc", "x")), &[], "y");
        assert_eq!(result, Err(VersionError::NotANumber("rc".into())));
    }
}
