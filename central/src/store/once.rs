//! Records that are stored once: incidents, executions, escalations.
//!
//! An agent sends a record until it is acknowledged, so the same one may arrive twice. The same id with
//! the same content is a duplicate; the same id with other content would rewrite history, and is refused.

use super::{Store, StoreError, during, text};
use crate::fleet::Appliance;
use jiff::Timestamp;

/// What became of a record.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Once {
    /// It is new, and stored.
    Stored,
    /// It was stored before, exactly so.
    Duplicate,
    /// Its id was stored before with other content.
    Conflict,
}

/// The statements of one table. `find` takes site, appliance and id; `insert` also the record's own
/// time, the time of receipt and the content.
pub(super) struct Table {
    pub(super) doing: &'static str,
    pub(super) find: &'static str,
    pub(super) insert: &'static str,
}

impl Store {
    pub(super) async fn insert_once(
        &self,
        table: &Table,
        who: &Appliance,
        id: &str,
        time: Timestamp,
        content: String,
        now: Timestamp,
    ) -> Result<Once, StoreError> {
        let mut tx = self.write(table.doing).await?;
        let held: Option<String> = sqlx::query_scalar(table.find)
            .bind(&who.site)
            .bind(&who.appliance)
            .bind(id)
            .fetch_optional(&mut *tx)
            .await
            .map_err(during(table.doing))?;
        if let Some(held) = held {
            return Ok(if held == content { Once::Duplicate } else { Once::Conflict });
        }
        sqlx::query(table.insert)
            .bind(&who.site)
            .bind(&who.appliance)
            .bind(id)
            .bind(text(time))
            .bind(text(now))
            .bind(content)
            .execute(&mut *tx)
            .await
            .map_err(during(table.doing))?;
        tx.commit().await.map_err(during(table.doing))?;
        Ok(Once::Stored)
    }
}
