//! A runbook that a person runs on the appliance itself: the way of every heal, beginning with a look.

use super::Agent;
use crate::act::perform;
use crate::adapters::winrm::WindowsHost;
use crate::model::{Observation, Plan, Verdict};
use crate::redact;
use crate::sense::windows;
use anyhow::Context;
use msp_contracts::evidence::{ActionRecord, Target};
use msp_contracts::finding::CheckStatus;
use msp_contracts::ids::{BundleId, IncidentId};
use msp_contracts::outcome::{Detail, Level};
use serde::Serialize;
use serde_json::Value;
use std::collections::BTreeMap;
use std::sync::Arc;

/// What was seen first, and how it ended.
#[derive(Debug, Serialize)]
pub struct ByHand {
    pub detected: Observation,
    pub ended: Ended,
}

/// How a runbook that was run by hand ended.
#[derive(Debug, Serialize)]
#[serde(rename_all = "snake_case", tag = "ended")]
pub enum Ended {
    /// The check sees no drift.
    NothingToDo,
    /// The check could not tell, or a change is under way already.
    NotKnown,
    /// The guard said no.
    Refused { by: String, reason: String },
    /// It was carried out.
    Done { detail: Detail, error: Option<String>, phases: Vec<ActionRecord>, evidence_id: BundleId },
}

impl Agent {
    /// Runs a runbook whose parameters were admitted.
    ///
    /// # Errors
    /// When the state cannot be read or written, or the runbook mends no check of a Windows server.
    pub async fn run_by_hand(
        &self,
        host: &WindowsHost,
        target: &Target,
        runbook_id: &str,
        parameters: BTreeMap<String, String>,
    ) -> anyhow::Result<ByHand> {
        let policy = Arc::clone(&self.policy.borrow());
        let check = windows::check_of(runbook_id).with_context(|| format!("{runbook_id} mends no check"))?;
        let (_, part) =
            windows::mends(runbook_id, &parameters).with_context(|| format!("{runbook_id} mends no check"))?;
        let (seen, _) = check.observe(host, &policy.baseline.windows).await;
        let detected = seen.observations.into_iter().find(|one| part.is_none() || one.subject == part);
        let detected = detected.with_context(|| format!("{runbook_id} does not look at {part:?} here"))?;
        let mut finding = detected.finding(target.platform, &target.host_id, &target.name);
        redact::finding(&mut finding);
        let (about, observed, found) = (target.clone(), detected.clone(), finding.clone());
        let new_id = IncidentId::from_random(super::round::random());
        let ongoing = self.record(move |recorder| recorder.observed(&about, &observed, &found, new_id)).await?;
        let ongoing = match (detected.status, ongoing) {
            (CheckStatus::Drift, Some(ongoing)) => ongoing,
            (CheckStatus::Compliant | CheckStatus::Unsupported, _) => {
                return Ok(ByHand { detected, ended: Ended::NothingToDo });
            }
            _ => return Ok(ByHand { detected, ended: Ended::NotKnown }),
        };
        let cooldown = policy.catalogue.get(runbook_id).map_or(0, |runbook| runbook.cooldown_seconds);
        let plan = Plan {
            incident_id: ongoing.incident_id,
            target: target.clone(),
            finding,
            rule_id: Plan::BY_HAND.to_owned(),
            runbook_id: runbook_id.to_owned(),
            parameters: parameters.into_iter().map(|(name, value)| (name, Value::String(value))).collect(),
            cooldown_seconds: cooldown.into(),
            level: Level::L3,
            order: None,
        };
        let started = self.clock.now();
        let (verdict, execution_id) = self.judge(&plan, true, started).await?;
        let (by, reason) = match (verdict, execution_id) {
            (Verdict::Allow, Some(execution_id)) => {
                let performed = perform::perform(&plan, host).await;
                let (detail, error, phases) = (performed.detail, performed.error.clone(), performed.actions.clone());
                let evidence_id = self.conclude(plan, performed, execution_id, started).await?;
                let error = error.map(|error| redact::text(&error));
                return Ok(ByHand { detected, ended: Ended::Done { detail, error, phases, evidence_id } });
            }
            (Verdict::Allow, None) => anyhow::bail!("the intent was not stored"),
            (Verdict::Refuse { by, reason } | Verdict::Escalate { by, reason }, _) => (by, reason),
        };
        let said = reason.clone();
        self.record(move |recorder| recorder.refused(&plan, by, &said).map(drop)).await?;
        Ok(ByHand { detected, ended: Ended::Refused { by: by.as_str().to_owned(), reason } })
    }
}
