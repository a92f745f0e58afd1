//! Redeems a join string. The key is on the disk before the first question, and the answer to the
//! same question with the same key is the same, so nothing is lost wherever this is cut off.
//!
//! On a copy of another machine's state everything stays as it is until the endpoint has agreed;
//! then the set is forgotten, and only then the identity changes.

use anyhow::{Context, Result, bail};
use basalt_api::enrol::{ENROL_PATH, EnrolAnswer, EnrolRequest, JoinString};
use basalt_api::fault::Fault;
use basalt_api::id::{MAX_NAME, Name};
use basalt_https::{BadMaterial, Client, Trust};
use hostd_core::books;
use hyper::{Method, StatusCode};

use super::{Ground, SHORT, Standing, pause};
use crate::identity::{self, Enrolled, Found};

/// Why there is no enrolment yet, and whether another try can help.
enum Failure {
    /// The endpoint is away or busy.
    Later(String),
    /// It refuses: the token is used up, the name taken.
    Refused(String),
}

/// Tries until the host is enrolled. None where there is no join string, or none that is good.
pub(super) async fn until_enrolled(ground: &Ground) -> Option<Enrolled> {
    if ground.join.is_none() && matches!(ground.store.next(&ground.machine), Ok(None)) {
        return None;
    }
    let mut failures = 0;
    loop {
        match try_once(ground, failures).await {
            Ok(enrolled) => return Some(enrolled),
            Err(Failure::Later(reason)) => {
                tracing::warn!("cannot enrol yet: {reason}");
                ground.standing.send_replace(Standing::Joining(reason));
            }
            Err(Failure::Refused(reason)) => {
                tracing::error!("cannot enrol: {reason}");
                ground.standing.send_replace(Standing::Joining(reason));
            }
        }
        failures += 1;
        pause(failures, None).await;
    }
}

async fn try_once(ground: &Ground, failures: u32) -> Result<Enrolled, Failure> {
    let next = match ground.store.next(&ground.machine)? {
        Some(next) => next,
        None => agree(ground, failures).await?,
    };
    if *ground.copy.borrow() {
        // What was wanted from another machine is nobody's order here.
        forget_the_set(ground).await?;
    }
    ground.store.switch()?;
    ground.copy.send_replace(false);
    Ok(next)
}

/// Asks the endpoint who this host shall be, and keeps the answer beside who it is.
async fn agree(ground: &Ground, failures: u32) -> Result<Enrolled, Failure> {
    let none = || Failure::Refused("there is no join string".to_owned());
    let join = ground.join.as_ref().ok_or_else(none)?;
    if let Found::Copy(copy) = ground.store.read(&ground.machine)?
        && copy.came_from(join)
    {
        return Err(Failure::Refused(USED.to_owned()));
    }
    let urls = ground.store.urls(join);
    let url = &urls[failures as usize % urls.len()];
    let answer = ask(ground, join, url).await?;
    Ok(ground.store.prepare(answer, join, &ground.machine)?)
}

const USED: &str = "the join string here is the one of the machine that this state was copied \
                    from\nhint: give this host one of its own (`basaltctl token create`)";

impl From<anyhow::Error> for Failure {
    fn from(error: anyhow::Error) -> Self {
        Self::Later(format!("{error:#}"))
    }
}

async fn ask(ground: &Ground, join: &JoinString, url: &str) -> Result<EnrolAnswer, Failure> {
    let request = request(ground, join)?;
    let later =
        |error: basalt_https::HttpsError| Failure::Later(basalt_explain::explain(&error.into()));
    let ca = join.ca_sha256.parse().map_err(|bad: BadMaterial| later(bad.into()))?;
    let mut client = Client::new(url, &Trust::Fingerprint(ca), None).map_err(later)?;
    let body = serde_json::to_vec(&request).unwrap_or_default().into();
    let answer = client.ask(Method::POST, ENROL_PATH, body, SHORT).await.map_err(later)?;
    if answer.status == StatusCode::OK {
        return serde_json::from_slice(&answer.body)
            .map_err(|error| Failure::Later(format!("`{url}` answers nonsense: {error}")));
    }
    let said = match serde_json::from_slice::<Fault>(&answer.body) {
        Ok(fault) => fault.to_string(),
        Err(_) => format!("`{url}` answers `{}`", answer.status),
    };
    Err(if answer.status.is_client_error() { Failure::Refused(said) } else { Failure::Later(said) })
}

fn request(ground: &Ground, join: &JoinString) -> Result<EnrolRequest> {
    let key = ground.store.key_to_enrol(*ground.copy.borrow())?;
    Ok(EnrolRequest {
        secret: join.secret.clone(),
        name: name(&ground.name)?,
        csr: identity::signing_request(&key)?,
    })
}

/// The first label of the host's name, as a name at the endpoint.
fn name(hostname: &str) -> Result<Name> {
    let label = hostname.split('.').next().unwrap_or_default().to_ascii_lowercase();
    let label: String = label.chars().take(MAX_NAME).collect();
    if label.is_empty() {
        bail!("this host has no name");
    }
    label.parse().with_context(|| format!("`{hostname}` cannot be this host's name at an endpoint"))
}

async fn forget_the_set(ground: &Ground) -> Result<()> {
    let forget = |ledger: &mut basalt_api::ledger::Ledger| {
        books::begin_anew(ledger);
        Ok(())
    };
    Ok(ground.books.change_or_begin_anew(forget).await?)
}

