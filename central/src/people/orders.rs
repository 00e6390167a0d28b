//! `/orders`: what was asked of which appliance and what came of it; and taking back what is not over.

use super::form::Posted;
use super::frame::{Section, icon, live, page as framed, status, token};
use super::session::{Session, see_other};
use super::trouble::appliance_path;
use super::words::{Column, Kind, ago, link, mono, nothing, table};
use super::{Failure, People};
use crate::clock;
use crate::orders;
use crate::store::{Action, Entry, OrderFilter, OrderRow, OrderState};
use axum::extract::{Query, State};
use axum::response::Response;
use jiff::Timestamp;
use maud::{Markup, html};
use msp_contracts::ids::OrderId;
use msp_contracts::order::OrderAction;
use serde::Deserialize;
use serde_json::Value;
use std::sync::Arc;

/// How many orders are listed.
const ROWS: u32 = 200;

#[derive(Deserialize)]
pub(super) struct Filter {
    #[serde(default)]
    show: String,
    #[serde(default)]
    issued: String,
}

#[derive(Deserialize)]
pub(super) struct TakeBack {
    order: String,
    reason: String,
}

/// What an order asks for, in words.
pub(super) fn asks(action: &OrderAction) -> String {
    match action {
        OrderAction::RunRunbook { runbook_id, host_id, parameters } => {
            let with: Vec<String> = parameters.iter().map(|(name, value)| format!("{name} {value}")).collect();
            let with = if with.is_empty() { String::new() } else { format!(" with {}", with.join(", ")) };
            format!("run {runbook_id} on {host_id}{with}")
        }
        OrderAction::RunCheck { host_id, check_type } => format!(
            "check {} on {} now",
            check_type.as_deref().unwrap_or("everything"),
            host_id.as_deref().unwrap_or("every machine")
        ),
        OrderAction::SyncNow {} => "check in and fetch the rules now".to_owned(),
        OrderAction::SetDryRun { dry_run: true } => "only say what would be done".to_owned(),
        OrderAction::SetDryRun { dry_run: false } => "end the dry run".to_owned(),
        OrderAction::KillSwitch { engaged: true } => "stop every change".to_owned(),
        OrderAction::KillSwitch { engaged: false } => "allow changes again".to_owned(),
        OrderAction::RotateKeys { server_public_keys } => {
            format!("trust {} key(s) from now on", server_public_keys.len())
        }
        OrderAction::SwitchGeneration { store_path } => format!("switch to {store_path}"),
        OrderAction::Revoke { order_id } => format!("take back {order_id}"),
    }
}

fn state(row: &OrderRow) -> Markup {
    let (kind, word) = match (row.state, row.completion.as_ref().map(|done| done.success)) {
        (OrderState::Pending, _) => (Kind::Waiting, "waits to be fetched"),
        (OrderState::Acknowledged, _) => (Kind::Waiting, "accepted"),
        (OrderState::Completed, Some(false)) => (Kind::Bad, "not done"),
        (OrderState::Completed, _) => (Kind::Good, "done"),
        (OrderState::Refused, _) => (Kind::Bad, "refused"),
        (OrderState::Expired, _) => (Kind::Idle, "expired"),
        (OrderState::Revoked, _) => (Kind::Idle, "taken back"),
    };
    status(kind, word)
}

/// What came of it, with the way to its incident.
fn result(row: &OrderRow) -> Markup {
    let Some(done) = &row.completion else { return html! {} };
    let text = |name: &str| done.result.get(name).and_then(Value::as_str);
    let stamp = &row.order.stamp;
    html! {
        @if let Some(outcome) = text("outcome") { (outcome.replace('_', " ")) " " }
        @if let Some(error) = &done.error_message { (error) " " }
        @if let Some(incident) = text("incident_id") { a href={ "/incidents/" (stamp.site_id) "/" (stamp.appliance) "/" (incident) } { "incident" } }
    }
}

fn take_back(session: &Session, row: &OrderRow) -> Markup {
    let open = matches!(row.state, OrderState::Pending | OrderState::Acknowledged);
    if !open || matches!(row.order.action, OrderAction::Revoke { .. }) {
        return html! {};
    }
    let id = &row.order.order_id;
    html! { form.inline method="post" action="/orders/revoke" {
        (token(session))
        input type="hidden" name="order" value=(id);
        label { span.visually-hidden { "Reason to take back " (id) } input name="reason" placeholder="reason" required maxlength="500" autocomplete="off"; }
        button type="submit" { "Take back" span.visually-hidden { " " (id) } }
    } }
}

