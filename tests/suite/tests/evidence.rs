//! Evidence of a clinic that ran, in the hands of somebody who would like it to say something else.
#![allow(clippy::unwrap_used, clippy::expect_used)]

use base64::Engine;
use base64::engine::general_purpose::STANDARD as BASE64;
use msp_contracts::dsse::Envelope;
use msp_lab::Progress;
use msp_lab::clinic::Clinic;
use msp_lab::drift::Drift;
use msp_lab::watch;
use msp_suite::agent::{healed, json, run, wait};
use rusqlite::Connection;
use std::path::PathBuf;
use std::process::Command;

/// A clinic after a heal, its agent stopped, and a way to begin again from that state.
struct Proved {
    clinic: Clinic,
    state: PathBuf,
    whole: Vec<u8>,
}

impl Proved {
    async fn new() -> Self {
        let mut clinic = Clinic::prepare(None).unwrap();
        clinic.open(Progress).await.unwrap();
        let member = clinic.member.as_ref().unwrap();
        let ip = member.winrm.ip().to_string();
        wait(&mut clinic, "the first checks are proved", |known| {
            known.outbox.pending == 0 && !known.incidents.is_empty()
        })
        .await
        .unwrap();
        clinic.member.as_ref().unwrap().inject(Drift::FirewallProfileOff("Private")).await.unwrap();
        wait(&mut clinic, "the firewall is healed and its proof has arrived", |known| {
            healed(known, &ip, "firewall", None) && known.outbox.pending == 0
        })
        .await
        .unwrap();
        // A check that changes its mind in the last moment leaves one more bundle: then everything has to arrive again.
        clinic.stop_agent().await;
        while watch::incidents(&clinic).await.unwrap().outbox.pending > 0 {
            clinic.start_agent().unwrap();
            wait(&mut clinic, "the last bundle has arrived", |known| known.outbox.pending == 0).await.unwrap();
            clinic.stop_agent().await;
        }
        clinic.close().await;
        let state = clinic.path().join("agent/state/agent.db");
        let db = Connection::open(&state).unwrap();
        db.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(())).unwrap();
        db.pragma_update(None, "journal_mode", "DELETE").unwrap();
        drop(db);
        let whole = std::fs::read(&state).unwrap();
        Self { clinic, state, whole }
    }

    /// Begins again from the whole state, and lets `change` have its way with it.
    fn after(&self, change: impl FnOnce(&Connection)) -> (Option<i32>, Vec<(String, String)>) {
        std::fs::write(&self.state, &self.whole).unwrap();
        change(&Connection::open(&self.state).unwrap());
        let (code, report) = json(&["evidence", "verify", "--json", "--config", &self.clinic.config()]).unwrap();
        let problems = report["problems"].as_array().unwrap().iter();
        let text = |value: &serde_json::Value| value.as_str().unwrap().to_owned();
        (code, problems.map(|one| (text(&one["bundle"]), text(&one["problem"]))).collect())
    }

    /// After `change`, verifying must fail and name `bundle`.
    #[track_caller]
    fn found(&self, what: &str, bundle: &str, change: impl FnOnce(&Connection)) {
        let (code, problems) = self.after(change);
        assert_eq!(code, Some(1), "{what}: nobody noticed");
        assert!(problems.iter().any(|(named, _)| named == bundle), "{what}: {bundle} is not named in {problems:?}");
    }
}