#[cfg(test)]
mod tests {
    use std::path::Path;
    use std::sync::Arc;

    use basalt_api::ledger::Ledger;
    use hostd_core::checkin::Machine;
    use tokio::sync::watch;

    use super::super::EndpointSecrets;
    use super::*;
    use crate::books::Books;
    use crate::ledger::Store as LedgerStore;
    use crate::paths::Paths;
    use crate::{config::Config, runtimes};

    fn join(secret: &str) -> JoinString {
        // Nobody listens there.
        let urls = vec!["https://127.0.0.1:1".to_owned()];
        JoinString { urls, ca_sha256: "0".repeat(64), secret: secret.to_owned() }
    }

    fn machine(id: &str) -> Machine {
        Machine { machine_id: id.to_owned(), dmi_uuid: None }
    }

    fn answer() -> EnrolAnswer {
        let text = r#"{"host_id":"00000000-0000-0000-0000-000000000001","name":"a",
                       "certificate":"c","ca":"a"}"#;
        serde_json::from_str(text).unwrap()
    }

    /// A host whose state was made on the machine `m`, with a workload of its own, and that runs on
    /// `n` with a join string.
    async fn copied(root: &Path, secret: &str) -> Ground {
        let paths = Paths::under(root);
        let store = identity::Store::of(&paths);
        store.key().unwrap();
        store.prepare(answer(), &join("first"), &machine("m")).unwrap();
        store.switch().unwrap();
        let mut ledger = LedgerStore::open(&paths.state()).unwrap();
        ledger.begin("boot", 1).unwrap();
        let books = Books::new(ledger);
        let spec = r#"{"name":"own","kind":"container","container":{"image":"a"}}"#;
        let spec = serde_json::from_str(spec).unwrap();
        let uid = basalt_api::id::WorkloadUid(uuid::Uuid::from_u128(7));
        let apply = move |ledger: &mut Ledger| books::apply_local(ledger, spec, uid);
        books.change(apply).await.unwrap();
        Ground {
            store,
            machine: machine("n"),
            join: Some(join(secret)),
            name: "a".to_owned(),
            boot_id: "boot".to_owned(),
            books,
            runtimes: runtimes::open(&paths, &Config::default()),
            picture: watch::channel(Arc::default()).1,
            can_update: false,
            facts: watch::channel(Default::default()).1,
            us: watch::channel(None).0,
            heard: watch::channel(None).0,
            heard_file: paths.heard(),
            standing: watch::channel(Standing::Alone).0,
            copy: watch::channel(true).0,
            trouble: watch::channel(Default::default()).0,
            secrets: Arc::new(EndpointSecrets::new(paths.secrets())),
        }
    }

    fn refused(tried: Result<Enrolled, Failure>) -> String {
        match tried {
            Ok(enrolled) => panic!("it is enrolled: {enrolled:?}"),
            Err(Failure::Later(reason)) => format!("later: {reason}"),
            Err(Failure::Refused(reason)) => format!("refused: {reason}"),
        }
    }

    fn is_untouched(ground: &Ground) -> bool {
        let is_copy = matches!(ground.store.read(&ground.machine), Ok(Found::Copy(_)));
        let local = ground.books.known().unwrap().local.len();
        is_copy && *ground.copy.borrow() && local == 1
    }

    #[tokio::test]
    async fn a_copy_forgets_nothing_before_the_endpoint_has_agreed() {
        let root = tempfile::tempdir().unwrap();
        let ground = copied(root.path(), "second").await;
        let reason = refused(try_once(&ground, 0).await);
        assert!(reason.starts_with("later: "), "{reason}");
        assert!(is_untouched(&ground));
    }

    #[tokio::test]
    async fn a_copy_does_not_redeem_the_join_string_of_its_original() {
        let root = tempfile::tempdir().unwrap();
        let ground = copied(root.path(), "first").await;
        let reason = refused(try_once(&ground, 0).await);
        assert!(reason.contains("the machine that this state was copied from"), "{reason}");
        assert!(is_untouched(&ground));
    }

    #[tokio::test]
    async fn what_the_endpoint_agreed_to_is_finished_after_a_cut_and_makes_orphans() {
        let root = tempfile::tempdir().unwrap();
        let mut ground = copied(root.path(), "second").await;
        let key = ground.store.key_to_enrol(true).unwrap().serialize_pem();
        ground.store.prepare(answer(), &join("second"), &machine("n")).unwrap();
        ground.join = None;
        assert!(is_untouched(&ground));
        let enrolled = until_enrolled(&ground).await.unwrap();
        let found = ground.store.read(&machine("n")).unwrap();
        assert_eq!(found, Found::Enrolled(Box::new(enrolled)));
        assert_eq!(ground.store.key().unwrap().serialize_pem(), key);
        let ledger = ground.books.known().unwrap();
        assert_eq!((ledger.local.len(), ledger.forgotten.len()), (0, 1));
        assert!(!*ground.copy.borrow());
    }

    #[test]
    fn a_hosts_name_is_its_first_label() {
        assert_eq!(name("Rack4-17.example.org").unwrap().as_str(), "rack4-17");
        assert!(name("").is_err());
        assert!(name("rack_4").unwrap_err().to_string().contains("`rack_4`"));
    }
}
