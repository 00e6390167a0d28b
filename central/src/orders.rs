//! Issuing orders: what may be asked for, for how long, and in whose name.
//!
//! An order is judged before it is counted ([`lint`]), by the agent's own rule code and by the site's inventory:
//! what an appliance would refuse is never signed. Everybody who issues one, a person at the command line or on
//! a page and the server itself, comes through here.

mod lint;
mod lint_error;

pub(crate) use lint_error::LintError;

use crate::clock;
use crate::fleet::Appliance;
use crate::signing::{Signer, SigningError};
use crate::store::{CannotOrder, OrderRow, SignedOrder, Store, StoreError};
use jiff::{SignedDuration, Timestamp};
use msp_contracts::SCHEMA_VERSION;
use msp_contracts::ids::{ChainId, Counter, OrderId};
use msp_contracts::order::{Order, OrderAction};
use msp_contracts::signed::Stamp;

/// How long an order may be accepted.
pub(crate) const EXPIRES_IN: SignedDuration = SignedDuration::from_mins(15);
/// How long an accepted order that disturbs people may wait for its maintenance window.
pub(crate) const DISRUPTIVE_WITHIN: SignedDuration = SignedDuration::from_hours(24);
/// How long any other accepted order may wait for its turn.
const OTHERS_WITHIN: SignedDuration = SignedDuration::from_hours(1);

/// An order that somebody asks for.
#[derive(Debug, Clone)]
pub(crate) struct NewOrder {
    pub(crate) action: OrderAction,
    /// Who asks for it.
    pub(crate) issued_by: String,
    /// Why.
    pub(crate) reason: String,
    /// How long it may be accepted; [`EXPIRES_IN`] when absent.
    pub(crate) expires_in: Option<SignedDuration>,
    /// Until when it may be carried out; a day when it disturbs people, else an hour, when absent.
    pub(crate) execute_by: Option<Timestamp>,
}

impl NewOrder {
    /// An order with the usual times.
    pub(crate) fn new(action: OrderAction, issued_by: &str, reason: &str) -> Self {
        let (issued_by, reason) = (issued_by.to_owned(), reason.to_owned());
        Self { action, issued_by, reason, expires_in: None, execute_by: None }
    }
}

/// Why no order was issued.
#[derive(Debug, thiserror::Error)]
pub(crate) enum IssueError {
    /// The appliance, or the order to be taken back, is not one that can be.
    #[error(transparent)]
    Cannot(#[from] CannotOrder),
    /// An appliance would refuse it, or could never carry it out.
    #[error(transparent)]
    Lint(#[from] LintError),
    /// It cannot be signed.
    #[error(transparent)]
    Signing(#[from] SigningError),
    /// The database failed.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// No id can be made.
    #[error("the system gives no randomness: an order needs an id that nobody guesses")]
    NoRandomness,
}

/// Judges, signs and stores an order. The order that is answered is stored, and will be fetched.
pub(crate) async fn issue(
    store: &Store,
    signer: &Signer,
    who: &Appliance,
    new: NewOrder,
    now: Timestamp,
) -> Result<OrderRow, IssueError> {
    lint::who(store, who).await?;
    if let OrderAction::Revoke { order_id } = &new.action {
        let order = store.order(order_id, now).await?;
        return match order {
            Some(found) if found.is_for(who) => revoke(store, signer, order_id, &new.issued_by, &new.reason, now).await,
            _ => Err(CannotOrder::UnknownOrder { id: order_id.clone() }.into()),
        };
    }
    let times = lint::order(store, signer, who, &new, now).await?;
    store.issue_order(who, now, |sequence, chain| sign(signer, who, (sequence, chain), &new, times, now)).await
}

/// Takes an order back: a revocation goes to its appliance, and it is not served any more.
pub(crate) async fn revoke(
    store: &Store,
    signer: &Signer,
    id: &OrderId,
    issued_by: &str,
    reason: &str,
    now: Timestamp,
) -> Result<OrderRow, IssueError> {
    let new = NewOrder::new(OrderAction::Revoke { order_id: id.clone() }, issued_by, reason);
    check_words(issued_by, reason)?;
    let times = Times::usual(&new, now);
    store.revoke_order(id, now, |who, sequence, chain| sign(signer, who, (sequence, chain), &new, times, now)).await
}

/// Checks the name of who asks and the reason, which go into evidence.
pub(crate) fn check_words(issued_by: &str, reason: &str) -> Result<(), LintError> {
    lint::words(issued_by, reason)
}

/// When an order may be accepted and carried out.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Times {
    expires: Timestamp,
    execute_by: Timestamp,
}

impl Times {
    /// For an order that is carried out as soon as it is accepted.
    pub(crate) fn usual(new: &NewOrder, now: Timestamp) -> Self {
        let expires = clock::after(now, new.expires_in.unwrap_or(EXPIRES_IN));
        Self { expires, execute_by: new.execute_by.unwrap_or_else(|| clock::after(expires, OTHERS_WITHIN)) }
    }
}

/// Makes the order and its envelope.
pub(crate) fn sign(
    signer: &Signer,
    who: &Appliance,
    (sequence, chain): (Counter, ChainId),
    new: &NewOrder,
    times: Times,
    now: Timestamp,
) -> Result<SignedOrder, IssueError> {
    let mut random = [0_u8; 6];
    let source = rustls::crypto::ring::default_provider().secure_random;
    source.fill(&mut random).map_err(|_| IssueError::NoRandomness)?;
    let (site_id, appliance) = (who.site.clone(), who.appliance.clone());
    let order = Order {
        schema_version: SCHEMA_VERSION,
        order_id: OrderId::from_random(random),
        stamp: Stamp { site_id, appliance, issued: now, expires: times.expires, sequence },
        chain,
        execute_by: times.execute_by,
        action: new.action.clone(),
        issued_by: new.issued_by.clone(),
        reason: new.reason.clone(),
    };
    let envelope =
        signer.order(&order)?.to_bytes().map_err(|source| SigningError::Sign { what: "an order", source })?;
    Ok((order, envelope))
}
