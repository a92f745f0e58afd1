//! What of a spec is private: it is a part of the spec, and lies on no disk as it is.
//!
//! Sealed, it stands where it stood, in base64, and the field that cannot be beside it says so: a
//! release that knows nothing of sealing finds a spec that contradicts itself. It refuses that one
//! alone, and gives no guest the sealed text.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::Value;

use super::{Vm, WorkloadSpec};
use crate::id::WorkloadUid;

/// What stands as the name of the secret beside user-data that is sealed.
const SEALED: &str = "sealed";

/// Locks what is private of a workload, and opens it again.
pub trait Seal {
    /// Why something cannot be sealed.
    type Error;

    /// Seals it for this workload alone.
    ///
    /// # Errors
    /// There is no key.
    fn seal(&self, of: WorkloadUid, clear: &[u8]) -> Result<Vec<u8>, Self::Error>;

    /// Opens it; none where that cannot be, as without its key.
    fn open(&self, of: WorkloadUid, sealed: &[u8]) -> Option<Vec<u8>>;
}

/// The two fields that are sealed together, each a text or nothing.
type Fields = (Value, Value);

impl WorkloadSpec {
    /// Whether something private of it stands in it as it is.
    #[must_use]
    pub fn is_clear(&self) -> bool {
        self.fields().is_some_and(|fields| !are_sealed(&fields))
    }

    /// Whether something private of it is sealed. To a host, or to whoever made it, nothing is.
    #[must_use]
    pub fn is_sealed(&self) -> bool {
        self.fields().is_some_and(|fields| are_sealed(&fields))
    }

    /// The same as it may lie on a disk.
    ///
    /// # Errors
    /// Those of `by`.
    pub fn sealed<S: Seal>(&self, of: WorkloadUid, by: &S) -> Result<Self, S::Error> {
        let Some(clear) = self.fields().filter(|fields| !are_sealed(fields)) else {
            return Ok(self.clone());
        };
        let clear = serde_json::to_vec(&clear).unwrap_or_default();
        let sealed = STANDARD.encode(by.seal(of, &clear)?);
        Ok(self.with((sealed.into(), SEALED.into())))
    }

    /// The same as it was before it was sealed. What cannot be opened stays sealed, which
    /// [`crate::validate::mistakes`] tells.
    #[must_use]
    pub fn opened<S: Seal>(self, of: WorkloadUid, by: &S) -> Self {
        match self.fields().and_then(|fields| open(&fields, of, by)) {
            Some(clear) => self.with(clear),
            None => self,
        }
    }

    fn fields(&self) -> Option<Fields> {
        let fields = match (&self.unread, &self.vm) {
            (Some(unread), _) => {
                let vm = unread.text.get("vm")?;
                let field = |name| vm.get(name).cloned().unwrap_or_default();
                (field("user_data"), field("user_data_secret"))
            }
            (None, Some(vm)) => {
                let secret = vm.user_data_secret.as_ref().map(ToString::to_string);
                (vm.user_data.clone().into(), secret.into())
            }
            (None, None) => return None,
        };
        fields.0.is_string().then_some(fields)
    }

    fn with(&self, (data, secret): Fields) -> Self {
        let mut spec = self.clone();
        match (&mut spec.unread, &mut spec.vm) {
            (Some(unread), _) => {
                if let Some(Value::Object(vm)) = unread.text.get_mut("vm") {
                    vm.retain(|name, _| name != "user_data" && name != "user_data_secret");
                    let fields = [("user_data", data), ("user_data_secret", secret)];
                    let there = fields.into_iter().filter(|(_, value)| !value.is_null());
                    vm.extend(there.map(|(name, value)| (name.to_owned(), value)));
                }
            }
            (None, Some(vm)) => {
                let text = |value: Value| value.as_str().map(str::to_owned);
                let secret = text(secret).and_then(|name| name.parse().ok());
                *vm = Vm { user_data: text(data), user_data_secret: secret, ..vm.clone() };
            }
            (None, None) => (),
        }
        spec
    }
}

fn are_sealed((_, secret): &Fields) -> bool {
    secret == SEALED
}

