//! Evidence: the state of each chain, what contradicted it, and the latest bundles.

use super::frame::{appliance, badge, machine, short, table, time};
use crate::store::{BundleRow, ChainState, Store, StoreError, SuspiciousRow, begun_anew};
use maud::{Markup, html};
use msp_contracts::evidence::{Bundle, BundleKind};
use serde_json::Value;

fn chain(row: &ChainState) -> Markup {
    html! { tr {
        td {
            @if row.forks + row.broken > 0 { (badge("bad", "contradicted")) }
            @else if row.gaps > 0 { (badge("waiting", "gaps")) }
            @else if row.chain.is_some() { (badge("good", "whole")) }
            @else { (badge("waiting", "empty")) }
        }
        th scope="row" { (appliance(&row.site_id, &row.appliance)) }
        td { @if let Some(chain) = &row.chain { code { (chain) } } }
        td { @if let Some(at) = &row.first_received { (time(at)) } }
        td.number { (row.bundles) }
        td.number { (row.head_sequence) }
        td.number { (row.gaps) }
        td.number { (row.forks) }
        td.number { (row.broken) }
        td { @if let Some(hash) = &row.head_hash { (short(hash)) } }
    } }
}

/// A beginning after the first: nothing is refused for it, and nobody is to overlook it.
fn begun((before, new): (&ChainState, &ChainState)) -> Markup {
    html! { p {
        (badge("waiting", "new chain")) " " (appliance(&new.site_id, &new.appliance)) ": a new chain began at "
        (time(new.first_received.as_deref().unwrap_or_default()))
        "; the one before ended at " (before.head_sequence) "."
    } }
}

fn suspicious(row: &SuspiciousRow) -> Markup {
    html! { tr {
        td { (badge("bad", &row.reason)) }
        th scope="row" { code { (row.bundle_id) } }
        td { (appliance(&row.site_id, &row.appliance)) }
        td { code { (row.chain) } }
        td.text { (row.explanation) }
        td { (time(&row.received_at)) }
    } }
}

/// The status in a recorded state, in the checks' own words where the wire has one for it.
fn status(state: &Value) -> Option<&str> {
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
fn proves(bundle: &Bundle) -> String {
    let ended = bundle.detail.map_or("no outcome", |detail| detail.as_str());
    match bundle.kind {
        BundleKind::StatusChange => match (status(&bundle.pre_state), status(&bundle.post_state)) {
            (Some(before), Some(after)) => format!("{before} -> {after}"),
            (None, Some(after)) => format!("first seen: {after}"),
            _ => "status changed".to_owned(),
        },
        BundleKind::RollUp => format!("{} stayed compliant", bundle.roll_up.len()),
        BundleKind::Heal => format!("heal: {ended}"),
        BundleKind::Refusal => format!("refusal: {ended}"),
        BundleKind::Escalation => "a person was asked".to_owned(),
        BundleKind::Order => format!("order: {ended}"),
    }
}

fn bundle(row: &BundleRow) -> Markup {
    let bundle = row.bundle.as_ref();
    html! { tr {
        td.number { (row.sequence) }
        th scope="row" { code title={ "SHA-256 " (row.hash) } { (row.bundle_id) } }
        td { (appliance(&row.site_id, &row.appliance)) }
        td { (short(&row.chain)) }
        td { span.whole { (bundle.map_or("", |bundle| bundle.check.as_str())) } }
        td { @if let Some(bundle) = bundle { (machine(&bundle.target.name, &bundle.target.host_id)) } }
        td { @if let Some(bundle) = bundle { span.whole { (proves(bundle)) } } }
        td.text { (bundle.map(|bundle| bundle.hipaa_controls.join(", ")).unwrap_or_default()) }
        td { (time(&row.received_at)) }
    } }
}

pub(super) async fn section(store: &Store, limit: u32) -> Result<Markup, StoreError> {
    let states = store.chains(None).await?;
    let chains: Vec<Markup> = states.iter().map(chain).collect();
    let contradictions: Vec<Markup> = store.suspicious(None, limit).await?.iter().map(suspicious).collect();
    let bundles: Vec<Markup> = store.bundles(None, limit).await?.iter().map(bundle).collect();
    Ok(html! {
        h2 { "Evidence" }
        @for pair in begun_anew(&states) { (begun(pair)) }
        (table(&["State", "Appliance", "Chain", "First received", "Bundles", "Head", "Gaps", "Forks", "Broken links", "Head hash"], &chains,
            "No appliance yet."))
        @if !contradictions.is_empty() {
            h3 { "Set aside as suspicious" }
            (table(&["Reason", "Bundle", "Appliance", "Chain", "What contradicts", "Received"], &contradictions, ""))
        }
        h3 { "Latest bundles" }
        (table(&["Place", "Bundle", "Appliance", "Chain", "Check", "Machine", "What it proves", "Supports (45 CFR)", "Received"],
            &bundles, "No evidence was received yet."))
    })
}
