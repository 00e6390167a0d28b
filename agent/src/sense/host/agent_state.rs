//! The agent's own state: whether a damaged one was set aside, and nobody has looked after it yet.
//!
//! Such a file may hold evidence that was never sent. It stays drift until a person has taken what can be read of
//! it and moved it out of the folder; only the daemon makes this check.

use crate::model::{CheckKind, Observation};
use crate::sense::check::{Check, Observing};
use crate::store::damage;
use msp_contracts::finding::Severity;
use serde_json::json;
use std::path::PathBuf;

/// The check.
pub struct AgentState {
    pub state_dir: PathBuf,
}

impl Check for AgentState {
    fn kind(&self) -> CheckKind {
        CheckKind::AgentState
    }

    fn observe(&self) -> Observing<'_> {
        Box::pin(async { self.look() })
    }
}

impl AgentState {
    fn look(&self) -> Observation {
        let kind = self.kind();
        let desired = json!({ "set_aside": [] });
        let found = match damage::aside(&self.state_dir) {
            Ok(found) => found,
            Err(error) => {
                return Observation::unknown(kind, desired, format!("{}: {error}", self.state_dir.display()));
            }
        };
        let names: Vec<_> = found.iter().map(|file| file.display().to_string()).collect();
        let actual = json!({ "set_aside": names });
        let Some(first) = names.first() else { return Observation::compliant(kind, actual, desired) };
        let diff = names.iter().map(|name| {
            format!("{name} is a state of this agent that was damaged and set aside: evidence that was not sent may be in it")
        });
        Observation::drift(kind, Severity::High, actual, desired, diff.collect())
            .detail("set_aside", names.clone())
            .recommend(format!(
                "see what can be read with `msp-agent evidence verify --state {first}` and `msp-agent queue list --state {first}`, \
                 keep it, and move it (with its -wal) out of the folder"
            ))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use msp_contracts::finding::CheckStatus;

    #[tokio::test]
    async fn a_state_that_was_set_aside_is_drift_until_it_is_moved_away() {
        let folder = tempfile::tempdir().unwrap();
        let check = AgentState { state_dir: folder.path().to_owned() };
        std::fs::write(folder.path().join("agent.db"), "").unwrap();
        assert_eq!(check.observe().await.status, CheckStatus::Compliant);
        let file = folder.path().join("agent.db.damaged-2026-11-21T03-51-00Z");
        for name in [file.clone(), file.with_extension("damaged-2026-11-21T03-51-00Z-wal")] {
            std::fs::write(name, "x").unwrap();
        }
        let seen = check.observe().await;
        assert_eq!((seen.status, seen.diff.len()), (CheckStatus::Drift, 1), "{seen:?}");
        assert!(seen.diff[0].contains(file.to_str().unwrap()), "{seen:?}");
        assert!(seen.recommended_action.unwrap().contains(file.to_str().unwrap()));
        std::fs::remove_file(&file).unwrap();
        assert_eq!(check.observe().await.status, CheckStatus::Drift, "its log is still there");
        std::fs::remove_dir_all(folder.path()).unwrap();
        assert_eq!(check.observe().await.status, CheckStatus::Unknown);
    }
}
