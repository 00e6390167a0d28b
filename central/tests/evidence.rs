//! Evidence: what is believed, what the chain admits, and what is set aside.

use crate::clinic::{Agent, Clinic, Server, good, hash, problem};
use crate::people;
use msp_contracts::api::EvidenceReply;
use msp_contracts::dsse::{Envelope, Signed};
use msp_contracts::evidence::GENESIS_HASH;
use msp_contracts::ids::{ChainId, Counter};
use msp_contracts::keys;
use msp_contracts::signed::{ChainHead, Receipt};
use serde_json::{Value, json};

async fn clinic() -> (Clinic, Agent, Server) {
    let clinic = Clinic::new();
    let agent = clinic.issue("apl-1");
    let server = clinic.serve();
    agent.check_in(&server).await;
    (clinic, agent, server)
}

fn receipt(reply: &EvidenceReply, agent: &Agent) -> Receipt {
    Receipt::verify(&reply.receipt, &[agent.central]).unwrap()
}

#[tokio::test]
async fn a_bundle_is_stored_byte_for_byte_and_receipted_with_the_head() {
    let (clinic, agent, server) = clinic().await;
    let (envelope, hash) = agent.chain(1).remove(0);
    let reply = agent.accepted(&server, &envelope).await;
    assert!(!reply.duplicate);
    let receipt = receipt(&reply, &agent);
    assert_eq!((receipt.site_id.as_str(), receipt.host_id.as_str()), ("clinic-a", "apl-1"));
    assert_eq!((receipt.bundle_id, &receipt.chain), (reply.bundle_id, &agent.chain_id));
    assert_eq!((receipt.sequence, receipt.hash.as_str()), (Counter(1), hash.as_str()));
    assert_eq!(receipt.head, ChainHead { sequence: Counter(1), hash });
    assert_eq!(receipt.gaps, Counter(0));
    let stored: Vec<u8> = clinic.database().query_row("SELECT envelope FROM evidence", [], |row| row.get(0)).unwrap();
    assert_eq!(stored, envelope.to_bytes().unwrap());
}

#[tokio::test]
async fn sent_again_it_is_a_duplicate_with_the_same_word_by_either_path() {
    let (clinic, agent, server) = clinic().await;
    let envelope = agent.chain(1).remove(0).0;
    let first = receipt(&agent.accepted(&server, &envelope).await, &agent);
    let body = json!({ "schema_version": 1, "bundle": envelope });
    let again: EvidenceReply = good(agent.post(&server, "/evidence", &body).await).await;
    assert!(again.duplicate);
    assert_eq!(receipt(&again, &agent), first);
    assert_eq!(clinic.list("evidence")["bundles"].as_array().unwrap().len(), 1);
}

#[tokio::test]
async fn bundles_may_arrive_out_of_order_and_the_gaps_are_counted() {
    let (clinic, agent, server) = clinic().await;
    let chain = agent.chain(5);
    for (place, gaps) in [(5, 4), (2, 3), (1, 2), (4, 1), (3, 0)] {
        let reply = agent.accepted(&server, &chain[place - 1].0).await;
        let receipt = receipt(&reply, &agent);
        assert_eq!(receipt.gaps, Counter(gaps), "after place {place}");
        assert_eq!(receipt.head, ChainHead { sequence: Counter(5), hash: chain[4].1.clone() });
        assert_eq!(clinic.list("evidence")["chains"][0]["gaps"], json!(gaps));
    }
}

