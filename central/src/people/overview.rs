//! `/`: sites, incidents, heals and evidence on one page.

use super::frame::frame;
use super::{evidence, executions, incidents, sites};
use crate::clock;
use crate::store::{Store, StoreError};
use axum::extract::State;
use maud::{Markup, html};

/// How many rows of each kind are shown.
const ROWS: u32 = 100;

pub(super) async fn page(State(store): State<Store>) -> Result<Markup, StoreError> {
    let content = html! {
        p.nothing { "As of " (super::frame::time(&clock::now().to_string())) ". Each list shows the latest " (ROWS) " at most." }
        section id="sites" { (sites::section(&store).await?) }
        section id="incidents" { (incidents::section(&store, ROWS).await?) }
        section id="heals" { (executions::section(&store, ROWS).await?) }
        section id="evidence" { (evidence::section(&store, ROWS).await?) }
    };
    Ok(frame("Overview", &content))
}
