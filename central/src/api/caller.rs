//! The appliance that calls: named by its certificate, and known to the store, which is asked with every call whether
//! the certificate is still worth anything: a revocation counts on connections that are open, too.

use super::Context;
use super::refusal::Refusal;
use crate::clock;
use crate::fleet::Appliance;
use crate::pki::{CallerError, ClientIdentity};
use crate::store::Worth;
use axum::extract::FromRequestParts;
use axum::http::StatusCode;
use axum::http::request::Parts;
use std::ops::Deref;
use std::sync::Arc;

/// What the connection's client certificate says; the listener puts it beside every request.
#[derive(Debug, Clone)]
pub(crate) struct Peer(pub(crate) Result<ClientIdentity, CallerError>);

/// The appliance that the certificate names, whether or not the store knows it.
#[derive(Debug)]
pub(super) struct Certified(pub(super) ClientIdentity);

impl<S: Send + Sync> FromRequestParts<S> for Certified {
    type Rejection = Refusal;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Refusal> {
        let peer = parts.extensions.get::<Peer>().map_or(Err(CallerError::NoUri), |peer| peer.0.clone());
        peer.map(Self).map_err(|error| Refusal::new(StatusCode::FORBIDDEN, "no_identity", error.to_string()))
    }
}

/// An appliance of the fleet.
#[derive(Debug)]
pub(super) struct Caller(Appliance);

impl Deref for Caller {
    type Target = Appliance;

    fn deref(&self) -> &Appliance {
        &self.0
    }
}

impl FromRequestParts<Arc<Context>> for Caller {
    type Rejection = Refusal;

    async fn from_request_parts(parts: &mut Parts, context: &Arc<Context>) -> Result<Self, Refusal> {
        let Certified(identity) = Certified::from_request_parts(parts, context).await?;
        let worth = context.store.worth(&identity, clock::now()).await?;
        if worth == Worth::Valid {
            return Ok(Self(identity.who));
        }
        if worth == Worth::Unknown && !context.store.knows(&identity.who).await? {
            let who = identity.who;
            let message =
                format!("appliance {who} was never enrolled here: enrol it by a token, or use `msp-central issue`");
            return Err(Refusal::new(StatusCode::FORBIDDEN, "unknown_appliance", message));
        }
        Err(worthless(&identity.who, &worth))
    }
}

/// A certificate that is not accepted (any more).
pub(super) fn worthless(who: &Appliance, worth: &Worth) -> Refusal {
    let cure = "enrol the appliance anew by a token";
    let (word, said) = match worth {
        Worth::Revoked { at, reason } => ("certificate_revoked", format!("was revoked at {at} ({reason})")),
        Worth::Expired { not_after } => ("certificate_expired", format!("expired at {not_after}")),
        Worth::Unknown | Worth::Valid => ("unknown_certificate", "is not on record here".to_owned()),
    };
    Refusal::new(StatusCode::FORBIDDEN, word, format!("the certificate of {who} {said}: {cure}"))
}

impl Caller {
    /// Refuses a site other than the caller's own; `field` is where it was named.
    pub(super) fn must_be_of(&self, site: &str, field: &str) -> Result<(), Refusal> {
        if self.site == site { Ok(()) } else { Err(Refusal::not_yours("wrong_site", field, site, &self.site)) }
    }

    /// Refuses an appliance other than the caller; `field` is where it was named.
    pub(super) fn must_be(&self, appliance: &str, field: &str) -> Result<(), Refusal> {
        let own = &self.appliance;
        if own == appliance { Ok(()) } else { Err(Refusal::not_yours("wrong_appliance", field, appliance, own)) }
    }
}