#[tokio::test]
async fn a_bundle_is_believed_only_under_the_pinned_key() {
    let clinic = Clinic::new();
    let agent = clinic.issue("apl-1");
    let server = clinic.serve();
    let envelope = agent.chain(1).remove(0).0;
    problem(agent.submit(&server, &envelope).await, 403, "unknown_key").await;
    agent.check_in(&server).await;
    let strange = agent.bundle(1, GENESIS_HASH).sign(&keys::from_seed([200; 32])).unwrap();
    problem(agent.submit(&server, &strange).await, 403, "unknown_key").await;
    let mut pretended = strange.clone();
    pretended.signatures[0].keyid = keys::key_id(&agent.key.verifying_key());
    problem(agent.submit(&server, &pretended).await, 403, "bad_signature").await;
    let mut twice = envelope.clone();
    twice.signatures.extend(strange.signatures);
    let refused = problem(agent.submit(&server, &twice).await, 400, "malformed_body").await;
    assert_eq!(refused.field.as_deref(), Some("bundle.signatures"));
    assert_eq!(clinic.list("evidence")["bundles"], json!([]));
    agent.accepted(&server, &envelope).await;
}

#[tokio::test]
async fn one_changed_character_anywhere_in_the_envelope_is_found() {
    let (clinic, agent, server) = clinic().await;
    let envelope = agent.chain(1).remove(0).0;
    let text = String::from_utf8(envelope.to_bytes().unwrap()).unwrap();
    // Every seventh character: through payload, type, key id and signature.
    for position in (0..text.len()).step_by(7) {
        let other = if text.as_bytes()[position] == b'A' { "B" } else { "A" };
        let mut forged = text.clone();
        forged.replace_range(position..=position, other);
        let body = format!("{{\"schema_version\":1,\"bundle\":{forged}}}");
        let request = agent.client.post(server.url("/evidence")).header("content-type", "application/json").body(body);
        let status = request.send().await.unwrap().status();
        assert!(status.is_client_error(), "position {position}: {status}");
    }
    assert_eq!(clinic.list("evidence")["bundles"], json!([]));
    agent.accepted(&server, &envelope).await;
}

#[tokio::test]
async fn a_bundle_of_another_site_or_appliance_is_refused_and_named() {
    let (clinic, agent, server) = clinic().await;
    for (site, appliance, word, field) in [
        ("clinic-b", "apl-1", "wrong_site", "bundle.payload.site_id"),
        ("clinic-a", "apl-2", "wrong_appliance", "bundle.payload.host_id"),
    ] {
        let mut bundle = agent.bundle(1, GENESIS_HASH);
        (bundle.site_id, bundle.host_id) = (site.into(), appliance.into());
        let refused = problem(agent.submit(&server, &bundle.sign(&agent.key).unwrap()).await, 403, word).await;
        assert_eq!(refused.field.as_deref(), Some(field));
    }
    assert_eq!(clinic.list("evidence")["bundles"], json!([]));
}

async fn suspicious(clinic: &Clinic, agent: &Agent, server: &Server, envelope: &Envelope, reason: &str) {
    let before = clinic.list("evidence");
    // Twice: it stays refused, and is noted once.
    for _ in 0..2 {
        problem(agent.submit(server, envelope).await, 409, reason).await;
    }
    let after = clinic.list("evidence");
    assert_eq!(before["bundles"], after["bundles"], "the chain stays as it was");
    let noted = after["suspicious"].as_array().unwrap();
    assert_eq!(noted.len(), before["suspicious"].as_array().unwrap().len() + 1);
    let noted: Vec<&Value> = noted.iter().filter(|row| row["hash"] == json!(hash(envelope))).collect();
    assert_eq!(noted[0]["reason"], json!(reason));
    let path = format!("/evidence/clinic-a/{}/{}", agent.appliance, agent.chain_id);
    let (page, word) = (people::inside(clinic, server).await.get(&path).await, reason.replace('_', " "));
    page.shows(&["Set aside as suspicious", &word]);
}

#[tokio::test]
async fn a_second_bundle_for_the_same_place_or_the_same_id_is_a_fork() {
    let (clinic, agent, server) = clinic().await;
    let chain = agent.chain(2);
    for (envelope, _) in &chain {
        agent.accepted(&server, envelope).await;
    }
    let mut place = agent.bundle(2, &chain[0].1);
    place.bundle_id = "CB-2026-01-02-0777".parse().unwrap();
    suspicious(&clinic, &agent, &server, &place.sign(&agent.key).unwrap(), "chain_fork").await;
    let mut id = agent.bundle(3, &chain[1].1);
    id.bundle_id = agent.bundle(1, "").bundle_id;
    suspicious(&clinic, &agent, &server, &id.sign(&agent.key).unwrap(), "chain_fork").await;
    assert_eq!(clinic.list("evidence")["chains"][0]["forks"], json!(2));
}

