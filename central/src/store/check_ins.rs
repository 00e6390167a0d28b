//! Check-ins: many in one transaction, each answered once it is on the disk.
//!
//! A commit waits for the disk, and a fleet checks in all day. So a check-in queues, and what queued while the
//! last commit was under way goes into the next one. If a transaction of many fails, each of them is tried alone:
//! one that cannot be stored takes no other with it.
//!
//! The keys that enrolment has not pinned (the one that signs an appliance's evidence, the one that credentials are
//! encrypted to) are pinned at the first check-in that brings them. A later check-in with another key changes nothing
//! at all: it is refused until an operator releases the pinned ones.

use super::kill_switch::{self, Wanted};
use super::{Store, StoreError, credentials, during, orders, targets, text, to_json};
use crate::fleet::Appliance;
use jiff::Timestamp;
use msp_contracts::api::{CheckinRequest, PendingOrder, WindowsTarget};
use msp_contracts::ids::Counter;
use sqlx::{FromRow, Sqlite, Transaction};
use std::sync::{Mutex, PoisonError};
use tokio::sync::oneshot;

const DOING: &str = "recording a check-in";
/// How many check-ins share a transaction at most: other writers wait for it.
const MAX_TOGETHER: usize = 128;

/// An appliance reports with another key than the one that was pinned.
#[derive(Debug)]
pub(crate) struct KeyMismatch {
    /// The field that brings another key.
    pub(crate) field: &'static str,
    /// The pinned public key.
    pub(crate) pinned: String,
}

/// What a check-in is answered with.
#[derive(Debug)]
pub(crate) struct CheckedIn {
    /// The sequence of the freshness stamp, already stored.
    pub(crate) sequence: Counter,
    /// The Windows servers that it looks after.
    pub(crate) targets: Vec<WindowsTarget>,
    /// The orders that wait for it.
    pub(crate) orders: Vec<PendingOrder>,
    /// Why it is to stop every change, if it is.
    pub(crate) kill_switch: Option<String>,
    /// Whether it reports itself stopped, nothing stops it any more, and no release waits for it.
    pub(crate) release_is_due: bool,
}

type Answer = Result<Result<CheckedIn, KeyMismatch>, StoreError>;

/// What is to be recorded.
#[derive(Debug)]
struct Record {
    who: Appliance,
    content: String,
    reports_stopped: bool,
    key: String,
    recipient: Option<String>,
    now: Timestamp,
}

/// The check-ins that wait for the next transaction.
#[derive(Debug, Default)]
pub(super) struct Queue {
    waiting: Mutex<Waiting>,
}

#[derive(Debug, Default)]
struct Waiting {
    records: Vec<(Record, oneshot::Sender<Answer>)>,
    /// Whether somebody sees to the queue.
    attended: bool,
}

impl Queue {
    /// Whether the one who asks is to see to the queue from now on.
    fn push(&self, record: Record, answer: oneshot::Sender<Answer>) -> bool {
        let mut waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        waiting.records.push((record, answer));
        !std::mem::replace(&mut waiting.attended, true)
    }

    /// The next ones; when there are none, nobody sees to the queue any more.
    fn take(&self) -> Vec<(Record, oneshot::Sender<Answer>)> {
        let mut waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        let count = waiting.records.len().min(MAX_TOGETHER);
        waiting.attended = count > 0;
        waiting.records.drain(..count).collect()
    }
}

impl Store {
    /// Records a check-in, pins its keys when none are pinned (`key` is the one that signs evidence), and hands out
    /// the next freshness sequence.
    pub(crate) async fn check_in(
        &self,
        who: &Appliance,
        request: &CheckinRequest,
        key: &str,
        now: Timestamp,
    ) -> Answer {
        let record = Record {
            who: who.clone(),
            content: to_json("a check-in", request)?,
            reports_stopped: request.agent.as_ref().is_some_and(|report| report.kill_switch),
            key: key.to_owned(),
            recipient: request.agent_encryption_key.clone(),
            now,
        };
        let (answer, answered) = oneshot::channel();
        if self.check_ins.push(record, answer) {
            // A task of its own: the call that began it may be cut off, and others wait for it.
            tokio::spawn(attend(self.clone()));
        }
        // Only a server that ends drops an answer.
        answered.await.unwrap_or_else(|_| Err(StoreError::Query { doing: DOING, source: sqlx::Error::PoolClosed }))
    }

    async fn record_together(&self, records: &[Record]) -> Result<Vec<Result<CheckedIn, KeyMismatch>>, StoreError> {
        let mut tx = self.write(DOING).await?;
        let mut answers = Vec::with_capacity(records.len());
        for record in records {
            answers.push(store(&mut tx, record).await?);
        }
        tx.commit().await.map_err(during(DOING))?;
        Ok(answers)
    }
}

