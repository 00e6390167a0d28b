//! `/evidence/{site}/{appliance}/{chain}/{sequence}`: one bundle, what it says, and whether that holds.

use super::evidence::{bundle_path, proves};
use super::frame::{Section, icon, page as framed};
use super::session::Session;
use super::states::comparison;
use super::story::{checked, decided, done, supports};
use super::verify::{self, Check};
use super::words::{Column, check_name, machine, mono, table, time};
use super::{Failure, People};
use crate::clock;
use crate::fleet::Appliance;
use crate::store::StoredBundle;
use axum::extract::{Path, Query, State};
use axum::http::HeaderValue;
use axum::http::header::{CONTENT_DISPOSITION, CONTENT_TYPE};
use axum::response::{IntoResponse, Response};
use maud::{Markup, html};
use msp_contracts::SCHEMA_VERSION;
use msp_contracts::evidence::{Bundle, BundleKind};
use msp_contracts::ids::{ChainId, Counter};
use msp_contracts::signed::{ChainHead, Receipt};
use serde::Deserialize;
use std::sync::Arc;

#[derive(Deserialize)]
pub(super) struct Asked {
    verify: Option<String>,
}

/// Which bundle.
pub(super) type Place = (String, String, String, i64);

fn missing() -> Failure {
    Failure::missing("There is no such bundle. The evidence page lists those that were received.")
}

/// A link and its neighbours, as far as they are held.
async fn neighbours(
    people: &People,
    who: &Appliance,
    chain: &str,
    sequence: i64,
) -> Result<[Option<StoredBundle>; 3], Failure> {
    let links = people.store.links(who, chain, sequence.saturating_sub(1), 3).await?;
    let mut found = [None, None, None];
    for link in links {
        let slot = match link.row.sequence.checked_sub(sequence) {
            Some(-1) => found.first_mut(),
            Some(0) => found.get_mut(1),
            Some(1) => found.get_mut(2),
            _ => None,
        };
        if let Some(slot) = slot {
            *slot = Some(link);
        }
    }
    Ok(found)
}

async fn stored(people: &People, (site, appliance, chain, sequence): &Place) -> Result<StoredBundle, Failure> {
    let who = Appliance { site: site.clone(), appliance: appliance.clone() };
    let [_, this, _] = neighbours(people, &who, chain, *sequence).await?;
    this.ok_or_else(missing)
}

fn verdict(checks: &[Check]) -> Markup {
    let holds = verify::holds(checks);
    let kind = if holds { super::frame::Kind::Good } else { super::frame::Kind::Bad };
    let rows: Vec<_> = checks
        .iter()
        .map(|check| {
            vec![
                html! { span class={ "status " (check.kind.as_str()) } { (icon(check.kind)) (check.what) } },
                html! { span.breaking { (check.said) } },
            ]
        })
        .collect();
    html! { div class={ "verdict " (kind.as_str()) } role="status" {
        p { (icon(kind)) strong { @if holds { "It holds." } @else { "It does not hold." } } span.faint { " Verified in this server at " (time(&clock::now().to_string())) " from the stored bytes." } }
        (table("What was checked", &[Column::Text("Check"), Column::Text("Result")], &rows))
    } }
}

fn said(bundle: &Bundle) -> Markup {
    let actual = |state: &serde_json::Value| state.get("actual").cloned().unwrap_or(serde_json::Value::Null);
    let wanted = |state: &serde_json::Value| state.get("desired").cloned().unwrap_or(serde_json::Value::Null);
    html! {
        @if !bundle.pre_state.is_null() && bundle.kind != BundleKind::RollUp { section { h2 { "Before" } (comparison("Seen and wanted", &actual(&bundle.pre_state), &wanted(&bundle.pre_state))) } }
        @if bundle.kind == BundleKind::StatusChange { section { h2 { "After" } (comparison("Seen and wanted", &actual(&bundle.post_state), &wanted(&bundle.post_state))) } }
        @if bundle.plan.is_some() { section { h2 { "Decided" } div.card { (decided(bundle)) } } section { h2 { "Done" } div.card { (done(bundle, bundle.started)) } } }
        @if let Some(checked) = checked(bundle) { section { h2 { "Checked afterwards" } div.card { (checked) } } }
        @if !bundle.roll_up.is_empty() { section { h2 { "Stayed compliant" }
            @let rows: Vec<_> = bundle.roll_up.iter().map(|one| vec![html! { (check_name(&one.check)) }, html! { (mono(&one.host_id)) }, html! { (one.compliant) }, time(&one.first.to_string()), time(&one.last.to_string())]).collect();
            (table("Checks of this hour", &[Column::Text("Check"), Column::Text("Machine"), Column::Number("Times"), Column::Text("First"), Column::Text("Last")], &rows))
        } }
        section { h2 { "HIPAA Security Rule" } div.card { (supports(&bundle.check, &bundle.hipaa_controls)) } }
    }
}

