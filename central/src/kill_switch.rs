//! The kill switch: stop every change of a site or of one appliance, and allow them again.
//!
//! Engaging is a word in every check-in's reply. A release is a signed order, one for each appliance that
//! reports itself stopped, now or whenever it comes back.

use crate::fleet::Appliance;
use crate::orders::{self, IssueError, NewOrder, Times};
use crate::signing::Signer;
use crate::store::{CannotOrder, Change, OrderRow, Store};
use jiff::Timestamp;
use msp_contracts::order::OrderAction;

fn release(by: &str, reason: &str) -> NewOrder {
    NewOrder::new(OrderAction::KillSwitch { engaged: false }, by, reason)
}

async fn checked(store: &Store, change: Change<'_>) -> Result<(), IssueError> {
    orders::check_words(change.by, change.reason)?;
    if let Some(appliance) = change.appliance {
        let who = Appliance { site: change.site.to_owned(), appliance: appliance.to_owned() };
        if !store.knows(&who).await? {
            return Err(CannotOrder::UnknownAppliance { who }.into());
        }
    }
    Ok(())
}

/// Stops every change: every check-in's reply says so from now on. The caller has checked that the site exists.
pub(crate) async fn engage(store: &Store, change: Change<'_>, now: Timestamp) -> Result<(), IssueError> {
    checked(store, change).await?;
    Ok(store.engage_kill_switch(change, now).await?)
}

/// Allows changes again; answers the orders to those appliances that report themselves stopped.
pub(crate) async fn disengage(
    store: &Store,
    signer: &Signer,
    change: Change<'_>,
    now: Timestamp,
) -> Result<Vec<OrderRow>, IssueError> {
    checked(store, change).await?;
    let new = release(change.by, change.reason);
    let times = Times::usual(&new, now);
    let sign = |who: &Appliance, sequence, chain| orders::sign(signer, who, (sequence, chain), &new, times, now);
    store.release_kill_switch(change, now, sign).await
}

/// Releases an appliance that reports itself stopped although nothing stops it any more.
pub(crate) async fn release_returned(
    store: &Store,
    signer: &Signer,
    who: &Appliance,
    now: Timestamp,
) -> Result<(), IssueError> {
    store
        .release_appliance(who, now, |released, sequence, chain| {
            let new = release(&released.changed_by, &released.reason);
            orders::sign(signer, who, (sequence, chain), &new, Times::usual(&new, now), now)
        })
        .await
}
