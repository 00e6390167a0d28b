//! Tickets: what people were asked, with the reason.

use super::frame::{ago, appliance, machine, short, table};
use crate::store::{Store, StoreError};
use jiff::Timestamp;
use maud::{Markup, html};

pub(super) async fn section(store: &Store, limit: u32, now: Timestamp) -> Result<Markup, StoreError> {
    let rows: Vec<Markup> = store
        .escalations(None, limit)
        .await?
        .iter()
        .map(|row| {
            let ticket = &row.escalation;
            html! { tr {
                td { (ticket.urgency.as_str()) }
                td { (machine(&ticket.host_name, &ticket.host_id)) }
                td.text { (ticket.summary) }
                td.text { (ticket.reason) }
                td { (ago(ticket.created_at, now)) }
                td { (appliance(&ticket.site_id, &row.appliance)) }
                td { code { (ticket.incident_id) } }
                th scope="row" { (short(&ticket.ticket_id)) }
            } }
        })
        .collect();
    let heads = ["Urgency", "Machine", "What is wrong", "Why a person", "Asked", "Reported by", "Incident", "Ticket"];
    Ok(html! { h2 { "Tickets for people" } (table(&heads, &rows, "No ticket was raised.")) })
}
