//! A CA ends, and nobody is cut off.

use std::time::{Duration, Instant};

use basalt_api::checkin::{Action, CHECKIN_PATH, CheckinAnswer, CheckinRequest};
use basalt_api::enrol::JoinString;
use basalt_api::operator::TokenCreate;
use basalt_endpoint::client::Client;
use basalt_https::{HttpsError, Trust};
use hyper::Method;
use rcgen::KeyPair;

use crate::endpoint::{DEADLINE, Endpoint, wait_until};
use crate::host::{TestHost, redeem_by};

/// A check-in that is answered at once.
async fn check_in(
    host: &TestHost,
    endpoint: &Endpoint,
    trust: &str,
) -> anyhow::Result<CheckinAnswer> {
    let request = CheckinRequest { is_full: true, ..host.request() };
    let client = host.client_trusting(endpoint, &Trust::Ca(trust.to_owned()));
    client.send(Method::POST, CHECKIN_PATH, &request, DEADLINE).await
}

async fn redeem_old(endpoint: &Endpoint, join: &JoinString, name: &str) -> TestHost {
    let key = KeyPair::generate().unwrap();
    let trust = Trust::Fingerprint(join.ca_sha256.parse().unwrap());
    let client = Client::new(endpoint.url().parse().unwrap(), &trust, None).unwrap();
    let answer = redeem_by(&client, join, name, &key).await.unwrap();
    TestHost::of(key, answer)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_ca_is_followed_by_another_and_no_host_is_cut_off() {
    let mut endpoint = Endpoint::start_with(&["--ca-life", "24s", "--cert-life", "12s"]);
    let first = endpoint.fingerprint();
    let join = endpoint.token(TokenCreate { uses: Some(2), ..TokenCreate::default() }).await;
    let mut host = TestHost::ready(&endpoint, "a").await;
    let old_ca = host.ca.clone();
    // It renews as it always does, until there is a new CA.
    let until = Instant::now() + DEADLINE;
    loop {
        assert!(Instant::now() < until, "there never was a new CA: {}", endpoint.log());
        let renewed = host.renew(&endpoint).await.unwrap();
        if renewed.ca != old_ca {
            break;
        }
        host.certificate = renewed.certificate;
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    assert_ne!(endpoint.fingerprint(), first);
    // Known by the old CA alone, the endpoint is believed, and tells the host to ask anew although
    // its certificate is good for long.
    let answer = check_in(&host, &endpoint, &old_ca).await.unwrap();
    assert!(answer.actions.contains(&Action::RenewCertificate), "{answer:?}");
    let renewed = host.renew_trusting(&endpoint, &Trust::Ca(old_ca.clone())).await.unwrap();
    assert_eq!(renewed.ca.matches("BEGIN CERTIFICATE").count(), 2, "both are trusted");
    (host.certificate, host.ca) = (renewed.certificate, renewed.ca);
    check_in(&host, &endpoint, &host.ca).await.unwrap();
    // A join string of before the change is good still.
    let late = redeem_old(&endpoint, &join, "late").await;
    check_in(&late, &endpoint, &late.ca).await.unwrap();
    // A start in between changes nothing.
    endpoint.kill();
    endpoint.run();
    check_in(&host, &endpoint, &old_ca).await.unwrap();

    wait_until("the first CA has ended", async || {
        match check_in(&host, &endpoint, &old_ca).await {
            Ok(answer) => Err(format!("{answer:?}")),
            Err(error) => match error.downcast_ref::<HttpsError>() {
                Some(HttpsError::Untrusted { .. } | HttpsError::Clock { .. }) => Ok(()),
                _ => Err(format!("{error:#}")),
            },
        }
    })
    .await;
    let answer = check_in(&host, &endpoint, &host.ca).await;
    let renewed = host.renew_trusting(&endpoint, &Trust::Ca(host.ca.clone())).await.unwrap();
    assert!(answer.is_ok(), "{answer:?}");
    assert_eq!(renewed.ca.matches("BEGIN CERTIFICATE").count(), 1, "one is left");
    let events = endpoint.ctl(&["events"]).await.stdout;
    assert!(events.contains("there is a new CA"), "{events}");
}
