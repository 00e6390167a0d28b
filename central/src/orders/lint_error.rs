//! What is wrong with an order, in words for whoever asked for it.

use crate::fleet::Appliance;
use jiff::{SignedDuration, Timestamp};
use msp_rules::{AdmitError, DataError};

/// Why an order is not signed.
#[derive(Debug, thiserror::Error)]
pub(crate) enum LintError {
    /// A text is missing, too long, or would disturb whoever reads it.
    #[error("{what} must be 1 to {longest} characters, without control characters")]
    Text {
        /// Which text.
        what: &'static str,
        /// The longest allowed.
        longest: usize,
    },
    /// It cannot be accepted, or for too long.
    #[error(
        "an order may be accepted for 1 second to 24 hours, not {found:#} (agents allow 15 minutes unless their order_ttl says more)"
    )]
    ExpiresIn {
        /// What was asked for.
        found: SignedDuration,
    },
    /// It could never be carried out, or much too late.
    #[error(
        "{found} is no time to carry an order out by: it must lie after {after}, when it can be accepted last, and within 30 days"
    )]
    ExecuteBy {
        /// What was asked for.
        found: Timestamp,
        /// When it can be accepted last.
        after: Timestamp,
    },
    /// The agents ship no such runbook, or it does not admit the parameters.
    #[error(transparent)]
    Runbook(#[from] AdmitError),
    /// Not in the inventory.
    #[error(
        "{host:?} is no server of {site}{hint}: name one exactly as `msp-central targets list` does, by address or name"
    )]
    UnknownTarget {
        /// What was asked for.
        host: String,
        /// The site.
        site: String,
        /// The one that was probably meant.
        hint: String,
    },
    /// A runbook of the appliance, on another machine.
    #[error("{runbook} acts on the appliance itself: order it on {appliance}, not on {host:?}")]
    NotTheAppliance {
        /// The runbook.
        runbook: String,
        /// What was asked for.
        host: String,
        /// The appliance.
        appliance: String,
    },
    /// A runbook that an order of another class carries out.
    #[error("{runbook} needs the order that names a generation: use `switch-generation STORE_PATH`")]
    OwnClass {
        /// The runbook.
        runbook: String,
    },
    /// Looked after by another appliance.
    #[error("{host:?} is looked after by appliance {owner:?}, not by {asked:?}: order it there")]
    OtherOwner {
        /// The server.
        host: String,
        /// Who looks after it.
        owner: String,
        /// Who was asked.
        asked: String,
    },
    /// Not a list of keys.
    #[error("{key:?} is no key to trust: {reason}")]
    Key {
        /// What was given.
        key: String,
        /// What is wrong with it.
        reason: String,
    },
    /// The appliance would not believe this server any more.
    #[error(
        "the keys to trust must include {own}, with which this server signs: without it the appliance would refuse everything from here"
    )]
    OwnKeyMissing {
        /// This server's public key.
        own: String,
    },
    /// The next check-in would undo it.
    #[error(
        "the kill switch of {who} is {state}, and its next check-in would undo this order: use `msp-central kill-switch {instead}` instead"
    )]
    KillSwitch {
        /// The appliance.
        who: Appliance,
        /// How the switch stands.
        state: &'static str,
        /// What does it.
        instead: &'static str,
    },
    /// The built-in runbooks are not sound.
    #[error("cannot read the built-in runbooks")]
    Data {
        #[source]
        source: DataError,
    },
}
