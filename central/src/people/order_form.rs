//! `/orders/new`: an order for one appliance; one form for each thing that can be asked, so that no script is needed.
//!
//! The forms offer only what the appliance would accept; what comes back is judged again all the same, by the same
//! code as the command line's ([`crate::orders`]).

use super::catalogue;
use super::form::Posted;
use super::frame::{Section, page as framed, token};
use super::orders::asks;
use super::session::{Session, see_other};
use super::words::{check_name, link, mono, nothing};
use super::{Failure, People};
use crate::clock;
use crate::fleet::Appliance;
use crate::orders::{self, NewOrder};
use crate::store::{Action, Entry, TargetRow};
use axum::extract::{Query, State};
use axum::response::Response;
use maud::{Markup, html};
use msp_contracts::order::OrderAction;
use msp_contracts::store_path::StorePath;
use msp_rules::{APPLIANCE, Request, Runbook};
use serde::Deserialize;
use std::collections::BTreeMap;
use std::sync::Arc;

/// What the names of a runbook's parameters begin with in a form.
const PARAMETER: &str = "with.";

const CHECKS: [&str; 10] = [
    "antivirus",
    "backup",
    "disk",
    "encryption",
    "firewall",
    "generation",
    "logging",
    "patching",
    "services",
    "time_sync",
];

#[derive(Deserialize)]
pub(super) struct Whom {
    #[serde(default)]
    to: String,
}

fn appliance(text: &str) -> Option<Appliance> {
    let (site, appliance) = text.split_once('/')?;
    Appliance::new(site, appliance).ok()
}

fn form(session: &Session, who: &Appliance, class: &str, fields: &Markup, button: &str) -> Markup {
    html! { form.stack method="post" action="/orders/new" {
        (token(session))
        input type="hidden" name="to" value=(who);
        input type="hidden" name="class" value=(class);
        (fields)
        label { span { "Reason, kept as evidence" } input name="reason" required maxlength="500" autocomplete="off"; }
        button.primary type="submit" { (button) }
    } }
}

fn machines(targets: &[TargetRow], who: &Appliance) -> Vec<(String, String)> {
    let own = targets.iter().filter(|row| row.owner.as_ref().is_none_or(|owner| *owner == who.appliance));
    own.filter_map(|row| {
        let address = row.target.ip_address.clone()?;
        Some((address.clone(), format!("{} ({address})", row.target.hostname)))
    })
    .collect()
}

fn machine_field(machines: &[(String, String)], further: &[(&str, String)]) -> Markup {
    // With further choices an empty one is among them: every machine.
    html! { label { span { "Machine" } select name="host" required[further.is_empty()] {
        @for (value, name) in further { option value=(value) { (name) } }
        @for (value, name) in machines { option value=(value) { (name) } }
    } } }
}

fn runbook_form(session: &Session, who: &Appliance, runbook: &Runbook, machine: &Markup) -> Markup {
    let fields = html! {
        input type="hidden" name="runbook" value=(runbook.id);
        (machine)
        @for (name, parameter) in &runbook.parameters {
            label { span { (name.replace('_', " ")) @if !parameter.description.is_empty() { ": " (parameter.description) } }
                @if parameter.allowed.is_empty() {
                    input name={ (PARAMETER) (name) } required[parameter.required] maxlength="255" autocomplete="off";
                } @else { select name={ (PARAMETER) (name) } required[parameter.required] {
                    @if !parameter.required { option value="" { "as it is" } }
                    @for value in &parameter.allowed { option value=(value) { (value) } }
                } } }
        }
    };
    html! { details { summary { (runbook.name) " " span.faint { (mono(&runbook.id)) } }
        p.faint { (runbook.description) }
        (form(session, who, "run_runbook", &fields, "Run it"))
    } }
}

fn forms(session: &Session, who: &Appliance, targets: &[TargetRow]) -> Markup {
    let machines = machines(targets, who);
    let everywhere = [("", "every machine".to_owned()), (who.appliance.as_str(), format!("{} itself", who.appliance))];
    let check = html! {
        (machine_field(&machines, &everywhere))
        label { span { "Check" } select name="check" { option value="" { "every check" } @for check in CHECKS { option value=(check) { (check_name(check)) } } } }
    };
    let switch = html! { label { span { "Its path in the Nix store" } input name="store_path" required pattern="/nix/store/[0-9a-z]{32}-[^/ ]+" maxlength="255" autocomplete="off"; } };
    let dry = html! { label { span { "From now on" } select name="dry" required { option value="true" { "only say what would be done" } option value="false" { "do it again" } } } };
    html! {
        section { h2 { "Look" }
            details open { summary { "Check now instead of at its next turn" } (form(session, who, "run_check", &check, "Check now")) }
            details { summary { "Check in and fetch the rules now" } (form(session, who, "sync_now", &html! {}, "Sync now")) }
        }
        section { h2 { "Run a runbook, if its check sees drift" }
            @if machines.is_empty() { (nothing("No server to run it on.", &html! { "Runbooks act on the site's Windows servers, and this appliance looks after none." })) }
            @else { @for runbook in catalogue::runbooks().filter(|one| one.platform == "windows") { (runbook_form(session, who, runbook, &machine_field(&machines, &[]))) } }
        }
        section { h2 { "The appliance itself" }
            p.faint { "What root's list on the appliance does not have, it refuses." }
            @for runbook in catalogue::runbooks().filter(|one| one.platform == APPLIANCE && one.executor != Some(Request::SwitchGeneration)) {
                (runbook_form(session, who, runbook, &html! { input type="hidden" name="host" value=(who.appliance); }))
            }
            details { summary { "Switch to another system of NixOS" }
                p.faint { "Activated for a test, confirmed by the agent, and only then kept: otherwise the system before runs again." }
                (form(session, who, "switch_generation", &switch, "Switch"))
            }
        }
        section { h2 { "How the agent works" }
            details { summary { "Dry run" } (form(session, who, "set_dry_run", &dry, "Set")) }
            p.faint { "To stop every change there is the " a href={ "/kill-switch#" (who.site) } { "kill switch" } "; keys are rotated by " code { "msp-central order" } "." }
        }
    }
}

