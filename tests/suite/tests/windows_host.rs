//! `msp-agent windows check` and `msp-agent runbook`, as an operator runs them; and every detect phase against a real
//! Windows host, where somebody names one.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use msp_lab::process::program;
use msp_lab::{Progress, clinic::Clinic, drift::Drift};
use msp_suite::agent::json;
use msp_suite::skip;
use serde_json::Value;
use std::process::Command;

/// Address, user and password file of a real host: `MSP_TEST_WIN_HOST`, `_USER`, `_PASSWORD_FILE`; `_HTTP=1` for plain HTTP
/// with sealed messages, otherwise `_CA` names the authority of its certificate.
const HOST: &str = "MSP_TEST_WIN_HOST";

#[test]
fn every_detect_phase_runs_on_a_real_windows_host_and_changes_nothing() {
    let setting = |name: &str| std::env::var(format!("{HOST}{name}")).ok();
    let (Some(host), Some(user), Some(file)) = (setting(""), setting("_USER"), setting("_PASSWORD_FILE")) else {
        let test = "every_detect_phase_runs_on_a_real_windows_host_and_changes_nothing";
        return skip(test, &format!("no real Windows host: set {HOST}, {HOST}_USER and {HOST}_PASSWORD_FILE"));
    };
    let mut check = Command::new(program("msp-agent").unwrap());
    check.args(["windows", "check", &host, "--user", &user, "--password-file", &file, "--json"]);
    match setting("_CA") {
        _ if setting("_HTTP").is_some() => drop(check.arg("--http")),
        Some(authority) => drop(check.args(["--ca-cert", &authority])),
        None => {}
    }
    let done = check.output().unwrap();
    let said = String::from_utf8_lossy(&done.stderr);
    assert!(done.status.code() == Some(0) || done.status.code() == Some(1), "{said}");
    let document: Value = serde_json::from_slice(&done.stdout).expect(&said);
    for one in document["checks"].as_array().unwrap() {
        assert_ne!(one["status"], "unknown", "{one:#}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_operator_looks_rehearses_and_heals_by_hand_with_guard_and_evidence() {
    let mut clinic = Clinic::prepare(None).unwrap();
    clinic.open(Progress).await.unwrap();
    let config = clinic.config();
    for _ in 0..100 {
        let looked = json(&["windows", "check", "FS01", "--config", &config, "--json"]);
        if looked.is_ok_and(|(code, _)| code == Some(0)) {
            break;
        }
        tokio::time::sleep(std::time::Duration::from_millis(200)).await;
    }
    let run = ["runbook", "run", "RB-WIN-FIREWALL-001", "--target", "fs01", "--config", &config, "--json"];

    // Beside a running agent one may look, and no more.
    let refused = Command::new(program("msp-agent").unwrap()).args(run).output().unwrap();
    assert_eq!(refused.status.code(), Some(2));
    assert!(String::from_utf8_lossy(&refused.stderr).contains("the agent runs here"), "{refused:?}");
    clinic.stop_agent().await;

    let member = clinic.member.as_ref().unwrap();
    member.inject(Drift::FirewallProfileOff("Public")).await.unwrap();
    let (code, seen) =
        json(&["windows", "check", "FS01", "--only", "firewall", "--config", &config, "--json"]).unwrap();
    assert_eq!((code, &seen["checks"][0]["status"]), (Some(1), &"drift".into()), "{seen:#}");
    let (code, rehearsed) = json(&[&run[..], &["--dry-run"]].concat()).unwrap();
    assert_eq!((code, &rehearsed["detected"]["status"]), (Some(0), &"drift".into()));
    assert!(rehearsed["scripts"]["remediate"].as_str().unwrap().contains("Set-NetFirewallProfile"));
    let by_script = |ledger: Vec<msp_lab::drift::Change>| ledger.iter().filter(|one| one.source == "script").count();
    assert_eq!(by_script(member.ledger().await.unwrap()), 0, "a rehearsal changes nothing");

    let (code, done) = json(&run).unwrap();
    assert_eq!((code, &done["result"]["ended"]["detail"]), (Some(0), &"fixed".into()), "{done:#}");
    assert_eq!(by_script(member.ledger().await.unwrap()), 1);
    let evidence = done["result"]["ended"]["evidence_id"].as_str().unwrap();
    let (_, bundle) = json(&["evidence", "show", evidence, "--config", &config]).unwrap();
    assert_eq!((&bundle["kind"], &bundle["healing_resolution_level"]), (&"heal".into(), &"L3".into()), "{bundle:#}");
    let (code, verified) = json(&["evidence", "verify", "--json", "--config", &config]).unwrap();
    assert_eq!((code, &verified["ok"]), (Some(0), &true.into()), "{verified:#}");

    // Nothing is wrong any more: nothing is done. And the guard has its say here too.
    let (code, again) = json(&run).unwrap();
    assert_eq!((code, &again["result"]["ended"]["ended"]), (Some(0), &"nothing_to_do".into()), "{again:#}");
    let member = clinic.member.as_ref().unwrap();
    member.inject(Drift::FirewallProfileOff("Public")).await.unwrap();
    let (code, held) = json(&run).unwrap();
    assert_eq!((code, &held["result"]["ended"]["by"]), (Some(1), &"cooldown".into()), "{held:#}");
    clinic.close().await;
}

#[test]
fn runbooks_are_listed_and_shown_word_for_word_and_a_slip_is_named() {
    let (_, listed) = json(&["runbook", "list", "--json"]).unwrap();
    let ids: Vec<_> = listed["runbooks"].as_array().unwrap().iter().map(|one| one["id"].as_str().unwrap()).collect();
    assert_eq!(
        ids,
        [
            "RB-HOST-DISK-001",
            "RB-HOST-FIREWALL-001",
            "RB-HOST-GENERATION-001",
            "RB-HOST-SVC-001",
            "RB-HOST-SWITCH-001",
            "RB-HOST-TIME-001",
            "RB-WIN-AD-001",
            "RB-WIN-AV-001",
            "RB-WIN-BACKUP-001",
            "RB-WIN-ENCRYPTION-001",
            "RB-WIN-FIREWALL-001",
            "RB-WIN-LOGGING-001",
            "RB-WIN-PATCH-001",
            "RB-WIN-SVC-001"
        ]
    );
    let agent = |args: &[&str]| Command::new(program("msp-agent").unwrap()).args(args).output().unwrap();
    let shown = agent(&["runbook", "show", "RB-WIN-FIREWALL-001", "--phase", "detect"]).stdout;
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../../rules/runbooks/RB-WIN-FIREWALL-001");
    let file = |name: &str| std::fs::read_to_string(format!("{folder}/{name}.ps1")).unwrap();
    let (functions, detect) = (file("functions"), file("detect"));
    assert_eq!(String::from_utf8(shown).unwrap(), format!("{functions}\n{detect}"));
    let whole = String::from_utf8(agent(&["runbook", "show", "RB-WIN-FIREWALL-001"]).stdout).unwrap();
    assert!(whole.contains(&detect) && whole.matches(&functions).count() == 1, "{whole}");
    let slip = agent(&["runbook", "show", "RB-WIN-FIREWAL-001"]);
    assert_eq!(slip.status.code(), Some(2));
    assert!(String::from_utf8_lossy(&slip.stderr).contains("did you mean \"RB-WIN-FIREWALL-001\"?"));
}
