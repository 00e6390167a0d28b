//! The peace after everything that can go wrong has: the clinic's clocks jump past whatever is held back, nobody is
//! waited for who does not move any more, and what has come out right is looked at while the agent stands still.

use crate::clinic::Clinic;
use crate::watch::{self, Known, Verified};
use jiff::{SignedDuration, Timestamp};
use msp_contracts::rehearsal::RehearsedTime;
use std::time::{Duration, Instant};

/// This moment, in real time.
#[allow(clippy::disallowed_methods, reason = "the lab times the agent from outside, in real time")]
pub fn now() -> Instant {
    Instant::now()
}

/// How far the clocks of agent and Central Command are ahead.
#[derive(Debug, Default)]
pub struct Ahead(SignedDuration);

impl Ahead {
    /// So much time passes while both are down.
    pub async fn jump(&mut self, clinic: &mut Clinic, by: SignedDuration) -> anyhow::Result<()> {
        clinic.kill_agent().await;
        clinic.kill_central().await;
        self.0 += by;
        #[allow(clippy::disallowed_methods, reason = "the lab says where the rehearsed time begins")]
        let real = Timestamp::now();
        clinic.rehearse(RehearsedTime { real, rehearsed: real.saturating_add(self.0)?, rate: 1.0 });
        clinic.start_central().await?;
        clinic.start_agent()
    }
}

/// Something that is expected to move: how fast is the machine's affair.
#[derive(Debug)]
pub struct Moving<T> {
    at: Option<T>,
    since: Instant,
}

impl<T: PartialEq> Moving<T> {
    /// Begins to watch.
    pub fn begin() -> Self {
        Self { at: None, since: now() }
    }

    /// How long it has not moved, when it is `at` this now.
    pub fn still_for(&mut self, at: T) -> Duration {
        let at = Some(at);
        if self.at != at {
            *self = Self { at, since: now() };
        }
        self.since.elapsed()
    }
}

/// Ends the agent for good when nothing is owed then; what it did last may be owed still, and then it goes on.
pub async fn stand_still(clinic: &mut Clinic) -> anyhow::Result<Option<Known>> {
    clinic.kill_agent().await;
    let known = watch::incidents(clinic).await?;
    if known.outbox.pending == 0 {
        return Ok(Some(known));
    }
    clinic.start_agent()?;
    Ok(None)
}

/// The agent's evidence, and everything that is wrong with it or with what Central Command holds: all of it, each once.
pub async fn account(clinic: &Clinic, known: &Known) -> anyhow::Result<(Verified, Vec<String>)> {
    let verified = watch::verify(clinic).await?;
    let problems = verified.problems.iter().map(|one| format!("evidence {}: {}", one.bundle, one.problem));
    let mut wrong: Vec<_> = problems.collect();
    if !verified.ok || verified.receipts != verified.count {
        wrong.push(format!("of {} bundles {} arrived, or their chain is broken", verified.count, verified.receipts));
    }
    let incidents: Vec<_> = known.incidents.iter().map(|one| one.incident_id.clone()).collect();
    for (what, id) in [("evidence", "bundle_id"), ("incidents", "incident_id"), ("executions", "execution_id")] {
        let held = watch::held_at_central(clinic, what, id).await?;
        let twice = held.iter().filter(|(_, times)| **times != 1);
        wrong.extend(twice.map(|(id, times)| format!("Central Command holds {id} of {what} {times} times")));
        if what == "evidence" && held.len() as u64 != verified.count {
            wrong.push(format!("Central Command holds {} of {} bundles", held.len(), verified.count));
        }
        let untold = incidents.iter().filter(|id| what == "incidents" && !held.contains_key(*id));
        wrong.extend(untold.map(|id| format!("Central Command was never told of {id}")));
    }
    Ok((verified, wrong))
}
