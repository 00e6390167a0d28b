//! `/sites/{site}/appliances/{appliance}`: how one appliance stands, in its own words and by its evidence.

use super::frame::{Kind, Section, live, page as framed, status};
use super::session::Session;
use super::site::presence;
use super::trouble::{Known, Trouble};
use super::words::{Column, ago_text, count, link, mono, short, span, table, time};
use super::{Failure, People};
use crate::clock;
use crate::fleet::Appliance;
use crate::store::{ApplianceRow, ChainState, OrderFilter, StoredBundle};
use axum::extract::{Path, State};
use jiff::{SignedDuration, Timestamp};
use maud::{Markup, html};
use msp_contracts::api::AgentReport;
use msp_contracts::signed::HealingTier;
use std::sync::Arc;

/// How many orders are listed.
const ORDERS: u32 = 10;
/// From this difference on a clock is called wrong, as the agent does.
const CLOCK_OFF: SignedDuration = SignedDuration::from_mins(5);

fn fact(name: &str, value: &Markup) -> Markup {
    html! { div { dt { (name) } dd { (value) } } }
}

fn yes(is: bool, kind: Kind, word: &str, otherwise: &str) -> Markup {
    if is { status(kind, word) } else { status(Kind::Good, otherwise) }
}

/// How its clock stands, as far as its latest evidence tells: a bundle cannot be received before it was made.
fn clock_word(latest: Option<&StoredBundle>) -> Markup {
    let times = latest.and_then(|link| {
        let received: Timestamp = link.row.received_at.parse().ok()?;
        Some((received, link.row.bundle.as_ref()?.completed))
    });
    let Some((received, made)) = times else { return html! { span.faint { "no evidence to tell by" } } };
    let delay = received.duration_since(made);
    html! {
        @if -delay > CLOCK_OFF { (status(Kind::Bad, "ahead")) " by " (span(-delay)) }
        @else if delay.is_negative() { (status(Kind::Good, "right")) span.faint { " to " (span(-delay)) } }
        @else { (status(Kind::Good, "not ahead")) span.faint { ", the latest bundle came in " (span(delay)) " after it was made" } }
    }
}

fn report(agent: &AgentReport) -> Markup {
    let tier = match agent.healing_tier {
        Some(HealingTier::Standard) => "standard",
        Some(HealingTier::FullCoverage) => "full coverage",
        None => "not synced yet",
    };
    html! {
        (fact("Agent started", &time(&agent.started_at.to_string())))
        (fact("Kill switch", &yes(agent.kill_switch, Kind::Bad, "engaged", "not engaged")))
        (fact("Dry run", &yes(agent.dry_run, Kind::Waiting, "only says what it would do", "off")))
        (fact("Rule tier", &html! { (tier) }))
        (fact("Rules in force", &html! { (agent.rules_loaded) @if !agent.quarantined.is_empty() { ", " a href="#quarantined" { (agent.quarantined.len()) " did not load" } } }))
        (fact("Reports that wait", &html! { (agent.outbox_pending) @if agent.outbox_rejected > 0 { ", " (status(Kind::Waiting, &format!("{} refused", agent.outbox_rejected))) } }))
        (fact("State", &html! { (mono(agent.chain.as_str())) }))
    }
}

fn chain_row(row: &ChainState) -> Option<Vec<Markup>> {
    let chain = row.chain.as_deref()?;
    let path = format!("/evidence/{}/{}/{chain}", row.site_id, row.appliance);
    Some(vec![
        html! { a href=(path) { (mono(chain)) } },
        chain_state(row),
        html! { (row.bundles) },
        html! { (row.head_sequence) },
        html! { @if let Some(hash) = &row.head_hash { (short(hash)) } },
        html! { @if let Some(at) = &row.first_received { (time(at)) } },
    ])
}

/// How a chain stands, in a word.
pub(super) fn chain_state(row: &ChainState) -> Markup {
    html! {
        @if row.forks + row.broken > 0 { (status(Kind::Bad, "contradicted")) }
        @else if row.gaps > 0 { (status(Kind::Waiting, &count(row.gaps, "gap"))) }
        @else if row.chain.is_some() { (status(Kind::Good, "whole")) }
        @else { (status(Kind::Idle, "empty")) }
    }
}

fn quarantined(agent: Option<&AgentReport>) -> Markup {
    let rules = agent.map(|agent| agent.quarantined.as_slice()).unwrap_or_default();
    let rows: Vec<_> = rules
        .iter()
        .map(|rule| {
            vec![
                html! { (mono(rule.rule_id.as_deref().unwrap_or("no id"))) },
                html! { (mono(&rule.place)) },
                html! { (rule.reason) },
            ]
        })
        .collect();
    html! { @if !rows.is_empty() { section id="quarantined" {
        h2 { "Rules that did not load" }
        (table("Quarantined rules", &[Column::Text("Rule"), Column::Text("Where"), Column::Text("Why, and what helps")], &rows))
    } } }
}

