//! `/kill-switch`: stop every change of a site, or of one appliance, and allow them again. Each change has a reason.
//!
//! Everything goes through the same door as the command line ([`crate::kill_switch`]); what was done or refused is
//! noted in the audit trail right after it, and the switch's own table keeps who, when and why besides.

use super::form::Posted;
use super::frame::{Section, icon, live, page as framed, status, token};
use super::session::{Session, see_other};
use super::site::presence;
use super::trouble::appliance_path;
use super::words::{Column, Kind, ago_text, nothing, table, time};
use super::{Failure, People};
use crate::clock;
use crate::kill_switch;
use crate::store::{Action, ApplianceRow, Change, Entry, KillSwitchRow};
use axum::extract::State;
use axum::response::Response;
use jiff::Timestamp;
use maud::{Markup, html};
use serde::Deserialize;
use std::sync::Arc;

/// How many changes are listed.
const CHANGES: u32 = 100;

#[derive(Deserialize)]
pub(super) struct Asked {
    site: String,
    /// Empty: the whole site.
    #[serde(default)]
    appliance: String,
    reason: String,
}

/// Whom a switch stops.
pub(super) fn whom(row: &KillSwitchRow) -> String {
    match &row.appliance {
        Some(appliance) => format!("{appliance} at {}", row.site_id),
        None => row.site_id.clone(),
    }
}

/// The line above every page while a switch is engaged.
pub(super) fn banner(engaged: &[&KillSwitchRow], now: Timestamp) -> Markup {
    html! { @for row in engaged {
        div { strong { (icon(Kind::Bad)) "Kill switch engaged: " (whom(row)) }
            span { "nothing is changed there · " (row.changed_by) ", " (ago_text(&row.changed_at, now)) ": " (row.reason) }
            a href={ "/kill-switch#" (row.site_id) } { "Release…" } }
    } }
}

fn reason_field(label: &str) -> Markup {
    html! { label { span { (label) } input name="reason" required maxlength="500" autocomplete="off"; } }
}

fn engage_form(session: &Session, site: &str, appliances: &[&ApplianceRow]) -> Markup {
    html! { form.inline method="post" action="/kill-switch/engage" {
        (token(session))
        input type="hidden" name="site" value=(site);
        label { span { "Stop" } select name="appliance" {
            option value="" { "the whole site" }
            @for row in appliances { option value=(row.appliance) { "only " (row.appliance) } }
        } }
        (reason_field("Reason, shown to everybody and kept as evidence"))
        button.danger type="submit" { (icon(Kind::Bad)) "Engage at " (site) }
    } }
}

fn release_form(session: &Session, row: &KillSwitchRow) -> Markup {
    html! { form.inline method="post" action="/kill-switch/release" {
        (token(session))
        input type="hidden" name="site" value=(row.site_id);
        @if let Some(appliance) = &row.appliance { input type="hidden" name="appliance" value=(appliance); }
        (reason_field("Reason to release"))
        button type="submit" { "Release " (whom(row)) }
    } }
}

/// What the appliances themselves say about it.
fn word_of(row: &ApplianceRow) -> Markup {
    match row.checkin.as_ref().and_then(|checkin| checkin.agent.as_ref()).map(|agent| agent.kill_switch) {
        Some(true) => status(Kind::Bad, "reports itself stopped"),
        Some(false) => status(Kind::Good, "reports that it works"),
        None => status(Kind::Idle, "has not said"),
    }
}

fn state(switches: &[&KillSwitchRow], appliances: &[&ApplianceRow], now: Timestamp) -> Markup {
    let rows: Vec<_> = appliances
        .iter()
        .map(|row| {
            vec![
                html! { a href=(appliance_path(&row.site_id, &row.appliance)) { (row.appliance) } },
                word_of(row),
                presence(row, now),
            ]
        })
        .collect();
    html! {
        @if switches.is_empty() { p { (status(Kind::Good, "not engaged")) } }
        @for row in switches { p.problem { (icon(Kind::Bad)) span { strong { "Engaged for " (match &row.appliance { Some(one) => one.as_str(), None => "the whole site" }) } " since " (time(&row.changed_at)) " by " (row.changed_by) ": " (row.reason) } } }
        (table("What the appliances say", &[Column::Text("Appliance"), Column::Text("In its own words"), Column::Text("Contact")], &rows))
    }
}

