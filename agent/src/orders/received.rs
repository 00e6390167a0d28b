//! An order as it came, before anything about it is believed.

use jiff::Timestamp;
use msp_contracts::SCHEMA_VERSION;
use msp_contracts::canonical::{self, sha256_hex};
use msp_contracts::dsse::{DsseError, Envelope, Signed};
use msp_contracts::ids::{ChainId, Counter, OrderId};
use msp_contracts::keys::VerifyingKey;
use msp_contracts::order::{MAX_ORDER_BYTES, Order, OrderError};
use serde_json::Value;

/// Who reads orders here, and what is believed.
#[derive(Debug, Clone)]
pub struct Reader {
    pub site_id: String,
    pub host_id: String,
    /// Central Command's keys.
    pub trusted: Vec<VerifyingKey>,
    /// The longest time in which an order may be accepted, in seconds.
    pub ttl_seconds: i64,
}

/// Why an order is refused.
#[derive(Debug, thiserror::Error)]
pub enum RefusalError {
    #[error("it is no envelope: {reason}")]
    NoEnvelope { reason: String },
    #[error("it is longer than {MAX_ORDER_BYTES} bytes")]
    TooLong,
    #[error("its signature does not hold")]
    Forged {
        #[source]
        source: DsseError,
    },
    #[error("it is of schema version {found}, this agent reads up to {SCHEMA_VERSION}")]
    TooNew { found: u32 },
    #[error("it was sent as {claimed:?} and signed as {signed}")]
    OtherId { claimed: String, signed: OrderId },
    #[error(transparent)]
    Order(#[from] OrderError),
    #[error("an order of this id was accepted before")]
    SameId,
    #[error("{waiting} orders wait already (max_queue_size)")]
    QueueFull { waiting: u64 },
    #[error("{reason}")]
    Impossible { reason: String },
}

/// An order as it came.
#[derive(Debug)]
pub struct Received {
    /// The id it came under, shortened: a claim.
    pub claimed_id: String,
    /// SHA-256 of its envelope, in hexadecimal: the same bytes are dealt with once.
    pub hash: String,
    /// The envelope's text.
    pub text: String,
    envelope: Result<Envelope, RefusalError>,
}

impl Received {
    /// An entry of the server's list of pending orders.
    pub fn entry(entry: &Value) -> Self {
        let claimed = entry.get("order_id").and_then(Value::as_str).unwrap_or_default();
        Self {
            claimed_id: claimed.chars().take(40).collect(),
            ..Self::envelope(entry.get("envelope").unwrap_or(entry))
        }
    }

    /// An envelope by itself.
    pub fn envelope(value: &Value) -> Self {
        let bytes = canonical::to_bytes("an order", value).unwrap_or_default();
        let hash = sha256_hex(&bytes);
        let envelope = if bytes.len() > MAX_ORDER_BYTES {
            Err(RefusalError::TooLong)
        } else {
            Envelope::from_bytes(&bytes).map_err(|error| match error {
                DsseError::NotAnEnvelope { source } => RefusalError::NoEnvelope { reason: source.to_string() },
                source => RefusalError::Forged { source },
            })
        };
        let text = String::from_utf8(bytes).unwrap_or_default();
        Self { claimed_id: String::new(), hash, text, envelope }
    }

    /// The order, if a trusted key signed it and it is what it was sent as. Nothing is said about whom it is for.
    ///
    /// # Errors
    /// See [`RefusalError`].
    pub fn signed(self, trusted: &[VerifyingKey]) -> Result<Order, RefusalError> {
        let order = Order::verify(&self.envelope?, trusted).map_err(|source| RefusalError::Forged { source })?;
        if order.schema_version > SCHEMA_VERSION {
            return Err(RefusalError::TooNew { found: order.schema_version });
        }
        if !self.claimed_id.is_empty() && self.claimed_id != order.order_id.as_str() {
            return Err(RefusalError::OtherId { claimed: self.claimed_id, signed: order.order_id });
        }
        Ok(order)
    }
}

impl Reader {
    /// Whether `order`, signed by a trusted key, may be accepted here and now.
    ///
    /// # Errors
    /// The first reason against it.
    pub fn admits(
        &self,
        order: &Order,
        chain: &ChainId,
        now: Timestamp,
        highest: Option<Counter>,
    ) -> Result<(), RefusalError> {
        Ok(order.check(&self.site_id, &self.host_id, chain, now, highest, self.ttl_seconds)?)
    }
}