fn facts(row: &ApplianceRow, latest: Option<&StoredBundle>, now: Timestamp) -> Markup {
    let checkin = row.checkin.as_ref();
    html! { dl.facts {
        (fact("Contact", &html! { (presence(row, now)) " " @if let Some(at) = &row.last_contact { (ago_text(at, now)) } }))
        @if let Some(checkin) = checkin {
            (fact("Host name", &html! { (checkin.hostname) }))
            (fact("Addresses", &html! { @for address in &checkin.ip_addresses { (mono(address)) " " } }))
            (fact("Version", &html! { "agent " (checkin.agent_version) @if let Some(nixos) = &checkin.nixos_version { ", NixOS " (nixos) } }))
            (fact("Up for", &html! { (span(SignedDuration::from_secs(i64::try_from(checkin.uptime_seconds).unwrap_or(i64::MAX)))) }))
        }
        (fact("Clock", &clock_word(latest)))
        (fact("Evidence key", &html! { @match &row.agent_public_key { Some(key) => (short(key)), None => span.faint { "pinned at the first check-in" } } }))
        (fact("Certificate issued", &time(&row.issued_at)))
        @if let Some(agent) = checkin.and_then(|checkin| checkin.agent.as_ref()) { (report(agent)) }
    } }
}

pub(super) async fn page(
    session: Session,
    State(people): State<Arc<People>>,
    Path((site, appliance)): Path<(String, String)>,
) -> Result<Markup, Failure> {
    let now = clock::now();
    let known = Known::load(&people, Some(&site), now).await?;
    let Some(row) = known.appliances.iter().find(|row| row.appliance == appliance) else {
        return Err(Failure::missing(
            "There is no appliance of this name. Its site's page lists those that are registered.",
        ));
    };
    let who = Appliance { site: site.clone(), appliance: appliance.clone() };
    let chains: Vec<&ChainState> = known.chains.iter().filter(|chain| chain.appliance == appliance).collect();
    let latest = match chains.last().and_then(|state| Some((state.chain.as_deref()?, state.head_sequence))) {
        Some((chain, head)) => people.store.links(&who, chain, head, 1).await?.into_iter().next(),
        None => None,
    };
    let path = super::trouble::appliance_path(&site, &appliance);
    let wrong: Vec<&Trouble> = known.troubles.iter().filter(|one| one.path == path).collect();
    let rows: Vec<_> = chains.iter().filter_map(|row| chain_row(row)).collect();
    let filter = OrderFilter { site: Some(&site), appliance: Some(&appliance), state: None };
    let orders = people.store.orders(filter, ORDERS, now).await?;
    let orders: Vec<_> = orders.iter().map(|order| super::orders::brief(order, now)).collect();
    let agent = row.checkin.as_ref().and_then(|checkin| checkin.agent.as_ref());
    let content = html! {
        nav.crumbs aria-label="Where this is" { a href="/" { "Fleet" } " / " a href={ "/sites/" (site) } { (site) } }
        div.head { h1 { (appliance) } }
        @if !wrong.is_empty() { section { h2 { "Wrong now" } (super::fleet::troubles(&wrong, 20, now)) } }
        section { h2 { "How it stands" } (facts(row, latest.as_ref(), now))
            @if agent.is_none() && row.checkin.is_some() { p.faint { "This agent does not report its rules, queue and switches yet: a newer release does." } }
        }
        (quarantined(agent))
        section { h2 { "Orders" }
            p.actions { a.button href=(link("/orders/new", &[("to", &who.to_string())])) { "Issue an order" } }
            @if !orders.is_empty() { (table("The latest orders to this appliance", &[Column::Text("Order"), Column::Text("What, and why"), Column::Text("State"), Column::Text("Issued")], &orders)) }
        }
        section { h2 { "Evidence" }
            @if rows.is_empty() { (super::words::nothing("No evidence yet.", &html! { "The first bundles arrive within a minute of the first check." })) }
            @else { (table("Chains of evidence, one for each state the appliance began with", &[Column::Text("Chain"), Column::Text("State"), Column::Number("Bundles"), Column::Number("Head"), Column::Text("Head hash"), Column::Text("First received")], &rows)) }
        }
    };
    framed(&people, &session, Section::Fleet, &appliance, live("appliance", &content)).await
}
