//! Certificates with a short life: renewed in time through many lives, and after they have expired.

use std::time::{Duration, SystemTime};

use basalt_tests::engine::Kind;
use basalt_tests::fleet::{DEADLINE, Fleet};
use basalt_tests::until::until;

/// Seconds of a life.
const LIFE_S: i64 = 6;
const LIVES: i64 = 4;

fn fleet(life_s: i64) -> Option<Fleet> {
    let mut fleet = Fleet::prepare(Kind::Podman)?;
    fleet.endpoint.with_args(&["--cert-life", &format!("{life_s}s")]);
    fleet.endpoint.start();
    fleet.enrol();
    fleet.apply("web", "");
    Some(fleet)
}

fn expires_at(fleet: &Fleet) -> i64 {
    fleet.endpoint.host().unwrap()["certificate_expires_at"].as_i64().unwrap()
}

#[test]
fn a_certificate_is_renewed_in_time_through_many_lives() {
    let Some(fleet) = fleet(LIFE_S) else { return };
    let containers = fleet.containers();
    let first = expires_at(&fleet);
    let states = std::cell::RefCell::new(Vec::new());
    until(2 * DEADLINE, "many lives pass", || {
        let host = fleet.endpoint.host().unwrap();
        states.borrow_mut().push(host["state"].as_str().unwrap().to_owned());
        let until = host["certificate_expires_at"].as_i64().unwrap();
        (until >= first + LIVES * LIFE_S).then_some(())
    });
    let states = states.into_inner();
    assert!(states.iter().all(|state| state == "present"), "{states:?}");
    let log = fleet.host.log();
    let renewed = log.matches("the certificate was renewed").count();
    assert!(renewed >= usize::try_from(LIVES).unwrap(), "{renewed} times: {log}");
    assert!(!log.contains("cannot renew") && !log.contains("is not answered"), "{log}");
    // And it is not only the certificate that goes on.
    fleet.apply("later", "");
    assert!(fleet.containers().contains(&containers[0]));
}

#[test]
fn a_certificate_that_expired_while_the_endpoint_was_away_is_renewed() {
    let Some(mut fleet) = fleet(20) else { return };
    let containers = fleet.containers();
    let id = fleet.endpoint.host().unwrap()["id"].clone();
    let until_s = expires_at(&fleet);
    fleet.endpoint.kill();
    fleet.host.stands("away");
    until(Duration::from_secs(40), "the certificate expires", || (now() > until_s).then_some(()));
    // A hostd that starts with an expired certificate knows no more than one that went on.
    fleet.host.kill();
    fleet.host.start();
    fleet.endpoint.start();
    fleet.host.stands("connected");
    until(DEADLINE, "the endpoint knows the new certificate", || {
        (expires_at(&fleet) > until_s).then_some(())
    });
    let host = fleet.endpoint.host().unwrap();
    assert_eq!((&host["id"], &host["state"]), (&id, &serde_json::json!("present")));
    assert_eq!(fleet.containers(), containers);
    fleet.apply("later", "");
}

fn now() -> i64 {
    #[expect(clippy::disallowed_methods, reason = "certificates go by the calendar")]
    let now = SystemTime::now();
    now.duration_since(SystemTime::UNIX_EPOCH).unwrap().as_secs().try_into().unwrap()
}
