//! The evidence bundle: what was found, what was done, what it looked like before and after.
//!
//! A bundle is signed as canonical JSON in a DSSE envelope and names the hash of the envelope before
//! it. Heals, refusals and changes of a check's status each get a bundle; checks that stay compliant
//! are proved by an hourly roll-up.

use crate::dsse::Signed;
use crate::finding::Platform;
use crate::ids::{BundleId, ChainId, Counter, IncidentId};
use crate::outcome::{Detail, Level, Outcome};
use jiff::Timestamp;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

/// Who runs the appliance for whom.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum DeploymentMode {
    /// The provider looks after the practice itself.
    #[default]
    Direct,
    /// A reseller stands between provider and practice.
    Reseller,
}

/// What a bundle proves.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum BundleKind {
    /// A plan was carried out, with whatever outcome.
    Heal,
    /// A plan was judged and not carried out; the reason stands in it.
    Refusal,
    /// A person was asked.
    Escalation,
    /// A check's status changed.
    StatusChange,
    /// Checks that stayed as they were for an hour.
    RollUp,
    /// An order of Central Command was carried out, or refused.
    Order,
}

/// The machine a bundle is about.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Target {
    /// The appliance's host id, or a Windows target's IP address.
    pub host_id: String,
    /// Its name, for people.
    pub name: String,
    /// What kind of machine it is.
    pub platform: Platform,
}

/// What was decided, by whom, and why.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct PlanRecord {
    /// The rule that matched, when one did.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rule_id: Option<String>,
    /// The runbook that was chosen, when one was.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub runbook_id: Option<String>,
    /// The runbook's version.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub runbook_version: Option<u32>,
    /// The parameters, after redaction.
    pub parameters: Value,
    /// Why this plan, or why it was refused.
    pub reason: String,
    /// The guardrail that held it back, by name, when one did.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub refused_by: Option<String>,
}

/// One step that was taken on the target.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct ActionRecord {
    /// The runbook phase, for example `remediate`.
    pub phase: String,
    /// When it began.
    pub started: Timestamp,
    /// When it ended.
    pub completed: Timestamp,
    /// What the phase reported, after redaction; null when it did not report.
    pub report: Value,
    /// Why it did not report.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
}

/// One check that stayed as it was, in a roll-up.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct RollUpEntry {
    /// The machine that was checked: host id or IP address.
    pub host_id: String,
    /// The check.
    pub check: String,
    /// How often it was found compliant.
    pub compliant: u32,
    /// The first time in this span.
    pub first: Timestamp,
    /// The last time in this span.
    pub last: Timestamp,
}

/// A bundle of evidence: the payload of the envelope that is stored, chained and sent.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Bundle {
    /// See [`crate::SCHEMA_VERSION`].
    pub schema_version: u32,
    /// Unique for a site and host.
    pub bundle_id: BundleId,
    /// The chain it is of: an appliance whose state was lost begins another.
    pub chain: ChainId,
    /// Its place in the chain; the first is 1.
    pub sequence: Counter,
    /// SHA-256 of the envelope before it, in hexadecimal; 64 zeros for the first.
    pub previous_hash: String,
    /// What it proves.
    pub kind: BundleKind,
    /// The site.
    pub site_id: String,
    /// The appliance, owner of the chain.
    pub host_id: String,
    /// Who runs the appliance for whom.
    pub deployment_mode: DeploymentMode,
    /// SHA-256 of the baseline and rules in force, in hexadecimal.
    pub policy_version: String,
    /// The machine it is about.
    pub target: Target,
    /// The check, for example `firewall`; `roll_up` in a roll-up.
    pub check: String,
    /// Paragraphs of 45 CFR 164 that it supports.
    pub hipaa_controls: Vec<String>,
    /// The incident, when there is one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub incident_id: Option<IncidentId>,
    /// What was decided, when something was.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub plan: Option<PlanRecord>,
    /// The steps taken, in order.
    pub actions: Vec<ActionRecord>,
    /// What the check saw before.
    pub pre_state: Value,
    /// What the check saw after; null when it was not looked at again.
    pub post_state: Value,
    /// How it ended, in the wire's word; absent where nothing was decided.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub outcome: Option<Outcome>,
    /// How it ended, in our word.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub detail: Option<Detail>,
    /// What went wrong.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
    /// Whether the change can be undone by the runbook.
    pub rollback_available: bool,
    /// The system generation to return to, on the appliance.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rollback_generation: Option<u64>,
    /// Who resolved it; absent where nothing was decided.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub healing_resolution_level: Option<Level>,
    /// What stayed compliant, in a roll-up.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub roll_up: Vec<RollUpEntry>,
    /// When it began.
    pub started: Timestamp,
    /// When it ended.
    pub completed: Timestamp,
}

impl Signed for Bundle {
    const PAYLOAD_TYPE: &'static str = "application/vnd.msp.evidence.v1+json";
}

/// `previous_hash` of the first bundle of a chain.
pub const GENESIS_HASH: &str = "0000000000000000000000000000000000000000000000000000000000000000";
