//! Drains the outbox: at least once, in order within each kind, gone only when acknowledged.
//!
//! 408, 429, 5xx, transport errors and unreadable answers are tried again, with growing pauses; any other
//! refusal moves the row to `rejected`, where it stays visible and blocks nothing. One kind that is stuck
//! does not hold up the others.

use super::client::{CallError, Central};
use crate::causes::chain;
use crate::clock::Clock;
use crate::store::outbox::{self, Kind, Row};
use crate::store::server_keys::ServerKeys;
use crate::store::{Store, StoreError, evidence, not_stored};
use msp_contracts::api::{
    EscalationReply, EvidenceReply, EvidenceSubmission, ExecutionReply, IncidentReply, OrderReply,
};
use msp_contracts::canonical::sha256_hex;
use msp_contracts::dsse::Signed;
use msp_contracts::evidence::Bundle;
use msp_contracts::signed::Receipt;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

/// The first pause after a failure, and the longest.
const FIRST_PAUSE: Duration = Duration::from_millis(500);
const LONGEST_PAUSE: Duration = Duration::from_secs(60);
/// How often the outbox is looked at when nobody says that something was added.
const LOOK: Duration = Duration::from_secs(5);

/// What is needed to deliver.
#[derive(Clone)]
pub struct Drain {
    pub central: Central,
    pub store: Store,
    /// Central Command's keys, as they are now.
    pub server_keys: watch::Receiver<Arc<ServerKeys>>,
    /// Changes when something was added.
    pub added: watch::Receiver<()>,
    /// Changes when Central Command answers a check-in again after it did not: no pause is waited out then.
    pub back: watch::Receiver<()>,
    /// By which pauses are counted.
    pub clock: Arc<dyn Clock>,
}

/// When to look for the next row.
enum Next {
    AtOnce,
    /// Something did not arrive: a new row does not count, only time does, or that Central Command is back.
    After(Duration),
    /// Nothing waits: a new row counts too.
    Idle,
}

/// A delivery that did not succeed.
#[derive(Debug, thiserror::Error)]
enum DeliveryError {
    #[error(transparent)]
    Call(#[from] CallError),
    #[error("the receipt for evidence does not hold: {reason}")]
    Receipt { reason: String },
}

/// The pause before the next attempt, by how often it failed; the server may ask for a longer one.
fn pause(attempts: u32, asked: Option<Duration>) -> Duration {
    let grown = FIRST_PAUSE.saturating_mul(1 << attempts.min(10)).min(LONGEST_PAUSE);
    asked.map_or(grown, |asked| grown.max(asked.min(LONGEST_PAUSE)))
}

impl Drain {
    /// Delivers rows of every kind until `stop`; each kind has a loop of its own.
    pub async fn run(self, stop: CancellationToken) {
        let loops = Kind::ALL.map(|kind| tokio::spawn(self.clone().run_kind(kind, stop.clone())));
        for one in loops {
            // A loop ends when `stop` says so; a panic in one is logged by the runtime.
            let _ = one.await;
        }
    }

    async fn run_kind(mut self, kind: Kind, stop: CancellationToken) {
        while !stop.is_cancelled() {
            self.added.mark_unchanged();
            self.back.mark_unchanged();
            let next = match self.next(kind).await {
                Ok(Some(row)) => self.deliver(row).await,
                Ok(None) => Next::Idle,
                Err(error) => {
                    not_stored(&error, "the outbox cannot be read");
                    Next::After(LOOK)
                }
            };
            match next {
                Next::AtOnce => {}
                Next::After(pause) => tokio::select! {
                    () = stop.cancelled() => {}
                    () = tokio::time::sleep(self.clock.real(pause)) => {}
                    Ok(()) = self.back.changed() => {}
                },
                Next::Idle => tokio::select! {
                    () = stop.cancelled() => {}
                    () = tokio::time::sleep(self.clock.real(LOOK)) => {}
                    Ok(()) = self.added.changed() => {}
                },
            }
        }
    }

    async fn next(&self, kind: Kind) -> Result<Option<Row>, StoreError> {
        self.store.write(move |db| outbox::oldest(db, kind)).await
    }

