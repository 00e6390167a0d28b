//! The sites and their appliances, with the time of the last contact.

use super::frame::{table, time};
use crate::store::{Store, StoreError};
use maud::{Markup, html};

pub(super) async fn section(store: &Store) -> Result<Markup, StoreError> {
    let sites: Vec<Markup> = store
        .sites(None)
        .await?
        .iter()
        .map(|site| {
            html! { tr {
                th scope="row" { (site.site_id) }
                td { @match &site.last_contact { Some(at) => (time(at)), None => "never" } }
                td.number { (site.open_incidents) }
                td.number { (site.windows_targets) }
                td.number { (site.rules) }
                td { (site.healing_tier) }
            } }
        })
        .collect();
    let appliances: Vec<Markup> = store
        .appliances(None)
        .await?
        .iter()
        .map(|row| {
            let checkin = row.checkin.as_ref();
            html! { tr {
                th scope="row" { (row.site_id) "/" (row.appliance) }
                td { @match &row.last_contact { Some(at) => (time(at)), None => "never" } }
                td { (checkin.map_or("", |checkin| checkin.hostname.as_str())) }
                td { (checkin.map(|checkin| checkin.ip_addresses.join(", ")).unwrap_or_default()) }
                td { (checkin.map_or("", |checkin| checkin.agent_version.as_str())) }
                td { @match &row.agent_public_key { Some(key) => code title=(key) { (key.get(..12).unwrap_or(key)) }, None => "not pinned" } }
            } }
        })
        .collect();
    Ok(html! {
        h2 { "Sites" }
        (table(&["Site", "Last contact", "Open incidents", "Windows servers", "Rules", "Tier"], &sites,
            "No site yet: issue an appliance with msp-central issue."))
        h3 { "Appliances" }
        (table(&["Appliance", "Last contact", "Host name", "Addresses", "Agent", "Evidence key"], &appliances,
            "No appliance yet."))
    })
}
