//! `/sites/{site}`: what is wrong at one site, its appliances, the servers they look after.

use super::fleet::{DAY, heals, troubles};
use super::frame::{Section, live, page as framed, status};
use super::session::Session;
use super::trouble::{Known, Trouble, appliance_path};
use super::words::{Column, Kind, ago_text, is_silent, mono, nothing, table};
use super::{Failure, People};
use crate::clock;
use crate::store::{ApplianceRow, TargetRow};
use axum::extract::{Path, State};
use jiff::Timestamp;
use maud::{Markup, html};
use msp_contracts::api::{Transport, WindowsTarget};
use msp_contracts::outcome::Detail;
use std::sync::Arc;

/// Whether an appliance is there.
pub(super) fn presence(row: &ApplianceRow, now: Timestamp) -> Markup {
    match row.last_contact.as_ref().and_then(|text| text.parse::<Timestamp>().ok()) {
        None => status(Kind::Idle, "not yet"),
        Some(last) if is_silent(last, now) => status(Kind::Bad, "silent"),
        Some(_) => status(Kind::Good, "in touch"),
    }
}

fn appliance_row(row: &ApplianceRow, now: Timestamp) -> Vec<Markup> {
    let checkin = row.checkin.as_ref();
    vec![
        html! { a href=(appliance_path(&row.site_id, &row.appliance)) { strong { (row.appliance) } } },
        presence(row, now),
        html! { @match &row.last_contact { Some(at) => (ago_text(at, now)), None => span.faint { "never" } } },
        html! { (checkin.map_or("", |checkin| checkin.hostname.as_str())) },
        html! { @for address in checkin.map(|checkin| checkin.ip_addresses.as_slice()).unwrap_or_default() { (mono(address)) " " } },
        html! { (checkin.map_or("", |checkin| checkin.agent_version.as_str())) },
    ]
}

/// How a server is reached, and what makes it believed.
fn reached(target: &WindowsTarget) -> &'static str {
    match (target.transport, target.certificate_sha256.is_some()) {
        (Transport::Https, true) => "HTTPS, one pinned certificate",
        (Transport::Https, false) => "HTTPS, the site's authority",
        (Transport::Http, _) => "HTTP, every body sealed by NTLM",
    }
}

fn target_row(row: &TargetRow) -> Vec<Markup> {
    let target = &row.target;
    vec![
        html! { strong { (target.hostname) } },
        html! { @match &target.ip_address { Some(address) => (mono(&format!("{address}:{}", target.port))), None => (status(Kind::Bad, "no address")) } },
        html! { (reached(target)) },
        html! { (if target.credentials.is_some() { "sent sealed" } else { "on the appliance" }) },
        html! { @match &row.owner { Some(owner) => (owner), None => span.faint { "nobody yet" } } },
    ]
}

pub(super) async fn page(
    session: Session,
    State(people): State<Arc<People>>,
    Path(site): Path<String>,
) -> Result<Markup, Failure> {
    let now = clock::now();
    let Some(row) = people.store.sites(Some(&site)).await?.into_iter().next() else {
        return Err(Failure::missing("There is no site of this name. The fleet lists those that are registered."));
    };
    let known = Known::load(&people, Some(&site), now).await?;
    let wrong: Vec<&Trouble> = known.of_site(&site).collect();
    let targets = people.store.owned_targets(&site).await?;
    let appliances: Vec<_> = known.appliances.iter().map(|row| appliance_row(row, now)).collect();
    let servers: Vec<_> = targets.iter().map(target_row).collect();
    let since = now.saturating_sub(DAY).unwrap_or(now);
    let mut fixed = people.store.executions(Some(&site), 100).await?;
    fixed.retain(|row| row.execution.detail == Detail::Fixed && row.execution.started_at >= since);
    fixed.truncate(12);
    let content = html! {
        nav.crumbs aria-label="Where this is" { a href="/" { "Fleet" } }
        div.head { h1 { (row.site_id) }
            p.faint { "Tier " (row.healing_tier.replace('_', " ")) " · " a href={ "/rules#" (row.site_id) } { (row.rules) " rules of its own" }
                " · " a href={ "/evidence?site=" (row.site_id) } { "evidence" } " · " a href={ "/incidents?site=" (row.site_id) } { "incidents" } }
        }
        section { h2 { "Wrong now" }
            @if wrong.is_empty() { (nothing("Nothing is wrong here.", &html! { "Open incidents, silence and doubts about evidence of this site are listed here." })) }
            @else { (troubles(&wrong, 50, now)) }
        }
        section { h2 { "Appliances" }
            (table("Appliances of this site", &[Column::Text("Appliance"), Column::Text("Contact"), Column::Text("Last"), Column::Text("Host name"), Column::Text("Addresses"), Column::Text("Agent")], &appliances))
        }
        section { h2 { "Windows servers" }
            @if servers.is_empty() {
                (nothing("No server yet.", &html! { "The appliance looks after those that it is told of: " code { "msp-central targets set --dir DIR --site " (row.site_id) " FILE" } }))
            } @else {
                (table("Servers that the site's appliances look after", &[Column::Text("Server"), Column::Text("Address"), Column::Text("Reached by"), Column::Text("Logon"), Column::Text("Looked after by")], &servers))
            }
        }
        section { h2 { "Healed in 24 h" }
            @if fixed.is_empty() { (nothing("Nothing was healed here in the last day.", &html! { "Older heals are among the " a href={ "/incidents?show=resolved&site=" (row.site_id) } { "resolved incidents" } "." })) }
            @else { (heals(&fixed, &known)) }
        }
    };
    framed(&people, &session, Section::Fleet, &site, live("site", &content)).await
}