    /// Delivers one row.
    async fn deliver(&self, row: Row) -> Next {
        let id = row.id;
        let sent = self.send(&row).await;
        let (stored, next) = match sent {
            Ok(receipt) => (
                self.store
                    .write(move |db| {
                        if let Some((sequence, envelope)) = receipt {
                            evidence::store_receipt(db, sequence, &envelope)?;
                        }
                        outbox::acknowledged(db, id)
                    })
                    .await,
                Next::AtOnce,
            ),
            Err(DeliveryError::Call(error)) if !error.is_passing() => {
                let said = chain(&error);
                tracing::error!(kind = row.kind.as_str(), error = %said, "Central Command refuses a report for good");
                (self.store.write(move |db| outbox::rejected(db, id, &said)).await, Next::AtOnce)
            }
            Err(error) => {
                let asked = match &error {
                    DeliveryError::Call(call) => call.retry_after(),
                    DeliveryError::Receipt { .. } => None,
                };
                let wait = pause(row.attempts, asked);
                let said = chain(&error);
                tracing::warn!(kind = row.kind.as_str(), attempts = row.attempts + 1, error = %said, "a report waits");
                (self.store.write(move |db| outbox::tried(db, id, &said)).await, Next::After(wait))
            }
        };
        match stored {
            Ok(()) => next,
            Err(error) => {
                // Not noted, so it will be sent again: the server knows it by its id.
                not_stored(&error, "the outbox cannot be written");
                Next::After(LOOK)
            }
        }
    }

    /// Sends one row; for evidence, the verified receipt's sequence and bytes.
    async fn send(&self, row: &Row) -> Result<Option<(u64, Vec<u8>)>, DeliveryError> {
        let (path, body) = (row.path.as_str(), row.body.clone());
        match row.kind {
            Kind::Incident => self.central.post::<IncidentReply>(path, body).await.map(|_| None).map_err(Into::into),
            Kind::Execution => self.central.post::<ExecutionReply>(path, body).await.map(|_| None).map_err(Into::into),
            Kind::Escalation => {
                self.central.post::<EscalationReply>(path, body).await.map(|_| None).map_err(Into::into)
            }
            Kind::Order => self.central.post::<OrderReply>(path, body).await.map(|_| None).map_err(Into::into),
            Kind::Evidence => {
                let reply: EvidenceReply = self.central.post(path, body).await?;
                self.receipt(&row.body, &reply).map(Some).map_err(|reason| DeliveryError::Receipt { reason })
            }
        }
    }

    /// The receipt counts when the server signed it, for exactly the bundle and the bytes that were sent.
    fn receipt(&self, sent: &[u8], reply: &EvidenceReply) -> Result<(u64, Vec<u8>), String> {
        let receipt =
            Receipt::verify(&reply.receipt, &self.server_keys.borrow().trusted).map_err(|error| chain(&error))?;
        let sent: EvidenceSubmission = serde_json::from_slice(sent).map_err(|error| error.to_string())?;
        let hash = sent.bundle.to_bytes().map(|bytes| sha256_hex(&bytes)).map_err(|error| chain(&error))?;
        let payload = sent.bundle.unverified_payload().map_err(|error| chain(&error))?;
        let bundle: Bundle = serde_json::from_slice(&payload).map_err(|error| error.to_string())?;
        let ours = (&bundle.site_id, &bundle.host_id, &bundle.chain, bundle.bundle_id, bundle.sequence, &hash);
        let theirs =
            (&receipt.site_id, &receipt.host_id, &receipt.chain, receipt.bundle_id, receipt.sequence, &receipt.hash);
        if ours != theirs {
            return Err(format!("it is for {theirs:?}, sent was {ours:?}"));
        }
        let bytes = reply.receipt.to_bytes().map_err(|error| chain(&error))?;
        Ok((receipt.sequence.0, bytes))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_grow_to_a_minute_and_the_server_may_ask_for_longer_ones_up_to_that() {
        let pauses: Vec<_> = [0, 1, 2, 7, 8, 4_000_000].map(|n| pause(n, None).as_millis()).to_vec();
        assert_eq!(pauses, [500, 1000, 2000, 60_000, 60_000, 60_000]);
        assert_eq!(pause(0, Some(Duration::from_secs(7))), Duration::from_secs(7));
        assert_eq!(pause(0, Some(Duration::from_secs(86_400))), LONGEST_PAUSE);
    }
}
