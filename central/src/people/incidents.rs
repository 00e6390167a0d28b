//! Incidents: the open ones with what is wrong and what happens now, then those that are over.

use super::frame::{ago, appliance, badge, machine, table, time};
use crate::store::{EscalationRow, ExecutionRow, IncidentRow, Store, StoreError};
use jiff::Timestamp;
use maud::{Markup, html};
use msp_contracts::api::Incident;
use serde_json::Value;

fn text<'a>(value: &'a Value, pointer: &str) -> Option<&'a str> {
    value.pointer(pointer)?.as_str().filter(|text| !text.is_empty())
}

/// The check as people name it: with its part, where it has parts.
fn check(incident: &Incident) -> Markup {
    html! { span.whole {
        (incident.incident_type) @if let Some(part) = text(&incident.raw_data, "/subject") { "/" (part) }
    } }
}

/// What differs, or why it could not be told, and what a person would do about it.
fn what_is_wrong(finding: &Value) -> Markup {
    let lines = finding.get("diff").and_then(Value::as_array).into_iter().flatten().filter_map(Value::as_str);
    let reason = text(finding, "/details/reason");
    html! {
        @for line in lines { div { (line) } }
        @if let Some(reason) = reason { div { (reason) } }
        @if let Some(action) = text(finding, "/recommended_action") { div.faint { "To do: " (action) } }
    }
}

/// What was done last about it, by whom.
fn what_happens(ticket: Option<&EscalationRow>, last: Option<&ExecutionRow>, now: Timestamp) -> Markup {
    if let Some(ticket) = ticket.map(|row| &row.escalation) {
        return html! {
            (badge("bad", "a person was asked")) ", " (ago(ticket.created_at, now)) ": " (ticket.reason)
            @if let Some(runbook) = &ticket.suggested_runbook { div.faint { "Suggested: " code { (runbook) } } }
        };
    }
    let Some(last) = last.map(|row| &row.execution) else {
        return html! { span.faint { "Nothing was reported about it yet." } };
    };
    html! {
        (badge("waiting", last.detail.as_str())) ", " (ago(last.started_at, now))
        @if let Some(runbook) = &last.runbook_id { ": " code { (runbook) } }
        @if let Some(error) = &last.error { div { (error) } }
    }
}

fn resolved(row: &IncidentRow) -> Markup {
    let incident = &row.incident;
    html! { tr {
        td { (badge("good", "resolved")) }
        th scope="row" { code { (incident.incident_id) } }
        td { (incident.severity.as_str()) }
        td { (check(incident)) }
        td { (machine(&incident.host_name, &incident.host_id)) }
        td { (appliance(&incident.site_id, &row.appliance)) }
        td { (time(&incident.created_at.to_string())) }
        td.text { @if let Some(resolution) = &row.resolution {
            "level " (resolution.resolution_tier.number()) ": " (resolution.action_taken) ", "
            (time(&resolution.resolved_at.to_string()))
        } }
    } }
}

pub(super) async fn section(store: &Store, limit: u32, now: Timestamp) -> Result<Markup, StoreError> {
    let (over, open): (Vec<_>, Vec<_>) =
        store.incidents(None, limit).await?.into_iter().partition(|row| row.resolution.is_some());
    let (tickets, executions) = (store.open_escalations().await?, store.open_executions().await?);
    let open: Vec<Markup> = open
        .iter()
        .map(|row| {
            let incident = &row.incident;
            let key = (&incident.site_id, &row.appliance, &incident.incident_id);
            let ticket = tickets
                .iter()
                .find(|row| (&row.escalation.site_id, &row.appliance, &row.escalation.incident_id) == key);
            let last = executions
                .iter()
                .find(|row| (&row.execution.site_id, &row.appliance, &row.execution.incident_id) == key);
            html! { tr {
                td { (badge("bad", incident.severity.as_str())) }
                th scope="row" { (check(incident)) div.faint { code { (incident.incident_id) } } }
                td {
                    (machine(&incident.host_name, &incident.host_id))
                    div.faint.whole { "by " (appliance(&incident.site_id, &row.appliance)) }
                }
                td.text { (what_is_wrong(&incident.raw_data)) }
                td.text { (what_happens(ticket, last, now)) }
                td { (ago(incident.created_at, now)) }
            } }
        })
        .collect();
    let over: Vec<Markup> = over.iter().map(resolved).collect();
    let heads = ["Severity", "Check", "Machine", "What is wrong", "What happens now", "First seen"];
    let heads_over = ["State", "Incident", "Severity", "Check", "Machine", "Reported by", "First seen", "How it ended"];
    Ok(html! {
        h2 { "Open incidents" }
        (table(&heads, &open, "No incident is open."))
        h2 { "Resolved incidents" }
        (table(&heads_over, &over, "No incident was resolved yet."))
    })
}
