//! Becoming another host at an endpoint without ever being none: the next key and the next identity
//! lie beside those that hold, and take their places by renames. Cut off between any two steps, it
//! goes on with the next one.

use std::fs;
use std::io;

use anyhow::{Context, Result};
use basalt_api::enrol::{EnrolAnswer, JoinString};
use hostd_core::checkin::Machine;
use rcgen::KeyPair;
use sha2::{Digest, Sha256};

use super::{Enrolled, Store};

const KEY: &str = "key.pem";
const NEXT_KEY: &str = "key.pem.next";
const IDENTITY: &str = "enrolled.json";
const NEXT_IDENTITY: &str = "enrolled.json.next";

impl Store {
    /// The key to enrol with: the host's own, or, where that is another machine's, one beside it.
    ///
    /// # Errors
    /// It cannot be read or written.
    pub fn key_to_enrol(&self, state_is_copy: bool) -> Result<KeyPair> {
        self.key_in(if state_is_copy { NEXT_KEY } else { KEY })
    }

    /// What the endpoint said at an enrolment that was cut off before it held here.
    ///
    /// # Errors
    /// It cannot be read, or is damaged.
    pub fn next(&self, machine: &Machine) -> Result<Option<Enrolled>> {
        let Some(next) = self.read_file(NEXT_IDENTITY)? else { return Ok(None) };
        if !next.is_of_another(machine) {
            return Ok(Some(next));
        }
        // The state was copied in the middle of it: the other machine goes on with this.
        for name in [NEXT_IDENTITY, NEXT_KEY] {
            basalt_durable::remove(&self.folder.join(name))?;
        }
        Ok(None)
    }

    /// Notes who the host will be, beside who it is.
    ///
    /// # Errors
    /// It cannot be written.
    pub fn prepare(
        &self,
        answer: EnrolAnswer,
        join: &JoinString,
        machine: &Machine,
    ) -> Result<Enrolled> {
        let EnrolAnswer { host_id, name, certificate, ca } = answer;
        let Machine { machine_id, dmi_uuid } = machine.clone();
        let (urls, join_sha256) = (join.urls.clone(), Some(fingerprint(join)));
        let endpoints = self.endpoints.clone();
        let next = Enrolled {
            host_id,
            name,
            urls,
            endpoints,
            certificate,
            ca,
            machine_id,
            dmi_uuid,
            join_sha256,
        };
        self.write_file(NEXT_IDENTITY, &next)?;
        Ok(next)
    }

    /// Lets the prepared identity hold. What held before stays beside it, as `.copy`.
    ///
    /// # Errors
    /// Something cannot be renamed; called again it goes on.
    pub fn switch(&self) -> Result<()> {
        // The key first: while the old identity is there, the state is still told for a copy.
        self.take_place(NEXT_KEY, KEY)?;
        self.take_place(NEXT_IDENTITY, IDENTITY)
    }

    fn take_place(&self, next: &str, name: &str) -> Result<()> {
        let (from, to) = (self.folder.join(next), self.folder.join(name));
        if !from.try_exists()? {
            return Ok(());
        }
        let kept = self.folder.join(format!("{name}.copy"));
        basalt_durable::remove(&kept)?;
        match fs::hard_link(&to, &kept) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                return Err(error).with_context(|| format!("cannot keep `{}`", to.display()));
            }
            _ => (),
        }
        basalt_durable::rename(&from, &to)
            .with_context(|| format!("cannot rename `{}`", from.display()))
    }
}

impl Enrolled {
    /// Whether it came from this join string.
    #[must_use]
    pub fn came_from(&self, join: &JoinString) -> bool {
        let known = self.join_sha256.as_ref();
        [fingerprint(join), fingerprint_of_all(join)].iter().any(|one| known == Some(one))
    }
}

/// Of its secret alone: the rest of it may come from kernel arguments, and change with them.
fn fingerprint(join: &JoinString) -> String {
    hex::encode(Sha256::digest(&join.secret))
}

/// As the release before kept it.
fn fingerprint_of_all(join: &JoinString) -> String {
    hex::encode(Sha256::digest(join.reveal()))
}

#[cfg(test)]
mod tests {
    use super::super::Found;
    use super::*;
    use crate::paths::Paths;

    fn machine(id: &str) -> Machine {
        Machine { machine_id: id.to_owned(), dmi_uuid: None }
    }

