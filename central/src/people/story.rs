//! What a bundle tells, as steps of a story: decided, done, checked, proved. Each step says what the record says, and
//! that something is not recorded where it is not.

use super::catalogue;
use super::evidence::bundle_path;
use super::frame::icon;
use super::states::comparison;
use super::words::{Kind, moment, mono, outcome, time, took};
use crate::store::BundleRow;
use jiff::Timestamp;
use maud::{Markup, html};
use msp_contracts::evidence::{ActionRecord, Bundle, BundleKind, PlanRecord};
use msp_contracts::hipaa::{self, Control, Implementation, RULE_VERSION};
use msp_contracts::outcome::Level;
use serde_json::Value;

/// A step: what happened, when, and the details.
pub(super) fn step(kind: Kind, title: &str, at: Option<Timestamp>, first: Timestamp, content: &Markup) -> Markup {
    html! { li class={ "step " (kind.as_str()) } {
        span.marker { @if kind != Kind::Idle { (icon(kind)) } }
        div.heading { h2 { (title) } @if let Some(at) = at { (moment(at, first)) } }
        div.detail { (content) }
    } }
}

/// What was wanted, as the check recorded it.
fn desired(bundle: &Bundle) -> &Value {
    bundle.pre_state.get("desired").unwrap_or(&Value::Null)
}

/// What was seen: in words, and side by side.
pub(super) fn seen(lines: &[String], actual: &Value, desired: &Value) -> Markup {
    html! {
        @for line in lines { p.said { (line) } }
        (comparison("Seen and wanted", actual, desired))
    }
}

fn runbook(plan: &PlanRecord) -> Markup {
    html! { @if let Some(id) = &plan.runbook_id {
        div { dt { "Runbook" } dd {
            @if let Some(known) = catalogue::runbook(id) { (known.name) " " }
            (mono(id)) @if let Some(version) = plan.runbook_version { span.faint { " version " (version) } }
        } }
    } }
}

fn parameters(plan: &PlanRecord) -> Markup {
    let fields = plan.parameters.as_object().filter(|fields| !fields.is_empty());
    html! { @if let Some(fields) = fields {
        div { dt { "With" } dd { @for (name, value) in fields {
            span.whole { (name) " " (mono(value.as_str().map_or_else(|| value.to_string(), ToOwned::to_owned).as_str())) } " "
        } } }
    } }
}

/// Who decided, and for what.
pub(super) fn decided(bundle: &Bundle) -> Markup {
    let who = match bundle.healing_resolution_level {
        Some(Level::L1) => "a rule (level 1)",
        Some(Level::L2) => "the planner, among allowed runbooks (level 2)",
        Some(Level::L3) => "a person is to (level 3)",
        None => "nobody yet",
    };
    let Some(plan) = &bundle.plan else { return html! { p.faint { "No plan is recorded." } } };
    html! { dl.facts.tight {
        div { dt { "Decided by" } dd { (who) } }
        @if let Some(rule) = &plan.rule_id {
            div { dt { "Rule" } dd { @if let Some(name) = catalogue::rule_name(rule) { (name) " " } a href={ "/rules#" (rule) } { (mono(rule)) } } }
        }
        (runbook(plan))
        (parameters(plan))
        div { dt { "Reason" } dd { (plan.reason) } }
    } }
}

fn phase_name(phase: &str) -> &str {
    match phase {
        "detect" => "Looked",
        "remediate" => "Changed",
        "verify" => "Checked again",
        "undo" => "Undone",
        other => other,
    }
}