fn bundles(db: &Connection) -> Vec<(i64, String, Vec<u8>)> {
    let mut statement = db.prepare("SELECT sequence, bundle_id, envelope FROM evidence ORDER BY sequence").unwrap();
    statement.query_map([], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?))).unwrap().map(Result::unwrap).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_changed_byte_a_removed_bundle_and_a_cut_tail_are_each_found_and_named() {
    let proved = Proved::new().await;
    assert_eq!(proved.after(|_| {}), (Some(0), vec![]), "untouched, all of it holds");
    let all = bundles(&Connection::open(&proved.state).unwrap());
    assert!(all.len() >= 5, "{}", all.len());

    for (sequence, id, envelope) in &all {
        for position in [0, envelope.len() / 3, envelope.len() / 2, envelope.len() - 10, envelope.len() - 1] {
            let mut changed = envelope.clone();
            changed[position] ^= 1;
            proved.found(&format!("{id} byte {position}"), id, |db| {
                db.execute("UPDATE evidence SET envelope = ?1 WHERE sequence = ?2", (changed, sequence)).unwrap();
            });
        }
        proved.found(&format!("{id} removed"), id, |db| {
            db.execute("DELETE FROM evidence WHERE sequence = ?1", [sequence]).unwrap();
        });
        proved.found(&format!("cut from {id} on"), id, |db| {
            db.execute("DELETE FROM evidence WHERE sequence >= ?1", [sequence]).unwrap();
        });
        proved.found(&format!("cut from {id} on, with head and receipts"), id, |db| {
            db.execute("DELETE FROM evidence WHERE sequence >= ?1", [sequence]).unwrap();
            db.execute("DELETE FROM chain_head", []).unwrap();
        });
        proved.found(&format!("{id} dated back"), id, |db| {
            db.execute("UPDATE evidence SET completed_at = '2020-01-01T00:00:00Z' WHERE sequence = ?1", [sequence])
                .unwrap();
        });
    }
    let (_, first, envelope) = &all[0];
    let (_, second, other) = &all[1];
    proved.found("two bundles swapped", first, |db| {
        db.execute("UPDATE evidence SET envelope = ?1 WHERE sequence = 1", [other]).unwrap();
        db.execute("UPDATE evidence SET envelope = ?1 WHERE sequence = 2", [envelope]).unwrap();
    });
    proved.found("a bundle signed with another key", second, |db| {
        let payload = Envelope::from_bytes(other).unwrap().unverified_payload().unwrap();
        let stranger = msp_contracts::keys::from_seed([7; 32]);
        let forged = Envelope::sign("application/vnd.msp.evidence.v1+json", &payload, &stranger).to_bytes().unwrap();
        db.execute("UPDATE evidence SET envelope = ?1 WHERE sequence = 2", [forged]).unwrap();
    });
    let (code, problems) = proved.after(|db| {
        db.execute("DELETE FROM evidence", []).unwrap();
        db.execute("DELETE FROM chain_head", []).unwrap();
    });
    assert_eq!(code, Some(1), "Central Command's receipts remember");
    for (_, id, _) in &all {
        assert_eq!(problems.iter().filter(|(named, _)| named == id).count(), 1, "{id} in {problems:?}");
    }
    let (code, problems) = proved.after(|db| {
        db.execute_batch("DELETE FROM evidence; DELETE FROM chain_head; DELETE FROM receipts").unwrap();
    });
    assert_eq!(code, Some(1), "the checks that were made remember");
    assert!(problems.iter().any(|(named, _)| named == "the whole chain"), "{problems:?}");
    let (code, problems) = proved.after(|db| {
        db.execute("UPDATE evidence SET sequence = 9000000000000000000 WHERE sequence = 2", []).unwrap();
    });
    assert_eq!(code, Some(1));
    assert!(problems.len() < 300 && problems.iter().any(|(named, _)| named == second), "{problems:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn another_program_verifies_a_bundle_with_the_public_key_alone() {
    if Command::new("openssl").arg("version").output().is_err() {
        return msp_suite::skip(
            "another_program_verifies_a_bundle_with_the_public_key_alone",
            "openssl is not installed",
        );
    }
    let proved = Proved::new().await;
    let config = proved.clinic.config();
    let (_, listed) = json(&["evidence", "list", "--json", "--config", &config]).unwrap();
    let heal = listed["evidence"].as_array().unwrap().iter().find(|one| one["kind"] == "heal").expect("a heal");
    let id = heal["bundle_id"].as_str().unwrap();
    // The rule that decided is the one that `rules explain` names for this very bundle.
    let file = proved.clinic.path().join("bundle.json");
    std::fs::write(&file, run(&["evidence", "show", id, "--config", &config]).unwrap().stdout).unwrap();
    let (_, explained) = json(&["rules", "explain", &file.display().to_string(), "--json"]).unwrap();
    assert_eq!(explained["winner"], "L1-WIN-FIREWALL-001", "{explained:#}");

    let shown = run(&["evidence", "show", id, "--envelope", "--config", &config]).unwrap();
    let envelope: serde_json::Value = serde_json::from_slice(&shown.stdout).unwrap();
    let decode = |value: &serde_json::Value| BASE64.decode(value.as_str().unwrap()).unwrap();
    let (payload, signature) = (decode(&envelope["payload"]), decode(&envelope["signatures"][0]["sig"]));
    let kind = envelope["payloadType"].as_str().unwrap();
    // DSSE's pre-authentication encoding, written here a second time on purpose.
    let message = [format!("DSSEv1 {} {kind} {} ", kind.len(), payload.len()).as_bytes(), &payload].concat();

    let folder = tempfile::tempdir().unwrap();
    let file = |name: &str| folder.path().join(name).display().to_string();
    std::fs::write(file("message"), &message).unwrap();
    std::fs::write(file("signature"), &signature).unwrap();
    let key = proved.clinic.path().join("agent/signing.pem").display().to_string();
    let openssl = |args: &[&str]| Command::new("openssl").args(args).output().unwrap();
    assert!(openssl(&["pkey", "-in", &key, "-pubout", "-out", &file("public.pem")]).status.success());
    let verify = || {
        let public = file("public.pem");
        openssl(&[
            "pkeyutl",
            "-verify",
            "-pubin",
            "-inkey",
            &public,
            "-rawin",
            "-in",
            &file("message"),
            "-sigfile",
            &file("signature"),
        ])
    };
    let said = verify();
    assert!(said.status.success(), "{}", String::from_utf8_lossy(&said.stderr));
    std::fs::write(file("message"), [&message[..], b" "].concat()).unwrap();
    assert!(!verify().status.success(), "one more byte");
}