fn change_row(row: &KillSwitchRow, now: Timestamp) -> Vec<Markup> {
    vec![
        html! { strong { (whom(row)) } },
        if row.engaged { status(Kind::Bad, "engaged") } else { status(Kind::Good, "released") },
        html! { (row.reason) },
        html! { (row.changed_by) },
        ago_text(&row.changed_at, now),
    ]
}

pub(super) async fn page(session: Session, State(people): State<Arc<People>>) -> Result<Markup, Failure> {
    let (store, now) = (&people.store, clock::now());
    let (sites, appliances) = (store.sites(None).await?, store.appliances(None).await?);
    let switches: Vec<KillSwitchRow> = store.kill_switches(None).await?.into_iter().filter(|row| row.engaged).collect();
    let changes: Vec<_> =
        store.kill_switch_changes(None, CHANGES).await?.iter().map(|row| change_row(row, now)).collect();
    let content = html! {
        div.head { h1 { "Kill switch" } p.faint { "Stops every change on every machine of a site. The appliances go on looking, reporting and proving. Each learns of it at its next check-in, within a minute; the release is a signed order." } }
        @for site in &sites {
            @let engaged: Vec<&KillSwitchRow> = switches.iter().filter(|row| row.site_id == site.site_id).collect();
            @let own: Vec<&ApplianceRow> = appliances.iter().filter(|row| row.site_id == site.site_id).collect();
            section id=(site.site_id) { h2 { (site.site_id) }
                div.card.switch {
                    (live(&format!("switch-{}", site.site_id), &state(&engaged, &own, now)))
                    @for row in &engaged { (release_form(&session, row)) }
                    @if !engaged.iter().any(|row| row.appliance.is_none()) { (engage_form(&session, &site.site_id, &own)) }
                }
            }
        }
        @if sites.is_empty() { (nothing("No site yet.", &html! { "A site is there with its first appliance." })) }
        section { h2 { "Changes" }
            (live("changes", &html! {
                @if changes.is_empty() { (nothing("No switch was ever engaged.", &html! { "Each change is kept here with its reason." })) }
                @else { (table("Changes of the switches, the latest first", &[Column::Text("Whom"), Column::Text("Change"), Column::Text("Reason"), Column::Text("By"), Column::Text("When")], &changes)) }
            }))
        }
    };
    framed(&people, &session, Section::KillSwitch, "Kill switch", content).await
}

async fn change(people: &People, session: &Session, asked: &Asked, engage: bool) -> Result<Response, Failure> {
    let (store, now) = (&people.store, clock::now());
    if !store.site_exists(&asked.site).await? {
        return Err(Failure::missing("There is no site of this name."));
    }
    let appliance = Some(asked.appliance.as_str()).filter(|appliance| !appliance.is_empty());
    let wanted = Change { site: &asked.site, appliance, reason: asked.reason.trim(), by: session.person() };
    let done = if engage {
        kill_switch::engage(store, wanted, now).await
    } else {
        kill_switch::disengage(store, &people.signer, wanted, now).await.map(|_| ())
    };
    let action = if engage { Action::EngageKillSwitch } else { Action::ReleaseKillSwitch };
    let subject = appliance.map_or_else(|| asked.site.clone(), |appliance| format!("{}/{appliance}", asked.site));
    let why = done.as_ref().err().map_or_else(|| wanted.reason.to_owned(), ToString::to_string);
    let (actor, reason) = (session.actor(), why.as_str());
    store.audit(&Entry { actor: &actor, action, subject: &subject, done: done.is_ok(), reason }).await?;
    done?;
    Ok(see_other(&format!("/kill-switch#{}", asked.site)))
}

pub(super) async fn engage(
    State(people): State<Arc<People>>,
    Posted { session, fields }: Posted<Asked>,
) -> Result<Response, Failure> {
    change(&people, &session, &fields, true).await
}

pub(super) async fn release(
    State(people): State<Arc<People>>,
    Posted { session, fields }: Posted<Asked>,
) -> Result<Response, Failure> {
    change(&people, &session, &fields, false).await
}
