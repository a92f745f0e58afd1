//! Who may log in.

use serde::Serialize;

use super::At;
use crate::secret::Secret;

/// A password.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Password {
    /// As it is typed.
    Plain(Secret),
    /// Hashed, as crypt(5) has it.
    Crypted(Secret),
}

/// `rootpw`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct RootPassword {
    /// The password.
    pub password: Option<Password>,
    /// Whether nobody logs in with it.
    pub lock: bool,
}

/// `user`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct User {
    /// The name.
    pub name: String,
    /// The number.
    pub uid: Option<u32>,
    /// The number of the group of the same name.
    pub gid: Option<u32>,
    /// Other groups.
    pub groups: Vec<At<String>>,
    /// The home; `/var/home/NAME` else.
    pub homedir: Option<String>,
    /// The shell.
    pub shell: Option<String>,
    /// The full name.
    pub gecos: Option<String>,
    /// The password.
    pub password: Option<Password>,
    /// Whether nobody logs in with it.
    pub lock: bool,
}

/// `group`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Group {
    /// The name.
    pub name: String,
    /// The number.
    pub gid: Option<u32>,
}

/// `sshkey`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct SshKey {
    /// Whom it lets in.
    pub username: String,
    /// A line of `authorized_keys`.
    pub key: String,
}