fn phase(action: &ActionRecord, first: Timestamp) -> Markup {
    let text = |pointer: &str| action.report.pointer(pointer).and_then(Value::as_str);
    let reasons =
        action.report.get("reasons").and_then(Value::as_array).into_iter().flatten().filter_map(Value::as_str);
    let changed = action.report.get("changed").and_then(Value::as_bool);
    let compliant = text("/status") == Some("compliant");
    let kind = if action.error.is_some() {
        Kind::Bad
    } else if compliant {
        Kind::Good
    } else {
        Kind::Waiting
    };
    html! { li.phase {
        span class={ "status " (kind.as_str()) } { (icon(kind)) strong { (phase_name(&action.phase)) } }
        span.faint { (mono(&action.phase)) " " (moment(action.started, first)) ", took " (took(action.completed.duration_since(action.started))) }
        @if let Some(changed) = changed { span { @if changed { "something was changed" } @else { "nothing was changed" } } }
        @if let Some(said) = text("/status") { span { "said " (mono(said)) } }
        @for reason in reasons { p { (reason) } }
        @if let Some(error) = &action.error { p.problem { (error) } }
    } }
}

/// What was done, phase by phase.
pub(super) fn done(bundle: &Bundle, first: Timestamp) -> Markup {
    html! {
        @if bundle.actions.is_empty() {
            p { @match bundle.kind {
                BundleKind::Refusal => "Nothing was touched: the plan was refused.",
                BundleKind::Escalation => "Nothing was touched: a person was asked.",
                _ => "Nothing was touched.",
            } }
        } @else { ol.phases { @for action in &bundle.actions { (phase(action, first)) } } }
        @if let Some(error) = &bundle.error { p.problem { (icon(Kind::Bad)) (error) } }
    }
}

/// What the check said afterwards.
pub(super) fn checked(bundle: &Bundle) -> Option<Markup> {
    if bundle.post_state.is_null() || bundle.kind == BundleKind::StatusChange {
        return None;
    }
    let (kind, word) = bundle.detail.map_or((Kind::Idle, "no outcome"), outcome);
    // A heal records what it observed; a check records that under `actual`.
    let actual = bundle.post_state.get("actual").unwrap_or(&bundle.post_state);
    Some(html! {
        p { span class={ "status " (kind.as_str()) } { (icon(kind)) strong { (word) } }
            @if bundle.rollback_available { span.faint { " · the change can be undone by its runbook" } } }
        (comparison("Seen afterwards, and wanted", actual, desired(bundle)))
    })
}

/// The proof: bundle, place, hash, receipt.
pub(super) fn proved(row: &BundleRow) -> Markup {
    let path = bundle_path(row);
    html! {
        dl.facts.tight {
            div { dt { "Bundle" } dd { a href=(path) { (mono(&row.bundle_id)) } " place " (row.sequence) " of chain " (mono(&row.chain)) } }
            div { dt { "SHA-256" } dd { code.long { (row.hash) } } }
            div { dt { "Received" } dd { (time(&row.received_at)) " and acknowledged to the appliance by a signed receipt" } }
        }
        p.actions {
            a.button href={ (path) "?verify=now" } { "Verify now" }
            a href={ (path) "/envelope" } { "Signed envelope" }
            a href={ (path) "/receipt" } { "Receipt" }
        }
    }
}

fn control(one: &Control) -> Markup {
    let kind = match one.implementation {
        Implementation::Required => "required",
        Implementation::Addressable => "addressable",
    };
    html! { li { (mono(&format!("45 CFR {}", one.paragraph))) " " (one.title) span.faint { " (" (kind) ")" } } }
}

/// The paragraphs that a check's records support, and those that a bundle names besides.
pub(super) fn supports(check: &str, named: &[String]) -> Markup {
    let check = check.split('/').next().unwrap_or(check);
    let mut known: Vec<Control> = hipaa::controls(check).to_vec();
    let response = hipaa::incident_response();
    if named.iter().any(|paragraph| paragraph == response.paragraph) {
        known.push(response);
    }
    let others: Vec<&String> =
        named.iter().filter(|paragraph| !known.iter().any(|one| one.paragraph == paragraph.as_str())).collect();
    html! {
        @if known.is_empty() && others.is_empty() {
            p.faint { "This check supports no paragraph of the HIPAA Security Rule by itself: none is better than a wrong one." }
        } @else {
            p { "This record supports:" }
            ul.controls { @for one in &known { (control(one)) } @for one in others { li { (mono(&format!("45 CFR {one}"))) } } }
            p.faint { "It supports them and proves nothing more by itself. Read from " (RULE_VERSION) "." }
        }
    }
}
