//! Which host runs what, as an operator sees it.

use std::collections::BTreeMap;

use basalt_api::operator::TokenCreate;
use rcgen::KeyPair;
use serde_json::{Value, json};

use crate::endpoint::{Endpoint, container};
use crate::host::{TestHost, redeem};

/// A host whose token gives it this label.
async fn labelled(endpoint: &Endpoint, name: &str, rack: &str) -> TestHost {
    let labels = BTreeMap::from([("rack".to_owned(), rack.to_owned())]);
    let join = endpoint.token(TokenCreate { labels, ..TokenCreate::default() }).await;
    let key = KeyPair::generate().unwrap();
    let answer = redeem(endpoint, &join, name, &key).await.unwrap();
    let mut host = TestHost::of(key, answer);
    host.settle(endpoint).await;
    host
}

fn sized(name: &str, memory_mib: u64) -> Value {
    let mut spec = container(name);
    spec["resources"] = json!({ "memory_mib": memory_mib });
    spec
}

/// The host of a workload, or why it has none.
async fn place(endpoint: &Endpoint, name: &str) -> Result<String, String> {
    let shown = endpoint.get(&format!("/v1/workloads/{name}")).await;
    let text = |key: &str| shown["workload"][key].as_str().map(str::to_owned);
    text("host").ok_or_else(|| text("reason").unwrap())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_workload_goes_to_the_host_that_has_its_labels() {
    let endpoint = Endpoint::start();
    let mut first = labelled(&endpoint, "a", "1").await;
    let mut second = labelled(&endpoint, "b", "2").await;
    for (name, rack) in [("to-1", "1"), ("to-2", "2"), ("also-2", "2"), ("nowhere", "3")] {
        let mut spec = container(name);
        spec["placement"] = json!({ "labels": { "rack": rack } });
        endpoint.apply_spec(spec).await;
    }
    first.settle(&endpoint).await;
    second.settle(&endpoint).await;
    assert_eq!(first.workloads(), ["to-1"]);
    let mut of_second = second.workloads();
    of_second.sort_unstable();
    assert_eq!(of_second, ["also-2", "to-2"]);
    let why = "no host can run it: `a`: it has no label `rack=3`; `b`: it has no label `rack=3`";
    assert_eq!(place(&endpoint, "nowhere").await, Err(why.to_owned()));
}

#[tokio::test(flavor = "multi_thread")]
async fn where_there_is_room_for_one_the_more_urgent_one_has_it() {
    let endpoint = Endpoint::start();
    // Nobody is there yet, so that both want the same room at the same moment.
    endpoint.apply_spec(sized("a-later", 3000)).await;
    let mut urgent = sized("z-urgent", 3000);
    urgent["priority"] = json!(5);
    endpoint.apply_spec(urgent).await;
    let host = TestHost::ready(&endpoint, "a").await;
    assert_eq!(host.workloads(), ["z-urgent"]);
    let why = "no host can run it: `a`: 1096 MiB of memory are free, 3000 wanted";
    assert_eq!(place(&endpoint, "a-later").await, Err(why.to_owned()));
    // It stops nothing that runs: what is more urgent still has to wait.
    let mut most_urgent = sized("most-urgent", 3000);
    most_urgent["priority"] = json!(9);
    endpoint.apply_spec(most_urgent).await;
    assert_eq!(place(&endpoint, "most-urgent").await, Err(why.to_owned()));
    assert_eq!(place(&endpoint, "z-urgent").await, Ok("a".to_owned()));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_host_runs_for_itself_leaves_less_room_for_others() {
    let endpoint = Endpoint::start();
    let mut host = TestHost::ready(&endpoint, "a").await;
    // Nine tenths of its memory.
    takes(&mut host, &endpoint, 3686).await;
    endpoint.apply_spec(sized("web", 411)).await;
    let why = "no host can run it: `a`: 410 MiB of memory are free, 411 wanted";
    assert_eq!(place(&endpoint, "web").await, Err(why.to_owned()));
    endpoint.apply_spec(sized("small", 410)).await;
    assert_eq!(place(&endpoint, "small").await, Ok("a".to_owned()));
    // The local one ends; the assigned one runs.
    host.settle(&endpoint).await;
    takes(&mut host, &endpoint, 410).await;
    assert_eq!(place(&endpoint, "web").await, Ok("a".to_owned()));
}

/// The host, which has its set, says what all its workloads take.
async fn takes(host: &mut TestHost, endpoint: &Endpoint, memory_mib: u64) {
    (host.taken.memory_mib, host.is_known) = (memory_mib, false);
    host.check_in(endpoint).await;
}