pub(super) async fn page(
    session: Session,
    State(people): State<Arc<People>>,
    Path(place): Path<Place>,
    Query(asked): Query<Asked>,
) -> Result<Markup, Failure> {
    let (site, appliance, chain, sequence) = &place;
    let who = Appliance { site: site.clone(), appliance: appliance.clone() };
    let [before, this, after] = neighbours(&people, &who, chain, *sequence).await?;
    let link = this.ok_or_else(missing)?;
    let pinned = people.store.pinned_key(&who).await?;
    let checks = asked.verify.map(|_| verify::bundle(&who, &link, before.as_ref(), after.as_ref(), pinned.as_deref()));
    let (row, path) = (&link.row, bundle_path(&link.row));
    let neighbour = |one: &Option<StoredBundle>, word: &str| html! { @if let Some(one) = one { a href=(bundle_path(&one.row)) { (word) } } @else { span.faint { (word) ": not held" } } };
    let bundle = row.bundle.as_ref();
    let content = html! {
        nav.crumbs aria-label="Where this is" { a href="/evidence" { "Evidence" } " / " a href={ "/sites/" (site) } { (site) } " / " a href={ "/evidence/" (site) "/" (appliance) "/" (chain) } { "chain of " (appliance) } }
        div.head { h1 { (mono(&row.bundle_id)) }
            @if let Some(bundle) = bundle { @let (kind, text) = proves(bundle);
                p.line { span class={ "status " (kind.as_str()) } { (icon(kind)) (text) } " " span { (check_name(&bundle.check)) " on " (machine(&bundle.target.name, &bundle.target.host_id)) }
                    @if let Some(incident) = &bundle.incident_id { " · " a href={ "/incidents/" (site) "/" (appliance) "/" (incident) } { (mono(incident.as_str())) } } } }
        }
        p.actions {
            a.button.primary href={ (path) "?verify=now" } { "Verify now" }
            a href={ (path) "/envelope" } { "Download the signed envelope" }
            a href={ (path) "/receipt" } { "Download a receipt" }
        }
        @if let Some(checks) = &checks { (verdict(checks)) }
        section { h2 { "Proof" } dl.facts {
            div { dt { "Place" } dd { (row.sequence) " of chain " (mono(chain)) " · " (neighbour(&before, "before")) " · " (neighbour(&after, "after")) } }
            div { dt { "SHA-256" } dd { code.long { (row.hash) } } }
            div { dt { "Names before it" } dd { code.long { (link.previous_hash) } } }
            div { dt { "Signed by" } dd { code.long { (link.signer) } } }
            div { dt { "Received" } dd { (time(&row.received_at)) } }
            @if let Some(bundle) = bundle { div { dt { "Made" } dd { (time(&bundle.completed.to_string())) } }
                div { dt { "Policy" } dd { code.long { (bundle.policy_version) } } } }
        } }
        @match bundle { Some(bundle) => (said(bundle)), None => p.problem { "The envelope's payload cannot be read as a bundle of this release." } }
        @if let Some(bundle) = bundle { details { summary { "The whole record as JSON" } pre tabindex="0" { code { (serde_json::to_string_pretty(bundle).unwrap_or_default()) } } } }
    };
    framed(&people, &session, Section::Evidence, &row.bundle_id, content).await
}

fn download(name: &str, bytes: Vec<u8>) -> Response {
    let mut response = ([(CONTENT_TYPE, "application/json")], bytes).into_response();
    // A bundle's id is letters, digits and hyphens.
    if let Ok(value) = HeaderValue::try_from(format!("attachment; filename=\"{name}\"")) {
        response.headers_mut().insert(CONTENT_DISPOSITION, value);
    }
    response
}

/// The exact bytes that were received.
pub(super) async fn envelope(
    _: Session,
    State(people): State<Arc<People>>,
    Path(place): Path<Place>,
) -> Result<Response, Failure> {
    let link = stored(&people, &place).await?;
    Ok(download(&format!("{}.dsse.json", link.row.bundle_id), link.envelope))
}

/// A receipt, as the appliance gets one each time it sends the bundle.
pub(super) async fn receipt(
    _: Session,
    State(people): State<Arc<People>>,
    Path(place): Path<Place>,
) -> Result<Response, Failure> {
    let link = stored(&people, &place).await?;
    let (site, appliance, chain, _) = &place;
    let states = people.store.chains(Some(site)).await?;
    let state = states
        .iter()
        .find(|row| row.appliance == *appliance && row.chain.as_deref() == Some(chain))
        .ok_or_else(missing)?;
    let unreadable = || Failure::refused("The stored ids of this bundle cannot be read, so no receipt can be made.");
    let receipt = Receipt {
        schema_version: SCHEMA_VERSION,
        site_id: site.clone(),
        host_id: appliance.clone(),
        bundle_id: link.row.bundle_id.parse().map_err(|_| unreadable())?,
        chain: ChainId::try_from(chain.clone()).map_err(|_| unreadable())?,
        sequence: Counter(link.row.sequence.unsigned_abs()),
        hash: link.row.hash.clone(),
        head: ChainHead {
            sequence: Counter(state.head_sequence.unsigned_abs()),
            hash: state.head_hash.clone().unwrap_or_default(),
        },
        gaps: Counter(state.gaps.unsigned_abs()),
        received: link.row.received_at.parse().map_err(|_| unreadable())?,
    };
    let envelope = people.signer.receipt(&receipt)?;
    let bytes = envelope.to_bytes().map_err(|_| unreadable())?;
    Ok(download(&format!("{}.receipt.dsse.json", link.row.bundle_id), bytes))
}
