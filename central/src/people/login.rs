//! Coming in and going out: by password, or by a one-time link.
//!
//! A wrong password, an unknown name and a disabled person get the same answer after the same work. A link is looked at
//! by GET, as a preview in a mail program would, and used up only by the POST of the button it shows. Either way a new
//! session begins under a new secret, and the one before ends.

use super::form::{Knocked, Posted};
use super::frame::{self, knocking};
use super::password;
use super::secret::{NoRandomness, Secret};
use super::session::{Caller, Cookie, Session, local, see_other};
use super::{Failure, People};
use crate::clock;
use crate::store::{Action, CameBy, Entry};
use axum::extract::{Path, Query, Request, State};
use axum::http::header::RETRY_AFTER;
use axum::http::{Extensions, HeaderMap, HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use jiff::SignedDuration;
use maud::{Markup, html};
use serde::Deserialize;
use std::sync::Arc;

/// From an address somebody logged in from within this span, a rested account is let in.
const REMEMBERED: SignedDuration = SignedDuration::from_hours(24 * 90);

#[derive(Deserialize)]
pub(super) struct Wanted {
    #[serde(default)]
    next: String,
}

#[derive(Deserialize)]
pub(super) struct Attempt {
    name: String,
    password: String,
    #[serde(default)]
    next: String,
}

#[derive(Deserialize)]
pub(super) struct Nothing {}

#[derive(Deserialize)]
pub(super) struct LinkToken {
    link: String,
}

/// A page for somebody who has not come in, with the cookie its form is bound to.
fn page(
    people: &People,
    headers: &HeaderMap,
    status: StatusCode,
    title: &str,
    content: impl FnOnce(&str) -> Markup,
) -> Result<Response, NoRandomness> {
    let held = Cookie::Knock.read(headers, people.tls);
    let secret = held.clone().map_or_else(Secret::new, Ok)?;
    let mut response = (status, knocking(title, &content(&secret.form_token()))).into_response();
    if held.is_none() {
        Cookie::Knock.set(response.headers_mut(), &secret, people.tls);
    }
    Ok(response)
}

fn login_form(token: &str, name: &str, next: &str, problem: Option<&str>) -> Markup {
    html! {
        h1 { "Log in" }
        @if let Some(problem) = problem { p.problem role="alert" { (frame::icon(frame::Kind::Bad)) (problem) } }
        form.stack method="post" action="/login" {
            input type="hidden" name="token" value=(token);
            input type="hidden" name="next" value=(local(next));
            label { span { "Name" }
                input name="name" value=(name) autocomplete="username" autocapitalize="none" spellcheck="false"
                    required autofocus[name.is_empty()]; }
            label { span { "Password" }
                input type="password" name="password" autocomplete="current-password" required
                    autofocus[!name.is_empty()]; }
            button.primary type="submit" { "Log in" }
        }
        p.faint { "No password, or forgotten? Whoever runs this server makes a link that lets you in once: "
            code { "msp-central login-link --dir DIR NAME" } }
    }
}

pub(super) async fn show(
    State(people): State<Arc<People>>,
    Query(wanted): Query<Wanted>,
    request: Request,
) -> Result<Response, Failure> {
    let (parts, _) = request.into_parts();
    if Session::find(&people, &parts).await?.is_some() {
        return Ok(see_other(local(&wanted.next)));
    }
    let form = |token: &str| login_form(token, "", &wanted.next, None);
    Ok(page(&people, &parts.headers, StatusCode::OK, "Log in", form)?)
}

/// A name as it is stored: people do not remember capitals.
pub(crate) fn plain_name(typed: &str) -> String {
    typed.trim().chars().take(64).collect::<String>().to_lowercase()
}

/// The browser with its new session; whatever it had before is over.
async fn come_in(
    people: &People,
    headers: &HeaderMap,
    caller: Caller,
    (name, came_by): (&str, CameBy),
    next: &str,
) -> Result<Response, Failure> {
    let secret = Secret::new()?;
    let before = Cookie::Session.read(headers, people.tls).map(|secret| secret.hash());
    people.store.begin_session(&secret.hash(), &caller.actor(name), came_by, before.as_deref()).await?;
    let mut response = see_other(local(next));
    Cookie::Session.set(response.headers_mut(), &secret, people.tls);
    Cookie::Knock.clear(response.headers_mut(), people.tls);
    Ok(response)
}

/// Whether the attempt may come in. Every way to "no" takes the work of a hash.
async fn is_right(people: &People, name: &str, password: String) -> Result<bool, Failure> {
    let person = people.store.person(name).await?;
    let hash = person.filter(|person| !person.disabled).and_then(|person| person.password);
    let readable = password.len() <= password::LONGEST;
    let (password, hash) = if readable { (password, hash) } else { (String::new(), None) };
    Ok(people.hasher.matches(password, hash).await?)
}

pub(super) async fn attempt(
    State(people): State<Arc<People>>,
    headers: HeaderMap,
    extensions: Extensions,
    Knocked(attempt): Knocked<Attempt>,
) -> Result<Response, Failure> {
    let (name, caller, now) = (plain_name(&attempt.name), Caller::of(&extensions), clock::now());
    let since = now.saturating_sub(REMEMBERED).unwrap_or(now);
    let known = people.store.came_from(&name, &caller.0.to_string(), since).await?;
    if let Some(until) = people.attempts.resting(&name, caller.0, known, now) {
        let seconds = until.duration_since(now).as_secs().max(1);
        let problem = format!(
            "Too many attempts. Try again in {}, or come in by a one-time link.",
            frame::span(SignedDuration::from_secs(seconds))
        );
        let form = |token: &str| login_form(token, &name, &attempt.next, Some(&problem));
        let mut response = page(&people, &headers, StatusCode::TOO_MANY_REQUESTS, "Log in", form)?;
        response.headers_mut().insert(RETRY_AFTER, HeaderValue::from(seconds));
        return Ok(response);
    }
    let limit_reached = people.attempts.count(&name, caller.0, now);
    if is_right(&people, &name, attempt.password).await? {
        people.attempts.succeeded(&name, caller.0);
        return come_in(&people, &headers, caller, (&name, CameBy::Password), &attempt.next).await;
    }
    let actor = caller.actor(&name);
    let refused = |action, reason| Entry { actor: &actor, action, subject: &name, done: false, reason };
    people.store.audit(&refused(Action::Login, "wrong name or password")).await?;
    if limit_reached {
        people
            .store
            .audit(&refused(Action::LoginLimited, "further attempts are refused for a while, and not listed"))
            .await?;
    }
    let problem = "Name and password do not go together, or this person may not log in.";
    let form = |token: &str| login_form(token, &name, &attempt.next, Some(problem));
    Ok(page(&people, &headers, StatusCode::FORBIDDEN, "Log in", form)?)
}

fn stale_link() -> Markup {
    html! {
        h1 { "This link does not hold" }
        p { "It was used before, is older than a quarter of an hour, or was not copied whole." }
        p { "Have another one made: " code { "msp-central login-link --dir DIR NAME" } }
        p { a href="/login" { "Log in with a password" } }
    }
}

pub(super) async fn show_link(
    State(people): State<Arc<People>>,
    Path(link): Path<String>,
    headers: HeaderMap,
) -> Result<Response, Failure> {
    let secret = Secret::parse(&link);
    let holds = match &secret {
        Some(secret) => people.store.link_holds(&secret.hash(), clock::now()).await?,
        None => false,
    };
    let content = |token: &str| match secret.filter(|_| holds) {
        None => stale_link(),
        Some(link) => html! {
            h1 { "Log in by link" }
            p { "The link works once. It is used up when you press the button, not by opening it." }
            form.stack method="post" action="/link" {
                input type="hidden" name="token" value=(token);
                input type="hidden" name="link" value=(link.reveal());
                button.primary type="submit" autofocus { "Log in" }
            }
        },
    };
    let status = if holds { StatusCode::OK } else { StatusCode::NOT_FOUND };
    Ok(page(&people, &headers, status, "Log in by link", content)?)
}

pub(super) async fn use_link(
    State(people): State<Arc<People>>,
    headers: HeaderMap,
    extensions: Extensions,
    Knocked(LinkToken { link }): Knocked<LinkToken>,
) -> Result<Response, Failure> {
    let caller = Caller::of(&extensions);
    let person = match Secret::parse(&link) {
        Some(secret) => people.store.use_link(&secret.hash(), clock::now()).await?,
        None => None,
    };
    let Some(name) = person else {
        let (actor, now) = (caller.actor(""), clock::now());
        let listed = people.attempts.resting("", caller.0, false, now).is_none();
        people.attempts.count("", caller.0, now);
        let entry = Entry {
            actor: &actor,
            action: Action::Login,
            subject: "",
            done: false,
            reason: "a link that does not hold",
        };
        if listed {
            people.store.audit(&entry).await?;
        }
        return Ok(page(&people, &headers, StatusCode::FORBIDDEN, "Log in by link", |_| stale_link())?);
    };
    come_in(&people, &headers, caller, (&name, CameBy::Link), "/").await
}

pub(super) async fn leave(
    State(people): State<Arc<People>>,
    Posted { session, fields: Nothing {} }: Posted<Nothing>,
) -> Result<Response, Failure> {
    people.store.end_session(&session.secret.hash(), &session.actor()).await?;
    let mut response = see_other("/login");
    Cookie::Session.clear(response.headers_mut(), people.tls);
    Ok(response)
}
