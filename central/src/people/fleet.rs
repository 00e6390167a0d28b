//! `/`: what is wrong now comes first, then the sites, then what was mended of late.

use super::frame::{Section, icon, live, page as framed, status};
use super::session::Session;
use super::trouble::{Known, Trouble, title};
use super::words::{Column, Kind, ago, ago_text, count, nothing, severity, table, took};
use super::{Failure, People};
use crate::clock;
use crate::store::{ExecutionRow, SiteRow};
use axum::extract::State;
use jiff::{SignedDuration, Timestamp};
use maud::{Markup, html};
use msp_contracts::finding::Severity;
use msp_contracts::outcome::Detail;
use std::collections::HashMap;
use std::sync::Arc;

/// How many troubles are listed.
const TROUBLES: usize = 12;
/// How many heals are listed.
const HEALS: u32 = 8;
/// What "of late" means.
pub(super) const DAY: SignedDuration = SignedDuration::from_hours(24);

/// A list of troubles, the worst first.
pub(super) fn troubles(list: &[&Trouble], shown: usize, now: Timestamp) -> Markup {
    html! {
        ul.troubles {
            @for one in list.iter().take(shown) { li class=(one.kind.as_str()) {
                (icon(one.kind))
                div {
                    p.title { a href=(one.path) { (one.title) } @if let Some(level) = one.severity { " " (severity(level)) } }
                    p.faint { (one.text) }
                }
                p.aside {
                    @if one.needs_a_person { span.needs { "needs a person" } " " }
                    a.faint href={ "/sites/" (one.site) } { (one.site) }
                    @if let Some(since) = one.since { " · " (ago(since, now)) }
                }
            } }
        }
        @if list.len() > shown { p { a href="/incidents" { "and " (list.len() - shown) " more" } } }
    }
}

/// One number with its name, and what kind of news it is.
pub(super) fn figure(kind: Kind, number: &str, name: &str, path: &str) -> Markup {
    html! { a class={ "figure " (kind.as_str()) } href=(path) { span.number { (icon(kind)) (number) } span.name { (name) } } }
}

/// The open incidents by severity, the worst first.
fn by_severity(known: &Known, site: &str) -> Markup {
    let mut counts: Vec<(Severity, i64)> = Vec::new();
    for row in known.incidents.iter().filter(|row| row.resolution.is_none() && row.incident.site_id == site) {
        match counts.iter_mut().find(|(level, _)| *level == row.incident.severity) {
            Some((_, number)) => *number += 1,
            None => counts.push((row.incident.severity, 1)),
        }
    }
    counts.sort_by_key(|(level, _)| std::cmp::Reverse(*level));
    html! {
        @if counts.is_empty() { span.faint { "none" } }
        @for (level, number) in counts { span.whole.level { (number) " " (severity(level)) } " " }
    }
}

fn site_row(known: &Known, site: &SiteRow, healed: &HashMap<String, i64>, stopped: bool) -> (Kind, usize, Vec<Markup>) {
    let wrong: Vec<&Trouble> = known.of_site(&site.site_id).collect();
    let kind = wrong.iter().map(|one| one.kind).max().unwrap_or(if site.last_contact.is_some() {
        Kind::Good
    } else {
        Kind::Idle
    });
    let word = match kind {
        Kind::Good => "all well".to_owned(),
        Kind::Idle => "nothing heard".to_owned(),
        _ => count(i64::try_from(wrong.len()).unwrap_or(i64::MAX), "thing to look at")
            .replace("thing to look ats", "things to look at"),
    };
    let cells = vec![
        html! { a href={ "/sites/" (site.site_id) } { strong { (site.site_id) } } },
        html! { (status(kind, &word)) @if stopped { " " span.whole { (status(Kind::Bad, "kill switch")) } } },
        by_severity(known, &site.site_id),
        html! { (site.appliances) },
        html! { @match &site.last_contact { Some(at) => (ago_text(at, known.now)), None => span.faint { "never" } } },
        html! { (healed.get(&site.site_id).copied().unwrap_or(0)) },
    ];
    (kind, wrong.len(), cells)
}

