//! `/incidents/{site}/{appliance}/{incident}`: one incident as a story, from the finding to the proof.

use super::frame::{Section, live, page as framed};
use super::incidents::state;
use super::session::Session;
use super::story::{checked, decided, done, proved, seen, step, supports};
use super::trouble::{appliance_path, diff, title};
use super::words::{Kind, machine, mono, outcome, severity, span, took};
use super::{Failure, People};
use crate::clock;
use crate::fleet::Appliance;
use crate::store::{BundleRow, EscalationRow, IncidentRow};
use axum::extract::{Path, State};
use jiff::Timestamp;
use maud::{Markup, html};
use msp_contracts::evidence::{Bundle, BundleKind};
use serde_json::Value;
use std::sync::Arc;

/// The day, in UTC as every time here.
fn day(time: Timestamp) -> String {
    time.to_string().chars().take(10).collect()
}

/// The whole in a sentence.
fn summary(
    row: &IncidentRow,
    bundles: &[(&BundleRow, &Bundle)],
    ticket: Option<&EscalationRow>,
    now: Timestamp,
) -> Markup {
    let incident = &row.incident;
    let last = bundles.iter().rev().find(|(_, bundle)| bundle.kind != BundleKind::StatusChange);
    html! { p.lead {
        @match (&row.resolution, ticket) {
            (Some(resolution), _) => {
                "Resolved " strong { (took(resolution.resolved_at.duration_since(incident.created_at))) } " after it was seen, on " (day(incident.created_at)) ". "
                @match last.and_then(|(_, bundle)| bundle.plan.as_ref()?.rule_id.as_ref()) {
                    Some(rule) => { "Rule " (mono(rule)) " decided; " (mono(&resolution.action_taken)) " mended it." }
                    None => { (resolution.action_taken) "." }
                }
            }
            (None, Some(_)) => { "Open for " strong { (span(now.duration_since(incident.created_at))) } ", since " (day(incident.created_at)) ". A person was asked; the agent leaves it alone until its check says that it is over." }
            (None, None) => { "Open for " strong { (span(now.duration_since(incident.created_at))) } ", since " (day(incident.created_at)) "." }
        }
    } }
}

fn attempt(row: &BundleRow, bundle: &Bundle, first: Timestamp) -> Markup {
    let (kind, word) = bundle.detail.map_or((Kind::Idle, "recorded"), outcome);
    let begun = bundle.actions.first().map(|action| action.started);
    let at = bundle.actions.last().map(|action| action.completed);
    html! {
        (step(Kind::Idle, "Decided", Some(bundle.started), first, &decided(bundle)))
        @if bundle.kind != BundleKind::Escalation { (step(if bundle.error.is_some() { Kind::Bad } else { Kind::Idle }, "Done", begun, first, &done(bundle, first))) }
        @if let Some(said) = checked(bundle) { (step(kind, "Checked afterwards", at, first, &said)) }
        (step(Kind::Good, &format!("Proved: {word}"), Some(bundle.completed), first, &proved(row)))
    }
}

fn asked(row: &EscalationRow, first: Timestamp) -> Markup {
    let ticket = &row.escalation;
    step(
        Kind::Bad,
        "A person was asked",
        Some(ticket.created_at),
        first,
        &html! {
            p.said { (ticket.summary) }
            dl.facts.tight {
                div { dt { "Why a person" } dd { (ticket.reason) } }
                div { dt { "Urgency" } dd { (severity(ticket.urgency)) } }
                @if let Some(runbook) = &ticket.suggested_runbook { div { dt { "Could help" } dd { (mono(runbook)) } } }
                div { dt { "Ticket" } dd { (mono(&ticket.ticket_id)) } }
            }
        },
    )
}

pub(super) async fn page(
    session: Session,
    State(people): State<Arc<People>>,
    Path((site, appliance, id)): Path<(String, String, String)>,
) -> Result<Markup, Failure> {
    let now = clock::now();
    let who = Appliance { site: site.clone(), appliance: appliance.clone() };
    let row = people.store.incident(&who, &id).await?;
    let row = row.ok_or_else(|| {
        Failure::missing("There is no such incident. The list of incidents has those that were reported.")
    })?;
    let incident = &row.incident;
    let evidence = people.store.evidence_of_incident(&who, &id).await?;
    let bundles: Vec<(&BundleRow, &Bundle)> =
        evidence.iter().filter_map(|row| Some((row, row.bundle.as_ref()?))).collect();
    let tickets = people.store.tickets_of_incident(&who, &id).await?;
    let plans = bundles.iter().filter(|(_, bundle)| bundle.kind != BundleKind::StatusChange);
    let (finding, first) = (&incident.raw_data, incident.created_at);
    let value = |name: &str| finding.get(name).unwrap_or(&Value::Null);
    let mut named: Vec<String> = bundles.iter().flat_map(|(_, bundle)| bundle.hipaa_controls.clone()).collect();
    named.sort();
    named.dedup();
    let content = html! {
        nav.crumbs aria-label="Where this is" { a href="/incidents" { "Incidents" } " / " a href={ "/sites/" (site) } { (site) } }
        div.head { h1 { (title(incident)) }
            p.line { (state(&row, !tickets.is_empty())) " " (severity(incident.severity)) " " (machine(&incident.host_name, &incident.host_id)) " "
                span.faint { "by " a href=(appliance_path(&site, &appliance)) { (appliance) } " · " (mono(incident.incident_id.as_str())) } }
        }
        (summary(&row, &bundles, tickets.first(), now))
        ol.story {
            (step(Kind::Bad, "Seen", Some(incident.created_at), first, &html! {
                (seen(&diff(finding), value("actual"), value("desired")))
                @if let Some(action) = value("recommended_action").as_str() { p.faint { "By hand one would: " (action) } }
            }))
            @for (row, bundle) in plans { (attempt(row, bundle, first)) }
            @if bundles.is_empty() { (step(Kind::Waiting, "Not decided yet", None, first, &html! { p { "No evidence about this incident has arrived. The agent sends it as soon as it has decided; while this server cannot be reached it keeps it." } })) }
            @for ticket in tickets.iter().rev() { (asked(ticket, first)) }
            @if let Some(resolution) = &row.resolution {
                (step(Kind::Good, "Resolved", Some(resolution.resolved_at), first, &html! { p { "Level " (resolution.resolution_tier.number()) ": " (resolution.action_taken) } }))
            }
        }
        section { h2 { "HIPAA Security Rule" } div.card { (supports(&incident.incident_type, &named)) } }
    };
    framed(&people, &session, Section::Incidents, &title(incident), live("incident", &content)).await
}
