//! How the agent stands, as it writes it into `status.json` for people and scripts: nobody can ask it.

use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// How the agent stands. Times are RFC 3339.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Status {
    pub schema_version: u32,
    pub pid: u32,
    pub version: String,
    pub site_id: String,
    pub host_id: String,
    pub started_at: String,
    pub written_at: String,
    pub central: CentralStatus,
    /// Why every change is stopped; absent when the kill switch is not engaged.
    pub kill_switch: Option<String>,
    pub dry_run: bool,
    pub healing_enabled: bool,
    pub rules: RulesStatus,
    pub queue: QueueStatus,
    pub counts: Tally,
    /// The sensor listener; absent where it is off.
    pub sensor: Option<SensorStatus>,
    /// Loops that are silent for longer than they said: hanging.
    pub overdue: Vec<String>,
}

/// How it stands with Central Command.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct CentralStatus {
    pub url: String,
    /// Whether the last check-in succeeded.
    pub reached: bool,
    pub last_contact: Option<String>,
    /// Until when its last word counts as fresh.
    pub fresh_until: Option<String>,
    /// How far this clock was ahead of the server's, in seconds.
    pub clock_ahead_seconds: Option<i64>,
}

/// The rules in force.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct RulesStatus {
    pub loaded: usize,
    pub quarantined: usize,
    /// The tier of the synced rules; absent before the first sync.
    pub healing_tier: Option<String>,
    /// The version of the synced rules.
    pub version: Option<String>,
    pub synced_at: Option<String>,
}

/// What is owed to Central Command.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct QueueStatus {
    pub pending: u64,
    pub rejected: u64,
    pub orders_waiting: u64,
}

/// Counted since this state began.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Tally {
    pub servers: usize,
    /// How many checks stand at each status now.
    pub checks: BTreeMap<String, u64>,
    /// How many incidents stand at each state.
    pub incidents: BTreeMap<String, u64>,
    /// How many plans ended in each way.
    pub outcomes: BTreeMap<String, u64>,
    /// How many bundles the chain has.
    pub evidence: u64,
}

/// How it stands with the sensor listener.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct SensorStatus {
    /// The addresses that are listened on; none where no socket was handed over.
    pub listening: Vec<String>,
    /// Why it is closed: no push is taken then.
    pub trouble: Option<String>,
    /// How many sensors have a key.
    pub sensors: usize,
    /// Pushes since the agent was started.
    pub taken: u64,
    /// The same, those that were refused, by cause.
    pub refused: BTreeMap<String, u64>,
}

impl Status {
    /// One line for a service manager and a person in a hurry.
    pub fn in_words(&self) -> String {
        let count = |counts: &BTreeMap<String, u64>, name: &str| counts.get(name).copied().unwrap_or(0);
        let (drift, unknown) = (count(&self.counts.checks, "drift"), count(&self.counts.checks, "unknown"));
        let mut words = vec![match (drift, unknown) {
            (0, 0) => format!("all checks well on {} servers and the appliance", self.counts.servers),
            (drift, 0) => format!("{drift} checks see drift"),
            (0, unknown) => format!("{unknown} checks cannot tell"),
            (drift, unknown) => format!("{drift} checks see drift, {unknown} cannot tell"),
        }];
        let escalated = count(&self.counts.incidents, "escalated");
        if escalated > 0 {
            words.push(format!("{escalated} incidents wait for a person"));
        }
        if !self.central.reached {
            words.push("Central Command is not reached".to_owned());
        }
        if self.queue.pending > 0 {
            words.push(format!("{} reports wait", self.queue.pending));
        }
        if self.queue.rejected > 0 {
            words.push(format!("{} reports were refused", self.queue.rejected));
        }
        if let Some(reason) = &self.kill_switch {
            words.push(format!("KILL SWITCH engaged: {reason}"));
        }
        if self.dry_run {
            words.push("dry run".to_owned());
        }
        if let Some(trouble) = self.sensor.as_ref().and_then(|sensor| sensor.trouble.as_ref()) {
            words.push(format!("THE SENSOR LISTENER IS CLOSED: {trouble}"));
        }
        if !self.overdue.is_empty() {
            words.push(format!("hanging: {}", self.overdue.join(", ")));
        }
        words.join("; ")
    }
}
