//! What the round showed: a table for people, one JSON document for scripts.

use crate::cases::{Case, Status};
use crate::drift::Drift;
use crate::orders::Ordered;
use crate::watch::Incident;
use comfy_table::{ContentArrangement, Table, presets};
use serde::Serialize;
use std::io::Write;

/// What became of one drift. Times are milliseconds since the round began, on a monotonic clock.
#[derive(Debug, Serialize)]
pub struct Healed {
    /// The server's name.
    pub target: String,
    /// The check.
    pub check: String,
    /// The part of the check, where it has parts; for the table.
    #[serde(skip)]
    pub subject: Option<String>,
    /// The runbook that ran.
    pub runbook: Option<String>,
    /// 1, 2 or 3.
    pub level: Option<u8>,
    /// When the agent knew of it.
    pub detected_ms: Option<u64>,
    /// When it was healed; none when it was not.
    pub healed_ms: Option<u64>,
    /// How it ended, in our word.
    pub outcome: Option<String>,
    /// The bundle that proves it.
    pub evidence_id: Option<String>,
    /// Whether the bundle verifies, and is at Central Command once.
    pub evidence_verified: bool,
}

impl Healed {
    /// Nothing is known of it yet.
    pub fn of(target: &str, drift: Drift) -> Self {
        let (check, subject) = drift.check();
        Self {
            target: target.to_owned(),
            check: check.to_owned(),
            subject: subject.map(ToOwned::to_owned),
            runbook: None,
            level: None,
            detected_ms: None,
            healed_ms: None,
            outcome: None,
            evidence_id: None,
            evidence_verified: false,
        }
    }

    /// The agent knows of it at `ms`.
    pub fn seen(&mut self, incident: &Incident, ms: u64) {
        self.detected_ms.get_or_insert(ms);
        self.runbook.clone_from(&incident.runbook_id);
        self.level = incident.level.as_deref().and_then(|level| level.strip_prefix('L')?.parse().ok());
        self.outcome.clone_from(&incident.outcome);
        self.evidence_id.clone_from(&incident.evidence_id);
        if incident.state == "resolved" {
            self.healed_ms.get_or_insert(ms);
        }
    }
}

/// The whole round. It is well when nothing failed.
#[derive(Debug, Default)]
pub struct Report {
    /// In the order of the script.
    pub drifts: Vec<Healed>,
    /// In the order of the script.
    pub orders: Vec<Ordered>,
    /// What is not simply healed.
    pub cases: Vec<Case>,
    /// Every check of every server of the clinic at the end.
    pub statuses: Vec<Status>,
    /// How many bundles there are.
    pub count: u64,
    /// Whether the chain is whole.
    pub chain_ok: bool,
    /// How many reports still wait.
    pub pending: u64,
    /// What went wrong; empty when all is well.
    pub failures: Vec<String>,
}

/// The document's shape and order.
#[derive(Serialize)]
struct Document<'a> {
    ok: bool,
    drifts: &'a [Healed],
    orders: &'a [Ordered],
    cases: &'a [Case],
    statuses: &'a [Status],
    evidence: Evidence,
    outbox: Outbox,
}

#[derive(Serialize)]
struct Evidence {
    count: u64,
    chain_ok: bool,
}

#[derive(Serialize)]
struct Outbox {
    pending: u64,
}

impl Report {
    /// One JSON document.
    ///
    /// # Errors
    /// When `out` cannot be written.
    pub fn json(&self, out: &mut dyn Write) -> anyhow::Result<()> {
        let document = Document {
            ok: self.failures.is_empty(),
            drifts: &self.drifts,
            orders: &self.orders,
            cases: &self.cases,
            statuses: &self.statuses,
            evidence: Evidence { count: self.count, chain_ok: self.chain_ok },
            outbox: Outbox { pending: self.pending },
        };
        serde_json::to_writer_pretty(&mut *out, &document)?;
        writeln!(out)?;
        Ok(())
    }

    /// A table.
    ///
    /// # Errors
    /// When `out` cannot be written.
    pub fn table(&self, out: &mut dyn Write) -> anyhow::Result<()> {
        if self.drifts.is_empty() {
            return Ok(());
        }
        let mut table = Table::new();
        table.load_style(presets::NOTHING).set_content_arrangement(ContentArrangement::Dynamic);
        table.set_header(["SERVER", "CHECK", "RUNBOOK", "LEVEL", "DETECTED", "HEALED", "OUTCOME", "EVIDENCE"]);
        let ms = |ms: Option<u64>| ms.map_or_else(|| "never".to_owned(), |ms| format!("{ms} ms"));
        for one in &self.drifts {
            let proof = if one.evidence_verified { "verified" } else { "NOT verified" };
            table.add_row([
                one.target.clone(),
                one.subject.as_ref().map_or_else(|| one.check.clone(), |part| format!("{}/{part}", one.check)),
                one.runbook.clone().unwrap_or_else(|| "-".to_owned()),
                one.level.map_or_else(|| "-".to_owned(), |level| level.to_string()),
                ms(one.detected_ms),
                ms(one.healed_ms),
                one.outcome.clone().unwrap_or_else(|| "-".to_owned()),
                format!("{} {proof}", one.evidence_id.as_deref().unwrap_or("none,")),
            ]);
        }
        writeln!(out, "{table}")?;
        for one in &self.orders {
            let reason = one.reason.as_ref().map_or_else(String::new, |reason| format!(": {reason}"));
            let proof = one.evidence_id.as_deref().unwrap_or("no evidence");
            writeln!(out, "order {} ({}) {}{reason}; {proof}", one.order_id, one.class, one.state)?;
        }
        for case in &self.cases {
            let (ok, reason) = (if case.ok { "" } else { "NOT " }, case.reason.as_deref().unwrap_or(""));
            let situation = serde_json::json!(case.situation);
            let situation = situation.as_str().unwrap_or_default();
            writeln!(out, "{} {}: {ok}{situation} ({}) {reason}", case.target, case.check, case.seen)?;
        }
        let chain = if self.chain_ok { "whole" } else { "BROKEN" };
        writeln!(
            out,
            "{} bundles of evidence, chain {chain}; {} reports wait for Central Command",
            self.count, self.pending
        )?;
        Ok(())
    }
}
