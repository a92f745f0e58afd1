//! What planning asks of the machine that it runs on, beside the facts.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::time::Duration;

use anyhow::{Context, Result};
use basalt_cmd::Cmd;
use uuid::Uuid;

/// For a password to be hashed.
const DEADLINE: Duration = Duration::from_secs(30);

/// What planning asks.
pub trait Edge {
    /// An id that nothing else has.
    fn new_id(&mut self) -> Uuid;

    /// A text that the kickstart names by its path in the installer's own system.
    ///
    /// # Errors
    /// It is not there, too long, or no text.
    fn file(&self, path: &str) -> Result<String>;

    /// The hash of a password, as crypt(5) has it.
    ///
    /// # Errors
    /// Nothing can make it.
    fn hash(&self, password: &str) -> Result<String>;

    /// Whether the installer's own system has a program at this path.
    fn has_program(&self, path: &str) -> bool;
}

/// This machine.
#[derive(Debug, Default)]
pub struct Machine;

impl Edge for Machine {
    fn new_id(&mut self) -> Uuid {
        Uuid::new_v4()
    }

    fn file(&self, path: &str) -> Result<String> {
        basalt_kickstart_file::read(path.as_ref())
    }

    fn hash(&self, password: &str) -> Result<String> {
        let openssl = Cmd::new("openssl").args(["passwd", "-6", "-stdin"]).deadline(DEADLINE);
        let made = openssl.stdin(format!("{password}\n")).run();
        Ok(made.context("cannot hash a password")?.stdout_text().trim().to_owned())
    }

    fn has_program(&self, path: &str) -> bool {
        let known = fs::metadata(path);
        known.is_ok_and(|known| known.is_file() && known.permissions().mode() & 0o111 != 0)
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use std::collections::BTreeMap;

    use super::*;

    /// Counts its ids, and has its files in memory.
    #[derive(Debug, Default)]
    pub(crate) struct InMemory {
        pub(crate) files: BTreeMap<String, String>,
        ids: u128,
    }

    impl Edge for InMemory {
        fn new_id(&mut self) -> Uuid {
            self.ids += 1;
            Uuid::from_u128(self.ids)
        }

        fn file(&self, path: &str) -> Result<String> {
            self.files.get(path).cloned().context("there is no such file")
        }

        fn hash(&self, password: &str) -> Result<String> {
            Ok(format!("$6$x${}", password.len()))
        }

        fn has_program(&self, path: &str) -> bool {
            path == "/bin/sh" || self.files.contains_key(path)
        }
    }

    #[test]
    fn a_password_is_hashed_and_each_time_with_another_salt() {
        let hash = || Machine.hash("secret").unwrap();
        assert!(hash().starts_with("$6$") && hash() != hash());
    }
}
