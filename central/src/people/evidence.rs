//! Evidence: the state of each chain, what contradicted it, and the latest bundles.

use super::frame::{badge, table, time};
use crate::store::{BundleRow, ChainState, Store, StoreError, SuspiciousRow};
use maud::{Markup, html};

fn chain(row: &ChainState) -> Markup {
    html! { tr {
        td {
            @if row.forks + row.broken > 0 { (badge("bad", "contradicted")) }
            @else if row.gaps > 0 { (badge("waiting", "gaps")) }
            @else if row.bundles > 0 { (badge("good", "whole")) }
            @else { (badge("waiting", "empty")) }
        }
        th scope="row" { (row.site_id) "/" (row.appliance) }
        td.number { (row.bundles) }
        td.number { (row.head_sequence) }
        td.number { (row.gaps) }
        td.number { (row.forks) }
        td.number { (row.broken) }
        td { @if let Some(hash) = &row.head_hash { code title=(hash) { (hash.get(..12).unwrap_or(hash)) } } }
    } }
}

fn suspicious(row: &SuspiciousRow) -> Markup {
    html! { tr {
        td { (badge("bad", &row.reason)) }
        th scope="row" { code { (row.bundle_id) } }
        td { (row.site_id) "/" (row.appliance) }
        td { (row.explanation) }
        td { (time(&row.received_at)) }
    } }
}

fn bundle(row: &BundleRow) -> Markup {
    let bundle = row.bundle.as_ref();
    html! { tr {
        td.number { (row.sequence) }
        th scope="row" { code { (row.bundle_id) } }
        td { (row.site_id) "/" (row.appliance) }
        td { (bundle.map_or("", |bundle| bundle.check.as_str())) }
        td { @if let Some(bundle) = bundle { (bundle.target.name) " (" (bundle.target.host_id) ")" } }
        td { (bundle.and_then(|bundle| bundle.detail).map_or("", |detail| detail.as_str())) }
        td { (bundle.map(|bundle| bundle.hipaa_controls.join(", ")).unwrap_or_default()) }
        td { code title=(row.hash) { (row.hash.get(..12).unwrap_or(&row.hash)) } }
        td { (time(&row.received_at)) }
    } }
}

pub(super) async fn section(store: &Store, limit: u32) -> Result<Markup, StoreError> {
    let chains: Vec<Markup> = store.chains(None).await?.iter().map(chain).collect();
    let contradictions: Vec<Markup> = store.suspicious(None, limit).await?.iter().map(suspicious).collect();
    let bundles: Vec<Markup> = store.bundles(None, limit).await?.iter().map(bundle).collect();
    Ok(html! {
        h2 { "Evidence" }
        (table(&["Chain", "Appliance", "Bundles", "Head", "Gaps", "Forks", "Broken links", "Head hash"], &chains,
            "No appliance yet."))
        @if !contradictions.is_empty() {
            h3 { "Set aside as suspicious" }
            (table(&["Reason", "Bundle", "Appliance", "What contradicts", "Received"], &contradictions, ""))
        }
        h3 { "Latest bundles" }
        (table(&["Place", "Bundle", "Appliance", "Check", "Machine", "Outcome", "Supports (45 CFR)", "Hash", "Received"],
            &bundles, "No evidence was received yet."))
    })
}
