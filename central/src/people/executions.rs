//! Heals: what was carried out or refused, and what became of it.

use super::frame::{appliance, badge, machine, span, table, time};
use crate::store::{Store, StoreError};
use jiff::SignedDuration;
use maud::{Markup, html};
use msp_contracts::outcome::Outcome;

fn colour(outcome: Outcome) -> &'static str {
    match outcome {
        Outcome::Success => "good",
        Outcome::Failed | Outcome::Reverted => "bad",
        Outcome::Deferred | Outcome::Alert => "waiting",
    }
}

/// A duration to the tenth of a second, or to the millisecond where that says more.
fn precise(took: SignedDuration) -> String {
    if took.as_secs() == 0 { span(took) } else { format!("{:.1} s", took.as_secs_f64()) }
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
                td {
                    (machine(row.host_name.as_deref().unwrap_or_default(), &execution.host_id))
                    div.faint.whole { "by " (appliance(&execution.site_id, &row.appliance)) }
                }
                th scope="row" {
                    span.whole { (execution.runbook_id.as_deref().unwrap_or("no runbook")) }
                    @if let Some(rule) = &execution.rule_id { div.faint.whole { (rule) } }
                }
                td { span.whole { "level " (execution.level.number()) } }
                td { (time(&execution.started_at.to_string())) }
                td.number { span.whole { (precise(took)) } }
                td { code { (execution.incident_id) } div { code { (execution.evidence_id) } } }
                td { (execution.error.as_deref().unwrap_or("")) }
            } }
        })
        .collect();
    let heads =
        ["Outcome", "Machine", "Runbook and rule", "Decided", "Began", "Took", "Incident and evidence", "Error"];
    Ok(html! { h2 { "Heals" } (table(&heads, &rows, "Nothing was carried out yet.")) })
}
