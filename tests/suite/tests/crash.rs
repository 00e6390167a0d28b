//! The agent is killed in the middle of its work, a hundred times, and Central Command now and then.
#![allow(clippy::unwrap_used, clippy::panic)]

use msp_lab::Progress;
use msp_lab::crash::{self, Moment, Rounds};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn killed_a_hundred_times_at_any_moment_every_drift_is_healed_once_and_no_evidence_is_lost() {
    let mut clinic = crash::clinic(None).unwrap();
    clinic.open(Progress).await.unwrap();
    let asked = Rounds { rounds: 100, seed: crash::any_seed().unwrap() };
    let summary = crash::run(&mut clinic, asked, Progress).await;
    let words = clinic.last_words();
    clinic.close().await;
    let summary = summary.unwrap_or_else(|error| panic!("{error:#}\n{words}"));
    Progress.say(&summary.to_string());
    // Aimed at each stretch of the way, so many kills cannot all miss a heal or what is owed after one.
    for moment in [Moment::InHeal, Moment::Owed] {
        assert!(summary.moments.contains_key(&moment), "never killed {moment}: {summary}");
    }
}
