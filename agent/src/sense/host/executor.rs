//! The root executor's refusals: it refuses nothing that the daemon asks for knowingly, so each was somebody else's
//! request, or that of a daemon that is not what it should be. Only the daemon makes this check.

use super::Machine;
use crate::model::{CheckKind, Observation};
use crate::sense::check::{Check, Observing};
use msp_agent_act::{protocol, refusals};
use msp_contracts::finding::Severity;
use serde_json::json;
use std::collections::BTreeSet;
use std::io::ErrorKind;
use std::sync::Arc;

/// So long a refusal counts, in seconds.
const REMEMBERED: i64 = 24 * 3600;
/// More lines say nothing new.
const MOST_LINES: usize = 10;

/// The check.
pub struct Executor {
    pub machine: Arc<Machine>,
}

/// Whether this machine has an executor.
pub fn is_there(machine: &Machine) -> bool {
    machine.files.exists(protocol::SOCKET).unwrap_or(false)
}

impl Check for Executor {
    fn kind(&self) -> CheckKind {
        CheckKind::Executor
    }

    fn observe(&self) -> Observing<'_> {
        Box::pin(async { self.look() })
    }
}

impl Executor {
    fn look(&self) -> Observation {
        let (kind, desired) = (self.kind(), json!({ "refused_within_a_day": 0 }));
        let text = match self.machine.files.read(refusals::FILE) {
            Ok(text) => text,
            Err(error) if error.kind() == ErrorKind::NotFound => String::new(),
            Err(error) => return Observation::unknown(kind, desired, format!("{}: {error}", refusals::FILE)),
        };
        let now = self.machine.clock.now().as_second();
        let refused = refusals::read(&text);
        let recent: Vec<_> =
            refused.iter().filter(|one| i64::try_from(one.at).is_ok_and(|at| now - at < REMEMBERED)).collect();
        let actual = json!({ "refused_within_a_day": recent.len() });
        if recent.is_empty() {
            return Observation::compliant(kind, actual, desired);
        }
        let lines: BTreeSet<String> =
            recent.iter().map(|one| format!("a request of user {} was refused: {}", one.uid, one.reason)).collect();
        let users: BTreeSet<u32> = recent.iter().map(|one| one.uid).collect();
        Observation::drift(kind, Severity::Critical, actual, desired, lines.into_iter().take(MOST_LINES).collect())
            .detail("refused", recent.len())
            .detail("users", users.into_iter().collect::<Vec<_>>())
            .recommend("read `journalctl -t msp-agent-act`, and find out which program of that user asked")
    }
}

#[cfg(test)]
mod tests {
    use super::super::fixture::{Fixture, NOW, observe};
    use super::*;
    use jiff::Timestamp;
    use msp_contracts::finding::CheckStatus;

    #[tokio::test]
    async fn a_refusal_is_drift_for_a_day() {
        let none = Fixture::new();
        assert_eq!(observe(&Executor { machine: none.machine() }).await.status, CheckStatus::Compliant);
        let now = NOW.parse::<Timestamp>().unwrap().as_second();
        let line = |at: i64| format!("{{\"at\":{at},\"uid\":1000,\"reason\":\"user 1000 may not ask\"}}\n");
        let old = Fixture::new().file(refusals::FILE, line(now - REMEMBERED));
        assert_eq!(observe(&Executor { machine: old.machine() }).await.status, CheckStatus::Compliant);
        let text = format!("damaged\n{}{}", line(now - 60), line(now - 30));
        let new = Fixture::new().file(refusals::FILE, &text);
        let seen = observe(&Executor { machine: new.machine() }).await;
        assert_eq!((seen.status, seen.severity), (CheckStatus::Drift, Severity::Critical));
        assert_eq!(seen.diff, ["a request of user 1000 was refused: user 1000 may not ask"]);
        assert_eq!(seen.details["refused"], 2);
    }
}
