//! Incidents: open ones first.

use super::frame::{badge, table, time};
use crate::store::{Store, StoreError};
use maud::{Markup, html};

pub(super) async fn section(store: &Store, limit: u32) -> Result<Markup, StoreError> {
    let rows: Vec<Markup> = store
        .incidents(None, limit)
        .await?
        .iter()
        .map(|row| {
            let incident = &row.incident;
            html! { tr {
                td { @if row.resolution.is_some() { (badge("good", "resolved")) } @else { (badge("bad", "open")) } }
                th scope="row" { code { (incident.incident_id) } }
                td { (incident.severity.as_str()) }
                td { (incident.incident_type) }
                td { (incident.host_name) " (" (incident.host_id) ")" }
                td { (row.incident.site_id) "/" (row.appliance) }
                td { (time(&incident.created_at.to_string())) }
                td { @if let Some(resolution) = &row.resolution {
                    "level " (resolution.resolution_tier.number()) ": " (resolution.action_taken) ", "
                    (time(&resolution.resolved_at.to_string()))
                } }
            } }
        })
        .collect();
    let heads = ["State", "Incident", "Severity", "Check", "Machine", "Reported by", "First seen", "How it ended"];
    Ok(html! { h2 { "Incidents" } (table(&heads, &rows, "No incident was reported.")) })
}
