//! Rules: linted before they are stored, signed for one appliance, in two tiers.

use crate::clinic::{Agent, Clinic, SITE, Server, good};
use jiff::SignedDuration;
use msp_contracts::api::RulesReply;
use msp_contracts::canonical;
use msp_contracts::dsse::Signed;
use msp_contracts::ids::Counter;
use msp_contracts::signed::{HealingTier, RuleSet};
use serde_json::json;

fn rule(id: &str, operator: &str) -> String {
    format!(
        "  - id: {id}
    name: Firewall off
    conditions:
      - {{field: check_type, operator: {operator}, value: firewall}}
      - {{field: details.platform, operator: eq, value: windows}}
    action: run_windows_runbook
    action_params: {{runbook_id: RB-WIN-FIREWALL-001, phases: [remediate, verify]}}
    severity_filter: [high, critical]
    enabled: true
"
    )
}

fn import(clinic: &Clinic, name: &str, rules: &[String], tier: &str) {
    let file = clinic.file(name, &format!("rules:\n{}", rules.concat()));
    clinic.ok(&["rules", "import", "--dir", clinic.dir_text(), "--site", SITE, "--tier", tier, &file]);
}

async fn sync(agent: &Agent, server: &Server) -> (RulesReply, RuleSet) {
    let reply: RulesReply = good(agent.get(server, "/agent/sync?site_id=clinic-a").await).await;
    let set = RuleSet::verify(&reply.signature, &[agent.central]).unwrap();
    (reply, set)
}

fn ids(set: &RuleSet) -> Vec<&str> {
    set.rules.iter().map(|rule| rule["id"].as_str().unwrap()).collect()
}

#[tokio::test]
async fn the_signed_set_is_what_was_imported_and_its_version_changes_exactly_with_it() {
    let clinic = Clinic::new();
    let (agent, server) = (clinic.issue("apl-1"), clinic.serve());
    import(&clinic, "a.yaml", &[rule("SITE-FW-2", "eq"), rule("SITE-FW-1", "eq")], "standard");
    let (reply, first) = sync(&agent, &server).await;
    assert_eq!(ids(&first), ["SITE-FW-1", "SITE-FW-2"]);
    assert_eq!((&reply.rules, &reply.version, reply.expires), (&first.rules, &first.version, first.stamp.expires));
    assert_eq!(
        first.rules[0]["action_params"],
        json!({ "runbook_id": "RB-WIN-FIREWALL-001", "phases": ["remediate", "verify"] })
    );
    let versioned = canonical::to_bytes("", &json!({ "rules": first.rules, "healing_tier": "standard" })).unwrap();
    assert_eq!(first.version, canonical::sha256_hex(&versioned));
    assert_eq!(first.stamp.expires.duration_since(first.stamp.issued), SignedDuration::from_hours(24));
    first.stamp.check(SITE, "apl-1", first.stamp.issued, None).unwrap();

    let (_, second) = sync(&agent, &server).await;
    assert_eq!((&second.version, second.stamp.sequence), (&first.version, Counter(2)));
    agent.check_in(&server).await;
    server.stop().await;
    let server = clinic.serve();
    let (_, third) = sync(&agent, &server).await;
    assert_eq!(third.stamp.sequence, Counter(3), "counts for itself, and across a restart");

    import(&clinic, "a.yaml", &[rule("SITE-FW-1", "eq")], "standard");
    let (_, fourth) = sync(&agent, &server).await;
    assert_eq!(ids(&fourth), ["SITE-FW-1"], "what is in no file is withdrawn");
    assert_ne!(fourth.version, first.version);
}

#[tokio::test]
async fn full_coverage_gets_both_tiers_and_standard_one() {
    let clinic = Clinic::new();
    let (agent, server) = (clinic.issue("apl-1"), clinic.serve());
    import(&clinic, "a.yaml", &[rule("SITE-FW-1", "eq")], "standard");
    import(&clinic, "b.yaml", &[rule("SITE-FW-2", "eq")], "full_coverage");
    let (_, set) = sync(&agent, &server).await;
    assert_eq!((ids(&set), set.healing_tier), (vec!["SITE-FW-1"], HealingTier::Standard));
    clinic.ok(&["site", "tier", "--dir", clinic.dir_text(), SITE, "full_coverage"]);
    let (reply, set) = sync(&agent, &server).await;
    assert_eq!((ids(&set), set.healing_tier), (vec!["SITE-FW-1", "SITE-FW-2"], HealingTier::FullCoverage));
    assert_eq!(reply.healing_tier, HealingTier::FullCoverage);

    let file = clinic.file("c.yaml", &format!("rules:\n{}", rule("SITE-FW-2", "eq")));
    let said = clinic.refused(1, &["rules", "import", "--dir", clinic.dir_text(), "--site", SITE, &file]);
    assert!(said.contains("SITE-FW-2"), "{said}");
    assert_eq!(sync(&agent, &server).await.1.version, set.version, "nothing was changed");
}

#[test]
fn one_rule_that_an_agent_would_quarantine_keeps_the_whole_import_out() {
    let clinic = Clinic::new();
    clinic.issue("apl-1");
    let bad = format!("rules:\n{}{}", rule("SITE-FW-1", "eq"), rule("SITE-FW-2", "equalz"));
    let line = bad.lines().position(|line| line.contains("equalz")).unwrap() + 1;
    let file = clinic.file("bad.yaml", &bad);
    let said = clinic.refused(1, &["rules", "import", "--dir", clinic.dir_text(), "--site", SITE, &file]);
    assert!(said.contains(&format!("bad.yaml:{line}:")), "{said}");
    assert!(said.contains("equalz") && said.contains("SITE-FW-2"), "{said}");
    // Nor can a server take a built-in rule's place.
    let builtin = clinic.file("builtin.yaml", &format!("rules:\n{}", rule("L1-WIN-FIREWALL-001", "eq")));
    assert!(
        clinic
            .refused(1, &["rules", "import", "--dir", clinic.dir_text(), "--site", SITE, &builtin])
            .contains("builtin.yaml:2:")
    );
    let twice = clinic.file("twice.yaml", &format!("rules:\n{}", rule("SITE-FW-1", "eq")));
    let again = clinic.file("again.yaml", &format!("rules:\n{}", rule("SITE-FW-1", "eq")));
    assert!(
        clinic
            .refused(1, &["rules", "import", "--dir", clinic.dir_text(), "--site", SITE, &twice, &again])
            .contains("SITE-FW-1")
    );
    assert_eq!(clinic.ok(&["rules", "list", "--dir", clinic.dir_text(), "--json"]).trim(), "[]");
}
