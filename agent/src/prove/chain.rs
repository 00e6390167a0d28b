//! Gives a draft its place in the chain: number, hash of the one before, signature, signed head.
//!
//! Runs inside the transaction of what the bundle proves, together with the outbox row that sends it: none
//! of the three exists without the others. The hash is taken over the envelope's exact stored bytes.

use super::bundle::Draft;
use crate::guard::clock_sanity;
use crate::store::{StoreError, evidence, facts, outbox};
use jiff::Timestamp;
use jiff::tz::TimeZone;
use msp_contracts::SCHEMA_VERSION;
use msp_contracts::api::{self, EvidenceSubmission};
use msp_contracts::canonical::sha256_hex;
use msp_contracts::dsse::{DsseError, Envelope, Signed};
use msp_contracts::evidence::{Bundle, DeploymentMode, GENESIS_HASH};
use msp_contracts::ids::{BundleId, ChainId, Counter};
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

/// The chain of this state; made when it is first asked for.
pub fn chain(db: &Connection) -> Result<ChainId, StoreError> {
    if let Some(text) = facts::get(db, facts::CHAIN)? {
        return ChainId::try_from(text)
            .map_err(|error| StoreError::Form { what: "the chain's id", detail: error.to_string() });
    }
    let mut random = [0u8; 8];
    // Version and variant of a UUID lie in the middle: four bytes of either end are random.
    let id = uuid::Uuid::new_v4().into_bytes();
    random[..4].copy_from_slice(&id[..4]);
    random[4..].copy_from_slice(&id[12..]);
    let chain = ChainId::from_random(random);
    facts::set(db, facts::CHAIN, chain.as_str())?;
    Ok(chain)
}

/// Bundles of a day count up from 1. On the day on which a chain begins they count up from the time of the day, in
/// hundredths of a second, so that an appliance that lost its state does not use the numbers of the chain before
/// again.
fn next_id(db: &Connection, begins: bool, now: Timestamp) -> Result<BundleId, StoreError> {
    let now = now.to_zoned(TimeZone::UTC);
    let day = now.date();
    let number = match evidence::last_number(db, day)? {
        Some(last) => last + 1,
        None if begins => {
            let since_midnight = now.time().duration_since(jiff::civil::Time::midnight());
            u64::try_from(since_midnight.as_millis() / 10).unwrap_or(0) + 1
        }
        None => 1,
    };
    Ok(BundleId { day, number })
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
    let chain = chain(db)?;
    let bundle_id = next_id(db, last.is_none(), now)?;
    let (sequence, previous_hash) =
        last.map_or((1, GENESIS_HASH.to_owned()), |last| (last.sequence + 1, sha256_hex(&last.envelope)));
    let completed = draft.completed;
    let bundle = Bundle {
        schema_version: SCHEMA_VERSION,
        bundle_id,
        chain: chain.clone(),
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
        rollback_generation: draft.rollback_generation,
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
        chain,
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
    clock_sanity::stored(db, completed)?;
    let path = api::EVIDENCE.replace("{site}", &signer.site_id);
    let submission = EvidenceSubmission { schema_version: SCHEMA_VERSION, bundle: envelope };
    outbox::owe(db, outbox::Kind::Evidence, &bundle_id.to_string(), &path, &submission, now)?;
    Ok(bundle_id)
}
