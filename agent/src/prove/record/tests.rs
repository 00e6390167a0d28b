//! An incident begins once, ends once, and never outlives its trouble.

use super::*;
use crate::model::CheckKind;
use crate::model::plan::tests::plan;
use crate::prove::verify::{Expected, verify};
use crate::store::Store;
use crate::store::incidents::State;
use msp_contracts::finding::Platform;
use msp_contracts::keys;
use serde_json::Value;
use std::sync::Arc;

struct Place {
    folder: tempfile::TempDir,
    store: Store,
    signer: Arc<Signer>,
}

fn at(minutes: i64) -> Timestamp {
    let start: Timestamp = "2026-11-21T12:00:00Z".parse().unwrap();
    start + SignedDuration::from_mins(minutes)
}

impl Place {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::open(folder.path()).unwrap();
        let signer = Signer {
            key: keys::from_seed([1; 32]),
            site_id: "clinic-a".into(),
            host_id: "apl-1".into(),
            deployment_mode: msp_contracts::evidence::DeploymentMode::Direct,
        };
        Self { folder, store, signer: Arc::new(signer) }
    }

    async fn record<T: Send + 'static>(
        &self,
        now: Timestamp,
        work: impl FnOnce(&Recorder<'_>) -> Result<T, StoreError> + Send + 'static,
    ) -> T {
        let signer = Arc::clone(&self.signer);
        let recorded =
            self.store.write(move |db| work(&Recorder { db, signer: &signer, policy_version: "p", now })).await;
        recorded.unwrap()
    }

    async fn see(&self, minute: i64, observation: Observation) -> Option<Ongoing> {
        let target = Target { host_id: "192.0.2.7".into(), name: "FS01".into(), platform: Platform::Windows };
        let finding = observation.finding(target.platform, &target.host_id, &target.name);
        let id = IncidentId::from_random([u8::try_from(minute).unwrap(); 6]);
        self.record(at(minute), move |recorder| recorder.observed(&target, &observation, &finding, id)).await
    }

    async fn ongoing(&self) -> Vec<(String, State)> {
        let listed = self.store.write(|db| incidents::list(db, true)).await.unwrap();
        listed.into_iter().map(|one| (one.subject.unwrap_or(one.check), one.state)).collect()
    }
}

fn unknown(check: CheckKind) -> Observation {
    Observation::unknown(check, Value::Null, "the server is down")
}

fn drift(check: CheckKind) -> Observation {
    Observation::drift(check, Severity::High, json!({}), json!({}), vec!["it differs".into()])
}

fn compliant(check: CheckKind) -> Observation {
    Observation::compliant(check, json!({}), json!({}))
}

#[tokio::test]
async fn one_trouble_is_one_incident_until_it_is_over_and_then_another() {
    let place = Place::new();
    let first = place.see(0, drift(CheckKind::Firewall)).await.unwrap();
    let again = place.see(1, drift(CheckKind::Firewall)).await.unwrap();
    assert_eq!(first.incident_id, again.incident_id);
    assert!(place.see(2, compliant(CheckKind::Firewall)).await.is_none());
    assert_eq!(place.ongoing().await, []);
    let next = place.see(3, drift(CheckKind::Firewall)).await.unwrap();
    assert_ne!(first.incident_id, next.incident_id);
    assert!(place.see(4, Observation::unsupported(CheckKind::Firewall, Value::Null, "removed")).await.is_none());
    assert_eq!(place.ongoing().await, [], "what is not there any more is no trouble");
}

#[tokio::test]
async fn what_could_not_be_told_for_too_long_goes_to_a_person_and_drift_afterwards_is_a_new_incident() {
    let place = Place::new();
    assert!(place.see(0, unknown(CheckKind::Firewall)).await.is_none());
    assert!(place.see(14, unknown(CheckKind::Firewall)).await.is_none(), "a short outage bothers nobody");
    let outage = place.see(16, unknown(CheckKind::Firewall)).await.unwrap();
    let id = outage.incident_id.clone();
    place.record(at(16), move |recorder| incidents::escalated(recorder.db, &id)).await;
    let after = place.see(20, drift(CheckKind::Firewall)).await.unwrap();
    assert_ne!(outage.incident_id, after.incident_id);
    assert_eq!(after.state, State::Open, "the agent may mend it");
}

