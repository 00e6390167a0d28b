//! `/evidence`: every bundle that was received, to be found by site, kind, check, machine or id.

use super::appliance::chain_state;
use super::frame::{Kind, Section, icon, live, page as framed};
use super::session::Session;
use super::words::{Column, ago_text, check_name, link, machine, nothing, outcome, short, table};
use super::{Failure, People};
use crate::clock;
use crate::store::{BundleRow, ChainState, EvidenceFilter};
use axum::extract::{Query, State};
use jiff::Timestamp;
use maud::{Markup, html};
use msp_contracts::evidence::{Bundle, BundleKind};
use serde::Deserialize;
use serde_json::Value;
use std::sync::Arc;

/// How many bundles a page shows.
const PAGE: u32 = 50;

const KINDS: [(&str, &str); 6] = [
    ("heal", "Heal"),
    ("refusal", "Refusal"),
    ("escalation", "A person was asked"),
    ("status_change", "Change of a check's status"),
    ("roll_up", "Hourly roll-up"),
    ("order", "Order"),
];

#[derive(Deserialize, Default)]
pub(super) struct Filter {
    #[serde(default)]
    site: String,
    #[serde(default)]
    kind: String,
    #[serde(default)]
    check: String,
    #[serde(default)]
    q: String,
    #[serde(default)]
    page: String,
}

/// The page of a bundle.
pub(super) fn bundle_path(row: &BundleRow) -> String {
    format!("/evidence/{}/{}/{}/{}", row.site_id, row.appliance, row.chain, row.sequence)
}

/// The status in a recorded state, in the checks' own words where the wire has one for it.
fn status_word(state: &Value) -> Option<&str> {
    // The agent's own word, where it is there, says more than the wire's.
    if let Some(ours) = state.get("detail").and_then(Value::as_str) {
        return Some(ours);
    }
    match state.get("status")?.as_str()? {
        "pass" => Some("compliant"),
        "fail" => Some("drift"),
        "error" => Some("unknown"),
        word => Some(word),
    }
}

/// What a bundle proves, in a few words.
pub(super) fn proves(bundle: &Bundle) -> (Kind, String) {
    let (kind, ended) = bundle.detail.map_or((Kind::Idle, "no outcome"), outcome);
    match bundle.kind {
        BundleKind::StatusChange => {
            let after = status_word(&bundle.post_state);
            let kind = match after {
                Some("compliant") => Kind::Good,
                Some("drift") => Kind::Bad,
                _ => Kind::Waiting,
            };
            match (status_word(&bundle.pre_state), after) {
                (Some(before), Some(after)) => (kind, format!("{before} → {after}")),
                (None, Some(after)) => (kind, format!("first seen: {after}")),
                _ => (Kind::Idle, "status changed".to_owned()),
            }
        }
        BundleKind::RollUp => (Kind::Good, format!("{} checks stayed compliant", bundle.roll_up.len())),
        BundleKind::Heal => (kind, format!("heal: {ended}")),
        BundleKind::Refusal => (kind, format!("refusal: {ended}")),
        BundleKind::Escalation => (Kind::Waiting, "a person was asked".to_owned()),
        BundleKind::Order => (kind, format!("order: {ended}")),
    }
}

fn row(row: &BundleRow, now: Timestamp) -> Vec<Markup> {
    let bundle = row.bundle.as_ref();
    vec![
        html! { a href=(bundle_path(row)) { code { (row.bundle_id) } } },
        html! { @if let Some(bundle) = bundle { @let (kind, text) = proves(bundle); span class={ "status " (kind.as_str()) } { (icon(kind)) span { (text) } } } @else { span.faint { "cannot be read" } } },
        html! { @if let Some(bundle) = bundle { (check_name(&bundle.check)) } },
        html! { @if let Some(bundle) = bundle { (machine(&bundle.target.name, &bundle.target.host_id)) } },
        html! { (row.site_id) },
        html! { (row.sequence) },
        short(&row.hash),
        ago_text(&row.received_at, now),
    ]
}

fn select(name: &str, label: &str, chosen: &str, any: &str, options: &[(String, String)]) -> Markup {
    html! { label { span { (label) } select name=(name) {
        option value="" { (any) }
        @for (value, text) in options { option value=(value) selected[value == chosen] { (text) } }
    } } }
}

