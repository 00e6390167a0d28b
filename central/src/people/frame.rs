//! What every page has around its content, and what its tables share.

use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use maud::{DOCTYPE, Markup, html};

/// A whole page.
pub(super) fn frame(title: &str, content: &Markup) -> Markup {
    html! {
        (DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                meta name="viewport" content="width=device-width, initial-scale=1";
                meta name="color-scheme" content="light dark";
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
    let shown = text.parse::<jiff::Timestamp>().map_or_else(|_| text.to_owned(), |time| format!("{time:.0}"));
    html! { time datetime=(text) { (shown.replace('T', " ").replace('Z', " UTC")) } }
}

/// A word with its own colour.
pub(super) fn badge(kind: &str, word: &str) -> Markup {
    html! { span class={ "badge " (kind) } { (word) } }
}
