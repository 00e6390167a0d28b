//! The agent is killed in the middle of its work, again and again.
#![allow(clippy::unwrap_used, clippy::expect_used)]

use msp_lab::Progress;
use msp_lab::clinic::Clinic;
use msp_lab::drift::{Drift, Server};
use msp_suite::agent::{json, wait};
use std::time::Duration;

/// What drifts: on the member server (true) or the domain controller. Each once: a cooldown keeps the agent from the
/// same thing for minutes.
const DRIFTS: [(bool, Drift); 8] = [
    (false, Drift::ServiceStopped("DNS")),
    (true, Drift::FirewallProfileOff("Public")),
    (false, Drift::ServiceStopped("Netlogon")),
    (false, Drift::FirewallProfileOff("Domain")),
    (true, Drift::ServiceStopped("W32Time")),
    (false, Drift::ServiceStopped("Kdc")),
    (true, Drift::ServiceStopped("EventLog")),
    (false, Drift::ServiceStopped("W32Time")),
];

fn server(clinic: &Clinic, member: bool) -> &Server {
    let server = if member { &clinic.member } else { &clinic.controller };
    server.as_ref().unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn killed_at_any_moment_the_agent_heals_nothing_twice_and_loses_no_evidence() {
    let mut clinic = Clinic::prepare(None).unwrap();
    clinic.open(Progress).await.unwrap();
    wait(&mut clinic, "both servers were looked at", |known| known.outbox.pending == 0 && !known.incidents.is_empty())
        .await
        .unwrap();
    for (round, (member, drift)) in DRIFTS.into_iter().enumerate() {
        server(&clinic, member).inject(drift).await.unwrap();
        // A round of checks begins every second and a heal takes some 50 ms: the delays walk through both.
        tokio::time::sleep(Duration::from_millis(80 + 137 * u64::try_from(round).unwrap())).await;
        clinic.kill_agent().await;
        clinic.start_agent().unwrap();
    }
    // Every drift is healed by now, or its intent is open: then it is only looked at until the phase that may still
    // run on the server has passed its time, which is longer than this test waits.
    tokio::time::sleep(Duration::from_secs(6)).await;
    let known = wait(&mut clinic, "everything has arrived", |known| known.outbox.pending == 0).await.unwrap();
    assert_eq!(known.outbox.rejected, 0, "{}", clinic.last_words());

    let mut healed = 0;
    for (member, drift) in DRIFTS {
        let server = server(&clinic, member);
        let changes = server.ledger().await.unwrap().iter().filter(|change| drift.is_about(change)).count();
        assert!(changes <= 1, "{}: {} was mended {changes} times", server.hostname, drift.words());
        let (check, subject) = drift.check();
        let of: Vec<_> = known
            .incidents
            .iter()
            .filter(|one| {
                one.host_id == server.winrm.ip().to_string() && one.check == check && one.subject.as_deref() == subject
            })
            .collect();
        assert_eq!(of.len(), 1, "{}: one incident of {}: {of:#?}", server.hostname, drift.words());
        if changes == 1 {
            healed += 1;
            assert_eq!(of[0].state, "resolved", "{}: {:#?}\n{}", server.hostname, of[0], clinic.last_words());
        } else {
            assert_eq!(of[0].state, "open", "{}: {:#?}", server.hostname, of[0]);
        }
    }
    assert!(healed >= 4, "only {healed} of {} were healed", DRIFTS.len());
    let (code, verified) = json(&["evidence", "verify", "--json", "--config", &clinic.config()]).unwrap();
    assert_eq!(code, Some(0), "{verified:#}");
    assert_eq!(verified["receipts"], verified["count"], "every bundle has arrived: {verified:#}");
    clinic.close().await;
}
