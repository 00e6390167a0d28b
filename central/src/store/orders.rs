//! Orders: each signed envelope with what became of it.
//!
//! Sequence and envelope are stored in one transaction, and handed out only after it: no two orders of an
//! appliance ever carry the same number. The appliance's word decides over ours: an order that it accepted
//! in time counts as accepted, however late we hear of it.

use super::order_state::OrderState;
use super::{StampKind, Store, StoreError, during, from_json, stamps, text, to_json};
use crate::fleet::Appliance;
use jiff::Timestamp;
use msp_contracts::api::{OrderCompletion, PendingOrder};
use msp_contracts::ids::{ChainId, Counter, OrderId};
use msp_contracts::order::{Order, OrderAction};
use serde::Serialize;
use sqlx::sqlite::SqliteRow;
use sqlx::{Row, Sqlite, Transaction};
use std::str::FromStr;

/// How many orders an appliance is told of at once.
pub(super) const MAX_PENDING: i64 = 100;

/// An order as it is listed.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct OrderRow {
    pub(crate) state: OrderState,
    /// The signed payload.
    #[serde(flatten)]
    pub(crate) order: Order,
    pub(crate) acknowledged_at: Option<String>,
    pub(crate) completed_at: Option<String>,
    pub(crate) revoked_at: Option<String>,
    /// What the appliance reported when it was over.
    pub(crate) completion: Option<OrderCompletion>,
    /// The exact bytes of the signed envelope.
    #[serde(skip)]
    pub(crate) envelope: Vec<u8>,
}

/// Which orders are listed.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct OrderFilter<'a> {
    pub(crate) site: Option<&'a str>,
    pub(crate) appliance: Option<&'a str>,
    pub(crate) state: Option<OrderState>,
}

/// Why an appliance cannot be sent an order.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum CannotOrder {
    /// It was never issued a certificate.
    #[error("no appliance {who}: `msp-central list appliances` shows those that are registered")]
    UnknownAppliance {
        /// Whom the order was for.
        who: Appliance,
    },
    /// It has not said which state an order would be for.
    #[error(
        "{who} never reported the id of its state, and an order is made for one state: let an agent that knows orders check in first"
    )]
    NoChain {
        /// Whom the order was for.
        who: Appliance,
    },
    /// There is no order of this id.
    #[error("no order {id}: `msp-central order list` shows those that were issued")]
    UnknownOrder {
        /// The order that was to be taken back.
        id: OrderId,
    },
    /// It cannot be taken back any more.
    #[error("order {id} is {state}: only one that is not over can be taken back")]
    Over {
        /// The order that was to be taken back.
        id: OrderId,
        /// What became of it.
        state: OrderState,
    },
    /// A revocation takes effect at once.
    #[error("order {id} is itself a revocation: issue the order that it took back anew")]
    Revocation {
        /// The order that was to be taken back.
        id: OrderId,
    },
}

/// What became of an acknowledgement or a completion.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Noted {
    /// It is stored.
    Now,
    /// The same was stored before.
    Before,
    /// Another word was stored before, and stands.
    Otherwise,
    /// There is no such order of this appliance.
    Unknown,
}

impl OrderRow {
    /// Whether it was made for this appliance.
    pub(crate) fn is_for(&self, who: &Appliance) -> bool {
        (&self.order.stamp.site_id, &self.order.stamp.appliance) == (&who.site, &who.appliance)
    }
}

fn read(row: &SqliteRow) -> Result<OrderRow, StoreError> {
    let failed = during("reading an order");
    let completion: Option<&str> = row.try_get("completion").map_err(&failed)?;
    Ok(OrderRow {
        state: row.try_get::<&str, _>("state").and_then(OrderState::from_str).map_err(&failed)?,
        order: from_json("an order", row.try_get("content").map_err(&failed)?)?,
        acknowledged_at: row.try_get("acknowledged_at").map_err(&failed)?,
        completed_at: row.try_get("completed_at").map_err(&failed)?,
        revoked_at: row.try_get("revoked_at").map_err(&failed)?,
        completion: completion.map(|text| from_json("a completion", text)).transpose()?,
        envelope: row.try_get("envelope").map_err(&failed)?,
    })
}