#[tokio::test]
async fn a_link_that_fits_neither_neighbour_is_broken() {
    let (clinic, agent, server) = clinic().await;
    let sign = |sequence, previous: &str| agent.bundle(sequence, previous).sign(&agent.key).unwrap();
    let chain = agent.chain(4);
    let elsewhere = "cd".repeat(32);
    suspicious(&clinic, &agent, &server, &sign(1, &elsewhere), "chain_broken").await;
    suspicious(&clinic, &agent, &server, &sign(7, GENESIS_HASH), "chain_broken").await;
    agent.accepted(&server, &chain[0].0).await;
    // After the first: names another hash than the first has.
    suspicious(&clinic, &agent, &server, &sign(2, &elsewhere), "chain_broken").await;
    agent.accepted(&server, &chain[3].0).await;
    // Before the fourth, with nothing held before it: the fourth names another.
    suspicious(&clinic, &agent, &server, &sign(3, &elsewhere), "chain_broken").await;
    for (envelope, _) in &chain[1..3] {
        agent.accepted(&server, envelope).await;
    }
    let chains = clinic.list("evidence");
    assert_eq!((&chains["chains"][0]["gaps"], &chains["chains"][0]["broken"]), (&json!(0), &json!(4)));
}

#[tokio::test]
async fn places_that_no_chain_has_are_refused_with_the_field() {
    let (_clinic, agent, server) = clinic().await;
    for (sequence, previous, field) in [
        (0, GENESIS_HASH.to_owned(), "bundle.payload.sequence"),
        (u64::MAX, "cd".repeat(32), "bundle.payload.sequence"),
        (2, "cd".repeat(31), "bundle.payload.previous_hash"),
        (2, "CD".repeat(32), "bundle.payload.previous_hash"),
    ] {
        let mut bundle = agent.bundle(1, &previous);
        bundle.sequence = Counter(sequence);
        let refused =
            problem(agent.submit(&server, &bundle.sign(&agent.key).unwrap()).await, 400, "malformed_body").await;
        assert_eq!(refused.field.as_deref(), Some(field));
    }
    // The last place that can be stored neither overflows nor hurts the next call.
    let mut last = agent.bundle(1, &"cd".repeat(32));
    last.sequence = Counter(i64::MAX.unsigned_abs());
    last.bundle_id = "CB-2026-01-02-0900".parse().unwrap();
    let reply = agent.accepted(&server, &last.sign(&agent.key).unwrap()).await;
    assert_eq!(receipt(&reply, &agent).gaps, Counter(i64::MAX.unsigned_abs() - 1));
    agent.accepted(&server, &agent.chain(1)[0].0).await;
}

#[tokio::test]
async fn two_appliances_have_two_chains() {
    let (clinic, first, server) = clinic().await;
    let second = clinic.issue("apl-2");
    second.check_in(&server).await;
    first.accepted(&server, &first.chain(1)[0].0).await;
    let reply = second.accepted(&server, &second.chain(1)[0].0).await;
    assert!(!reply.duplicate);
    // A's bundle by B's hand is still A's.
    problem(second.submit(&server, &first.chain(2)[1].0).await, 403, "unknown_key").await;
}

/// The chains of the first appliance: id, bundles, gaps, forks, broken links.
fn chains(clinic: &Clinic) -> Vec<(String, [i64; 4])> {
    let listed = clinic.list("evidence");
    let rows = listed["chains"].as_array().unwrap();
    let beginnings: Vec<&str> = rows.iter().map(|row| row["first_received"].as_str().unwrap()).collect();
    assert!(beginnings.is_sorted(), "in the order of their beginning: {beginnings:?}");
    let number = |row: &Value, name: &str| row[name].as_i64().unwrap();
    rows.iter()
        .map(|row| {
            let numbers = ["bundles", "gaps", "forks", "broken"].map(|name| number(row, name));
            (row["chain"].as_str().unwrap().to_owned(), numbers)
        })
        .collect()
}

