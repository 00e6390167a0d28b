//! Who looks after a server: two appliances never both do.

use crate::clinic::{Agent, Clinic, SITE, Server};
use msp_contracts::dsse::Signed;
use msp_contracts::signed::Freshness;
use serde_json::Value;

const TWO: &str = "- {hostname: DC01, ip_address: 192.168.10.5}\n\
                   - {hostname: FILES, ip_address: 192.168.10.6, appliance: apl-2}\n";

fn set(clinic: &Clinic, content: &str) {
    let file = clinic.file("targets.yaml", content);
    clinic.command(["targets", "set"], &["--site", SITE, &file]);
}

/// What an appliance is told to look after, signed and plain alike.
async fn owned(agent: &Agent, server: &Server) -> Vec<String> {
    let reply = agent.check_in(server).await;
    let stamp = Freshness::verify(&reply.freshness, &[agent.central]).unwrap();
    assert_eq!(stamp.windows_targets, reply.windows_targets);
    stamp.windows_targets.into_iter().map(|target| target.hostname).collect()
}

#[tokio::test]
async fn every_server_is_in_exactly_one_appliances_stamp() {
    let clinic = Clinic::new();
    let first = clinic.issue("apl-1");
    set(&clinic, "- {hostname: DC01, ip_address: 192.168.10.5}\n");
    let server = clinic.serve();
    // Named after the first in the alphabet, but it comes second.
    let early = clinic.issue("apl-0");
    let second = clinic.issue("apl-2");
    set(&clinic, TWO);
    assert_eq!(owned(&first, &server).await, ["DC01"]);
    assert_eq!(owned(&early, &server).await, [""; 0]);
    assert_eq!(owned(&second, &server).await, ["FILES"]);
    assert_eq!(owned(&first, &server).await, ["DC01"], "the first to check in stays the owner");
    let table = clinic.command(["targets", "list"], &["--site", SITE]);
    let line = |name: &str| table.lines().find(|line| line.contains(name)).unwrap().to_owned();
    assert!(line("DC01").contains("apl-1") && line("FILES").contains("apl-2"), "{table}");
    let said = clinic.command_refused(
        ["order", "issue"],
        &[SITE, "apl-1", "run-runbook", "RB-WIN-FIREWALL-001", "--host", "FILES", "--reason", "ticket"],
    );
    assert!(said.contains("looked after by appliance \"apl-2\""), "{said}");
    // What `list --json` writes, `set` reads: a name that was given stays, one that was derived is not fixed.
    let json = clinic.command(["targets", "list"], &["--site", SITE, "--json"]);
    let listed: Value = serde_json::from_str(&json).unwrap();
    assert_eq!((&listed[0]["appliance"], &listed[1]["appliance"]), (&Value::Null, &Value::from("apl-2")));
}

#[tokio::test]
async fn an_only_appliance_looks_after_all_and_several_that_never_came_after_nothing() {
    let clinic = Clinic::new();
    let only = clinic.issue("apl-1");
    set(&clinic, "- {hostname: DC01, ip_address: 192.168.10.5}\n");
    let owner = || {
        let table = clinic.command(["targets", "list"], &["--site", SITE]);
        table.lines().find(|line| line.contains("DC01")).unwrap().to_owned()
    };
    assert!(owner().contains("apl-1"));
    clinic.issue("apl-2");
    assert!(owner().contains("the first to check in"));
    let server = clinic.serve();
    assert_eq!(owned(&only, &server).await, ["DC01"]);
}

#[test]
fn a_server_cannot_be_given_to_an_appliance_that_is_not_there() {
    let clinic = Clinic::new();
    clinic.issue("apl-1");
    clinic.issue_for("clinic-b", "apl-2");
    let file = clinic.file("targets.yaml", TWO);
    let said = clinic.command_refused(["targets", "set"], &["--site", SITE, &file]);
    assert!(said.contains("\"FILES\"") && said.contains("\"apl-2\" is no appliance of clinic-a"), "{said}");
    let file = clinic.file("number.yaml", "- {hostname: A, ip_address: 10.0.0.1, appliance: 7}\n");
    assert!(clinic.command_refused(["targets", "set"], &["--site", SITE, &file]).contains("quote an id"));
}
