//! Heals: what was carried out or refused, and what became of it.

use super::frame::{badge, table, time};
use crate::store::{Store, StoreError};
use maud::{Markup, html};
use msp_contracts::outcome::Outcome;

fn colour(outcome: Outcome) -> &'static str {
    match outcome {
        Outcome::Success => "good",
        Outcome::Failed | Outcome::Reverted => "bad",
        Outcome::Deferred | Outcome::Alert => "waiting",
    }
}

pub(super) async fn section(store: &Store, limit: u32) -> Result<Markup, StoreError> {
    let rows: Vec<Markup> = store
        .executions(None, limit)
        .await?
        .iter()
        .map(|row| {
            let execution = &row.execution;
            let took = execution.completed_at.duration_since(execution.started_at);
            html! { tr {
                td { (badge(colour(execution.outcome), execution.detail.as_str())) }
                th scope="row" { (execution.runbook_id.as_deref().unwrap_or("no runbook")) }
                td { (execution.rule_id.as_deref().unwrap_or("")) }
                td { "level " (execution.level.number()) }
                td { (execution.host_id) }
                td { (execution.site_id) "/" (row.appliance) }
                td { (time(&execution.started_at.to_string())) }
                td.number { (format!("{:.1} s", took.as_secs_f64())) }
                td { code { (execution.incident_id) } }
                td { code { (execution.evidence_id) } }
                td { (execution.error.as_deref().unwrap_or("")) }
            } }
        })
        .collect();
    let heads = [
        "Outcome",
        "Runbook",
        "Rule",
        "Decided",
        "Machine",
        "Reported by",
        "Began",
        "Took",
        "Incident",
        "Evidence",
        "Error",
    ];
    Ok(html! { h2 { "Heals" } (table(&heads, &rows, "Nothing was carried out yet.")) })
}
