//! The agent's state is damaged: it goes on with a new one, a person is told which file to look at, and what can be
//! read of the old one is shown.
#![allow(clippy::unwrap_used, clippy::panic)]

use msp_lab::Progress;
use msp_lab::clinic::{Clinic, SITE};
use msp_lab::drift::Drift;
use msp_lab::process::succeed;
use msp_suite::agent::{healed, json, run, wait};
use serde_json::Value;
use std::path::PathBuf;

/// What was set aside in the agent's folder.
fn aside(clinic: &Clinic) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(clinic.path().join("agent/state")).unwrap().map(|entry| entry.unwrap().path());
    let database = |path: &PathBuf| {
        let name = path.display().to_string();
        name.contains("agent.db.damaged-") && !name.ends_with("-wal") && !name.ends_with("-shm")
    };
    let mut found: Vec<_> = entries.filter(database).collect();
    found.sort();
    found
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_damaged_state_is_set_aside_a_person_is_told_and_work_goes_on_with_a_new_chain() {
    let mut clinic = Clinic::prepare(None).unwrap().with_settings("host_check_interval: 1\n");
    clinic.open(Progress).await.unwrap();
    let arrived = |known: &msp_lab::watch::Known| known.outbox.pending == 0 && !known.incidents.is_empty();
    wait(&mut clinic, "everything has arrived", arrived).await.unwrap();
    clinic.stop_agent().await;
    let (_, before) = json(&["evidence", "verify", "--json", "--config", &clinic.config()]).unwrap();

    // The first page of the evidence is overwritten, as a dying disk does it.
    let state = clinic.path().join("agent/state/agent.db");
    let db = rusqlite::Connection::open(&state).unwrap();
    let page =
        db.query_row("SELECT rootpage FROM sqlite_schema WHERE name = 'evidence'", [], |row| row.get::<_, u32>(0));
    let page = usize::try_from(page.unwrap()).unwrap();
    drop(db);
    let mut damaged = std::fs::read(&state).unwrap();
    damaged[(page - 1) * 4096..page * 4096].fill(0xa5);
    std::fs::write(&state, &damaged).unwrap();
    // The command line only reads: it refuses, in words.
    let listed = run(&["evidence", "list", "--config", &clinic.config()]).unwrap();
    assert_eq!(listed.status.code(), Some(2), "{}", String::from_utf8_lossy(&listed.stdout));
    assert_eq!(std::fs::read(&state).unwrap(), damaged);

    clinic.start_agent().unwrap();
    let config = clinic.config();
    let told = |known: &msp_lab::watch::Known| {
        known.incidents.iter().any(|one| one.check == "agent_state" && one.state == "escalated")
            && known.outbox.pending == 0
    };
    wait(&mut clinic, "a person is told", told).await.unwrap();
    let [file] = &aside(&clinic)[..] else { panic!("{:?}", aside(&clinic)) };
    let name = file.display().to_string();
    assert_eq!(std::fs::read(file).unwrap(), damaged, "not a byte of it is changed");
    assert!(clinic.agent_log().contains("THE AGENT'S STATE WAS DAMAGED"), "{}", clinic.agent_log());
    assert!(clinic.agent_log().contains(&name));
    let dir = clinic.central_dir();
    let printed =
        succeed("msp-central", &["list", "escalations", "--dir", &dir, "--site", SITE, "--json"]).await.unwrap();
    let tickets: Vec<Value> = serde_json::from_slice(&printed).unwrap();
    let ticket = tickets.iter().find(|ticket| ticket["finding"]["check_type"] == "agent_state").unwrap();
    assert!(ticket["finding"]["diff"][0].as_str().unwrap().contains(&name), "{ticket:#}");

    // What can be read of it is shown, what cannot is named, and the file stays as it is.
    let (code, read) = json(&["evidence", "verify", "--json", "--config", &config, "--state", &name]).unwrap();
    assert_eq!((code, &read["ok"]), (Some(1), &Value::Bool(false)), "{read:#}");
    assert_eq!(read["chain"], before["chain"], "{read:#}");
    let queue = run(&["queue", "list", "--config", &config, "--state", &name]).unwrap();
    assert!(matches!(queue.status.code(), Some(0 | 2)));
    assert_eq!(std::fs::read(file).unwrap(), damaged);
    assert_eq!(aside(&clinic).len(), 1, "nothing is left beside it");

    // The new chain is whole, heals go on, and Central Command holds both chains.
    let server = clinic.controller.as_ref().unwrap();
    let ip = server.winrm.ip().to_string();
    server.inject(Drift::ServiceStopped("DNS")).await.unwrap();
    wait(&mut clinic, "DNS is healed", |known| {
        healed(known, &ip, "services", Some("DNS")) && known.outbox.pending == 0
    })
    .await
    .unwrap();
    let (code, after) = json(&["evidence", "verify", "--json", "--config", &config]).unwrap();
    assert_eq!(code, Some(0), "{after:#}");
    assert_ne!(after["chain"], before["chain"]);

    // A person takes the file away: the incident is over.
    std::fs::rename(file, clinic.path().join("looked-at.db")).unwrap();
    let over = |known: &msp_lab::watch::Known| {
        known.incidents.iter().any(|one| one.check == "agent_state" && one.state == "resolved")
    };
    wait(&mut clinic, "the incident is over", over).await.unwrap();
    clinic.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whatever_is_no_damage_stops_the_start_with_words_and_nothing_is_moved() {
    let mut clinic = Clinic::prepare(None).unwrap();
    clinic.open(Progress).await.unwrap();
    wait(&mut clinic, "it works", |known| !known.incidents.is_empty()).await.unwrap();
    clinic.stop_agent().await;
    let state = clinic.path().join("agent/state/agent.db");
    let db = rusqlite::Connection::open(&state).unwrap();
    db.pragma_update(None, "user_version", 99).unwrap();
    drop(db);
    let config = clinic.config();
    let newer = run(&["run", "--config", &config]).unwrap();
    let said = String::from_utf8_lossy(&newer.stderr).into_owned();
    assert_eq!(newer.status.code(), Some(2), "{said}");
    assert!(said.contains("written by a newer version"), "{said}");
    assert!(state.is_file() && aside(&clinic).is_empty());

    std::fs::rename(&state, clinic.path().join("newer.db")).unwrap();
    std::fs::create_dir(&state).unwrap();
    let folder = run(&["run", "--config", &config]).unwrap();
    let said = String::from_utf8_lossy(&folder.stderr).into_owned();
    assert_eq!(folder.status.code(), Some(2), "{said}");
    assert!(said.contains("this is no file"), "{said}");
    assert!(state.is_dir() && aside(&clinic).is_empty());
    clinic.close().await;
}
