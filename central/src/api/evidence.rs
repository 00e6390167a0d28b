//! `POST /api/evidence/sites/{site}/submit` (and `POST /evidence`): a signed bundle of evidence.
//!
//! The bundle must be signed by the appliance's pinned key and be of that appliance. Stored are the
//! exact bytes of the envelope; the answer is a signed receipt with the head of the chain. A bundle that
//! contradicts its chain is 409, and kept aside for people to look at.

use super::Context;
use super::body::{self, Artifact, Json};
use super::caller::Caller;
use super::refusal::Refusal;
use crate::clock;
use crate::store::{Link, NewEvidence, Verdict};
use axum::extract::rejection::PathRejection;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use msp_contracts::SCHEMA_VERSION;
use msp_contracts::api::{EvidenceReply, EvidenceSubmission};
use msp_contracts::canonical::sha256_hex;
use msp_contracts::dsse::{DsseError, Envelope, Signed};
use msp_contracts::evidence::Bundle;
use msp_contracts::keys::{self, VerifyingKey};
use msp_contracts::signed::Receipt;
use std::sync::Arc;

impl Artifact for EvidenceSubmission {
    fn schema_version(&self) -> u32 {
        self.schema_version
    }
}

pub(super) async fn call(
    who: Caller,
    State(context): State<Arc<Context>>,
    site: Result<Path<String>, PathRejection>,
    Json(submission): Json<EvidenceSubmission>,
) -> Result<axum::Json<EvidenceReply>, Refusal> {
    let unreadable =
        |_| Refusal::new(StatusCode::BAD_REQUEST, "malformed_path", "the site in the path is no UTF-8").field("site");
    let Path(site) = site.map_err(unreadable)?;
    who.must_be_of(&site, "site")?;
    take_in(&who, &context, &submission.bundle).await
}

pub(super) async fn call_alias(
    who: Caller,
    State(context): State<Arc<Context>>,
    Json(submission): Json<EvidenceSubmission>,
) -> Result<axum::Json<EvidenceReply>, Refusal> {
    take_in(&who, &context, &submission.bundle).await
}

async fn take_in(who: &Caller, context: &Context, envelope: &Envelope) -> Result<axum::Json<EvidenceReply>, Refusal> {
    let pinned = context.store.pinned_key(who).await?;
    let key = pinned.as_deref().and_then(|key| keys::public_from_hex(key).ok()).ok_or_else(|| {
        let message = "no key is pinned for this appliance: check in first, with the key that signs its evidence";
        Refusal::new(StatusCode::FORBIDDEN, "unknown_key", message)
    })?;
    let bundle = verified(envelope, key)?;
    let link = link(who, &bundle, envelope)?;
    let bytes = envelope.to_bytes().map_err(|error| not_verified(&error))?;
    let new = NewEvidence { link, envelope: &bytes, signer: pinned.as_deref().unwrap_or_default(), bundle: &bundle };
    let now = clock::now();
    let held = context.store.take_in(who, &new, now).await?;
    let duplicate = match held.verdict {
        Verdict::Fits => false,
        Verdict::Duplicate => true,
        Verdict::Contradicts(reason, explanation) => {
            tracing::warn!(site = who.site, appliance = who.appliance, chain = %bundle.chain, bundle = %bundle.bundle_id, %reason, explanation, "suspicious evidence");
            let message = format!(
                "{explanation}. It was set aside as suspicious and is not part of the chain; a person must look at it"
            );
            return Err(Refusal::new(StatusCode::CONFLICT, reason.as_str(), message));
        }
    };
    let receipt = context.signer.receipt(&Receipt {
        schema_version: SCHEMA_VERSION,
        site_id: who.site.clone(),
        host_id: who.appliance.clone(),
        bundle_id: bundle.bundle_id,
        chain: new.link.chain,
        sequence: bundle.sequence,
        hash: new.link.hash,
        head: held.head,
        gaps: held.gaps,
        received: held.received_at.parse().unwrap_or(now),
    })?;
    Ok(axum::Json(EvidenceReply { bundle_id: bundle.bundle_id, duplicate, receipt }))
}

/// The bundle, once its one signature is known to be by `key`.
fn verified(envelope: &Envelope, key: VerifyingKey) -> Result<Bundle, Refusal> {
    // Verification passes over signatures by strangers; here one would change the hash of the envelope.
    if envelope.signatures.len() != 1 {
        let count = envelope.signatures.len();
        let message = format!("bundle.signatures has {count} entries: a bundle is signed once, by its appliance");
        return Err(Refusal::bad_field("bundle.signatures", message));
    }
    let payload = envelope.verify(Bundle::PAYLOAD_TYPE, &[key]).map_err(|error| not_verified(&error))?;
    body::parse(&payload, "bundle.payload")
}

fn not_verified(error: &DsseError) -> Refusal {
    let (status, word, field) = match error {
        DsseError::UnknownSigner { .. } => (StatusCode::FORBIDDEN, "unknown_key", "bundle.signatures"),
        DsseError::BadSignature { .. } => (StatusCode::FORBIDDEN, "bad_signature", "bundle.signatures"),
        DsseError::WrongType { .. } => (StatusCode::BAD_REQUEST, "malformed_body", "bundle.payloadType"),
        _ => (StatusCode::BAD_REQUEST, "malformed_body", "bundle.payload"),
    };
    Refusal::new(status, word, format!("{field}: the bundle is not believed: {error}")).field(field)
}

/// The bundle's place in the chain of `who`, to whom it must belong.
fn link(who: &Caller, bundle: &Bundle, envelope: &Envelope) -> Result<Link, Refusal> {
    who.must_be_of(&bundle.site_id, "bundle.payload.site_id")?;
    if bundle.host_id != who.appliance {
        let field = "bundle.payload.host_id";
        return Err(Refusal::not_yours("wrong_appliance", field, &bundle.host_id, &who.appliance));
    }
    if bundle.schema_version != SCHEMA_VERSION {
        let message = format!(
            "the bundle's schema_version is {}, this server understands {SCHEMA_VERSION}",
            bundle.schema_version
        );
        return Err(
            Refusal::new(StatusCode::BAD_REQUEST, "unsupported_schema", message).field("bundle.payload.schema_version")
        );
    }
    let sequence = i64::try_from(bundle.sequence.0).ok().filter(|sequence| *sequence >= 1).ok_or_else(|| {
        let message = format!("sequence is {}: a chain counts from 1 to {}", bundle.sequence, i64::MAX);
        Refusal::bad_field("bundle.payload.sequence", message)
    })?;
    let hexadecimal = |byte: u8| matches!(byte, b'0'..=b'9' | b'a'..=b'f');
    if bundle.previous_hash.len() != 64 || !bundle.previous_hash.bytes().all(hexadecimal) {
        let message = "previous_hash is no SHA-256: 64 lowercase hexadecimal digits";
        return Err(Refusal::bad_field("bundle.payload.previous_hash", message));
    }
    let bytes = envelope.to_bytes().map_err(|error| not_verified(&error))?;
    Ok(Link {
        chain: bundle.chain.clone(),
        sequence,
        bundle_id: bundle.bundle_id.to_string(),
        hash: sha256_hex(&bytes),
        previous_hash: bundle.previous_hash.clone(),
    })
}
