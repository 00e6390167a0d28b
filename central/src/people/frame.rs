//! What every page has around its content, and what its tables share: times, ages, machines, words with
//! a colour. There is no script, so the page asks the browser to load it again.

use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use jiff::{SignedDuration, Timestamp};
use maud::{DOCTYPE, Markup, html};

/// How often a browser loads the page again.
const REFRESH_SECONDS: u32 = 30;

/// From this silence on something is wrong: an appliance checks in every minute.
pub(super) const SILENT: SignedDuration = SignedDuration::from_mins(5);

/// A whole page.
pub(super) fn frame(title: &str, content: &Markup) -> Markup {
    html! {
        (DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                meta name="viewport" content="width=device-width, initial-scale=1";
                meta name="color-scheme" content="light dark";
                meta http-equiv="refresh" content=(REFRESH_SECONDS);
                title { (title) " - Central Command" }
                link rel="stylesheet" href="/style.css";
            }
            body {
                header { h1 { "Central Command" } }
                main { (content) }
            }
        }
    }
}

/// A page that says one thing.
pub(super) fn message(status: StatusCode, title: &str, text: &str) -> Response {
    let content = html! { h2 { (title) } p { (text) } };
    (status, frame(title, &content)).into_response()
}

/// A table, or a sentence when there is nothing to show.
pub(super) fn table(heads: &[&str], rows: &[Markup], nothing: &str) -> Markup {
    html! {
        @if rows.is_empty() {
            p.nothing { (nothing) }
        } @else {
            div.scroll {
                table {
                    thead { tr { @for head in heads { th scope="col" { (head) } } } }
                    tbody { @for row in rows { (row) } }
                }
            }
        }
    }
}

/// A time for people: to the second, in UTC.
pub(super) fn time(text: &str) -> Markup {
    let shown = text.parse::<Timestamp>().map_or_else(|_| text.to_owned(), |time| format!("{time:.0}"));
    html! { time datetime=(text) { (shown.replace('T', " ").replace('Z', " UTC")) } }
}

/// How long ago something was, for people; the exact time is its title.
pub(super) fn ago(time: Timestamp, now: Timestamp) -> Markup {
    let age = now.duration_since(time);
    html! { time datetime=(time) title=(time) { @if age.as_secs() < 1 { "just now" } @else { (span(age)) " ago" } } }
}

/// When an appliance was last heard of, and whether that is too long ago.
pub(super) fn contact(last: Option<&str>, now: Timestamp) -> Markup {
    let Some(last) = last.and_then(|text| text.parse::<Timestamp>().ok()) else { return badge("waiting", "never") };
    html! { @if is_silent(last, now) { (badge("bad", "silent")) ", " } (ago(last, now)) }
}

/// Whether a last contact at `last` is too long ago.
pub(super) fn is_silent(last: Timestamp, now: Timestamp) -> bool {
    now.duration_since(last) > SILENT
}

/// A span of time in its largest unit; below one second in milliseconds.
pub(super) fn span(span: SignedDuration) -> String {
    let seconds = span.as_secs();
    match seconds {
        ..=0 => format!("{} ms", span.as_millis()),
        1..60 => format!("{seconds} s"),
        60..3600 => format!("{} min", seconds / 60),
        3600..172_800 => format!("{} h", seconds / 3600),
        _ => format!("{} days", seconds / 86_400),
    }
}

/// A machine, by name and address when it has both.
pub(super) fn machine(name: &str, host_id: &str) -> Markup {
    html! { span.whole { @if name.is_empty() || name == host_id { (host_id) } @else { (name) " (" (host_id) ")" } } }
}

/// An appliance of a site.
pub(super) fn appliance(site: &str, appliance: &str) -> Markup {
    html! { span.whole { (site) "/" (appliance) } }
}

/// The beginning of a hash, key or other long id; the whole is its title.
pub(super) fn short(text: &str) -> Markup {
    html! { code title=(text) { (text.get(..12).unwrap_or(text)) } }
}

/// A word with its own colour.
pub(super) fn badge(kind: &str, word: &str) -> Markup {
    html! { span class={ "badge " (kind) } { (word) } }
}
