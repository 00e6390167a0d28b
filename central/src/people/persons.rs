//! `/people`: who may log in. People are added and links made on the server's command line, where whoever can do it
//! could do anything anyway; here one can shut somebody out at once.

use super::form::Posted;
use super::frame::{Section, page as framed, status, token};
use super::session::{Session, see_other};
use super::words::{Column, Kind, ago_text, table};
use super::{Failure, People};
use crate::clock;
use crate::store::PersonRow;
use axum::extract::State;
use axum::response::Response;
use maud::{Markup, html};
use serde::Deserialize;
use std::sync::Arc;

#[derive(Deserialize)]
pub(super) struct Change {
    name: String,
    reason: String,
}

fn form(session: &Session, row: &PersonRow) -> Markup {
    if row.name == session.person() {
        return html! { a href="/account" { "your account" } };
    }
    let (path, word) =
        if row.disabled_at.is_some() { ("/people/enable", "Enable") } else { ("/people/disable", "Disable") };
    html! { form.inline method="post" action=(path) {
        (token(session))
        input type="hidden" name="name" value=(row.name);
        label { span.visually-hidden { "Reason to " (word.to_lowercase()) " " (row.name) } input name="reason" placeholder="reason" required maxlength="200"; }
        button type="submit" { (word) span.visually-hidden { " " (row.name) } }
    } }
}

pub(super) async fn page(session: Session, State(people): State<Arc<People>>) -> Result<Markup, Failure> {
    let now = clock::now();
    let rows: Vec<_> = people
        .store
        .people()
        .await?
        .iter()
        .map(|row| {
            vec![
                html! { strong { (row.name) } },
                if row.disabled_at.is_some() {
                    status(Kind::Bad, "disabled")
                } else {
                    status(Kind::Good, "may log in")
                },
                html! { @if row.has_password { "password" } @else { "link only" } },
                html! { @match &row.last_login { Some(at) => (ago_text(at, now)), None => span.faint { "never" } } },
                form(&session, row),
            ]
        })
        .collect();
    let content = html! {
        div.head { h1 { "People" } p.faint { "Everybody here may do everything these pages offer, and every action is in the " a href="/audit" { "audit trail" } "." } }
        (table("People who may log in", &[Column::Text("Name"), Column::Text("State"), Column::Text("Comes in by"), Column::Text("Last login"), Column::Text("Change")], &rows))
        div.nothing { p { strong { "Somebody new?" } } p { "On the server: " code { "msp-central person add --dir DIR NAME" } ", then " code { "msp-central login-link --dir DIR NAME" } ". The link lets them in once, and they set a password under their name." } }
    };
    framed(&people, &session, Section::People, "People", content).await
}

async fn change(people: &People, session: &Session, change: &Change, disabled: bool) -> Result<Response, Failure> {
    let reason = change.reason.trim();
    if reason.is_empty() {
        return Err(Failure::refused("Nothing was changed: say why, for the audit trail."));
    }
    if change.name == session.person() {
        return Err(Failure::refused(
            "Nothing was changed: nobody disables themselves; somebody else does it, or `msp-central person disable`.",
        ));
    }
    if !people.store.set_disabled(&change.name, disabled, &session.actor(), reason).await? {
        return Err(Failure::missing("There is nobody of this name."));
    }
    Ok(see_other("/people"))
}

pub(super) async fn disable(
    State(people): State<Arc<People>>,
    Posted { session, fields }: Posted<Change>,
) -> Result<Response, Failure> {
    change(&people, &session, &fields, true).await
}

pub(super) async fn enable(
    State(people): State<Arc<People>>,
    Posted { session, fields }: Posted<Change>,
) -> Result<Response, Failure> {
    change(&people, &session, &fields, false).await
}
