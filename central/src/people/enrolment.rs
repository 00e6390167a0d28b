//! `/enrolment`: a one-time token by which a new appliance joins a site, as `msp-central enroll-token` makes it. The
//! token is shown on the page that answers the form, and nowhere again: only its hash is kept.

use super::form::Posted;
use super::frame::{Section, icon, page as framed, token};
use super::secret;
use super::session::Session;
use super::words::{Kind, time};
use super::{Failure, People};
use crate::clock;
use crate::fleet::{self, Appliance};
use crate::store::{Action, Entry, NewToken};
use axum::extract::{Query, State};
use jiff::SignedDuration;
use maud::{Markup, html};
use msp_contracts::token::EnrollToken;
use serde::Deserialize;
use std::sync::Arc;

/// How long a token is good.
const LIFE: SignedDuration = SignedDuration::from_hours(1);

#[derive(Deserialize)]
pub(super) struct Wanted {
    #[serde(default)]
    site: String,
}

#[derive(Deserialize)]
pub(super) struct Asked {
    site: String,
    /// Empty: the appliance chooses its name.
    #[serde(default)]
    appliance: String,
    reason: String,
}

fn form(session: &Session, site: &str, sites: &[String]) -> Markup {
    html! { form.stack method="post" action="/enrolment" {
        (token(session))
        label { span { "Site; a new one is registered by this" }
            input name="site" value=(site) list="sites" required maxlength="64" autocomplete="off" autocapitalize="none" spellcheck="false"; }
        datalist id="sites" { @for one in sites { option value=(one) {} } }
        label { span { "The only name that the appliance may take; empty lets it choose" }
            input name="appliance" maxlength="64" autocomplete="off" autocapitalize="none" spellcheck="false"; }
        label { span { "Reason, for the audit trail" } input name="reason" required maxlength="200" autocomplete="off"; }
        button.primary type="submit" { "Make a token" }
    } }
}

fn head() -> Markup {
    html! {
        nav.crumbs aria-label="Where this is" { a href="/" { "Fleet" } }
        div.head { h1 { "Let an appliance join" } p.faint { "A token is good for one hour and for one appliance. Whoever has it can join the site once: hand it over in a file, not in a chat." } }
    }
}

pub(super) async fn page(
    session: Session,
    State(people): State<Arc<People>>,
    Query(wanted): Query<Wanted>,
) -> Result<Markup, Failure> {
    let sites: Vec<String> = people.store.sites(None).await?.into_iter().map(|row| row.site_id).collect();
    let content = html! { (head()) div.card { (form(&session, &wanted.site, &sites)) } };
    framed(&people, &session, Section::Fleet, "Let an appliance join", content).await
}

pub(super) async fn make(
    State(people): State<Arc<People>>,
    Posted { session, fields }: Posted<Asked>,
) -> Result<Markup, Failure> {
    let refused = |error: fleet::IdError| Failure::refused(format!("{error}. No token was made."));
    let (site, name, reason) = (fields.site.trim(), fields.appliance.trim(), fields.reason.trim());
    fleet::check_site(site).map_err(refused)?;
    let who = if name.is_empty() { None } else { Some(Appliance::new(site, name).map_err(refused)?) };
    if reason.is_empty() {
        return Err(Failure::refused("No token was made: say why, for the audit trail."));
    }
    let made = EnrollToken::new(secret::random()?, &people.authority);
    let now = clock::now();
    let expires = clock::after(now, LIFE);
    let new = NewToken { secret_sha256: made.secret_sha256(), site, appliance: who.as_ref(), expires };
    let kept = people.store.add_token(&new, now).await?;
    let subject = who.as_ref().map_or_else(|| site.to_owned(), ToString::to_string);
    let taken = kept
        .as_ref()
        .err()
        .map(|taken| format!("{subject} is enrolled already, with a certificate until {}", taken.until));
    let (actor, why) = (session.actor(), taken.clone().unwrap_or_else(|| reason.to_owned()));
    let entry =
        Entry { actor: &actor, action: Action::EnrollToken, subject: &subject, done: taken.is_none(), reason: &why };
    people.store.audit(&entry).await?;
    if let Some(taken) = taken {
        return Err(Failure::refused(format!(
            "{taken}: choose another name, or take it out first with `msp-central appliance revoke`."
        )));
    }
    let content = html! {
        (head())
        div.card {
            p { (icon(Kind::Good)) " A token for " strong { (subject) } ", good once, until " (time(&expires.to_string())) ". It is shown here and never again." }
            pre tabindex="0" id="enrolment-token" { code { (*made.reveal()) } }
            p { "On the appliance, with the token in a file:" }
            pre tabindex="0" { code { "msp-agent enroll --server https://THIS-SERVER:8445 --token-file token" } }
            p.faint { "The server listens for newcomers only while it runs with " code { "--enroll ADDRESS:PORT" } "." }
        }
    };
    framed(&people, &session, Section::Fleet, "Let an appliance join", content).await
}
