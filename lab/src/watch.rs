//! What the agent and Central Command say, through the doors that people use: their command lines.

use crate::appliance::Appliance;
use crate::clinic::{Clinic, SITE};
use crate::drift::Drift;
use crate::process::{output, succeed};
use anyhow::Context;
use serde::Deserialize;
use serde_json::Value;
use std::collections::BTreeMap;

/// One incident as `msp-agent incidents --json` lists it.
#[derive(Debug, Clone, Deserialize)]
pub struct Incident {
    /// `INC-` and twelve hexadecimal digits.
    pub incident_id: String,
    /// The machine: its IP address.
    pub host_id: String,
    /// The machine, for people.
    pub host_name: String,
    /// The check that found it.
    pub check: String,
    /// The part of the check.
    pub subject: Option<String>,
    /// `open`, `escalated` or `resolved`.
    pub state: String,
    /// `L1`, `L2` or `L3`.
    pub level: Option<String>,
    /// The runbook that ran.
    pub runbook_id: Option<String>,
    /// How it ended, in our word.
    pub outcome: Option<String>,
    /// Why it ended like that, where there is a why.
    pub error: Option<String>,
    /// The bundle that proves it.
    pub evidence_id: Option<String>,
}

/// What the agent knows.
#[derive(Debug, Deserialize)]
pub struct Known {
    /// Newest first.
    pub incidents: Vec<Incident>,
    /// What is owed to Central Command.
    pub outbox: Outbox,
}

/// How full the outbox is.
#[derive(Debug, Clone, Copy, Deserialize)]
pub struct Outbox {
    /// Rows that wait.
    pub pending: u64,
    /// Rows that the server refused for good.
    pub rejected: u64,
}

/// What `msp-agent evidence verify --json` found.
#[derive(Debug, Deserialize)]
pub struct Verified {
    /// Whether all of it holds.
    pub ok: bool,
    /// How many bundles there are.
    pub count: u64,
    /// Of how many Central Command's receipts are here.
    pub receipts: u64,
    /// What does not hold.
    pub problems: Vec<Problem>,
}

/// One thing that does not hold.
#[derive(Debug, Deserialize)]
pub struct Problem {
    /// The bundle.
    pub bundle: String,
    /// What is wrong with it.
    pub problem: String,
}

/// Reads the incidents and the outbox of the clinic's agent.
pub async fn incidents(clinic: &Clinic) -> anyhow::Result<Known> {
    incidents_of(&clinic.appliance).await
}

/// Reads the incidents and the outbox of any appliance's agent.
pub async fn incidents_of(appliance: &Appliance) -> anyhow::Result<Known> {
    let printed = succeed("msp-agent", &["incidents", "--json", "--config", &appliance.config()]).await?;
    serde_json::from_slice(&printed).context("reading the agent's incidents")
}

/// Verifies the evidence of the clinic's agent.
pub async fn verify(clinic: &Clinic) -> anyhow::Result<Verified> {
    verify_of(&clinic.appliance).await
}

/// Verifies the evidence of any appliance's agent.
pub async fn verify_of(appliance: &Appliance) -> anyhow::Result<Verified> {
    let (_, printed) = output("msp-agent", &["evidence", "verify", "--json", "--config", &appliance.config()]).await?;
    serde_json::from_slice(&printed).context("reading the agent's verdict")
}

/// The ids of the bundles that Central Command holds of the clinic, as often as it holds them.
pub async fn evidence_at_central(clinic: &Clinic) -> anyhow::Result<Vec<String>> {
    evidence_of(clinic, SITE).await
}

/// The ids of the bundles that Central Command holds of a site, as often as it holds them.
pub async fn evidence_of(clinic: &Clinic, site: &str) -> anyhow::Result<Vec<String>> {
    let dir = clinic.central_dir();
    let printed = succeed("msp-central", &["list", "evidence", "--dir", &dir, "--site", site, "--json"]).await?;
    let document: Value = serde_json::from_slice(&printed).context("reading Central Command's evidence")?;
    let rows = document.get("bundles").and_then(Value::as_array).context("Central Command lists no evidence")?;
    Ok(rows.iter().filter_map(|row| row.get("bundle_id")?.as_str().map(ToOwned::to_owned)).collect())
}

/// How often Central Command holds each id of a kind: `evidence`, `incidents`, `executions`.
pub async fn held_at_central(clinic: &Clinic, what: &str, id: &str) -> anyhow::Result<BTreeMap<String, usize>> {
    let dir = clinic.central_dir();
    let printed = succeed("msp-central", &["list", what, "--dir", &dir, "--site", SITE, "--json"]).await?;
    let document: Value = serde_json::from_slice(&printed).context("reading what Central Command holds")?;
    let mut held = BTreeMap::new();
    // Evidence comes with its chains beside it, the others as a list.
    let rows = document.get("bundles").unwrap_or(&document).as_array().context("Central Command lists nothing")?;
    for row in rows {
        let name = row.get(id).and_then(Value::as_str).with_context(|| format!("{what} without {id}"))?;
        *held.entry(name.to_owned()).or_default() += 1;
    }
    Ok(held)
}

impl Known {
    /// All incidents of this drift on this machine, newest first.
    pub fn all_of(&self, host_id: &str, drift: Drift) -> impl Iterator<Item = &Incident> {
        let (check, subject) = drift.check();
        self.incidents
            .iter()
            .filter(move |one| one.host_id == host_id && one.check == check && one.subject.as_deref() == subject)
    }

    /// The incident of this drift on this machine that is none of `before`.
    pub fn of(&self, host_id: &str, drift: Drift, before: &[String]) -> Option<&Incident> {
        let (check, subject) = drift.check();
        self.incidents.iter().find(|one| {
            one.host_id == host_id
                && one.check == check
                && one.subject.as_deref() == subject
                && !before.contains(&one.incident_id)
        })
    }
}
