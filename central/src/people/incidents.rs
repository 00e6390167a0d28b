//! `/incidents`: what went wrong and what became of it; the open ones first.

use super::frame::{Kind, Section, live, page as framed, status};
use super::session::Session;
use super::trouble::{incident_path, title};
use super::words::{Column, ago, link, machine, nothing, severity, table};
use super::{Failure, People};
use crate::clock;
use crate::store::{EscalationRow, IncidentRow};
use axum::extract::{Query, State};
use jiff::Timestamp;
use maud::{Markup, html};
use serde::Deserialize;
use std::sync::Arc;

/// How many are shown.
const ROWS: u32 = 300;

#[derive(Deserialize)]
pub(super) struct Filter {
    /// `open`, `person` or `resolved`; everything otherwise.
    #[serde(default)]
    show: String,
    #[serde(default)]
    site: String,
}

/// What became of an incident so far.
pub(super) fn state(row: &IncidentRow, asked: bool) -> Markup {
    match (&row.resolution, asked) {
        (Some(resolution), _) => {
            html! { (status(Kind::Good, "resolved")) span.faint { " level " (resolution.resolution_tier.number()) } }
        }
        (None, true) => status(Kind::Bad, "needs a person"),
        (None, false) => status(Kind::Waiting, "open"),
    }
}

fn row(row: &IncidentRow, asked: bool, now: Timestamp) -> Vec<Markup> {
    let incident = &row.incident;
    vec![
        html! { a href=(incident_path(row)) { strong { (title(incident)) } } div.faint { code { (incident.incident_id) } } },
        state(row, asked),
        severity(incident.severity),
        html! { (machine(&incident.host_name, &incident.host_id)) },
        html! { a href={ "/sites/" (incident.site_id) } { (incident.site_id) } },
        html! { (ago(incident.created_at, now)) },
    ]
}

fn is_asked(row: &IncidentRow, tickets: &[EscalationRow]) -> bool {
    let key = (&row.incident.site_id, &row.appliance, &row.incident.incident_id);
    tickets.iter().any(|row| (&row.escalation.site_id, &row.appliance, &row.escalation.incident_id) == key)
}

pub(super) async fn page(
    session: Session,
    State(people): State<Arc<People>>,
    Query(filter): Query<Filter>,
) -> Result<Markup, Failure> {
    let now = clock::now();
    let site = Some(filter.site.as_str()).filter(|site| !site.is_empty());
    let tickets = people.store.open_escalations().await?;
    let all = people.store.incidents(site, ROWS).await?;
    let reached = all.len() >= usize::try_from(ROWS).unwrap_or(usize::MAX);
    let wanted = all.iter().filter(|row| match filter.show.as_str() {
        "open" => row.resolution.is_none(),
        "person" => row.resolution.is_none() && is_asked(row, &tickets),
        "resolved" => row.resolution.is_some(),
        _ => true,
    });
    let rows: Vec<_> = wanted.map(|one| row(one, is_asked(one, &tickets), now)).collect();
    let tabs = [("", "All"), ("open", "Open"), ("person", "Need a person"), ("resolved", "Resolved")];
    let content = html! {
        div.head { h1 { "Incidents" } @if let Some(site) = site { p.faint { "at " (site) " · " a href="/incidents" { "at every site" } } } }
        nav.tabs aria-label="Which incidents" { @for (show, name) in tabs {
            a href=(link("/incidents", &[("show", show), ("site", &filter.site)])) aria-current=[(show == filter.show).then_some("true")] { (name) }
        } }
        @if rows.is_empty() {
            (nothing("No such incident.", &html! { "An incident begins when a check sees drift, and ends when the check says so again. Each keeps its story: what was seen, decided, done and proved." }))
        } @else {
            (table("Incidents, open ones first, then the newest", &[Column::Text("Incident"), Column::Text("State"), Column::Text("Severity"), Column::Text("Machine"), Column::Text("Site"), Column::Text("First seen")], &rows))
            @if reached { p.faint { "The latest " (ROWS) " at most. " code { "msp-central list incidents --json" } " has all." } }
        }
    };
    framed(&people, &session, Section::Incidents, "Incidents", live("incidents", &content)).await
}
