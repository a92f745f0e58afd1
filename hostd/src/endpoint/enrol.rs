//! Redeems a join string. The key is on the disk before the first question, and the answer to the
//! same question with the same key is the same, so nothing is lost wherever this is cut off.

use anyhow::{Context, Result, bail};
use basalt_api::enrol::{ENROL_PATH, EnrolAnswer, EnrolRequest, JoinString};
use basalt_api::fault::Fault;
use basalt_api::id::{MAX_NAME, Name};
use basalt_https::{BadMaterial, Client, Trust};
use hostd_core::books;
use hyper::{Method, StatusCode};

use super::{Ground, SHORT, Standing, pause};
use crate::identity::{self, Enrolled};

/// Why there is no enrolment yet, and whether another try can help.
enum Failure {
    /// The endpoint is away or busy.
    Later(String),
    /// It refuses: the token is used up, the name taken.
    Refused(String),
}

/// Tries until the host is enrolled. None where there is no join string, or none that is good.
pub(super) async fn until_enrolled(ground: &Ground) -> Option<Enrolled> {
    let join = ground.join.as_ref()?;
    let mut failures = 0;
    loop {
        let url = &join.urls[failures as usize % join.urls.len()];
        match try_once(ground, join, url).await {
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

async fn try_once(ground: &Ground, join: &JoinString, url: &str) -> Result<Enrolled, Failure> {
    let own = |error: anyhow::Error| Failure::Later(format!("{error:#}"));
    if *ground.copy.borrow() {
        // What was made for another machine serves that one.
        ground.store.put_aside().map_err(own)?;
        forget_the_set(ground).await.map_err(own)?;
        ground.copy.send_replace(false);
    }
    let answer = ask(ground, join, url).await?;
    ground.store.enrol(answer, join.urls.clone(), &ground.machine).map_err(own)
}

async fn ask(ground: &Ground, join: &JoinString, url: &str) -> Result<EnrolAnswer, Failure> {
    let request = request(ground, join).map_err(|error| Failure::Later(format!("{error:#}")))?;
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
    let key = ground.store.key()?;
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
    Ok(ground.books.change(forget).await?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_hosts_name_is_its_first_label() {
        assert_eq!(name("Rack4-17.example.org").unwrap().as_str(), "rack4-17");
        assert!(name("").is_err());
        assert!(name("rack_4").unwrap_err().to_string().contains("`rack_4`"));
    }
}
