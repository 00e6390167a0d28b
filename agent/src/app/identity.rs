//! Keeps the appliance's certificate alive: renews it at two thirds of its life, and says so when that fails.
//!
//! A little later by chance, so that the appliances of a fleet that were enrolled together do not all come at once.
//! The running connection takes the new certificate over; nothing is started anew.

use super::Agent;
use super::pace::Pace;
use crate::causes::chain;
use crate::config::sealed;
use crate::report::client::Central;
use crate::report::enroll;
use crate::report::identity::{Identity, Standing};
use jiff::{SignedDuration, Timestamp};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

/// How long a renewal may take, with what is stored.
const CALL: Duration = Duration::from_secs(60);
/// How often the certificate is looked at: its file may be replaced by hand, and the clock be set.
const LOOK: Duration = Duration::from_secs(3600);
/// The shortest pause after a renewal that failed.
const SHORTEST: Duration = Duration::from_millis(500);

/// How long to wait after a renewal that failed: a tenth of what is left, within bounds, more or less.
fn pause(left: SignedDuration) -> Duration {
    let tenth = Duration::try_from(left / 10).unwrap_or(LOOK);
    tenth.clamp(SHORTEST, LOOK).mul_f64(0.75 + 0.5 * fastrand::f64())
}

/// When a certificate is renewed: after two thirds of its life, and up to a twentieth of it later.
fn due(identity: &Identity) -> Timestamp {
    let twentieth = Duration::try_from(identity.life() / 20).unwrap_or_default();
    identity.renew_after().saturating_add(twentieth.mul_f64(fastrand::f64())).unwrap_or(identity.not_after)
}

/// Keeps the certificate alive until `stop`.
pub(super) async fn keep_alive(agent: Arc<Agent>, central: Central, stop: CancellationToken) {
    if let Err(error) = sealed::recipient(&agent.config) {
        tracing::error!(error = %chain(&error), "encrypted credentials cannot be opened");
    }
    let mut pace = Pace::new(agent.vigil.watch("certificate", CALL), LOOK, watch::Sender::new(()).subscribe());
    let mut planned: Option<(Timestamp, Timestamp)> = None;
    loop {
        pace.working(CALL);
        let wait = match Identity::load(&agent.config) {
            Ok(identity) => {
                // Planned once for each certificate: a new chance each time would move it on and on.
                let due = match planned {
                    Some((of, due)) if of == identity.not_after => due,
                    _ => due(&identity),
                };
                planned = Some((identity.not_after, due));
                look(&agent, &central, &identity, due).await
            }
            Err(error) => {
                tracing::error!(error = %chain(&error), "the certificate of this appliance cannot be read");
                LOOK
            }
        };
        if !pace.wait(wait, &stop).await {
            return;
        }
    }
}

/// Renews when it is time; how long to wait until the next look.
async fn look(agent: &Agent, central: &Central, identity: &Identity, due: Timestamp) -> Duration {
    let now = agent.clock.now();
    if let Err(error) = central.take_over(identity) {
        tracing::error!(error = %chain(&error), "the certificate of this appliance cannot be used");
        return LOOK;
    }
    if now < due {
        return Duration::try_from(due.duration_since(now)).unwrap_or(LOOK).min(LOOK);
    }
    let renewed = match identity.standing(now) {
        // Mutual TLS needs one that is valid.
        Standing::Over => None,
        Standing::Good | Standing::Ending => {
            Some(enroll::renew(central, &agent.config, &agent.public_key, identity).await)
        }
    };
    match renewed {
        Some(Ok(new)) => {
            tracing::info!(until = %new.not_after, "the certificate of this appliance was renewed");
            match central.take_over(&new) {
                Ok(()) => Duration::ZERO,
                Err(error) => {
                    tracing::error!(error = %chain(&error), "the renewed certificate cannot be used");
                    LOOK
                }
            }
        }
        Some(Err(error)) => {
            tracing::warn!(error = %chain(&error), until = %identity.not_after, "the certificate could not be renewed");
            if let Some(trouble) = identity.trouble(now) {
                tracing::error!("{trouble}");
            }
            pause(identity.not_after.duration_since(now))
        }
        None => {
            if let Some(trouble) = identity.trouble(now) {
                tracing::error!("{trouble}");
            }
            LOOK
        }
    }
}
