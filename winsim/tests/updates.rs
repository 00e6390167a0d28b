//! RB-WIN-PATCH-001 against machines whose updates are healthy, missing, failing, slow, or cannot be asked for.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod harness;

use harness::Sim;
use msp_winsim::windows::ledger::{Entry, Subsystem};
use msp_winsim::windows::services::StartType;
use msp_winsim::windows::updates::{HResult, RebootMark, Severity, Stage, Update};
use msp_winsim::{Drift, Profile};
use serde_json::{Value, json};

const PATCH: &str = "RB-WIN-PATCH-001";
const NAME_NOT_RESOLVED: HResult = HResult(0x8024_402C_u32.cast_signed());
const FATAL: HResult = HResult(0x8007_0643_u32.cast_signed());

fn update(kb: &str) -> Update {
    serde_json::from_value(json!({"kb": kb, "title": format!("2024-02 Security Update ({kb})")})).unwrap()
}

fn offer(sim: &Sim, update: Update) {
    sim.drift(Drift::UpdateOffered { update });
}

fn reasons(result: &Value) -> String {
    result["reasons"].to_string()
}

async fn phase(sim: &Sim, phase: &str) -> Value {
    sim.phase(PATCH, phase, &json!({})).await
}

/// What scripts changed in Windows Update itself.
fn update_changes(sim: &Sim) -> Vec<Entry> {
    sim.script_changes().into_iter().filter(|e| e.subsystem == Subsystem::Updates).collect()
}

