//! Check-in: the pinned key, the targets, the freshness stamp.

use crate::clinic::{Clinic, SITE, good, problem};
use jiff::SignedDuration;
use msp_contracts::api::CheckinReply;
use msp_contracts::dsse::Signed;
use msp_contracts::ids::Counter;
use msp_contracts::keys;
use msp_contracts::signed::Freshness;
use serde_json::Value;
use std::collections::HashSet;
use std::sync::Arc;

fn freshness(reply: &CheckinReply, agent: &crate::clinic::Agent) -> Freshness {
    Freshness::verify(&reply.freshness, &[agent.central]).unwrap()
}

#[tokio::test]
async fn a_check_in_is_answered_with_targets_and_a_stamp_that_an_agent_accepts() {
    let clinic = Clinic::new();
    let agent = clinic.issue("apl-1");
    let file = clinic.file(
        "targets.yaml",
        "- {hostname: DC01, ip_address: 192.168.10.5}\n- {hostname: FILES, ip_address: '2001:DB8::1', port: 15986}\n",
    );
    clinic.ok(&["targets", "set", "--dir", clinic.dir_text(), "--site", SITE, &file]);
    let server = clinic.serve();
    let reply = agent.check_in(&server).await;
    let targets: Vec<_> =
        reply.windows_targets.iter().map(|t| (t.hostname.as_str(), t.ip_address.as_deref(), t.port)).collect();
    assert_eq!(targets, [("DC01", Some("192.168.10.5"), 5986), ("FILES", Some("2001:db8::1"), 15986)]);
    let signed = freshness(&reply, &agent);
    assert_eq!(signed.windows_targets, reply.windows_targets, "the inventory is signed");
    let stamp = signed.stamp;
    stamp.check(SITE, "apl-1", reply.server_time, None).unwrap();
    assert_eq!(stamp.expires.duration_since(stamp.issued), SignedDuration::from_mins(15));
    assert!(stamp.check(SITE, "apl-2", reply.server_time, None).is_err());

    let row = &clinic.list("sites")["appliances"][0];
    assert_eq!(row["checkin"], agent.checkin());
    assert_eq!(row["last_contact"], Value::from(format!("{:.6}", reply.server_time)));
}

#[tokio::test]
async fn sequences_go_up_one_appliance_at_a_time_and_across_a_restart() {
    let clinic = Clinic::new();
    let (first, second) = (clinic.issue("apl-1"), clinic.issue("apl-2"));
    let server = clinic.serve();
    let mut highest = None;
    for expected in 1..=3 {
        let reply = first.check_in(&server).await;
        let stamp = freshness(&reply, &first).stamp;
        stamp.check(SITE, "apl-1", reply.server_time, highest).unwrap();
        assert_eq!(stamp.sequence, Counter(expected));
        highest = Some(stamp.sequence);
    }
    assert_eq!(freshness(&second.check_in(&server).await, &second).stamp.sequence, Counter(1));
    server.stop().await;
    let server = clinic.serve();
    let reply = first.check_in(&server).await;
    freshness(&reply, &first).stamp.check(SITE, "apl-1", reply.server_time, highest).unwrap();
}

#[tokio::test]
async fn another_key_is_refused_until_an_operator_releases_the_first() {
    let clinic = Clinic::new();
    let mut agent = clinic.issue("apl-1");
    let server = clinic.serve();
    agent.check_in(&server).await;
    let old = agent.chain(1).remove(0).0;
    agent.key = keys::from_seed([99; 32]);
    let mut other = agent.checkin();
    other["hostname"] = Value::from("impostor");
    let refused = problem(agent.post(&server, "/api/appliances/checkin", &other).await, 409, "key_mismatch").await;
    assert_eq!(refused.field.as_deref(), Some("agent_public_key"));
    assert!(refused.message.contains("forget-key --dir DIR --site clinic-a apl-1"), "{}", refused.message);
    assert_eq!(
        clinic.list("sites")["appliances"][0]["checkin"]["hostname"],
        Value::from("appliance-1"),
        "nothing was written"
    );

    let forget = |site: &'static str, appliance: &'static str| {
        ["appliance", "forget-key", "--dir", clinic.dir_text(), "--site", site, appliance]
    };
    assert!(clinic.refused(1, &forget(SITE, "apl-7")).contains("clinic-a/apl-7"));
    assert!(clinic.refused(1, &forget("Clinic-A", "apl-1")).contains("did you mean \"clinic-a\""));
    clinic.ok(&forget(SITE, "apl-1"));
    let _: CheckinReply = good(agent.post(&server, "/api/appliances/checkin", &other).await).await;
    problem(agent.submit(&server, &old).await, 403, "unknown_key").await;
}

#[tokio::test]
async fn the_same_key_in_capitals_is_the_same_key() {
    let clinic = Clinic::new();
    let agent = clinic.issue("apl-1");
    let server = clinic.serve();
    agent.check_in(&server).await;
    let mut body = agent.checkin();
    body["agent_public_key"] = Value::from(body["agent_public_key"].as_str().unwrap().to_uppercase());
    let _: CheckinReply = good(agent.post(&server, "/api/appliances/checkin", &body).await).await;
}

#[tokio::test]
async fn of_many_at_once_each_gets_its_own_number_and_one_that_cannot_be_stored_takes_no_other_with_it() {
    let clinic = Clinic::new();
    let agents: Vec<_> = (1..=4).map(|number| Arc::new(clinic.issue(&format!("apl-{number}")))).collect();
    let server = Arc::new(clinic.serve());
    let poison = "CREATE TRIGGER poison BEFORE UPDATE ON appliances WHEN NEW.appliance = 'apl-2'
                  BEGIN SELECT RAISE(ABORT, 'this row cannot be written'); END";
    clinic.database().execute_batch(poison).unwrap();
    let tasks: Vec<_> = (0..25)
        .flat_map(|_| agents.iter().map(Arc::clone))
        .map(|agent| {
            let server = Arc::clone(&server);
            tokio::spawn(async move {
                let response = agent.post(&server, "/api/appliances/checkin", &agent.checkin()).await;
                if agent.appliance == "apl-2" {
                    problem(response, 503, "database_unavailable").await;
                    return None;
                }
                let reply: CheckinReply = good(response).await;
                Some((agent.appliance.clone(), freshness(&reply, &agent).stamp.sequence))
            })
        })
        .collect();
    let mut numbers = HashSet::new();
    for task in tasks {
        numbers.extend(task.await.unwrap());
    }
    let expected =
        [1, 3, 4].into_iter().flat_map(|of| (1..=25).map(move |number| (format!("apl-{of}"), Counter(number))));
    assert_eq!(numbers, expected.collect());
}
