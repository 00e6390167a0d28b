//! The disk of the agent's state fills up: a real one, a small tmpfs in a mount namespace of the test's own.
//!
//! The test starts itself again inside `unshare --mount`, so that nothing it mounts is seen by anybody else, or
//! stays. SQLite lengthens the log's index by writing to the file, not through its mapping: a disk without room is
//! an error there, and no signal.
#![allow(clippy::unwrap_used, clippy::expect_used)]

use msp_lab::Progress;
use msp_lab::clinic::{Clinic, SITE};
use msp_lab::drift::Drift;
use msp_lab::process::succeed;
use msp_lab::watch::Known;
use msp_suite::agent::{healed, json, run, wait};
use serde_json::Value;
use std::io::Write;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

/// Set inside the namespace.
const INSIDE: &str = "MSP_TEST_OWN_MOUNTS";

/// Whether the test runs in mounts of its own; from outside it is started there, or skipped, and this says no.
fn in_own_mounts(name: &str) -> bool {
    if std::env::var_os(INSIDE).is_some() {
        return true;
    }
    let own = ["--mount", "--propagation", "private"];
    if !Command::new("unshare").args(own).arg("true").status().is_ok_and(|status| status.success()) {
        msp_suite::skip(name, "no mount namespace can be made here: that takes unshare(1) and root");
        return false;
    }
    let itself = std::env::current_exe().unwrap();
    let mut inside = Command::new("unshare");
    inside.args(own).arg(itself).args(["--exact", name, "--nocapture"]).env(INSIDE, "1");
    assert!(inside.status().unwrap().success(), "failed in its own mounts, see above");
    false
}

fn mount(words: &[&str], on: &Path) {
    assert!(Command::new("mount").args(words).arg(on).status().unwrap().success(), "mount {words:?}");
}

/// Writes until there is not a byte left, and nothing of the reserve that the agent gives up either.
fn fill(disk: &Path) {
    let mut file = std::fs::File::options().create(true).append(true).open(disk.join("somebody-elses-log")).unwrap();
    for size in [64 * 1024, 4096, 1] {
        while file.write_all(&vec![b'x'; size]).is_ok() {}
    }
}

async fn tickets(clinic: &Clinic) -> Vec<Value> {
    let dir = clinic.central_dir();
    let printed =
        succeed("msp-central", &["list", "escalations", "--dir", &dir, "--site", SITE, "--json"]).await.unwrap();
    serde_json::from_slice(&printed).unwrap()
}

