//! Incidents as stories, and evidence that is verified again.

use super::inside;
use crate::clinic::{Agent, Clinic, SITE, Server, escalation, good, hash, incident, resolution};
use base64::Engine;
use msp_contracts::canonical::sha256_hex;
use msp_contracts::dsse::{Envelope, Signed};
use msp_contracts::evidence::{BundleKind, GENESIS_HASH};
use msp_contracts::outcome::{Detail, Level};
use msp_contracts::signed::Receipt;
use reqwest::StatusCode;
use serde_json::{Value, json};

/// A firewall that was off and is on again: its incident, its heal, its end.
async fn healed(agent: &Agent, server: &Server) -> Envelope {
    agent.check_in(server).await;
    let mut record = incident(SITE);
    let (actual, desired) = (
        json!({ "profiles": { "Public": "False", "Domain": "True" } }),
        json!({ "profiles": { "Public": "True", "Domain": "True" } }),
    );
    record["raw_data"] = json!({
        "check_type": "firewall", "diff": ["firewall profile Public: Enabled is False, desired True"], "actual": actual, "desired": desired,
        "recommended_action": "Set-NetFirewallProfile",
    });
    let _: Value = good(agent.post(server, "/incidents", &record).await).await;
    let mut bundle = agent.bundle(1, GENESIS_HASH);
    bundle.kind = BundleKind::Heal;
    bundle.incident_id = Some("INC-0123456789ab".to_owned().try_into().unwrap());
    bundle.hipaa_controls = vec!["164.312(e)(1)".into(), "164.308(a)(6)(ii)".into()];
    bundle.pre_state = json!({ "status": "fail", "actual": actual, "desired": desired });
    bundle.post_state = json!({ "profiles": { "Public": "True", "Domain": "True" } });
    bundle.detail = Some(Detail::Fixed);
    bundle.outcome = Some(Detail::Fixed.outcome());
    bundle.healing_resolution_level = Some(Level::L1);
    bundle.plan = serde_json::from_value(json!({
        "rule_id": "L1-WIN-FIREWALL-001", "runbook_id": "RB-WIN-FIREWALL-001", "runbook_version": 1, "parameters": {},
        "reason": "rule L1-WIN-FIREWALL-001 matched",
    }))
    .unwrap();
    bundle.actions = ["remediate", "verify"]
        .into_iter()
        .map(|phase| {
            let report = json!({ "status": "compliant", "changed": phase == "remediate", "reasons": [] });
            serde_json::from_value(json!({ "phase": phase, "started": "2026-01-02T03:04:05Z", "completed": "2026-01-02T03:04:05.25Z", "report": report })).unwrap()
        })
        .collect();
    let envelope = bundle.sign(&agent.key).unwrap();
    agent.accepted(server, &envelope).await;
    let _: Value = good(agent.post(server, "/incidents/INC-0123456789ab/resolve", &resolution()).await).await;
    envelope
}

#[tokio::test]
async fn an_incident_is_told_from_what_was_seen_to_the_proof() {
    let clinic = Clinic::new();
    let (agent, server) = (clinic.issue("apl-1"), clinic.serve());
    let envelope = healed(&agent, &server).await;
    let mut visitor = inside(&clinic, &server).await;
    let page = visitor.get("/incidents/clinic-a/apl-1/INC-0123456789ab").await;
    page.shows(&[
        "Firewall on DC01",
        "resolved",
        "firewall profile Public: Enabled is False, desired True",
        "profiles, Public",
        "Windows Firewall",
        "L1-WIN-FIREWALL-001",
        "RB-WIN-FIREWALL-001",
        "remediate",
        "250 ms",
        "something was changed",
        "nothing was changed",
        "Proved: fixed",
        "CB-2026-01-02-0001",
        &hash(&envelope),
        "This record supports:",
        "45 CFR 164.312(e)(1)",
        "45 CFR 164.308(a)(6)(ii)",
        "required",
    ]);
    let at = |text: &str| page.text.find(text).unwrap_or_else(|| panic!("{text}: {}", page.text));
    let order = [">Seen<", ">Decided<", ">Done<", ">Checked afterwards<", ">Proved: fixed<", ">Resolved<"].map(at);
    assert!(order.is_sorted(), "{order:?}");
    assert!(!page.text.to_lowercase().contains("hipaa compliant"), "it supports, and says no more");
    assert!(!page.text.contains("A person was asked"));

    let _: Value = good(agent.post(&server, "/api/escalations", &escalation(SITE)).await).await;
    visitor.get("/incidents/clinic-a/apl-1/INC-0123456789ab").await.shows(&[
        "A person was asked",
        "Firewall is off and could not be switched on",
        "7d4f9d9e",
    ]);
}