fn chain_row(row: &ChainState) -> Option<Vec<Markup>> {
    let chain = row.chain.as_deref()?;
    let path = format!("/evidence/{}/{}/{chain}", row.site_id, row.appliance);
    Some(vec![
        html! { a.whole href=(path) { (row.site_id) " / " (row.appliance) } },
        chain_state(row),
        html! { (row.bundles) },
        html! { (row.gaps) },
        html! { (row.forks + row.broken) },
        html! { code { (chain) } },
    ])
}

pub(super) async fn page(
    session: Session,
    State(people): State<Arc<People>>,
    Query(filter): Query<Filter>,
) -> Result<Markup, Failure> {
    let now = clock::now();
    let store = &people.store;
    let some = |text: &'_ str| -> Option<String> { Some(text.trim().to_owned()).filter(|text| !text.is_empty()) };
    let (site, kind, check, word) = (some(&filter.site), some(&filter.kind), some(&filter.check), some(&filter.q));
    let wanted =
        EvidenceFilter { site: site.as_deref(), kind: kind.as_deref(), check: check.as_deref(), word: word.as_deref() };
    let number: u32 = filter.page.parse().unwrap_or(1_u32).clamp(1, 100_000);
    let mut found = store.find_evidence(&wanted, (number - 1) * PAGE, PAGE + 1).await?;
    let more = found.len() > usize::try_from(PAGE).unwrap_or(usize::MAX);
    found.truncate(usize::try_from(PAGE).unwrap_or(usize::MAX));
    let rows: Vec<_> = found.iter().map(|one| row(one, now)).collect();
    let states = store.chains(site.as_deref()).await?;
    let chains: Vec<_> = states.iter().filter_map(chain_row).collect();
    let sites: Vec<_> = store.sites(None).await?.into_iter().map(|site| (site.site_id.clone(), site.site_id)).collect();
    let checks: Vec<_> = store
        .checks_with_evidence()
        .await?
        .into_iter()
        .map(|check| (check_name(&check), check))
        .map(|(name, check)| (check, name))
        .collect();
    let kinds = KINDS.map(|(kind, name)| (kind.to_owned(), name.to_owned()));
    let turn = |number: u32| {
        link(
            "/evidence",
            &[
                ("site", &filter.site),
                ("kind", &filter.kind),
                ("check", &filter.check),
                ("q", &filter.q),
                ("page", &number.to_string()),
            ],
        )
    };
    let filtered = site.is_some() || kind.is_some() || check.is_some() || word.is_some();
    let content = html! {
        div.head { h1 { "Evidence" } p.faint { "Signed on the appliance, chained by hash, kept here byte for byte. What is missing or contradicts is said, never smoothed over." } }
        form.filter method="get" action="/evidence" role="search" {
            (select("site", "Site", &filter.site, "every site", &sites))
            (select("kind", "Kind", &filter.kind, "every kind", &kinds))
            (select("check", "Check", &filter.check, "every check", &checks))
            label { span { "Machine or id" } input name="q" value=(filter.q) placeholder="FS01, CB-…, INC-…"; }
            button type="submit" { "Find" }
            @if filtered { a href="/evidence" { "Clear" } }
        }
        (live("evidence", &html! {
            @if rows.is_empty() {
                @if filtered { (nothing("No bundle like this.", &html! { "Another word or kind may find it. " a href="/evidence" { "Show everything" } })) }
                @else { (nothing("No evidence yet.", &html! { "Each heal, refusal and change of a check's status arrives as a signed bundle; checks that stay compliant arrive as an hourly roll-up." })) }
            } @else {
                (table("Bundles, the latest received first", &[Column::Text("Bundle"), Column::Text("What it proves"), Column::Text("Check"), Column::Text("Machine"), Column::Text("Site"), Column::Number("Place"), Column::Text("Hash"), Column::Text("Received")], &rows))
                nav.pages aria-label="Pages" {
                    @if number > 1 { a href=(turn(number - 1)) rel="prev" { "Newer" } }
                    span.faint { "page " (number) }
                    @if more { a href=(turn(number + 1)) rel="next" { "Older" } }
                }
            }
            @if !chains.is_empty() {
                h2 { "Chains" }
                (table("Chains of evidence, to verify as a whole", &[Column::Text("Appliance"), Column::Text("State"), Column::Number("Bundles"), Column::Number("Gaps"), Column::Number("Contradictions"), Column::Text("Chain")], &chains))
            }
        }))
    };
    framed(&people, &session, Section::Evidence, "Evidence", content).await
}
