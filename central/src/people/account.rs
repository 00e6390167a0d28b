//! `/account`: one's own password and sessions.

use super::form::Posted;
use super::frame::{Section, icon, page as framed, token};
use super::login::Nothing;
use super::password::{self, SHORTEST};
use super::session::{Session, see_other};
use super::words::{Column, Kind, ago_text, table, time};
use super::{Failure, People};
use crate::clock;
use crate::store::{ABSOLUTE, Action, Entry, IDLE};
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use maud::{Markup, html};
use serde::Deserialize;
use std::sync::Arc;

#[derive(Deserialize)]
pub(super) struct NewPassword {
    #[serde(default)]
    current: String,
    new: String,
    again: String,
}

/// Whether the current password has to be given: who came in by a link has none, or has forgotten it.
fn asks_current(session: &Session) -> bool {
    session.row.came_by != "link"
}

async fn content(people: &People, session: &Session, problem: Option<&str>) -> Result<Markup, Failure> {
    let now = clock::now();
    let sessions: Vec<_> = people
        .store
        .sessions_of(session.person(), now)
        .await?
        .iter()
        .map(|row| {
            vec![
                time(&row.began_at),
                html! { (row.came_by) },
                html! { code { (row.address) } },
                ago_text(&row.seen_at, now),
            ]
        })
        .collect();
    Ok(html! {
        div.head { h1 { (session.person()) } p.faint { "A session ends after " (IDLE.as_mins()) " minutes without you, and after " (ABSOLUTE.as_hours()) " hours in any case." } }
        section { h2 { "Password" }
            @if let Some(problem) = problem { p.problem role="alert" { (icon(Kind::Bad)) (problem) } }
            form.stack method="post" action="/account/password" {
                (token(session))
                input type="text" name="username" value=(session.person()) autocomplete="username" hidden;
                @if asks_current(session) { label { span { "Current password" } input type="password" name="current" autocomplete="current-password" required; } }
                label { span { "New password" } input type="password" name="new" autocomplete="new-password" minlength=(SHORTEST) required aria-describedby="rule"; }
                label { span { "New password again" } input type="password" name="again" autocomplete="new-password" minlength=(SHORTEST) required; }
                p.faint id="rule" { "At least " (SHORTEST) " characters; a few words are easy to remember. Every other session of yours ends." }
                button.primary type="submit" { "Set the password" }
            }
        }
        section { h2 { "Sessions" }
            (table("Where you are logged in", &[Column::Text("Since"), Column::Text("Came by"), Column::Text("From"), Column::Text("Last seen")], &sessions))
            form method="post" action="/account/sessions/end" { (token(session)) button type="submit" { "End every other session" } }
        }
    })
}

pub(super) async fn page(session: Session, State(people): State<Arc<People>>) -> Result<Markup, Failure> {
    let content = content(&people, &session, None).await?;
    framed(&people, &session, Section::Account, "Your account", content).await
}

pub(super) async fn set_password(
    State(people): State<Arc<People>>,
    Posted { session, fields }: Posted<NewPassword>,
) -> Result<Response, Failure> {
    let name = session.person();
    match not_acceptable(&people, &session, &fields).await? {
        None => {}
        Some(problem) => {
            let content = content(&people, &session, Some(&problem)).await?;
            let page = framed(&people, &session, Section::Account, "Your account", content).await?;
            return Ok((StatusCode::UNPROCESSABLE_ENTITY, page).into_response());
        }
    }
    let hash = people.hasher.hash(fields.new).await?;
    people.store.set_password(name, &hash, &session.secret.hash(), &session.actor()).await?;
    Ok(see_other("/account"))
}

/// What is wrong with the form, if anything.
async fn not_acceptable(people: &People, session: &Session, fields: &NewPassword) -> Result<Option<String>, Failure> {
    let (name, address, now) = (session.person(), session.caller.0, clock::now());
    if fields.new != fields.again {
        return Ok(Some("The two new passwords are not the same.".to_owned()));
    }
    if let Err(error) = password::acceptable(name, &fields.new) {
        return Ok(Some(error.to_string()));
    }
    if !asks_current(session) {
        return Ok(None);
    }
    // Somebody at an unlocked screen does not get to try passwords either.
    if people.attempts.resting(name, address, true, now).is_some() {
        return Ok(Some("Too many attempts. Try again later, or come in by a one-time link.".to_owned()));
    }
    people.attempts.count(name, address, now);
    let held = people.store.person(name).await?.and_then(|person| person.password);
    if people.hasher.matches(fields.current.clone(), held).await? {
        people.attempts.succeeded(name, address);
        return Ok(None);
    }
    let actor = session.actor();
    let reason = "wrong current password";
    people
        .store
        .audit(&Entry { actor: &actor, action: Action::SetPassword, subject: name, done: false, reason })
        .await?;
    Ok(Some("The current password is not right.".to_owned()))
}

pub(super) async fn end_sessions(
    State(people): State<Arc<People>>,
    Posted { session, fields: Nothing {} }: Posted<Nothing>,
) -> Result<Response, Failure> {
    people.store.end_other_sessions(session.person(), &session.secret.hash(), &session.actor()).await?;
    Ok(see_other("/account"))
}
