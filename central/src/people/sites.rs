//! The sites and their appliances, with the age of the last contact.

use super::frame::{appliance, contact, short, table};
use crate::store::{Store, StoreError};
use jiff::Timestamp;
use maud::{Markup, html};

pub(super) async fn section(store: &Store, now: Timestamp) -> Result<Markup, StoreError> {
    let sites: Vec<Markup> = store
        .sites(None)
        .await?
        .iter()
        .map(|site| {
            html! { tr {
                th scope="row" { (site.site_id) }
                td { (contact(site.last_contact.as_deref(), now)) }
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
                th scope="row" { (appliance(&row.site_id, &row.appliance)) }
                td { (contact(row.last_contact.as_deref(), now)) }
                td { (checkin.map_or("", |checkin| checkin.hostname.as_str())) }
                td { (checkin.map(|checkin| checkin.ip_addresses.join(", ")).unwrap_or_default()) }
                td { (checkin.map_or("", |checkin| checkin.agent_version.as_str())) }
                td { @match &row.agent_public_key { Some(key) => (short(key)), None => "not pinned" } }
            } }
        })
        .collect();
    Ok(html! {
        h2 { "Sites" }
        (table(&["Site", "Last contact", "Open incidents", "Windows servers", "Site rules", "Tier"], &sites,
            "No site yet: issue an appliance with msp-central issue."))
        h3 { "Appliances" }
        (table(&["Appliance", "Last contact", "Host name", "Addresses", "Agent", "Evidence key"], &appliances,
            "No appliance yet."))
    })
}
