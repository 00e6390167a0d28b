//! `/rules`: what decides at which site, and what did not load on which appliance.

use super::catalogue;
use super::frame::{Section, live, page as framed};
use super::session::Session;
use super::trouble::appliance_path;
use super::words::{Column, mono, nothing, table, time};
use super::{Failure, People};
use crate::store::{ApplianceRow, RuleRow, SiteRow};
use axum::extract::State;
use maud::{Markup, html};
use msp_contracts::signed::HealingTier;
use msp_rules::{Action, Rule};
use serde_json::Value;
use std::sync::Arc;

fn tier(tier: HealingTier) -> &'static str {
    match tier {
        HealingTier::Standard => "standard",
        HealingTier::FullCoverage => "full coverage",
    }
}

/// What a rule leads to, in a few words.
fn leads_to(action: &Action) -> Markup {
    let named = |id: &str| html! { @if let Some(known) = catalogue::runbook(id) { (known.name) " " } span.whole { (mono(id)) } };
    match action {
        Action::RunRunbook { runbook_id, .. } => named(runbook_id),
        Action::RestartService { service } => html! { "restart of " (mono(&service.to_string())) },
        Action::Escalate { reason, runbook_id, .. } => html! {
            "a person: " (reason)
            @if let Some(id) = runbook_id { div.faint { "could help: " (named(id)) } }
        },
    }
}

/// The first text under this name, however deep.
fn find<'a>(value: &'a Value, name: &str) -> Option<&'a str> {
    match value {
        Value::Object(fields) => {
            fields.get(name).and_then(Value::as_str).or_else(|| fields.values().find_map(|value| find(value, name)))
        }
        Value::Array(items) => items.iter().find_map(|value| find(value, name)),
        _ => None,
    }
}

fn built_in(rule: &Rule) -> Vec<Markup> {
    vec![
        html! { span.whole id=(rule.id) { (mono(&rule.id)) } },
        html! { (rule.name) @if !rule.description.is_empty() && rule.description != rule.name { div.faint { (rule.description) } } },
        leads_to(&rule.action),
        html! { (rule.priority) },
        html! { (rule.cooldown_seconds) " s" },
    ]
}

fn of_site(row: &RuleRow) -> Vec<Markup> {
    let text = |name: &str| row.rule.get(name).and_then(Value::as_str).unwrap_or_default();
    vec![
        html! { (mono(&row.rule_id)) },
        html! { (text("name")) @if !text("description").is_empty() { div.faint { (text("description")) } } },
        html! { (mono(text("action"))) @if let Some(runbook) = find(&row.rule, "runbook_id") { " " (mono(runbook)) } },
        html! { (tier(row.tier)) },
        time(&row.imported_at),
    ]
}

fn site_section(site: &SiteRow, rules: &[RuleRow]) -> Markup {
    let rows: Vec<_> = rules.iter().filter(|row| row.site_id == site.site_id).map(of_site).collect();
    html! { section id=(site.site_id) {
        h2 { (site.site_id) " " span.faint { "tier " (site.healing_tier.replace('_', " ")) } }
        @if rows.is_empty() {
            (nothing("No rules of its own.", &html! { "The built-in rules decide here. More come by " code { "msp-central rules import --dir DIR --site " (site.site_id) " FILE" } ", are linted with the agent's own code, and go out signed." }))
        } @else {
            (table("Rules of this site, below the built-in ones", &[Column::Text("Rule"), Column::Text("What it is for"), Column::Text("Leads to"), Column::Text("Tier"), Column::Text("Imported")], &rows))
        }
    } }
}

fn quarantined(appliances: &[ApplianceRow]) -> Vec<Vec<Markup>> {
    let reports = appliances.iter().filter_map(|row| Some((row, row.checkin.as_ref()?.agent.as_ref()?)));
    let all = reports.flat_map(|(row, agent)| agent.quarantined.iter().map(move |rule| (row, rule)));
    all.map(|(row, rule)| {
        vec![
            html! { (mono(rule.rule_id.as_deref().unwrap_or("no id"))) },
            html! { a href=(appliance_path(&row.site_id, &row.appliance)) { (row.site_id) " / " (row.appliance) } },
            html! { (mono(&rule.place)) },
            html! { (rule.reason) },
        ]
    })
    .collect()
}

pub(super) async fn page(session: Session, State(people): State<Arc<People>>) -> Result<Markup, Failure> {
    let store = &people.store;
    let (sites, rules, appliances) =
        (store.sites(None).await?, store.rules(None).await?, store.appliances(None).await?);
    let bad = quarantined(&appliances);
    let baseline: Vec<_> = catalogue::rules().map(built_in).collect();
    let content = html! {
        div.head { h1 { "Rules" } p.faint { "A rule chooses a runbook that every agent ships, or a person. None can carry a command." } }
        section { h2 { "Did not load" }
            @if bad.is_empty() { (nothing("Every rule loaded.", &html! { "A rule that an appliance cannot use is quarantined there: named here with its place and the reason, and hurting no other." })) }
            @else { (table("Rules in quarantine", &[Column::Text("Rule"), Column::Text("Appliance"), Column::Text("Where"), Column::Text("Why, and what helps")], &bad)) }
        }
        @for site in &sites { (site_section(site, &rules)) }
        section { h2 { "Built in" }
            (table("The rules of every agent of this release, in the order in which they win", &[Column::Text("Rule"), Column::Text("What it is for"), Column::Text("Leads to"), Column::Number("Priority"), Column::Number("Cooldown")], &baseline))
        }
    };
    framed(&people, &session, Section::Rules, "Rules", live("rules", &content)).await
}