#[tokio::test]
async fn verifying_says_what_was_checked_and_finds_a_changed_byte() {
    let clinic = Clinic::new();
    let (agent, server) = (clinic.issue("apl-1"), clinic.serve());
    agent.check_in(&server).await;
    let chain = agent.chain(4);
    for place in [0, 1, 3] {
        agent.accepted(&server, &chain[place].0).await;
    }
    let mut visitor = inside(&clinic, &server).await;
    let base = format!("/evidence/clinic-a/apl-1/{}", agent.chain_id);
    let verified = visitor.get(&format!("{base}/2?verify=now")).await;
    verified.shows(&[
        "It holds.",
        "Signature",
        "Ed25519",
        "Link back",
        "the latest that was received, or the next is missing",
        "pinned for this appliance",
    ]);
    visitor.get(&format!("{base}/1?verify=now")).await.shows(&["It holds.", "the genesis hash"]);
    visitor.get(&format!("{base}/4?verify=now")).await.shows(&["It holds.", "place 3 was not received"]);
    visitor.get(&format!("{base}?verify=now")).await.shows(&["What is here holds, 1 missing", "3 bundles verified"]);
    agent.accepted(&server, &chain[2].0).await;
    visitor.get(&format!("{base}?verify=now")).await.shows(&["The chain is whole", "4 bundles verified"]);

    // Somebody with the database in hand changes what was done, and even the hash beside it.
    let db = clinic.database();
    let held: Vec<u8> = db.query_row("SELECT envelope FROM evidence WHERE sequence = 2", [], |row| row.get(0)).unwrap();
    let mut forged: Value = serde_json::from_slice(&held).unwrap();
    let payload = base64::engine::general_purpose::STANDARD.decode(forged["payload"].as_str().unwrap()).unwrap();
    let payload = String::from_utf8(payload).unwrap().replace("DC01", "DC02");
    forged["payload"] = json!(base64::engine::general_purpose::STANDARD.encode(payload));
    let forged = forged.to_string().into_bytes();
    db.execute("UPDATE evidence SET envelope = ?1, hash = ?2 WHERE sequence = 2", (&forged, sha256_hex(&forged)))
        .unwrap();
    let verified = visitor.get(&format!("{base}/2?verify=now")).await;
    verified.shows(&["It does not hold."]);
    visitor.get(&format!("{base}/3?verify=now")).await.shows(&["It does not hold.", "Link back"]);
    visitor.get(&format!("{base}?verify=now")).await.shows(&[
        "The chain does not hold",
        "place 2",
        "does not name the hash of the bundle before it",
    ]);
    // An untouched neighbour's own signature still does.
    visitor.get(&format!("{base}/4?verify=now")).await.shows(&["It holds."]);
}

#[tokio::test]
async fn the_envelope_is_downloaded_byte_for_byte_and_the_receipt_is_signed() {
    let clinic = Clinic::new();
    let (agent, server) = (clinic.issue("apl-1"), clinic.serve());
    let envelope = healed(&agent, &server).await;
    let mut visitor = inside(&clinic, &server).await;
    let base = format!("/evidence/clinic-a/apl-1/{}/1", agent.chain_id);
    let page = visitor.get(&format!("{base}/envelope")).await;
    assert_eq!(page.text.as_bytes(), envelope.to_bytes().unwrap());
    assert_eq!(page.headers["content-disposition"], "attachment; filename=\"CB-2026-01-02-0001.dsse.json\"");
    let receipt: Envelope = serde_json::from_str(&visitor.get(&format!("{base}/receipt")).await.text).unwrap();
    let receipt: Receipt =
        serde_json::from_slice(&receipt.verify(Receipt::PAYLOAD_TYPE, &[agent.central]).unwrap()).unwrap();
    assert_eq!((receipt.hash, receipt.head.sequence.0), (hash(&envelope), 1));
    for path in ["/2/envelope", "/2/receipt", "/2"] {
        let path = format!("/evidence/clinic-a/apl-1/{}{path}", agent.chain_id);
        assert_eq!(visitor.get(&path).await.status, StatusCode::NOT_FOUND, "{path}");
    }
}

#[tokio::test]
async fn evidence_is_found_by_site_kind_check_machine_and_id_also_what_was_stored_before_the_index() {
    let clinic = Clinic::new();
    let (agent, server) = (clinic.issue("apl-1"), clinic.serve());
    healed(&agent, &server).await;
    let mut visitor = inside(&clinic, &server).await;
    let bundle = "CB-2026-01-02-0001";
    for (query, found) in [
        ("", true),
        ("?site=clinic-a", true),
        ("?site=clinic-b", false),
        ("?kind=heal", true),
        ("?kind=order", false),
        ("?check=firewall", true),
        ("?check=backup", false),
        ("?q=dc01", true),
        ("?q=192.168.10.5", true),
        ("?q=INC-0123", true),
        ("?q=0001", true),
        ("?q=%25", false),
        ("?q=_C01", false),
        ("?q=%27%20OR%201%3D1%20--", false),
        ("?page=2", false),
    ] {
        let page = visitor.get(&format!("/evidence{query}")).await;
        assert_eq!(page.status, StatusCode::OK);
        assert_eq!(page.text.contains(bundle), found, "{query}");
    }
    server.stop().await;
    clinic.database().execute("DELETE FROM evidence_subjects", []).unwrap();
    let server = clinic.serve();
    let mut visitor = inside(&clinic, &server).await;
    visitor.get("/evidence?q=dc01").await.shows(&[bundle]);
}
