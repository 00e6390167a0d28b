//! Sequences of signed artifacts: each is stored before it is answered, and never handed out twice. Those of freshness
//! stamps are counted with the check-in that they answer.

use super::{Store, StoreError, during};
use crate::fleet::Appliance;
use msp_contracts::ids::Counter;
use sqlx::{Sqlite, Transaction};

/// A kind of signed artifact; each counts for itself.
#[derive(Debug, Clone, Copy)]
pub(crate) enum StampKind {
    /// Orders.
    Order,
    /// Rule sets.
    RuleSet,
}

impl StampKind {
    fn as_str(self) -> &'static str {
        match self {
            Self::Order => "order",
            Self::RuleSet => "ruleset",
        }
    }
}

/// The next sequence, valid once the transaction is committed.
pub(super) async fn next(
    tx: &mut Transaction<'_, Sqlite>,
    who: &Appliance,
    kind: StampKind,
) -> Result<Counter, StoreError> {
    let sequence: i64 = sqlx::query_scalar(
        "INSERT INTO stamps (site_id, appliance, kind, sequence) VALUES ($1, $2, $3, 1)
         ON CONFLICT (site_id, appliance, kind) DO UPDATE SET sequence = stamps.sequence + 1
         RETURNING sequence",
    )
    .bind(&who.site)
    .bind(&who.appliance)
    .bind(kind.as_str())
    .fetch_one(&mut **tx)
    .await
    .map_err(during("counting a stamp"))?;
    Ok(Counter(sequence.unsigned_abs()))
}

impl Store {
    /// The next sequence of `kind` for an appliance, stored.
    pub(crate) async fn next_sequence(&self, who: &Appliance, kind: StampKind) -> Result<Counter, StoreError> {
        let doing = "counting a stamp";
        let mut tx = self.write(doing).await?;
        let sequence = next(&mut tx, who, kind).await?;
        tx.commit().await.map_err(during(doing))?;
        Ok(sequence)
    }
}