/// What was left on the machine by scripts.
fn left_behind(sim: &Sim) -> (Vec<String>, Vec<String>) {
    let state = sim.server.machine().state();
    let tasks = state.tasks.all().iter().map(|t| t.name.clone()).collect();
    let healthy = Profile::Member.state("X").files.paths();
    let files = state.files.paths().into_iter().filter(|p| !healthy.contains(p)).collect();
    (tasks, files)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_patched_server_is_compliant_in_every_phase_and_nothing_touches_it() {
    for profile in [Profile::Member, Profile::Dc, Profile::Workstation, Profile::German] {
        let sim = Sim::start(profile).await;
        for name in ["detect", "remediate", "verify"] {
            let result = phase(&sim, name).await;
            assert_eq!((&result["status"], &result["changed"]), (&json!("compliant"), &json!(false)), "{result}");
            assert_eq!(
                result["observed"],
                json!({
                    "missing": 0, "critical_missing": 0, "awaiting_reboot": 0, "optional_missing": 0, "updates": [],
                    "reboot_pending": false, "file_renames_pending": false, "wsus_server": null, "searched_by": "com",
                    "last_install_result": null,
                })
            );
        }
        assert!(sim.server.machine().ledger().is_empty());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn missing_updates_are_installed_exactly_once_as_system_and_then_the_server_is_compliant() {
    let sim = Sim::start(Profile::Member).await;
    offer(&sim, Update { severity: Some(Severity::Critical), eula_accepted: false, ..update("KB5034441") });
    offer(&sim, update("KB5034442"));

    let before = phase(&sim, "detect").await;
    assert_eq!((&before["status"], &before["changed"]), (&json!("drift"), &json!(false)), "{before}");
    assert_eq!((&before["observed"]["missing"], &before["observed"]["critical_missing"]), (&json!(2), &json!(1)));
    assert_eq!(
        before["observed"]["updates"][0],
        json!({"title": "2024-02 Security Update (KB5034441)", "kb": "KB5034441", "severity": "Critical"})
    );
    assert_eq!(before["observed"]["updates"][1]["severity"], Value::Null);
    assert!(sim.script_changes().is_empty(), "detect only reads");

    let healed = phase(&sim, "remediate").await;
    assert_eq!((&healed["status"], &healed["changed"]), (&json!("compliant"), &json!(true)), "{healed}");
    assert_eq!(healed["observed"]["last_install_result"], "succeeded");
    let again = phase(&sim, "remediate").await;
    assert_eq!((&again["status"], &again["changed"]), (&json!("compliant"), &json!(false)), "{again}");
    assert_eq!(phase(&sim, "verify").await["status"], "compliant");

    let changes = update_changes(&sim);
    let of = |kb: &str| changes.iter().filter(|e| e.object == kb).map(|e| e.to.as_str()).collect::<Vec<_>>();
    assert_eq!(of("KB5034441"), ["true", "downloaded", "installed"]);
    assert_eq!(of("KB5034442"), ["downloaded", "installed"]);
    assert!(changes.iter().all(|e| e.task.as_deref() == Some("msp-agent RB-WIN-PATCH-001 install")), "{changes:?}");
    let (tasks, files) = left_behind(&sim);
    assert!(tasks.is_empty(), "{tasks:?}");
    assert_eq!(files, ["C:\\Windows\\msp-agent", "C:\\Windows\\msp-agent\\RB-WIN-PATCH-001.install.json"]);
    for file in files {
        let state = sim.server.machine().state();
        assert_eq!(state.files.users_may_write(&file), Some(false), "no user can forge {file}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_update_agent_refuses_a_remote_session_what_it_grants_to_the_task() {
    let sim = Sim::start(Profile::Member).await;
    let sim25 = Sim::start(Profile::Server2025).await;
    for (sim, method) in
        [(&sim, "CreateUpdateDownloader"), (&sim, "CreateUpdateInstaller"), (&sim25, "CreateUpdateSearcher")]
    {
        let script = format!(
            "try {{ (New-Object -ComObject Microsoft.Update.Session).{method}(); 'granted' }} \
             catch [UnauthorizedAccessException] {{ '{{0:X8}} {{1}}' -f $_.Exception.HResult, $_.Exception.Message }}"
        );
        let line = sim.line(&script).await;
        assert_eq!(
            line, "80070005 Access is denied. (Exception from HRESULT: 0x80070005 (E_ACCESSDENIED))",
            "{method}"
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn where_windows_refuses_the_search_a_task_searches_and_leaves_nothing_behind() {
    let sim = Sim::start(Profile::Server2025).await;
    let healthy = phase(&sim, "detect").await;
    assert_eq!(
        (&healthy["status"], &healthy["observed"]["searched_by"]),
        (&json!("compliant"), &json!("task")),
        "{healthy}"
    );
    offer(&sim, Update { title: "Sicherheitsupdate für Windows".to_owned(), ..update("KB5034441") });
    let before = phase(&sim, "detect").await;
    assert_eq!((&before["status"], &before["observed"]["missing"]), (&json!("drift"), &json!(1)), "{before}");
    assert_eq!(before["observed"]["updates"][0]["title"], "Sicherheitsupdate für Windows");
    assert_eq!(left_behind(&sim), (vec![], vec![]));
    assert!(update_changes(&sim).is_empty());

    let healed = phase(&sim, "remediate").await;
    assert_eq!((&healed["status"], &healed["changed"]), (&json!("compliant"), &json!(true)), "{healed}");
    assert_eq!(update_changes(&sim).len(), 2, "downloaded, installed");

    sim.drift(Drift::UpdateSearchFails { error: Some(NAME_NOT_RESOLVED) });
    let lost = phase(&sim, "detect").await;
    assert_eq!(lost["status"], "error");
    assert!(reasons(&lost).contains("0x8024402C"), "{lost}");
    assert!(left_behind(&sim).0.is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn without_the_task_scheduler_a_refused_search_is_an_error() {
    let sim = Sim::start(Profile::Server2025).await;
    sim.drift(Drift::ServiceStopped { service: "Schedule".to_owned() });
    let result = phase(&sim, "detect").await;
    assert_eq!(result["status"], "error");
    assert!(reasons(&result).contains("Task Scheduler"), "{result}");
    assert_eq!(left_behind(&sim), (vec![], vec![]));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_update_server_that_cannot_be_reached_is_an_error_and_never_compliant() {
    let sim = Sim::start(Profile::Member).await;
    let url = "http://wsus.clinic.example:8530".to_owned();
    sim.drift(Drift::WsusServer { url: Some(url.clone()) });
    let reached = phase(&sim, "detect").await;
    assert_eq!((&reached["status"], &reached["observed"]["wsus_server"]), (&json!("compliant"), &json!(url)));
    sim.drift(Drift::UpdateSearchFails { error: Some(NAME_NOT_RESOLVED) });
    for name in ["detect", "remediate", "verify"] {
        let result = phase(&sim, name).await;
        assert_eq!((&result["status"], &result["changed"]), (&json!("error"), &json!(false)), "{result}");
        assert_eq!(result["observed"]["missing"], Value::Null, "unknown is not none");
        assert!(reasons(&result).contains("0x8024402C") && reasons(&result).contains(&url), "{result}");
    }
    assert!(sim.script_changes().is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_search_that_ended_with_errors_or_could_not_begin_proves_nothing() {
    let sim = Sim::start(Profile::Member).await;
    sim.drift(Drift::UpdateSearchIncomplete { incomplete: true });
    let result = phase(&sim, "detect").await;
    assert_eq!(result["status"], "error", "{result}");
    assert!(reasons(&result).contains("result code 3"), "{result}");
    sim.drift(Drift::UpdateSearchIncomplete { incomplete: false });
    sim.drift(Drift::ServiceStartType { service: "wuauserv".to_owned(), start_type: StartType::Disabled });
    let result = phase(&sim, "detect").await;
    assert_eq!(result["status"], "error");
    assert!(reasons(&result).contains("0x80070422"), "{result}");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_update_that_needs_a_reboot_stays_pending_until_the_server_has_restarted() {
    let sim = Sim::start(Profile::Dc).await;
    offer(&sim, Update { needs_reboot: true, severity: Some(Severity::Important), ..update("KB5034441") });
    let healed = phase(&sim, "remediate").await;
    assert_eq!((&healed["status"], &healed["changed"]), (&json!("pending"), &json!(true)), "{healed}");
    assert_eq!(healed["reboot_required"], true);
    assert_eq!(
        (&healed["observed"]["missing"], &healed["observed"]["awaiting_reboot"]),
        (&json!(0), &json!(1)),
        "the search still offers it"
    );
    for name in ["verify", "detect"] {
        assert_eq!(phase(&sim, name).await["status"], "pending", "{name}");
    }
    // Nothing is installed on top of what waits for the reboot, and nobody reboots.
    offer(&sim, update("KB5034442"));
    let refused = phase(&sim, "remediate").await;
    assert_eq!((&refused["status"], &refused["changed"]), (&json!("pending"), &json!(false)), "{refused}");
    assert_eq!(phase(&sim, "detect").await["status"], "drift", "another one is missing beside it");
    assert_eq!(phase(&sim, "verify").await["status"], "pending");
    let stage = |kb: &str| sim.server.machine().state().updates.list.iter().find(|u| u.kb == kb).unwrap().stage;
    assert_eq!((stage("KB5034441"), stage("KB5034442")), (Stage::Staged, Stage::Missing));

    sim.drift(Drift::Reboot {});
    assert_eq!(stage("KB5034441"), Stage::Installed);
    assert_eq!(phase(&sim, "remediate").await["status"], "compliant");
    assert_eq!(phase(&sim, "verify").await["status"], "compliant");
}

#[tokio::test(flavor = "multi_thread")]
async fn each_mark_of_a_reboot_is_seen_and_pending_file_renames_are_only_reported() {
    for (mark, status) in [
        (RebootMark::ComponentServicing, "pending"),
        (RebootMark::WindowsUpdate, "pending"),
        (RebootMark::FileRenames, "compliant"),
    ] {
        let sim = Sim::start(Profile::Member).await;
        sim.drift(Drift::RebootPending { mark, pending: true });
        let result = phase(&sim, "detect").await;
        assert_eq!(result["status"], status, "{result}");
        assert_eq!(result["observed"]["reboot_pending"], status == "pending");
        assert_eq!(result["observed"]["file_renames_pending"], mark == RebootMark::FileRenames);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_update_that_fails_is_named_with_its_error_and_the_others_are_installed() {
    let sim = Sim::start(Profile::Member).await;
    offer(&sim, Update { install_error: Some(FATAL), ..update("KB5034441") });
    offer(&sim, Update { download_error: Some(NAME_NOT_RESOLVED), ..update("KB5034443") });
    let failed = phase(&sim, "remediate").await;
    assert_eq!((&failed["status"], &failed["changed"]), (&json!("drift"), &json!(false)), "{failed}");
    assert_eq!(failed["observed"]["last_install_result"], "failed");
    assert!(reasons(&failed).contains("(KB5034441): installation failed with 0x80070643"), "{failed}");
    assert!(reasons(&failed).contains("(KB5034443): download failed with 0x8024402C"), "{failed}");
    offer(&sim, update("KB5034442"));
    let partly = phase(&sim, "remediate").await;
    assert_eq!((&partly["status"], &partly["changed"]), (&json!("drift"), &json!(true)), "{partly}");
    assert_eq!(partly["observed"]["last_install_result"], "partly");
    let verified = phase(&sim, "verify").await;
    assert_eq!((&verified["status"], &verified["observed"]["missing"]), (&json!("drift"), &json!(2)));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_installation_that_takes_long_is_pending_and_no_second_one_is_started() {
    let sim = Sim::start(Profile::Member).await;
    offer(&sim, Update { install_seconds: 4, ..update("KB5034441") });
    let begun = sim.phase(PATCH, "remediate", &json!({"wait_minutes": "0"})).await;
    assert_eq!((&begun["status"], &begun["changed"]), (&json!("pending"), &json!(true)), "{begun}");
    for name in ["remediate", "verify", "detect"] {
        let result = sim.phase(PATCH, name, &json!({"wait_minutes": "0"})).await;
        assert_eq!((&result["status"], &result["changed"]), (&json!("pending"), &json!(false)), "{result}");
        assert_eq!(result["observed"]["last_install_result"], "running");
    }
    let starts = |sim: &Sim| {
        let changes = sim.script_changes();
        changes.iter().filter(|e| e.property == "running" && e.to == "true").count()
    };
    assert_eq!(starts(&sim), 1);
    let verified = loop {
        let result = phase(&sim, "verify").await;
        if result["status"] != "pending" {
            break result;
        }
        tokio::time::sleep(std::time::Duration::from_millis(300)).await;
    };
    assert_eq!(
        (&verified["status"], &verified["observed"]["last_install_result"]),
        (&json!("compliant"), &json!("succeeded"))
    );
    assert_eq!(starts(&sim), 1);
    assert!(left_behind(&sim).0.is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reboot_amid_an_installation_is_noticed_and_the_next_run_begins_anew() {
    let sim = Sim::start(Profile::Member).await;
    offer(&sim, Update { install_seconds: 30, ..update("KB5034441") });
    sim.phase(PATCH, "remediate", &json!({"wait_minutes": "0"})).await;
    sim.drift(Drift::Reboot {});
    let after = phase(&sim, "verify").await;
    assert_eq!(
        (&after["status"], &after["observed"]["last_install_result"]),
        (&json!("drift"), &json!("interrupted")),
        "{after}"
    );
    offer(&sim, update("KB5034441"));
    let healed = phase(&sim, "remediate").await;
    assert_eq!((&healed["status"], &healed["changed"]), (&json!("compliant"), &json!(true)), "{healed}");
    assert!(left_behind(&sim).0.is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn optional_updates_and_those_that_ask_questions_are_left_to_a_person() {
    let sim = Sim::start(Profile::Member).await;
    offer(&sim, Update { optional: true, ..update("KB5034440") });
    let preview = phase(&sim, "detect").await;
    assert_eq!(
        (&preview["status"], &preview["observed"]["optional_missing"]),
        (&json!("compliant"), &json!(1)),
        "{preview}"
    );
    offer(&sim, Update { asks_user: true, ..update("KB5034441") });
    let result = phase(&sim, "remediate").await;
    assert_eq!((&result["status"], &result["changed"]), (&json!("drift"), &json!(false)), "{result}");
    assert!(reasons(&result).contains("asks questions"), "{result}");
    assert!(update_changes(&sim).is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn at_most_twenty_updates_are_listed_the_critical_ones_first() {
    let sim = Sim::start(Profile::Member).await;
    for n in 0..25 {
        let severity = (n >= 23).then_some(Severity::Critical);
        offer(&sim, Update { severity, ..update(&format!("KB60000{n:02}")) });
    }
    let result = phase(&sim, "detect").await;
    assert_eq!((&result["observed"]["missing"], &result["observed"]["critical_missing"]), (&json!(25), &json!(2)));
    let listed = result["observed"]["updates"].as_array().unwrap();
    assert_eq!(listed.len(), 20);
    assert!(listed[..2].iter().all(|u| u["severity"] == "Critical"), "{result}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wait_that_is_not_on_the_list_is_refused() {
    let sim = Sim::start(Profile::Member).await;
    let result = sim.phase(PATCH, "remediate", &json!({"wait_minutes": "7"})).await;
    assert_eq!(result["status"], "error");
    assert!(reasons(&result).contains("wait_minutes"), "{result}");
}