/// Sees to the queue until it is empty.
async fn attend(store: Store) {
    loop {
        let (records, senders): (Vec<_>, Vec<_>) = store.check_ins.take().into_iter().unzip();
        if records.is_empty() {
            return;
        }
        let mut answers: Vec<Answer> = Vec::with_capacity(records.len());
        match store.record_together(&records).await {
            Ok(together) => answers.extend(together.into_iter().map(Ok)),
            Err(error) if records.len() == 1 => answers.push(Err(error)),
            Err(error) => {
                tracing::warn!(%error, check_ins = records.len(), "a transaction of many failed: each is tried alone");
                for record in records.chunks(1) {
                    let alone = store.record_together(record).await;
                    answers
                        .extend(alone.map_or_else(|error| vec![Err(error)], |one| one.into_iter().map(Ok).collect()));
                }
            }
        }
        for (sender, answer) in senders.into_iter().zip(answers) {
            // Whoever does not wait any more was cut off, and will check in again.
            let _ = sender.send(answer);
        }
    }
}

/// What a stored check-in's one statement answers.
#[derive(FromRow)]
struct Stored {
    freshness: i64,
    has_credentials: bool,
    has_orders: bool,
    has_switch: bool,
}

async fn store(
    tx: &mut Transaction<'_, Sqlite>,
    record: &Record,
) -> Result<Result<CheckedIn, KeyMismatch>, StoreError> {
    let Record { who, content, reports_stopped, key, recipient, now } = record;
    // One statement stores, pins and counts, and says whether there is anything to read that most have none of.
    let stored: Option<Stored> = sqlx::query_as(
        "UPDATE appliances SET agent_public_key = $3, key_pinned_at = COALESCE(key_pinned_at, $4),
                               agent_encryption_key = COALESCE(agent_encryption_key, $6),
                               first_contact = COALESCE(first_contact, $4), last_contact = $4, checkin = $5,
                               freshness = freshness + 1
         WHERE site_id = $1 AND appliance = $2 AND COALESCE(agent_public_key, $3) = $3
               AND ($6 IS NULL OR COALESCE(agent_encryption_key, $6) = $6)
         RETURNING freshness,
             EXISTS (SELECT 1 FROM target_credentials c WHERE c.site_id = $1 AND c.appliance = $2) AS has_credentials,
             EXISTS (SELECT 1 FROM orders o WHERE o.site_id = $1 AND o.appliance = $2 AND o.state = 'pending') AS has_orders,
             EXISTS (SELECT 1 FROM kill_switch k WHERE k.site_id = $1) AS has_switch",
    )
    .bind(&who.site)
    .bind(&who.appliance)
    .bind(key)
    .bind(text(*now))
    .bind(content)
    .bind(recipient)
    .fetch_optional(&mut **tx)
    .await
    .map_err(during(DOING))?;
    let Some(stored) = stored else { return mismatch(tx, record).await.map(Err) };
    let mut targets = targets::of_appliance(tx, who).await?;
    if stored.has_credentials {
        credentials::lay_in(tx, who, &mut targets).await?;
    } else {
        targets.iter_mut().for_each(|target| target.credentials = None);
    }
    let orders = if stored.has_orders { orders::pending(tx, who, *now).await? } else { Vec::new() };
    let wanted = if stored.has_switch { kill_switch::wanted(tx, who).await? } else { Wanted::default() };
    let release_is_due =
        *reports_stopped && wanted.released().is_some() && !kill_switch::release_waits(tx, who, *now).await?;
    let kill_switch = wanted.engaged().map(|row| row.reason.clone());
    let sequence = Counter(stored.freshness.unsigned_abs());
    Ok(Ok(CheckedIn { sequence, targets, orders, kill_switch, release_is_due }))
}

/// The key that stands in the way.
async fn mismatch(tx: &mut Transaction<'_, Sqlite>, record: &Record) -> Result<KeyMismatch, StoreError> {
    let (signing, encryption): (Option<String>, Option<String>) = sqlx::query_as(
        "SELECT agent_public_key, agent_encryption_key FROM appliances WHERE site_id = $1 AND appliance = $2",
    )
    .bind(&record.who.site)
    .bind(&record.who.appliance)
    .fetch_one(&mut **tx)
    .await
    .map_err(during(DOING))?;
    Ok(match signing.filter(|pinned| *pinned != record.key) {
        Some(pinned) => KeyMismatch { field: "agent_public_key", pinned },
        None => KeyMismatch { field: "agent_encryption_key", pinned: encryption.unwrap_or_default() },
    })
}