/// An order on its appliance's page.
pub(super) fn brief(row: &OrderRow, now: Timestamp) -> Vec<Markup> {
    let order = &row.order;
    vec![
        html! { a.whole href={ "/orders#" (order.order_id) } { (mono(order.order_id.as_str())) } },
        html! { div { strong { (asks(&order.action)) } div.faint { (order.issued_by) ": " (order.reason) } } },
        html! { div { (state(row)) div.faint { (result(row)) } } },
        ago(order.stamp.issued, now),
    ]
}

fn row(session: &Session, row: &OrderRow, now: Timestamp) -> Vec<Markup> {
    let (order, stamp) = (&row.order, &row.order.stamp);
    vec![
        html! { span.whole id=(order.order_id) { (mono(order.order_id.as_str())) } },
        html! { div { strong { (asks(&order.action)) } div.faint { (order.issued_by) ": " (order.reason) } } },
        html! { a href=(appliance_path(&stamp.site_id, &stamp.appliance)) { (stamp.site_id) " / " (stamp.appliance) } },
        html! { div { (state(row)) div.faint { (result(row)) } } },
        ago(stamp.issued, now),
        take_back(session, row),
    ]
}

pub(super) async fn page(
    session: Session,
    State(people): State<Arc<People>>,
    Query(filter): Query<Filter>,
) -> Result<Markup, Failure> {
    let now = clock::now();
    let wanted = OrderState::ALL.into_iter().find(|state| state.as_str() == filter.show);
    let rows = people.store.orders(OrderFilter { state: wanted, ..OrderFilter::default() }, ROWS, now).await?;
    let cells: Vec<_> = rows.iter().map(|one| row(&session, one, now)).collect();
    let issued = OrderId::try_from(filter.issued.clone()).ok();
    let tabs = [
        ("", "All"),
        ("pending", "Waiting"),
        ("acknowledged", "Accepted"),
        ("completed", "Over"),
        ("refused", "Refused"),
        ("expired", "Expired"),
        ("revoked", "Taken back"),
    ];
    let content = html! {
        div.head { h1 { "Orders" } p.faint { "Each is signed, made for one appliance and for the state that it has, and accepted for 15 minutes. None can carry a command." } }
        @if let Some(id) = &issued { p.notice role="status" { (icon(Kind::Good)) span { (mono(id.as_str())) " is issued. The appliance fetches it at its next check-in." } } }
        p.actions { a.button.primary href="/orders/new" { "Issue an order" } }
        section {
            nav.tabs aria-label="Which orders" { @for (show, name) in tabs {
                a href=(link("/orders", &[("show", show)])) aria-current=[(show == filter.show).then_some("true")] { (name) }
            } }
            (live("orders", &html! {
                @if cells.is_empty() { (nothing("No such order.", &html! { "An order asks an appliance for something out of turn: a check now, a runbook, new rules, a dry run." })) }
                @else { (table("Orders, the latest first", &[Column::Text("Order"), Column::Text("What, and why"), Column::Text("Appliance"), Column::Text("State"), Column::Text("Issued"), Column::Text("Take back")], &cells)) }
            }))
        }
    };
    framed(&people, &session, Section::Orders, "Orders", content).await
}

pub(super) async fn revoke(
    State(people): State<Arc<People>>,
    Posted { session, fields }: Posted<TakeBack>,
) -> Result<Response, Failure> {
    let id = OrderId::try_from(fields.order).map_err(|error| Failure::refused(error.to_string()))?;
    let reason = fields.reason.trim();
    let done = orders::revoke(&people.store, &people.signer, &id, session.person(), reason, clock::now()).await;
    let why = done.as_ref().err().map_or_else(|| reason.to_owned(), ToString::to_string);
    let actor = session.actor();
    let entry =
        Entry { actor: &actor, action: Action::RevokeOrder, subject: id.as_str(), done: done.is_ok(), reason: &why };
    people.store.audit(&entry).await?;
    let revocation = done?;
    Ok(see_other(&link("/orders", &[("issued", revocation.order.order_id.as_str())])))
}