#[tokio::test]
async fn an_appliance_whose_state_was_lost_begins_another_chain_and_both_are_shown() {
    let (clinic, mut agent, server) = clinic().await;
    assert_eq!(clinic.list("evidence")["chains"][0]["chain"], Value::Null, "nothing was sent yet");
    for (envelope, _) in agent.chain(3) {
        agent.accepted(&server, &envelope).await;
    }
    let first = agent.chain_id.to_string();
    let mut visitor = people::inside(&clinic, &server).await;
    assert!(!visitor.get("/").await.text.contains("began a new chain"));

    // The state is lost, the key is not. The lowest id: the order is that of the beginnings.
    agent.chain_id = ChainId::from_random([0; 8]);
    let second = agent.chain_id.to_string();
    for (envelope, hash) in agent.chain(2) {
        let reply = agent.accepted(&server, &envelope).await;
        assert!(!reply.duplicate);
        let receipt = receipt(&reply, &agent);
        assert_eq!((&receipt.chain, receipt.head.hash, receipt.gaps), (&agent.chain_id, hash, Counter(0)));
    }
    // Now the key is lost too, and an operator releases it.
    agent.chain_id = ChainId::from_random([5; 8]);
    let third = agent.chain_id.to_string();
    agent.key = keys::from_seed([99; 32]);
    problem(agent.submit(&server, &agent.chain(1)[0].0).await, 403, "unknown_key").await;
    clinic.ok(&["appliance", "forget-key", "--dir", clinic.dir_text(), "--site", "clinic-a", "apl-1"]);
    agent.check_in(&server).await;
    agent.accepted(&server, &agent.chain(1)[0].0).await;

    let whole = |bundles| [bundles, 0, 0, 0];
    assert_eq!(chains(&clinic), [(first, whole(3)), (second, whole(2)), (third, whole(1))]);
    let text = clinic.ok(&["list", "evidence", "--dir", clinic.dir_text()]);
    assert!(text.contains("a new chain began") && text.contains("the one before ended at 3"), "{text}");
    assert!(text.contains("the one before ended at 2"), "{text}");
    let ended = ["began a new chain of evidence", "The one before ended at 3", "The one before ended at 2"];
    visitor.get("/").await.shows(&ended);
}

#[tokio::test]
async fn what_is_wrong_with_one_chain_is_not_held_against_the_other() {
    let (clinic, mut agent, server) = clinic().await;
    let first = (agent.chain_id.clone(), agent.chain(3));
    agent.accepted(&server, &first.1[0].0).await;
    agent.accepted(&server, &first.1[2].0).await;
    agent.chain_id = ChainId::from_random([9; 8]);
    let second = agent.chain(2);
    // Another chain has a beginning of its own: it cannot hang on the end of the one before.
    let hung_on = agent.bundle(1, &first.1[2].1).sign(&agent.key).unwrap();
    suspicious(&clinic, &agent, &server, &hung_on, "chain_broken").await;
    for (envelope, _) in &second {
        assert_eq!(receipt(&agent.accepted(&server, envelope).await, &agent).gaps, Counter(0));
    }
    let mut fork = agent.bundle(2, &second[0].1);
    fork.check = "backup".into();
    suspicious(&clinic, &agent, &server, &fork.sign(&agent.key).unwrap(), "chain_fork").await;
    assert_eq!(chains(&clinic), [(first.0.to_string(), [2, 1, 0, 0]), (agent.chain_id.to_string(), [2, 0, 1, 1])]);
    // The first is still completed by what belongs to it.
    let reply = agent.accepted(&server, &first.1[1].0).await;
    let receipt = receipt(&reply, &agent);
    assert_eq!((receipt.chain, receipt.gaps, receipt.head.sequence), (first.0, Counter(0), Counter(3)));
}
