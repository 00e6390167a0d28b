//! The kill switch of a site, or of one appliance: every change with its reason, the latest one holds.
//!
//! To engage it needs no signature, so the check-in's reply says it and that is all. To release it does: an
//! appliance that reports itself engaged is sent a signed order, by the release for those that are known to be
//! engaged, and at its next check-in for one that was away meanwhile. Engaging withdraws releases that wait.

use super::{CannotOrder, OrderRow, SignedOrder, Store, StoreError, during, orders, text};
use crate::fleet::Appliance;
use jiff::Timestamp;
use msp_contracts::ids::{ChainId, Counter};
use serde::Serialize;
use sqlx::{FromRow, Sqlite, Transaction};

/// One change of a kill switch.
#[derive(Debug, Clone, Serialize, FromRow)]
pub(crate) struct KillSwitchRow {
    pub(crate) site_id: String,
    /// Of the whole site when absent.
    pub(crate) appliance: Option<String>,
    pub(crate) engaged: bool,
    pub(crate) reason: String,
    pub(crate) changed_by: String,
    pub(crate) changed_at: String,
}

/// A change that is asked for.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Change<'a> {
    pub(crate) site: &'a str,
    /// The whole site when absent.
    pub(crate) appliance: Option<&'a str>,
    pub(crate) reason: &'a str,
    pub(crate) by: &'a str,
}

/// What is wanted of one appliance: the latest word on its site and the latest on itself.
#[derive(Debug, Default)]
pub(super) struct Wanted(Vec<KillSwitchRow>);

impl Wanted {
    /// The change by which it is to stop, if it is.
    pub(super) fn engaged(&self) -> Option<&KillSwitchRow> {
        self.0.iter().find(|row| row.engaged)
    }

    /// The change by which it may work again: it was stopped from here, and nothing stops it any more.
    pub(super) fn released(&self) -> Option<&KillSwitchRow> {
        self.0.last().filter(|_| self.engaged().is_none())
    }
}

pub(super) async fn wanted(tx: &mut Transaction<'_, Sqlite>, who: &Appliance) -> Result<Wanted, StoreError> {
    sqlx::query_as(
        "SELECT site_id, appliance, engaged, reason, changed_by, changed_at FROM kill_switch
         WHERE id IN (SELECT MAX(id) FROM kill_switch
                      WHERE site_id = $1 AND (appliance IS NULL OR appliance = $2) GROUP BY appliance) ORDER BY id",
    )
    .bind(&who.site)
    .bind(&who.appliance)
    .fetch_all(&mut **tx)
    .await
    .map(Wanted)
    .map_err(during("reading a kill switch"))
}

async fn record(
    tx: &mut Transaction<'_, Sqlite>,
    change: Change<'_>,
    engaged: bool,
    now: Timestamp,
) -> Result<(), StoreError> {
    sqlx::query(
        "INSERT INTO kill_switch (site_id, appliance, engaged, reason, changed_by, changed_at)
         VALUES ($1, $2, $3, $4, $5, $6)",
    )
    .bind(change.site)
    .bind(change.appliance)
    .bind(engaged)
    .bind(change.reason)
    .bind(change.by)
    .bind(text(now))
    .execute(&mut **tx)
    .await
    .map_err(during("recording a change of a kill switch"))?;
    Ok(())
}

/// The appliances of a site, or the one, whose last report says that they are stopped.
async fn stopped(
    tx: &mut Transaction<'_, Sqlite>,
    site: &str,
    appliance: Option<&str>,
) -> Result<Vec<Appliance>, StoreError> {
    let names: Vec<String> = sqlx::query_scalar(
        "SELECT appliance FROM appliances WHERE site_id = $1 AND appliance = COALESCE($2, appliance)
                AND checkin ->> '$.agent.kill_switch' = 1 ORDER BY appliance",
    )
    .bind(site)
    .bind(appliance)
    .fetch_all(&mut **tx)
    .await
    .map_err(during("looking for stopped appliances"))?;
    Ok(names.into_iter().map(|appliance| Appliance { site: site.to_owned(), appliance }).collect())
}

/// Whether a release waits for an appliance, or was accepted a moment ago.
pub(super) async fn release_waits(
    tx: &mut Transaction<'_, Sqlite>,
    who: &Appliance,
    now: Timestamp,
) -> Result<bool, StoreError> {
    let found: Option<i64> = sqlx::query_scalar(
        "SELECT 1 FROM orders WHERE site_id = $1 AND appliance = $2 AND state IN ('pending', 'acknowledged')
                AND expires > $3 AND class = 'kill_switch' AND content ->> '$.parameters.engaged' = 0 LIMIT 1",
    )
    .bind(&who.site)
    .bind(&who.appliance)
    .bind(text(now))
    .fetch_optional(&mut **tx)
    .await
    .map_err(during("looking for a release"))?;
    Ok(found.is_some())
}