async fn find(tx: &mut Transaction<'_, Sqlite>, id: &OrderId) -> Result<Option<OrderRow>, StoreError> {
    let row = sqlx::query("SELECT * FROM orders WHERE order_id = $1")
        .bind(id.as_str())
        .fetch_optional(&mut **tx)
        .await
        .map_err(during("looking up an order"))?;
    row.as_ref().map(read).transpose()
}

/// Marks what nobody accepted in time.
async fn expire(tx: &mut Transaction<'_, Sqlite>, now: Timestamp) -> Result<(), StoreError> {
    sqlx::query("UPDATE orders SET state = 'expired' WHERE state = 'pending' AND expires <= $1")
        .bind(text(now))
        .execute(&mut **tx)
        .await
        .map_err(during("marking expired orders"))?;
    Ok(())
}

/// The appliance's state, as it last reported it.
async fn chain_of(
    tx: &mut Transaction<'_, Sqlite>,
    who: &Appliance,
) -> Result<Result<ChainId, CannotOrder>, StoreError> {
    let found: Option<Option<String>> =
        sqlx::query_scalar("SELECT checkin ->> '$.agent.chain' FROM appliances WHERE site_id = $1 AND appliance = $2")
            .bind(&who.site)
            .bind(&who.appliance)
            .fetch_optional(&mut **tx)
            .await
            .map_err(during("looking up an appliance's state"))?;
    Ok(match found {
        None => Err(CannotOrder::UnknownAppliance { who: who.clone() }),
        Some(chain) => {
            let chain = chain.and_then(|chain| ChainId::try_from(chain).ok());
            chain.ok_or_else(|| CannotOrder::NoChain { who: who.clone() })
        }
    })
}

/// A signed order on its way into the store: the payload, and the exact bytes of its envelope.
pub(crate) type SignedOrder = (Order, Vec<u8>);

/// Counts, has `sign` make the order, and stores it; valid once the transaction is committed.
pub(super) async fn add<E, F>(tx: &mut Transaction<'_, Sqlite>, who: &Appliance, sign: F) -> Result<OrderRow, E>
where
    E: From<StoreError> + From<CannotOrder>,
    F: FnOnce(Counter, ChainId) -> Result<SignedOrder, E>,
{
    let chain = chain_of(tx, who).await??;
    let sequence = stamps::next(tx, who, StampKind::Order).await?;
    let (order, envelope) = sign(sequence, chain)?;
    insert(tx, &order, &envelope).await?;
    Ok(OrderRow {
        state: OrderState::Pending,
        order,
        acknowledged_at: None,
        completed_at: None,
        revoked_at: None,
        completion: None,
        envelope,
    })
}

async fn insert(tx: &mut Transaction<'_, Sqlite>, order: &Order, envelope: &[u8]) -> Result<(), StoreError> {
    sqlx::query(
        "INSERT INTO orders (order_id, site_id, appliance, class, sequence, issued_at, expires, execute_by, issued_by,
                             reason, envelope, content)
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12)",
    )
    .bind(order.order_id.as_str())
    .bind(&order.stamp.site_id)
    .bind(&order.stamp.appliance)
    .bind(order.action.class())
    .bind(i64::try_from(order.stamp.sequence.0).unwrap_or(i64::MAX))
    .bind(text(order.stamp.issued))
    .bind(text(order.stamp.expires))
    .bind(text(order.execute_by))
    .bind(&order.issued_by)
    .bind(&order.reason)
    .bind(envelope)
    .bind(to_json("an order", order)?)
    .execute(&mut **tx)
    .await
    .map_err(during("storing an order"))?;
    Ok(())
}

