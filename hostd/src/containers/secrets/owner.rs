//! Which user of the host a container's user is, so that it can read files that are its own alone.
//!
//! A number is what it is. A name stands in the image's `/etc/passwd`, which engines hand out as a
//! tar archive of one file. Pure.

use super::super::spec::refuse;
use crate::runtime::RuntimeError;

/// Bytes of a block of a tar archive.
const BLOCK: usize = 512;

/// A user by number.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Owner(pub(crate) u32);

impl Owner {
    pub(crate) const ROOT: Self = Self(0);

    /// The user of `user` or `user:group`, where no `/etc/passwd` is needed to tell.
    pub(crate) fn of(user: &str) -> Option<Self> {
        match user.split(':').next() {
            None | Some("" | "root") => Some(Self::ROOT),
            Some(name) => name.parse().ok().map(Self),
        }
    }
}

/// The user of `user` or `user:group` by what `/etc/passwd` says.
///
/// # Errors
/// There is no such user.
pub(crate) fn from_passwd(user: &str, passwd: &[u8]) -> Result<Owner, RuntimeError> {
    let name = user.split(':').next().unwrap_or(user);
    let text = String::from_utf8_lossy(passwd);
    let mut lines = text.lines().map(|line| line.split(':').collect::<Vec<_>>());
    let line = lines.find(|fields| fields.first() == Some(&name));
    let number = line.and_then(|fields| fields.get(2)?.parse().ok());
    number.map(Owner).ok_or_else(|| no_user(name))
}

/// There is no such user.
pub(crate) fn no_user(user: &str) -> RuntimeError {
    refuse(format!("the image has no user `{user}`"))
}

/// The content of the first plain file of a tar archive.
pub(crate) fn passwd_of(archive: &[u8]) -> Option<&[u8]> {
    let mut rest = archive;
    loop {
        let (header, content) = rest.split_at_checked(BLOCK)?;
        let size = octal(header.get(124..136)?)?;
        match header[156] {
            b'0' | 0 => return content.get(..size),
            // Records about the next file (pax), not a file.
            b'x' | b'g' => rest = content.get(size.div_ceil(BLOCK) * BLOCK..)?,
            _ => return None,
        }
    }
}

fn octal(field: &[u8]) -> Option<usize> {
    let text = std::str::from_utf8(field).ok()?;
    let digits = text.trim_matches(['\0', ' ']);
    usize::from_str_radix(digits, 8).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    const PASSWD: &[u8] = b"root:x:0:0::/:/bin/sh\nbroken\nweb:x:1234:1235::/:/bin/sh\n";

    #[test]
    fn a_number_needs_no_file() {
        for (user, owner) in
            [("", Some(0)), ("root", Some(0)), ("7", Some(7)), ("7:8", Some(7)), ("web", None)]
        {
            assert_eq!(Owner::of(user), owner.map(Owner), "{user}");
        }
    }

    #[test]
    fn a_name_is_looked_up_in_the_image() {
        assert_eq!(from_passwd("web:web", PASSWD).unwrap(), Owner(1234));
        for user in ["broken", "we", "nobody"] {
            assert!(from_passwd(user, PASSWD).unwrap_err().message.contains(user));
        }
    }

    fn entry(kind: u8, content: &[u8]) -> Vec<u8> {
        let mut block = vec![0; BLOCK];
        block[124..136].copy_from_slice(format!("{:011o}\0", content.len()).as_bytes());
        block[156] = kind;
        block.extend(content);
        block.resize(block.len().next_multiple_of(BLOCK), 0);
        block
    }

    #[test]
    fn the_file_is_found_behind_its_records() {
        let archive = [entry(b'x', &[b'a'; 700]), entry(b'0', PASSWD)].concat();
        assert_eq!(passwd_of(&archive), Some(PASSWD));
        assert_eq!(passwd_of(&entry(b'2', b"")), None);
    }

    #[test]
    fn no_bytes_make_it_panic() {
        let whole = [entry(b'x', b"abc"), entry(b'0', PASSWD)].concat();
        for length in 0..whole.len() {
            passwd_of(&whole[..length]);
        }
        let mut huge = entry(b'x', b"");
        huge[124..136].copy_from_slice(b"77777777777\0");
        assert_eq!(passwd_of(&huge), None);
    }

    #[test]
    fn fuzz_archive_and_passwd_of_an_image() {
        let archive = [entry(b'x', &[b'a'; 700]), entry(b'0', PASSWD)].concat();
        basalt_fuzz::run(&[&archive, PASSWD], |bytes| {
            let passwd = passwd_of(bytes).unwrap_or(bytes);
            let _ = from_passwd("web:web", passwd);
        });
    }
}
