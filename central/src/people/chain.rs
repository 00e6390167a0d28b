//! `/evidence/{site}/{appliance}/{chain}`: one chain, verified from its first bundle to its last when asked.

use super::appliance::chain_state;
use super::frame::{Section, icon, page as framed};
use super::session::Session;
use super::verify::ChainVerdict;
use super::words::{Column, mono, table, time};
use super::{Failure, People};
use crate::clock;
use crate::fleet::Appliance;
use crate::store::SuspiciousRow;
use axum::extract::{Path, Query, State};
use maud::{Markup, html};
use serde::Deserialize;
use std::sync::Arc;

/// How many bundles are read at once.
const BATCH: u32 = 500;
/// How many bundles are verified for one page: about a second's work.
const MOST: i64 = 50_000;

#[derive(Deserialize)]
pub(super) struct Asked {
    verify: Option<String>,
}

async fn verify(people: &People, who: &Appliance, chain: &str) -> Result<ChainVerdict, Failure> {
    let mut verdict = ChainVerdict::default();
    let mut from = 0;
    while verdict.bundles < MOST {
        let links = people.store.links(who, chain, from, BATCH).await?;
        let Some(last) = links.last().map(|link| link.row.sequence) else { break };
        from = last.saturating_add(1);
        let owner = who.clone();
        // Signatures are work for a processor, not for the threads that serve.
        let judged = tokio::task::spawn_blocking(move || {
            for link in &links {
                verdict.take(&owner, link);
            }
            verdict
        });
        verdict = judged.await.map_err(|_| Failure::refused("The chain was not verified to its end. Try again."))?;
    }
    Ok(verdict)
}

fn suspicious_row(row: &SuspiciousRow) -> Vec<Markup> {
    vec![
        html! { code { (row.bundle_id) } },
        html! { (row.sequence) },
        html! { (row.reason.replace('_', " ")) },
        html! { (row.explanation) },
        time(&row.received_at),
    ]
}

pub(super) async fn page(
    session: Session,
    State(people): State<Arc<People>>,
    Path((site, appliance, chain)): Path<(String, String, String)>,
    Query(asked): Query<Asked>,
) -> Result<Markup, Failure> {
    let who = Appliance { site: site.clone(), appliance: appliance.clone() };
    let states = people.store.chains(Some(&site)).await?;
    let state = states.iter().find(|row| row.appliance == appliance && row.chain.as_deref() == Some(&chain));
    let state = state
        .ok_or_else(|| Failure::missing("There is no such chain. The evidence page lists those that are held."))?;
    let verdict = match asked.verify {
        Some(_) => Some(verify(&people, &who, &chain).await?),
        None => None,
    };
    let suspicious = people.store.suspicious(Some(&site), 500).await?;
    let suspicious: Vec<_> =
        suspicious.iter().filter(|row| row.chain == chain && row.appliance == appliance).map(suspicious_row).collect();
    let content = html! {
        nav.crumbs aria-label="Where this is" { a href="/evidence" { "Evidence" } " / " a href={ "/sites/" (site) } { (site) } " / " a href=(super::trouble::appliance_path(&site, &appliance)) { (appliance) } }
        div.head { h1 { "Chain " (mono(&chain)) } p { (chain_state(state)) " " span.faint { (state.bundles) " bundles, head at place " (state.head_sequence) } } }
        form method="get" { button.primary type="submit" name="verify" value="now" { "Verify the whole chain" } }
        @if let Some(verdict) = &verdict {
            @let (kind, said) = verdict.said();
            div class={ "verdict " (kind.as_str()) } role="status" { p { (icon(kind)) strong { (said) } }
                p.faint { "Verified in this server at " (time(&clock::now().to_string())) " from the stored bytes." }
                @if !verdict.problems.is_empty() { ul { @for (place, problem) in &verdict.problems {
                    li { a href={ "/evidence/" (site) "/" (appliance) "/" (chain) "/" (place) } { "place " (place) } ": " (problem) }
                } } }
            }
        }
        @if let Some(hash) = &state.head_hash { section { h2 { "Head" } p { "Place " (state.head_sequence) ", SHA-256 " code.long { (hash) } }
            p.faint { "Agents learn the head from each receipt, so that a chain that is cut off at its end is found too." } } }
        @if !suspicious.is_empty() { section { h2 { "Set aside as suspicious" }
            (table("Bundles that contradict the chain, correctly signed and kept", &[Column::Text("Bundle"), Column::Number("Place"), Column::Text("Reason"), Column::Text("What contradicts"), Column::Text("Received")], &suspicious)) } }
    };
    framed(&people, &session, Section::Evidence, "Chain", content).await
}
