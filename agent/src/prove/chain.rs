//! Gives a draft its place in the chain: number, hash of the one before, signature, signed head.
//!
//! Runs inside the transaction of what the bundle proves, together with the outbox row that sends it: none
//! of the three exists without the others. The hash is taken over the envelope's exact stored bytes.

use super::bundle::Draft;
use crate::store::{StoreError, evidence, outbox};
use jiff::Timestamp;
use jiff::tz::TimeZone;
use msp_contracts::SCHEMA_VERSION;
use msp_contracts::api::{self, EvidenceSubmission};
use msp_contracts::canonical::sha256_hex;
use msp_contracts::dsse::{DsseError, Envelope, Signed};
use msp_contracts::evidence::{Bundle, DeploymentMode, GENESIS_HASH};
use msp_contracts::ids::{BundleId, Counter};
use msp_contracts::keys::SigningKey;
use msp_contracts::signed::{ChainHead, SignedHead};
use rusqlite::Connection;
use std::sync::Arc;

/// Who signs: the owner of the chain.
pub struct Signer {
    pub key: SigningKey,
    pub site_id: String,
    pub host_id: String,
    pub deployment_mode: DeploymentMode,
}

fn sign<T: Signed>(what: &'static str, payload: &T, key: &SigningKey) -> Result<(Envelope, Vec<u8>), StoreError> {
    let signed = |source: DsseError| StoreError::Sign { what, source: Arc::new(source) };
    let envelope = payload.sign(key).map_err(signed)?;
    let bytes = envelope.to_bytes().map_err(signed)?;
    Ok((envelope, bytes))
}

/// Appends `draft` to the chain and owes it to Central Command.
///
/// # Errors
/// When it cannot be stored or signed; then the caller's transaction leaves nothing.
pub fn append(
    db: &Connection,
    signer: &Signer,
    policy_version: &str,
    draft: Draft,
    now: Timestamp,
) -> Result<BundleId, StoreError> {
    let last = evidence::last(db)?;
    let (sequence, previous_hash) =
        last.map_or((1, GENESIS_HASH.to_owned()), |last| (last.sequence + 1, sha256_hex(&last.envelope)));
    let day = now.to_zoned(TimeZone::UTC).date();
    let bundle_id = BundleId { day, number: evidence::next_number(db, day)? };
    let completed = draft.completed;
    let bundle = Bundle {
        schema_version: SCHEMA_VERSION,
        bundle_id,
        sequence: Counter(sequence),
        previous_hash,
        kind: draft.kind,
        site_id: signer.site_id.clone(),
        host_id: signer.host_id.clone(),
        deployment_mode: signer.deployment_mode,
        policy_version: policy_version.to_owned(),
        target: draft.target,
        check: draft.check,
        hipaa_controls: draft.hipaa_controls,
        incident_id: draft.incident_id,
        plan: draft.plan,
        actions: draft.actions,
        pre_state: draft.pre_state,
        post_state: draft.post_state,
        outcome: draft.detail.map(msp_contracts::outcome::Detail::outcome),
        detail: draft.detail,
        error: draft.error,
        rollback_available: draft.rollback_available,
        rollback_generation: None,
        healing_resolution_level: draft.level,
        roll_up: draft.roll_up,
        started: draft.started,
        completed,
    };
    let (envelope, bytes) = sign("evidence", &bundle, &signer.key)?;
    let head = SignedHead {
        schema_version: SCHEMA_VERSION,
        site_id: signer.site_id.clone(),
        host_id: signer.host_id.clone(),
        head: ChainHead { sequence: Counter(sequence), hash: sha256_hex(&bytes) },
    };
    let (_, head) = sign("the head of the evidence chain", &head, &signer.key)?;
    let row = evidence::Row {
        sequence,
        bundle_id: bundle_id.to_string(),
        completed_at: completed.to_string(),
        envelope: bytes,
    };
    evidence::append(db, &row, &head)?;
    let path = api::EVIDENCE.replace("{site}", &signer.site_id);
    let submission = EvidenceSubmission { schema_version: SCHEMA_VERSION, bundle: envelope };
    outbox::owe(db, outbox::Kind::Evidence, &bundle_id.to_string(), &path, &submission, now)?;
    Ok(bundle_id)
}
