//! A host as the endpoint sees one: enrols, checks in, takes sets, reports.

use anyhow::Result;
use basalt_api::capacity::{Capacity, HostFacts, OsFacts, Taken};
use basalt_api::checkin::{CHECKIN_PATH, CheckinAnswer, CheckinRequest, ReportedSet, SET_PATH};
use basalt_api::enrol::{
    ENROL_PATH, EnrolAnswer, EnrolRequest, JoinString, RENEW_PATH, RenewRequest,
};
use basalt_api::fault::{Fault, FaultKind};
use basalt_api::id::{HostId, Lineage};
use basalt_api::operator::TokenCreate;
use basalt_api::report::{Source, WorkloadState, WorkloadStatus};
use basalt_api::set::HostSet;
use basalt_api::workload::Cpus;
use basalt_endpoint::client::Client;
use basalt_https::{Identity, Trust};
use hyper::Method;
use rcgen::{CertificateParams, KeyPair};
use serde_json::json;

use crate::endpoint::{DEADLINE, Endpoint};

pub(crate) struct TestHost {
    pub(crate) key: KeyPair,
    pub(crate) id: HostId,
    pub(crate) certificate: String,
    /// The CAs that it trusts.
    pub(crate) ca: String,
    pub(crate) boot_id: String,
    pub(crate) session: u64,
    pub(crate) lineage: Option<Lineage>,
    pub(crate) observed: u64,
    pub(crate) set: Option<HostSet>,
    /// What it reports with the next check-in.
    pub(crate) changes: Vec<WorkloadStatus>,
    pub(crate) sends_set: bool,
    /// Whether an answer has told it that the endpoint knows what it is.
    pub(crate) is_known: bool,
    /// What its workloads take, its own local ones among them.
    pub(crate) taken: Taken,
    /// The system that it runs.
    pub(crate) os: OsFacts,
}

impl TestHost {
    /// One that enrolled by a token of its own.
    pub(crate) async fn enrol(endpoint: &Endpoint, name: &str) -> Self {
        let join = endpoint.token(TokenCreate::default()).await;
        let key = KeyPair::generate().unwrap();
        let answer = redeem(endpoint, &join, name, &key).await.unwrap();
        Self::of(key, answer)
    }

    /// One that enrolled, checked in and has what the endpoint says.
    pub(crate) async fn ready(endpoint: &Endpoint, name: &str) -> Self {
        let mut host = Self::enrol(endpoint, name).await;
        host.settle(endpoint).await;
        host
    }

    pub(crate) fn of(key: KeyPair, answer: EnrolAnswer) -> Self {
        Self {
            key,
            id: answer.host_id,
            certificate: answer.certificate,
            ca: answer.ca,
            boot_id: "boot-1".to_owned(),
            session: 1,
            lineage: None,
            observed: 0,
            set: None,
            changes: Vec::new(),
            sends_set: false,
            is_known: false,
            taken: Taken::default(),
            os: OsFacts { version: "1".into(), boot: "blessed".into(), ..OsFacts::default() },
        }
    }

    fn identity(&self) -> Identity {
        Identity { certificate: self.certificate.clone(), key: self.key.serialize_pem() }
    }

    pub(crate) fn client(&self, endpoint: &Endpoint) -> Client {
        self.client_trusting(endpoint, &Trust::Ca(self.ca.clone()))
    }

    pub(crate) fn client_trusting(&self, endpoint: &Endpoint, trust: &Trust) -> Client {
        Client::new(endpoint.url().parse().unwrap(), trust, Some(&self.identity())).unwrap()
    }

    pub(crate) fn request(&self) -> CheckinRequest {
        let (cpus, memory_mib, taken) = (Cpus::whole(4), 4096, self.taken);
        let capacity = Capacity { cpus, memory_mib, taken, ..Capacity::default() };
        CheckinRequest {
            protocol: 1,
            features: ["container", "secrets", "logs", "os"].map(str::to_owned).to_vec(),
            boot_id: self.boot_id.clone(),
            session: self.session,
            lineage: self.lineage,
            observed_generation: self.observed,
            applied_generation: self.observed,
            set_hash: self.set.as_ref().map(HostSet::hash).unwrap_or_default(),
            changes: self.changes.clone(),
            gone: Vec::new(),
            is_full: false,
            facts: (!self.is_known).then(|| HostFacts {
                capacity,
                os: self.os.clone(),
                ..HostFacts::default()
            }),
            set: self.set.clone().filter(|_| self.sends_set),
        }
    }

    /// A check-in, whatever comes of it.
    pub(crate) async fn try_check_in(&self, endpoint: &Endpoint) -> Result<CheckinAnswer> {
        self.client(endpoint).send(Method::POST, CHECKIN_PATH, &self.request(), DEADLINE).await
    }