    fn answer(number: u8) -> EnrolAnswer {
        let text = format!(
            r#"{{"host_id":"00000000-0000-0000-0000-00000000000{number}","name":"rack4-17",
                "certificate":"c","ca":"a"}}"#
        );
        serde_json::from_str(&text).unwrap()
    }

    fn join(secret: &str) -> JoinString {
        let urls = vec!["https://a".to_owned()];
        JoinString { urls, ca_sha256: "0".repeat(64), secret: secret.to_owned() }
    }

    /// One that was enrolled on the machine `m`.
    fn enrolled(root: &std::path::Path) -> (Store, Enrolled) {
        let store = Store::of(&Paths::under(root));
        store.key_to_enrol(false).unwrap();
        let enrolled = store.prepare(answer(1), &join("one"), &machine("m")).unwrap();
        store.switch().unwrap();
        (store, enrolled)
    }

    #[test]
    fn an_identity_on_another_machine_is_a_copy() {
        let root = tempfile::tempdir().unwrap();
        let fresh = Store::of(&Paths::under(root.path()));
        assert_eq!(fresh.read(&machine("m")).unwrap(), Found::Nothing);
        let (store, enrolled) = enrolled(root.path());
        assert!(enrolled.came_from(&join("one")) && !enrolled.came_from(&join("two")));
        let elsewhere = JoinString { urls: vec!["https://else".to_owned()], ..join("one") };
        assert!(enrolled.came_from(&elsewhere));
        let join_sha256 = Some(fingerprint_of_all(&join("one")));
        let before = Enrolled { join_sha256, ..enrolled.clone() };
        assert!(before.came_from(&join("one")) && !before.came_from(&join("two")));
        let enrolled = Box::new(enrolled);
        assert_eq!(store.read(&machine("m")).unwrap(), Found::Enrolled(enrolled.clone()));
        assert_eq!(store.read(&machine("n")).unwrap(), Found::Copy(enrolled));
    }

    #[test]
    fn where_the_endpoint_is_the_configuration_says_before_the_join_string_and_is_not_kept() {
        let root = tempfile::tempdir().unwrap();
        let (store, _) = enrolled(root.path());
        let urls = |store: &Store| match store.read(&machine("m")).unwrap() {
            Found::Enrolled(enrolled) => {
                store.write(&enrolled).unwrap();
                enrolled.urls().to_vec()
            }
            found => panic!("{found:?}"),
        };
        let configured = store.clone().at(vec!["https://b".to_owned(), "https://c".to_owned()]);
        assert_eq!(urls(&configured), ["https://b", "https://c"]);
        assert_eq!(configured.urls(&join("one")), ["https://b", "https://c"]);
        assert_eq!(urls(&store), ["https://a"]);
        assert_eq!(store.urls(&join("one")), ["https://a"]);
    }

    #[test]
    fn a_switch_that_was_cut_off_goes_on() {
        let root = tempfile::tempdir().unwrap();
        let (store, old) = enrolled(root.path());
        let old_key = store.key().unwrap().serialize_pem();
        let key = store.key_to_enrol(true).unwrap().serialize_pem();
        assert_ne!(key, old_key);
        // Cut off after the first question: the next one is asked with the same key.
        assert_eq!(store.key_to_enrol(true).unwrap().serialize_pem(), key);
        assert_eq!(store.next(&machine("n")).unwrap(), None);
        let next = store.prepare(answer(2), &join("two"), &machine("n")).unwrap();
        assert_eq!(store.read(&machine("n")).unwrap(), Found::Copy(Box::new(old)));
        // Cut off between the two renames.
        store.take_place(NEXT_KEY, KEY).unwrap();
        assert!(matches!(store.read(&machine("n")).unwrap(), Found::Copy(_)));
        assert_eq!(store.next(&machine("n")).unwrap(), Some(next.clone()));
        store.switch().unwrap();
        assert_eq!(store.read(&machine("n")).unwrap(), Found::Enrolled(Box::new(next)));
        assert_eq!(store.key().unwrap().serialize_pem(), key);
        let kept = fs::read_to_string(store.folder.join("key.pem.copy")).unwrap();
        assert_eq!(kept, old_key);
    }

    #[test]
    fn a_copy_of_half_a_switch_begins_its_own() {
        let root = tempfile::tempdir().unwrap();
        let (store, _) = enrolled(root.path());
        let key = store.key_to_enrol(true).unwrap().serialize_pem();
        store.prepare(answer(2), &join("two"), &machine("n")).unwrap();
        assert_eq!(store.next(&machine("o")).unwrap(), None);
        assert_ne!(store.key_to_enrol(true).unwrap().serialize_pem(), key);
    }
}