#[tokio::test]
async fn the_incident_of_a_part_or_a_machine_that_is_gone_ends() {
    let place = Place::new();
    place.see(0, unknown(CheckKind::Services)).await;
    place.see(20, unknown(CheckKind::Services)).await.unwrap();
    place.see(21, drift(CheckKind::Services).about("DNS")).await.unwrap();
    place.see(22, drift(CheckKind::Services).about("Spooler")).await.unwrap();
    assert_eq!(place.ongoing().await.len(), 3);
    // The server is back, and Spooler is off the baseline.
    place.record(at(23), |recorder| recorder.seen("192.0.2.7", "services", &["DNS".into()])).await;
    assert_eq!(place.ongoing().await, [("DNS".to_owned(), State::Open)]);
    place.record(at(24), |recorder| recorder.looked_after(&["apl-1".into(), "192.0.2.7".into()])).await;
    assert_eq!(place.ongoing().await.len(), 1);
    place.record(at(25), |recorder| recorder.looked_after(&["apl-1".into()])).await;
    assert_eq!(place.ongoing().await, []);
}

#[tokio::test]
async fn a_runbook_that_finds_nothing_to_change_does_not_end_the_incident_the_check_does() {
    let place = Place::new();
    let ongoing = place.see(0, drift(CheckKind::Firewall)).await.unwrap();
    let plan = Plan { incident_id: ongoing.incident_id, ..plan() };
    place
        .record(at(0), move |recorder| {
            let execution_id = crate::act::intent::new_execution_id();
            let intent = recorder.at_once(&execution_id, &plan.incident_id, &plan.target.host_id, plan.level);
            executions::intend(recorder.db, &executions::Intent { runbook_id: Some(&plan.runbook_id), ..intent })?;
            let performed = Performed {
                detail: Detail::NoChange,
                actions: Vec::new(),
                post_state: Value::Null,
                error: None,
                rollback_available: true,
                rollback_generation: None,
            };
            recorder.healed(&plan, 1, &performed, &Ending { execution_id: &execution_id, started: recorder.now })
        })
        .await;
    let again = place.see(1, drift(CheckKind::Firewall)).await.unwrap();
    assert_eq!(again.last.unwrap().detail, "no_change", "the next plan goes to a person");
    assert!(place.see(2, compliant(CheckKind::Firewall)).await.is_none());
    assert_eq!(place.ongoing().await, []);
}

#[tokio::test]
async fn the_chain_holds_when_the_clock_jumps_back_a_day_and_on_again() {
    let place = Place::new();
    for (minute, observation) in
        [(2000, drift(CheckKind::Disk)), (0, compliant(CheckKind::Disk)), (2001, drift(CheckKind::Disk))]
    {
        let target = Target { host_id: "apl-1".into(), name: "apl-1".into(), platform: Platform::Linux };
        let finding = observation.finding(target.platform, &target.host_id, &target.name);
        let id = IncidentId::from_random([u8::try_from(minute % 200).unwrap(); 6]);
        place.record(at(minute), move |recorder| recorder.observed(&target, &observation, &finding, id)).await;
    }
    let key = place.signer.key.verifying_key();
    let db = crate::store::open_for_reading(place.folder.path()).unwrap();
    let expected = Expected { site_id: "clinic-a", host_id: "apl-1", agent_keys: &[key], server_keys: &[] };
    let report = verify(&db, &expected).unwrap();
    assert!(report.ok && report.count == 3, "{:?}", report.problems);
}

#[tokio::test]
async fn checks_that_stay_compliant_are_rolled_up_once_and_others_are_not() {
    let place = Place::new();
    for minute in 0..3 {
        place.see(minute, compliant(CheckKind::Firewall)).await;
        place.see(minute, compliant(CheckKind::Services).about("DNS")).await;
        place.see(minute, unknown(CheckKind::Disk)).await;
    }
    let appliance = || Target { host_id: "apl-1".into(), name: "apl-1".into(), platform: Platform::Linux };
    let id = place.record(at(60), move |recorder| recorder.rolled_up(&appliance())).await.expect("something to prove");
    let again = place.record(at(61), move |recorder| recorder.rolled_up(&appliance())).await;
    assert_eq!(again, None, "nothing was seen since");

    let db = crate::store::open_for_reading(place.folder.path()).unwrap();
    let row = crate::store::evidence::get(&db, &id.to_string()).unwrap().unwrap();
    let envelope = msp_contracts::dsse::Envelope::from_bytes(&row.envelope).unwrap();
    let bundle: msp_contracts::evidence::Bundle =
        msp_contracts::dsse::Signed::verify(&envelope, &[place.signer.key.verifying_key()]).unwrap();
    let entries: Vec<_> =
        bundle.roll_up.iter().map(|one| (one.check.as_str(), one.compliant, one.first, one.last)).collect();
    assert_eq!(entries, [("firewall", 3, at(0), at(2)), ("services/DNS", 3, at(0), at(2))]);
    assert_eq!(bundle.hipaa_controls, ["164.312(a)(1)", "164.312(e)(1)"]);
}