/// The orders that wait for an appliance, by rising sequence.
pub(super) async fn pending(
    tx: &mut Transaction<'_, Sqlite>,
    who: &Appliance,
    now: Timestamp,
) -> Result<Vec<PendingOrder>, StoreError> {
    let doing = "reading an appliance's orders";
    let rows = sqlx::query(
        "SELECT content, envelope FROM orders
         WHERE site_id = $1 AND appliance = $2 AND state = 'pending' AND expires > $3 ORDER BY sequence LIMIT $4",
    )
    .bind(&who.site)
    .bind(&who.appliance)
    .bind(text(now))
    .bind(MAX_PENDING)
    .fetch_all(&mut **tx)
    .await
    .map_err(during(doing))?;
    rows.iter()
        .map(|row| {
            let order: Order = from_json("an order", row.try_get("content").map_err(during(doing))?)?;
            let envelope: &[u8] = row.try_get("envelope").map_err(during(doing))?;
            let envelope = serde_json::from_slice(envelope);
            let envelope = envelope.map_err(|source| StoreError::Unreadable { what: "an envelope", source })?;
            Ok(PendingOrder { order_id: order.order_id, envelope })
        })
        .collect()
}

impl Store {
    /// Counts the next order of an appliance, has `sign` make it, and stores both at once.
    pub(crate) async fn issue_order<E, F>(&self, who: &Appliance, now: Timestamp, sign: F) -> Result<OrderRow, E>
    where
        E: From<StoreError> + From<CannotOrder>,
        F: FnOnce(Counter, ChainId) -> Result<SignedOrder, E>,
    {
        let doing = "issuing an order";
        let mut tx = self.write(doing).await?;
        expire(&mut tx, now).await?;
        let row = add(&mut tx, who, sign).await?;
        tx.commit().await.map_err(during(doing))?;
        Ok(row)
    }

    /// Takes an order back: stores the revocation that `sign` makes for its appliance, and marks it.
    pub(crate) async fn revoke_order<E, F>(&self, id: &OrderId, now: Timestamp, sign: F) -> Result<OrderRow, E>
    where
        E: From<StoreError> + From<CannotOrder>,
        F: FnOnce(&Appliance, Counter, ChainId) -> Result<SignedOrder, E>,
    {
        let doing = "taking an order back";
        let mut tx = self.write(doing).await?;
        expire(&mut tx, now).await?;
        let found = find(&mut tx, id).await?.ok_or_else(|| CannotOrder::UnknownOrder { id: id.clone() })?;
        if matches!(found.order.action, OrderAction::Revoke { .. }) {
            return Err(CannotOrder::Revocation { id: id.clone() }.into());
        }
        // An expired one may have been accepted in time, without our having heard of it.
        if !matches!(found.state, OrderState::Pending | OrderState::Acknowledged | OrderState::Expired) {
            return Err(CannotOrder::Over { id: id.clone(), state: found.state }.into());
        }
        let who = Appliance { site: found.order.stamp.site_id, appliance: found.order.stamp.appliance };
        let row = add(&mut tx, &who, |sequence, chain| sign(&who, sequence, chain)).await?;
        sqlx::query("UPDATE orders SET state = 'revoked', revoked_at = $2 WHERE order_id = $1")
            .bind(id.as_str())
            .bind(text(now))
            .execute(&mut *tx)
            .await
            .map_err(during(doing))?;
        tx.commit().await.map_err(during(doing))?;
        Ok(row)
    }

    /// The orders that wait for an appliance: not expired, by rising sequence, at most 100.
    pub(crate) async fn pending_orders(
        &self,
        who: &Appliance,
        now: Timestamp,
    ) -> Result<Vec<PendingOrder>, StoreError> {
        let doing = "reading an appliance's orders";
        self.mark_expired(now).await?;
        let mut tx = self.readers.begin().await.map_err(during(doing))?;
        let orders = pending(&mut tx, who, now).await?;
        tx.commit().await.map_err(during(doing))?;
        Ok(orders)
    }