fn open<S: Seal>(fields: &Fields, of: WorkloadUid, by: &S) -> Option<Fields> {
    let sealed = are_sealed(fields).then(|| fields.0.as_str())??;
    let clear = by.open(of, &STANDARD.decode(sealed).ok()?)?;
    serde_json::from_slice(&clear).ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::set::Assigned;
    use crate::validate;

    /// Turns each byte around, after the workload's id.
    struct Turned;

    impl Seal for Turned {
        type Error = ();

        fn seal(&self, of: WorkloadUid, clear: &[u8]) -> Result<Vec<u8>, ()> {
            let turned = clear.iter().map(|byte| !byte);
            Ok(of.0.as_bytes().iter().copied().chain(turned).collect())
        }

        fn open(&self, of: WorkloadUid, sealed: &[u8]) -> Option<Vec<u8>> {
            let sealed = sealed.strip_prefix(of.0.as_bytes())?;
            Some(sealed.iter().map(|byte| !byte).collect())
        }
    }

    fn guest(more: &str) -> Assigned {
        let text = format!(
            r##"{{"uid":"00000000-0000-0000-0000-000000000001","spec":{{"name":"guest",
                "kind":"vm","resources":{{"cpus":1,"memory_mib":64}},"vm":{{"disk":{{
                "url":"http://x/y","sha256":"{}","format":"raw"}}{more}}}}}}}"##,
            "0".repeat(64)
        );
        serde_json::from_str(&text).unwrap()
    }

    fn mistakes(assigned: &Assigned) -> Vec<String> {
        validate::mistakes(&assigned.spec).iter().map(ToString::to_string).collect()
    }

    /// With this in its table of a machine: sealed and opened again.
    fn check(more: &str) {
        let clear = guest(more);
        assert!(clear.spec.is_clear() && !clear.spec.is_sealed());
        let sealed =
            Assigned { spec: clear.spec.sealed(clear.uid, &Turned).unwrap(), ..clear.clone() };
        let text = serde_json::to_string(&sealed).unwrap();
        assert!(!text.contains("canary") && !sealed.spec.is_clear(), "{text}");
        assert_eq!(sealed.spec.sealed(clear.uid, &Turned).unwrap(), sealed.spec, "once is enough");
        let read: Assigned = serde_json::from_str(&text).unwrap();
        assert!(read.spec.is_sealed(), "{text}");
        let other = WorkloadUid(uuid::Uuid::from_u128(2));
        assert_eq!(read.spec.clone().opened(other, &Turned), read.spec, "another workload's");
        let opened = Assigned { spec: read.spec.opened(clear.uid, &Turned), ..sealed };
        assert_eq!(opened, clear);
        assert_eq!(opened.replacement_hash(), clear.replacement_hash());
    }

    #[test]
    fn what_is_private_is_sealed_and_comes_back_as_it_was() {
        check(r##","user_data":"#cloud-config\n# canary""##);
        // One that contradicts itself, and one of another release, are kept as they came.
        check(r#","user_data":"canary","user_data_secret":"seed""#);
        check(r#","user_data":"canary","encrypted":true"#);
    }

    #[test]
    fn one_without_anything_private_is_as_it_was() {
        let plain = guest(r#","user_data_secret":"sealed""#);
        assert!(!plain.spec.is_clear() && !plain.spec.is_sealed());
        assert_eq!(plain.spec.sealed(plain.uid, &Turned).unwrap(), plain.spec);
        assert_eq!(plain.spec.secrets().len(), 1);
    }

    #[test]
    fn what_cannot_be_opened_is_told_and_run_by_nobody() {
        let clear = guest(r#","user_data":"canary""#);
        assert_eq!(mistakes(&clear), [""; 0]);
        let sealed = Assigned { spec: clear.spec.sealed(clear.uid, &Turned).unwrap(), ..clear };
        let expected = "vm.user_data: it is sealed by a key that is gone (apply it again)";
        assert_eq!(mistakes(&sealed), [expected]);
        assert_eq!(sealed.spec.secrets(), Vec::<&crate::id::Name>::new());
    }
}
