//! `/audit`: who did what, when, from where and why. Nothing here can be changed, not even by this server.

use super::frame::{Kind, Section, live, page as framed, status};
use super::session::Session;
use super::words::{Column, link, mono, table, time};
use super::{Failure, People};
use crate::store::AuditRow;
use axum::extract::{Query, State};
use maud::{Markup, html};
use serde::Deserialize;
use std::sync::Arc;

/// How many rows a page shows.
const PAGE: u32 = 100;

#[derive(Deserialize)]
pub(super) struct Filter {
    #[serde(default)]
    who: String,
    #[serde(default)]
    before: String,
}

fn row(row: &AuditRow) -> Vec<Markup> {
    vec![
        html! { (row.id) },
        time(&row.at),
        html! { @if row.who.is_empty() { span.faint { "unknown" } } @else { a href=(link("/audit", &[("who", &row.who)])) { (row.who) } } },
        html! { span.whole { (mono(&row.address)) } },
        html! { span.whole { (row.action) } },
        html! { (row.subject) },
        if row.outcome == "done" { status(Kind::Good, "done") } else { status(Kind::Bad, "refused") },
        html! { (row.reason) },
    ]
}

pub(super) async fn page(
    session: Session,
    State(people): State<Arc<People>>,
    Query(filter): Query<Filter>,
) -> Result<Markup, Failure> {
    let who = Some(filter.who.as_str()).filter(|who| !who.is_empty());
    let before = filter.before.parse().unwrap_or(i64::MAX);
    let rows = people.store.audit_rows(who, before, PAGE).await?;
    let oldest =
        rows.last().map(|row| row.id).filter(|id| *id > 1 && rows.len() >= usize::try_from(PAGE).unwrap_or(usize::MAX));
    let cells: Vec<_> = rows.iter().map(row).collect();
    let content = html! {
        div.head { h1 { "Audit" } p.faint { "Every login and every action, also those that were refused. Rows are added and never changed; the database itself refuses it." }
            @if let Some(who) = who { p { "Only " strong { (who) } " · " a href="/audit" { "everybody" } } } }
        (table("The latest first", &[Column::Number("No."), Column::Text("When"), Column::Text("Who"), Column::Text("From"), Column::Text("What"), Column::Text("Whom or what"), Column::Text("Outcome"), Column::Text("Why")], &cells))
        @if let Some(oldest) = oldest { nav.pages aria-label="Pages" { a href=(link("/audit", &[("who", &filter.who), ("before", &oldest.to_string())])) rel="next" { "Older" } } }
    };
    framed(&people, &session, Section::Audit, "Audit", live("audit", &content)).await
}