    /// The appliance has accepted an order.
    pub(crate) async fn acknowledge_order(
        &self,
        who: &Appliance,
        id: &OrderId,
        now: Timestamp,
    ) -> Result<Noted, StoreError> {
        let doing = "acknowledging an order";
        let mut tx = self.write(doing).await?;
        let found = find(&mut tx, id).await?.filter(|found| found.is_for(who));
        let Some(found) = found else { return Ok(Noted::Unknown) };
        // A completion says more than an acknowledgement that comes after it.
        if found.acknowledged_at.is_some() || found.completed_at.is_some() {
            return Ok(Noted::Before);
        }
        sqlx::query(
            "UPDATE orders SET acknowledged_at = $2,
                               state = CASE WHEN state = 'revoked' THEN state ELSE 'acknowledged' END
             WHERE order_id = $1",
        )
        .bind(id.as_str())
        .bind(text(now))
        .execute(&mut *tx)
        .await
        .map_err(during(doing))?;
        tx.commit().await.map_err(during(doing))?;
        Ok(Noted::Now)
    }

    /// An order is over; the appliance's first word stands.
    pub(crate) async fn complete_order(
        &self,
        who: &Appliance,
        completion: &OrderCompletion,
        now: Timestamp,
    ) -> Result<Noted, StoreError> {
        let doing = "completing an order";
        let id = &completion.order_id;
        let mut tx = self.write(doing).await?;
        let found = find(&mut tx, id).await?.filter(|found| found.is_for(who));
        let Some(found) = found else { return Ok(Noted::Unknown) };
        if let Some(held) = found.completion {
            return Ok(if held == *completion { Noted::Before } else { Noted::Otherwise });
        }
        let state = match found.state {
            // It was done before the revocation came.
            OrderState::Revoked if !completion.success => OrderState::Revoked,
            _ if !completion.success && found.acknowledged_at.is_none() => OrderState::Refused,
            _ => OrderState::Completed,
        };
        sqlx::query("UPDATE orders SET completed_at = $2, completion = $3, state = $4 WHERE order_id = $1")
            .bind(id.as_str())
            .bind(text(now))
            .bind(to_json("a completion", completion)?)
            .bind(state.as_str())
            .execute(&mut *tx)
            .await
            .map_err(during(doing))?;
        tx.commit().await.map_err(during(doing))?;
        Ok(Noted::Now)
    }

    /// One order.
    pub(crate) async fn order(&self, id: &OrderId, now: Timestamp) -> Result<Option<OrderRow>, StoreError> {
        self.mark_expired(now).await?;
        let row = sqlx::query("SELECT * FROM orders WHERE order_id = $1")
            .bind(id.as_str())
            .fetch_optional(&self.readers)
            .await
            .map_err(during("looking up an order"))?;
        row.as_ref().map(read).transpose()
    }

    /// At most `limit` orders that pass the filter, the latest first.
    pub(crate) async fn orders(
        &self,
        filter: OrderFilter<'_>,
        limit: u32,
        now: Timestamp,
    ) -> Result<Vec<OrderRow>, StoreError> {
        self.mark_expired(now).await?;
        let rows = sqlx::query(
            "SELECT * FROM orders WHERE site_id = COALESCE($1, site_id) AND appliance = COALESCE($2, appliance)
                    AND state = COALESCE($3, state)
             ORDER BY issued_at DESC, site_id, appliance, sequence DESC LIMIT $4",
        )
        .bind(filter.site)
        .bind(filter.appliance)
        .bind(filter.state.map(OrderState::as_str))
        .bind(limit)
        .fetch_all(&self.readers)
        .await
        .map_err(during("listing the orders"))?;
        rows.iter().map(read).collect()
    }

    /// Marks what nobody accepted in time; writes only when there is such an order.
    async fn mark_expired(&self, now: Timestamp) -> Result<(), StoreError> {
        let doing = "looking for expired orders";
        let found: Option<i64> =
            sqlx::query_scalar("SELECT 1 FROM orders WHERE state = 'pending' AND expires <= $1 LIMIT 1")
                .bind(text(now))
                .fetch_optional(&self.readers)
                .await
                .map_err(during(doing))?;
        if found.is_none() {
            return Ok(());
        }
        let mut tx = self.write(doing).await?;
        expire(&mut tx, now).await?;
        tx.commit().await.map_err(during(doing))
    }
}