    /// A check-in that goes well; its set is taken.
    pub(crate) async fn check_in(&mut self, endpoint: &Endpoint) -> CheckinAnswer {
        let answer = self.try_check_in(endpoint).await.unwrap();
        self.changes.clear();
        self.is_known = true;
        self.take(&answer);
        answer
    }

    pub(crate) fn take(&mut self, answer: &CheckinAnswer) {
        if let Some(set) = &answer.set {
            assert!(answer.generation > self.observed, "an older generation was sent");
            assert_eq!(set.hash(), answer.set_hash);
            self.lineage = Some(answer.lineage);
            self.observed = answer.generation;
            self.set = Some(set.clone());
        }
    }

    /// Checks in until it has what the endpoint says. The first check-in of a run is answered at
    /// once, and so is one that is behind.
    pub(crate) async fn settle(&mut self, endpoint: &Endpoint) {
        self.check_in(endpoint).await;
        let path = format!("/v1/hosts/{}", self.name(endpoint).await);
        while endpoint.get(&path).await["host"]["generation"].as_u64().unwrap() > self.observed {
            self.check_in(endpoint).await;
        }
    }

    async fn name(&self, endpoint: &Endpoint) -> String {
        let hosts = endpoint.get("/v1/hosts").await;
        let id = json!(self.id);
        let host = hosts["hosts"].as_array().unwrap().iter().find(|host| host["id"] == id);
        host.unwrap()["name"].as_str().unwrap().to_owned()
    }

    pub(crate) fn workloads(&self) -> Vec<&str> {
        let workloads = self.set.iter().flat_map(|set| &set.workloads);
        workloads.map(|assigned| assigned.spec.name.as_str()).collect()
    }

    /// What it says of a workload of its set.
    pub(crate) fn status(&self, name: &str, state: WorkloadState) -> WorkloadStatus {
        let mut workloads = self.set.as_ref().unwrap().workloads.iter();
        let assigned = workloads.find(|assigned| assigned.spec.name.as_str() == name).unwrap();
        WorkloadStatus {
            uid: assigned.uid,
            name: assigned.spec.name.clone(),
            kind: assigned.spec.kind,
            source: Source::Assigned,
            state,
            reason: None,
            restarts: 0,
            exit_code: None,
            started_at: None,
            addresses: Vec::new(),
            held: false,
            hash: assigned.replacement_hash(),
            wanted: assigned.replacement_hash(),
            trouble: None,
        }
    }

    /// Sends its set by the way that sets have.
    pub(crate) async fn report_set(&self, endpoint: &Endpoint) -> Result<()> {
        let set = self.set.clone().unwrap();
        let (lineage, set_hash) = (self.lineage.unwrap(), set.hash());
        let body = ReportedSet { lineage, generation: self.observed, set_hash, set };
        self.client(endpoint).send(Method::POST, SET_PATH, &body, DEADLINE).await
    }

    pub(crate) async fn renew(&self, endpoint: &Endpoint) -> Result<EnrolAnswer> {
        self.renew_trusting(endpoint, &Trust::Ca(self.ca.clone())).await
    }

    pub(crate) async fn renew_trusting(
        &self,
        endpoint: &Endpoint,
        trust: &Trust,
    ) -> Result<EnrolAnswer> {
        let renew = RenewRequest { csr: csr(&self.key), certificate: self.certificate.clone() };
        let client = Client::new(endpoint.url().parse().unwrap(), trust, None).unwrap();
        client.send(Method::POST, RENEW_PATH, &renew, DEADLINE).await
    }
}

pub(crate) fn csr(key: &KeyPair) -> String {
    CertificateParams::default().serialize_request(key).unwrap().pem().unwrap()
}

pub(crate) async fn redeem(
    endpoint: &Endpoint,
    join: &JoinString,
    name: &str,
    key: &KeyPair,
) -> Result<EnrolAnswer> {
    redeem_by(&endpoint.client(), join, name, key).await
}

pub(crate) async fn redeem_by(
    client: &Client,
    join: &JoinString,
    name: &str,
    key: &KeyPair,
) -> Result<EnrolAnswer> {
    let (secret, name) = (join.secret.clone(), name.parse().unwrap());
    let request = EnrolRequest { secret, name, csr: csr(key) };
    client.send(Method::POST, ENROL_PATH, &request, DEADLINE).await
}

/// Whether an error is a fault of this kind.
pub(crate) fn is(error: &anyhow::Error, kind: FaultKind) -> bool {
    error.downcast_ref::<Fault>().is_some_and(|fault| fault.is(kind))
}