#[tokio::test]
async fn on_a_full_disk_no_heal_begins_what_is_owed_is_kept_and_with_room_everything_goes_on() {
    if !in_own_mounts("on_a_full_disk_no_heal_begins_what_is_owed_is_kept_and_with_room_everything_goes_on") {
        return;
    }
    let mut clinic = Clinic::prepare(None).unwrap().with_settings("host_check_interval: 1\n");
    let disk = clinic.path().join("agent/state");
    std::fs::create_dir_all(&disk).unwrap();
    mount(&["-t", "tmpfs", "-o", "size=6m", "tmpfs"], &disk);
    clinic.open(Progress).await.unwrap();
    let arrived = |known: &Known| known.outbox.pending == 0 && !known.incidents.is_empty();
    wait(&mut clinic, "everything has arrived", arrived).await.unwrap();

    // Evidence is owed when the disk fills, and while it is full something drifts.
    clinic.stop_central().await;
    let server = clinic.controller.as_ref().unwrap();
    let ip = server.winrm.ip().to_string();
    server.inject(Drift::ServiceStopped("Netlogon")).await.unwrap();
    wait(&mut clinic, "it is healed", |known| healed(known, &ip, "services", Some("Netlogon"))).await.unwrap();
    // The first time the agent still has its log to give up, which is more than it needs.
    fill(&disk);
    tokio::time::sleep(Duration::from_secs(3)).await;
    let log_before = clinic.agent_log().len();
    fill(&disk);
    for _ in 0..100 {
        if clinic.agent_log()[log_before..].contains("the disk is full") {
            break;
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    clinic.controller.as_ref().unwrap().inject(Drift::ServiceStopped("DNS")).await.unwrap();
    tokio::time::sleep(Duration::from_secs(6)).await;
    let said = clinic.agent_log()[log_before..].to_owned();
    assert_eq!(said.matches("the disk is full").count(), 1, "said once, not with every round: {said}");
    assert!(!said.contains("healing incident_id"), "{said}");
    let ledger = clinic.controller.as_ref().unwrap().ledger().await.unwrap();
    assert!(!ledger.iter().any(|change| Drift::ServiceStopped("DNS").is_about(change)), "{ledger:?}");
    assert!(clinic.dead().is_none(), "it works on: {}", clinic.last_words());

    // What was owed arrives, and so does the word that the disk is full: the reserve has room for it.
    clinic.start_central().await.unwrap();
    let full = |known: &Known| {
        known.outbox.pending == 0 && known.incidents.iter().any(|one| one.check == "disk" && one.state == "escalated")
    };
    wait(&mut clinic, "a person is told, and everything owed has arrived", full).await.unwrap();
    let point = disk.display().to_string();
    let told = tickets(&clinic).await;
    assert!(
        told.iter().any(|one| one["finding"]["check_type"] == "disk" && one.to_string().contains(&point)),
        "{told:#?}"
    );
    let (code, verified) = json(&["evidence", "verify", "--json", "--config", &clinic.config()]).unwrap();
    assert_eq!((code, &verified["receipts"]), (Some(0), &verified["count"]), "{verified:#}");

    // Also the reserve can be eaten by somebody else: then nothing is stored any more, and nothing is torn.
    fill(&disk);
    tokio::time::sleep(Duration::from_secs(3)).await;
    assert!(clinic.dead().is_none(), "it works on: {}", clinic.last_words());
    clinic.kill_agent().await;
    clinic.start_agent().unwrap();
    tokio::time::sleep(Duration::from_secs(2)).await;

    // There is room again: DNS is healed, once, and everything is proved.
    std::fs::remove_file(disk.join("somebody-elses-log")).unwrap();
    if clinic.dead().is_some() {
        // On a disk without a byte it cannot start: the service manager tries again.
        clinic.start_agent().unwrap();
    }
    let done = |known: &Known| healed(known, &ip, "services", Some("DNS")) && known.outbox.pending == 0;
    wait(&mut clinic, "DNS is healed", done).await.unwrap();
    let ledger = clinic.controller.as_ref().unwrap().ledger().await.unwrap();
    assert_eq!(ledger.iter().filter(|change| Drift::ServiceStopped("DNS").is_about(change)).count(), 1);
    let (code, verified) = json(&["evidence", "verify", "--json", "--config", &clinic.config()]).unwrap();
    assert_eq!(code, Some(0), "{verified:#}");
    clinic.close().await;
}

#[tokio::test]
async fn a_state_that_may_only_be_read_stops_the_start_and_is_not_taken_for_damaged() {
    if !in_own_mounts("a_state_that_may_only_be_read_stops_the_start_and_is_not_taken_for_damaged") {
        return;
    }
    let mut clinic = Clinic::prepare(None).unwrap();
    clinic.open(Progress).await.unwrap();
    wait(&mut clinic, "it works", |known| !known.incidents.is_empty()).await.unwrap();
    clinic.stop_agent().await;
    let state = clinic.path().join("agent/state/agent.db");
    mount(&["--bind", &state.display().to_string()], &state);
    mount(&["-o", "remount,bind,ro"], &state);
    let refused = run(&["run", "--config", &clinic.config()]).unwrap();
    let said = String::from_utf8_lossy(&refused.stderr).into_owned();
    assert_eq!(refused.status.code(), Some(2), "{said}");
    assert!(said.contains("may only be read"), "{said}");
    let kept = std::fs::read_dir(clinic.path().join("agent/state")).unwrap();
    let kept: Vec<_> = kept.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    assert!(!kept.iter().any(|name| name.contains("damaged")), "{kept:?}");
    clinic.close().await;
}