pub(super) async fn page(
    session: Session,
    State(people): State<Arc<People>>,
    Query(whom): Query<Whom>,
) -> Result<Markup, Failure> {
    let all = people.store.appliances(None).await?;
    let known: Vec<String> = all.iter().map(|row| format!("{}/{}", row.site_id, row.appliance)).collect();
    let chosen = match known.as_slice() {
        [only] if whom.to.is_empty() => Some(only.clone()),
        _ => known.iter().find(|one| **one == whom.to).cloned(),
    };
    let who = chosen.as_deref().and_then(appliance);
    let content = html! {
        nav.crumbs aria-label="Where this is" { a href="/orders" { "Orders" } }
        div.head { h1 { "Issue an order" } }
        @if known.len() > 1 { form.filter method="get" action="/orders/new" {
            label { span { "To the appliance" } select name="to" { @for one in &known { option value=(one) selected[Some(one) == chosen.as_ref()] { (one) } } } }
            button type="submit" { "Choose" }
        } }
        @match &who {
            Some(who) => { p { "To " strong { (who) } "." } (forms(&session, who, &people.store.owned_targets(&who.site).await?)) }
            None if known.is_empty() => (nothing("No appliance yet.", &html! { "An order is for one appliance." })),
            None => p.faint { "Choose the appliance first: what can be asked depends on it." },
        }
    };
    framed(&people, &session, Section::Orders, "Issue an order", content).await
}

/// What the form asks for.
fn action(fields: &BTreeMap<String, String>) -> Result<OrderAction, Failure> {
    let text = |name: &str| fields.get(name).map(|value| value.trim().to_owned()).filter(|value| !value.is_empty());
    let needed =
        |name: &str| text(name).ok_or_else(|| Failure::refused(format!("The form lacks {name}. Nothing was issued.")));
    match fields.get("class").map_or("", String::as_str) {
        "run_runbook" => {
            let given = fields.iter().filter_map(|(name, value)| Some((name.strip_prefix(PARAMETER)?, value)));
            let given = given.filter(|(_, value)| !value.is_empty());
            let parameters = given.map(|(name, value)| (name.to_owned(), value.clone())).collect();
            Ok(OrderAction::RunRunbook { runbook_id: needed("runbook")?, host_id: needed("host")?, parameters })
        }
        "run_check" => Ok(OrderAction::RunCheck { host_id: text("host"), check_type: text("check") }),
        "switch_generation" => StorePath::try_from(needed("store_path")?)
            .map(|store_path| OrderAction::SwitchGeneration { store_path })
            .map_err(|error| Failure::refused(format!("{error}. Nothing was issued."))),
        "sync_now" => Ok(OrderAction::SyncNow {}),
        "set_dry_run" => Ok(OrderAction::SetDryRun { dry_run: needed("dry")? == "true" }),
        other => Err(Failure::refused(format!("{other:?} is no class of order that a form here asks for."))),
    }
}

pub(super) async fn issue(
    State(people): State<Arc<People>>,
    Posted { session, fields }: Posted<BTreeMap<String, String>>,
) -> Result<Response, Failure> {
    let to = fields.get("to").map_or("", String::as_str);
    let who = appliance(to).ok_or_else(|| Failure::refused("The form names no appliance. Nothing was issued."))?;
    let (action, reason) = (action(&fields)?, fields.get("reason").map_or("", |reason| reason.trim()));
    let asked = asks(&action);
    let new = NewOrder::new(action, session.person(), reason);
    let done = orders::issue(&people.store, &people.signer, &who, new, clock::now()).await;
    let why = match &done {
        Ok(row) => format!("{}, {asked}: {reason}", row.order.order_id),
        Err(error) => format!("{asked}: {error}"),
    };
    let actor = session.actor();
    let entry = Entry { actor: &actor, action: Action::IssueOrder, subject: to, done: done.is_ok(), reason: &why };
    people.store.audit(&entry).await?;
    Ok(see_other(&link("/orders", &[("issued", done?.order.order_id.as_str())])))
}