/// What was mended of late.
pub(super) fn heals(rows: &[ExecutionRow], known: &Known) -> Markup {
    html! { ul.heals { @for row in rows {
        @let one = &row.execution;
        @let about = known.incidents.iter().find(|other| {
            (&other.incident.site_id, &other.appliance, &other.incident.incident_id) == (&one.site_id, &row.appliance, &one.incident_id)
        });
        li {
            (icon(Kind::Good))
            p {
                a href={ "/incidents/" (one.site_id) "/" (row.appliance) "/" (one.incident_id) } {
                    @match about {
                        Some(about) => (title(&about.incident)),
                        None => { (one.runbook_id.as_deref().unwrap_or("a plan")) " on " (row.host_name.as_deref().unwrap_or(&one.host_id)) },
                    }
                }
                span.faint { " by " (one.rule_id.as_deref().unwrap_or("a person")) " in " (took(one.completed_at.duration_since(one.started_at))) }
            }
            p.aside.faint { (one.site_id) " · " (ago(one.completed_at, known.now)) }
        }
    } } }
}

pub(super) async fn page(session: Session, State(people): State<Arc<People>>) -> Result<Markup, Failure> {
    let now = clock::now();
    let known = Known::load(&people, None, now).await?;
    let since = now.saturating_sub(DAY).unwrap_or(now);
    let (standing, healed) = (people.store.standing(since).await?, people.store.healed_by_site(since).await?);
    let sites = people.store.sites(None).await?;
    let switches = people.store.kill_switches(None).await?;
    let is_stopped = |site: &SiteRow| switches.iter().any(|row| row.engaged && row.site_id == site.site_id);
    let mut rows: Vec<_> = sites.iter().map(|site| site_row(&known, site, &healed, is_stopped(site))).collect();
    rows.sort_by_key(|(kind, wrong, _)| std::cmp::Reverse((*kind, *wrong)));
    let rows: Vec<Vec<Markup>> = rows.into_iter().map(|(_, _, cells)| cells).collect();
    let mut fixed = people.store.executions(None, 100).await?;
    fixed.retain(|row| row.execution.detail == Detail::Fixed);
    fixed.truncate(usize::try_from(HEALS).unwrap_or(usize::MAX));
    let wrong: Vec<&Trouble> = known.troubles.iter().collect();

    let (silent, others) = (known.silent(), standing.open_incidents - standing.need_a_person);
    let contradicted = known.chains.iter().filter(|chain| chain.forks + chain.broken > 0).count();
    let gaps: i64 = known.chains.iter().map(|chain| chain.gaps).sum();
    let (chain_kind, chain_word) = match (contradicted, gaps) {
        (0, 0) if known.chains.iter().all(|chain| chain.chain.is_none()) => (Kind::Idle, "none yet"),
        (0, 0) => (Kind::Good, "whole"),
        (0, _) => (Kind::Waiting, "has gaps"),
        _ => (Kind::Bad, "contradicted"),
    };
    let when = |bad: bool, kind: Kind| if bad { kind } else { Kind::Good };
    let content = html! {
        div.head.with-actions { h1 { "Fleet" } p.actions { a.button href="/enrolment" { "Let an appliance join" } } }
        div.figures {
            (figure(when(standing.need_a_person > 0, Kind::Bad), &standing.need_a_person.to_string(), "need a person", "/incidents?show=person"))
            (figure(when(others > 0, Kind::Waiting), &others.to_string(), "more open", "/incidents"))
            (figure(when(silent > 0, Kind::Bad), &silent.to_string(), "silent", "#sites"))
            (figure(if standing.healed > 0 { Kind::Good } else { Kind::Idle }, &standing.healed.to_string(), "healed in 24 h", "/incidents?show=resolved"))
            (figure(chain_kind, chain_word, "evidence", "/evidence"))
        }
        section {
            h2 { "Wrong now" }
            @if wrong.is_empty() {
                (nothing("Nothing is wrong.", &html! { "What the appliances find and cannot mend by a rule is listed here, the worst first." }))
            } @else { (troubles(&wrong, TROUBLES, now)) }
        }
        section id="sites" {
            h2 { "Sites" }
            @if rows.is_empty() {
                (nothing("No site yet.", &html! { "A site is there with its first appliance: "
                    a href="/enrolment" { "let one join" } }))
            } @else {
                (table("Sites, those with trouble first", &[Column::Text("Site"), Column::Text("State"), Column::Text("Open incidents"),
                    Column::Number("Appliances"), Column::Text("Last contact"), Column::Number("Healed, 24 h")], &rows))
            }
        }
        section {
            h2 { "Recently healed" }
            @if fixed.is_empty() {
                (nothing("Nothing was healed yet.", &html! { "When a rule decides and its runbook passes the check afterwards, it is listed here with its proof." }))
            } @else { (heals(&fixed, &known)) }
        }
    };
    framed(&people, &session, Section::Fleet, "Fleet", live("fleet", &content)).await
}
