//! What every page has around its content: the way around, who is logged in, and what must not be overlooked.
//!
//! Parts marked `data-live` are replaced by the script when something has changed; without it they are as fresh as
//! the loading of the page, whose time stands below.

use super::assets::ASSETS;
use super::session::Session;
use super::words::time;
use super::{Failure, People};
use crate::clock;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use maud::{DOCTYPE, Markup, PreEscaped, html};

pub(super) use super::words::{Kind, span};

/// The parts of the site, as the navigation lists them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Section {
    Fleet,
    Incidents,
    Evidence,
    Orders,
    Rules,
    KillSwitch,
    People,
    Audit,
    /// One's own account; not in the list.
    Account,
}

const SECTIONS: [(Section, &str, &str); 8] = [
    (Section::Fleet, "/", "Fleet"),
    (Section::Incidents, "/incidents", "Incidents"),
    (Section::Evidence, "/evidence", "Evidence"),
    (Section::Orders, "/orders", "Orders"),
    (Section::Rules, "/rules", "Rules"),
    (Section::KillSwitch, "/kill-switch", "Kill switch"),
    (Section::People, "/people", "People"),
    (Section::Audit, "/audit", "Audit"),
];

fn document(title: &str, scripted: bool, body: &Markup) -> Markup {
    html! {
        (DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                meta name="viewport" content="width=device-width, initial-scale=1";
                meta name="color-scheme" content="light dark";
                title { (title) " · Central Command" }
                link rel="icon" href=(ASSETS.icon.path) type="image/svg+xml";
                link rel="stylesheet" href=(ASSETS.style.path);
                @if scripted { script src=(ASSETS.script.path) defer {} }
            }
            (body)
        }
    }
}

/// The picture that stands for a kind of news; the word beside it says the same.
pub(super) fn icon(kind: Kind) -> Markup {
    // Drawn on 16 by 16, in the colour of the text around.
    let drawing = match kind {
        Kind::Good => r#"<circle cx="8" cy="8" r="6.5"/><path d="m5.2 8.2 2 2 3.7-4.2"/>"#,
        Kind::Waiting => r#"<path d="M8 1.9 15 14H1z"/><path d="M8 6.5v3.2M8 11.7v.3"/>"#,
        Kind::Bad => {
            r#"<path d="M5.2 1.5h5.6l3.7 3.7v5.6l-3.7 3.7H5.2l-3.7-3.7V5.2z"/><path d="m5.8 5.8 4.4 4.4m0-4.4-4.4 4.4"/>"#
        }
        Kind::Idle => r#"<circle cx="8" cy="8" r="6.5"/><path d="M5.2 8h5.6"/>"#,
    };
    html! { svg.icon viewBox="0 0 16 16" aria-hidden="true" focusable="false" { (PreEscaped(drawing)) } }
}

/// A word with its picture and colour.
pub(super) fn status(kind: Kind, word: &str) -> Markup {
    html! { span class={ "status " (kind.as_str()) } { (icon(kind)) (word) } }
}

/// The hidden field that every form carries.
pub(super) fn token(session: &Session) -> Markup {
    html! { input type="hidden" name="token" value=(session.secret.form_token()); }
}

/// A part that is replaced when something changes.
pub(super) fn live(id: &str, content: &Markup) -> Markup {
    html! { div id=(id) data-live { (content) } }
}

/// A page for a person who came in.
pub(super) async fn page(
    people: &People,
    session: &Session,
    section: Section,
    title: &str,
    content: Markup,
) -> Result<Markup, Failure> {
    let now = clock::now();
    let switches = people.store.kill_switches(None).await?;
    let engaged: Vec<_> = switches.iter().filter(|row| row.engaged).collect();
    let body = html! {
        body data-live-url="/live" {
            a.skip href="#main" { "Skip to the content" }
            header.side {
                a.brand href="/" { (mark()) span { "Central Command" } }
                nav aria-label="Main" { ul {
                    @for (one, path, name) in SECTIONS {
                        li { a href=(path) aria-current=[(one == section).then_some("page")] { (name) } }
                    }
                } }
                div.who {
                    a href="/account" aria-current=[(section == Section::Account).then_some("page")] { (session.person()) }
                    form method="post" action="/logout" { (token(session)) button.plain type="submit" { "Log out" } }
                }
            }
            div.body {
                div id="stop" data-live class=[(!engaged.is_empty()).then_some("stop")] role="status" { (super::stop::banner(&engaged, now)) }
                main id="main" tabindex="-1" { (content) }
                footer { span id="as-of" data-live { "As of " (time(&now.to_string())) } " " span id="link" role="status" {} }
            }
        }
    };
    Ok(document(title, true, &body))
}

fn mark() -> Markup {
    html! { svg.mark viewBox="0 0 24 24" aria-hidden="true" focusable="false" { (PreEscaped(
        r#"<path d="M12 2.5 20 5.6v6c0 5-3.4 8.4-8 9.9-4.6-1.5-8-4.9-8-9.9v-6z"/><path d="M7 12.2h2.6l1.6-3.4 2.2 6 1.5-2.6H17"/>"#
    )) } }
}

fn outside(title: &str, content: &Markup) -> Markup {
    let body = html! {
        body.outside {
            main id="main" {
                p.brand { (mark()) span { "Central Command" } }
                div.card { (content) }
            }
        }
    };
    document(title, false, &body)
}

/// A page for somebody who has not come in.
pub(super) fn knocking(title: &str, content: &Markup) -> Markup {
    outside(title, content)
}

/// A page that says one thing.
pub(super) fn message(status: StatusCode, title: &str, text: &str) -> Response {
    let content = html! { h1 { (title) } p { (text) } p { a href="/" { "To the fleet" } } };
    (status, outside(title, &content)).into_response()
}