impl Store {
    /// Engages the switch, and withdraws every release that waits.
    pub(crate) async fn engage_kill_switch(&self, change: Change<'_>, now: Timestamp) -> Result<(), StoreError> {
        let doing = "engaging a kill switch";
        let mut tx = self.write(doing).await?;
        record(&mut tx, change, true, now).await?;
        sqlx::query(
            "UPDATE orders SET state = 'revoked', revoked_at = $3
             WHERE site_id = $1 AND appliance = COALESCE($2, appliance) AND state = 'pending'
                   AND class = 'kill_switch' AND content ->> '$.parameters.engaged' = 0",
        )
        .bind(change.site)
        .bind(change.appliance)
        .bind(text(now))
        .execute(&mut *tx)
        .await
        .map_err(during(doing))?;
        tx.commit().await.map_err(during(doing))
    }

    /// Releases the switch, and issues the order that `sign` makes to every appliance that reports itself
    /// stopped and is not stopped by another switch. Answers those orders.
    pub(crate) async fn release_kill_switch<E, F>(
        &self,
        change: Change<'_>,
        now: Timestamp,
        sign: F,
    ) -> Result<Vec<OrderRow>, E>
    where
        E: From<StoreError> + From<CannotOrder>,
        F: Fn(&Appliance, Counter, ChainId) -> Result<SignedOrder, E>,
    {
        let doing = "releasing a kill switch";
        let mut tx = self.write(doing).await?;
        record(&mut tx, change, false, now).await?;
        let mut issued = Vec::new();
        for who in stopped(&mut tx, change.site, change.appliance).await? {
            if wanted(&mut tx, &who).await?.engaged().is_none() && !release_waits(&mut tx, &who, now).await? {
                issued.push(orders::add(&mut tx, &who, |sequence, chain| sign(&who, sequence, chain)).await?);
            }
        }
        tx.commit().await.map_err(during(doing))?;
        Ok(issued)
    }

    /// Issues a release to an appliance that reported itself stopped, unless it is to be stopped, was never
    /// stopped from here, or a release waits for it already. `sign` learns by which change it is released.
    pub(crate) async fn release_appliance<E, F>(&self, who: &Appliance, now: Timestamp, sign: F) -> Result<(), E>
    where
        E: From<StoreError> + From<CannotOrder>,
        F: FnOnce(&KillSwitchRow, Counter, ChainId) -> Result<SignedOrder, E>,
    {
        let doing = "releasing an appliance";
        let mut tx = self.write(doing).await?;
        let wanted = wanted(&mut tx, who).await?;
        let Some(released) = wanted.released() else { return Ok(()) };
        if !release_waits(&mut tx, who, now).await? {
            orders::add(&mut tx, who, |sequence, chain| sign(released, sequence, chain)).await?;
            tx.commit().await.map_err(during(doing))?;
        }
        Ok(())
    }

    /// The change by which an appliance is to stop now, if it is.
    pub(crate) async fn kill_switch_of(&self, who: &Appliance) -> Result<Option<KillSwitchRow>, StoreError> {
        let doing = "reading a kill switch";
        let mut tx = self.readers.begin().await.map_err(during(doing))?;
        let wanted = wanted(&mut tx, who).await?;
        tx.commit().await.map_err(during(doing))?;
        Ok(wanted.engaged().cloned())
    }

    /// The switches of one site or of all as they stand: the whole site's first, then single appliances'.
    pub(crate) async fn kill_switches(&self, site: Option<&str>) -> Result<Vec<KillSwitchRow>, StoreError> {
        sqlx::query_as(
            "SELECT site_id, appliance, engaged, reason, changed_by, changed_at FROM kill_switch
             WHERE id IN (SELECT MAX(id) FROM kill_switch WHERE site_id = COALESCE($1, site_id)
                          GROUP BY site_id, appliance)
             ORDER BY site_id, appliance",
        )
        .bind(site)
        .fetch_all(&self.readers)
        .await
        .map_err(during("listing the kill switches"))
    }

    /// At most `limit` changes of the switches of one site or of all, the latest first.
    pub(crate) async fn kill_switch_changes(
        &self,
        site: Option<&str>,
        limit: u32,
    ) -> Result<Vec<KillSwitchRow>, StoreError> {
        sqlx::query_as(
            "SELECT site_id, appliance, engaged, reason, changed_by, changed_at FROM kill_switch
             WHERE site_id = COALESCE($1, site_id) ORDER BY id DESC LIMIT $2",
        )
        .bind(site)
        .bind(limit)
        .fetch_all(&self.readers)
        .await
        .map_err(during("listing the changes of the kill switches"))
    }
}
