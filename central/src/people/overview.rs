//! `/`: how things stand, incidents, tickets, heals, evidence and sites on one page; what needs somebody
//! comes first.

use super::frame::{badge, frame, is_silent, time};
use super::{escalations, evidence, executions, incidents, sites};
use crate::clock;
use crate::store::{ChainState, Standing, Store, StoreError};
use axum::extract::State;
use jiff::Timestamp;
use jiff::tz::TimeZone;
use maud::{Markup, html};

/// How many rows of each kind are shown.
const ROWS: u32 = 100;

pub(super) async fn page(State(store): State<Store>) -> Result<Markup, StoreError> {
    let now = clock::now();
    let standing = store.standing(midnight(now)).await?;
    let contacts = store.appliances(None).await?.into_iter().filter_map(|row| row.last_contact?.parse().ok());
    let silent = contacts.filter(|last| is_silent(*last, now)).count();
    let content = html! {
        (summary(&standing, silent, &store.chains(None).await?))
        p.nothing { "As of " (time(&now.to_string())) ". Each list shows the latest " (ROWS) " at most." }
        section id="incidents" { (incidents::section(&store, ROWS, now).await?) }
        section id="tickets" { (escalations::section(&store, ROWS, now).await?) }
        section id="heals" { (executions::section(&store, ROWS).await?) }
        section id="evidence" { (evidence::section(&store, ROWS).await?) }
        section id="sites" { (sites::section(&store, now).await?) }
    };
    Ok(frame("Overview", &content))
}

/// The beginning of today, in UTC as every time on the page.
fn midnight(now: Timestamp) -> Timestamp {
    let since = now.to_zoned(TimeZone::UTC).datetime().time().duration_since(jiff::civil::Time::midnight());
    now.saturating_sub(since).unwrap_or(now)
}

/// Everything in one line.
fn summary(standing: &Standing, silent: usize, chains: &[ChainState]) -> Markup {
    let others = standing.open_incidents - standing.need_a_person;
    let contradicted = chains.iter().filter(|chain| chain.forks + chain.broken > 0).count();
    let missing: i64 = chains.iter().map(|chain| chain.gaps).sum();
    let need = if standing.need_a_person == 1 { "needs" } else { "need" };
    html! { p.summary {
        (badge(if standing.need_a_person > 0 { "bad" } else { "good" },
            &format!("{} {need} a person", count(standing.need_a_person, "incident"))))
        @if others > 0 { ", " (badge("waiting", &format!("{others} more open"))) }
        ", " (standing.healed) " healed today, "
        @if contradicted > 0 { (badge("bad", "evidence contradicted")) }
        @else if missing > 0 { (badge("waiting", &format!("evidence has {}", count(missing, "gap")))) }
        @else if chains.iter().any(|chain| chain.chain.is_some()) { (badge("good", "evidence whole")) }
        @else { "no evidence yet" }
        @if silent > 0 { ", " (badge("bad", &format!("{silent} silent"))) }
    } }
}

fn count(number: i64, what: &str) -> String {
    format!("{number} {what}{}", if number == 1 { "" } else { "s" })
}
