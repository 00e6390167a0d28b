//! The part of verifying that costs: signature, canonical form and hash of each bundle, on every processor.
//!
//! Bundles are opened apart from each other, so each batch is shared out; what holds them together (the chain, the
//! columns beside them) is looked at afterwards, in order. Every signature is verified strictly and by itself:
//! verifying many at once would accept some that are not strict.

use msp_contracts::canonical::sha256_hex;
use msp_contracts::dsse::{DsseError, Envelope, Signed};
use msp_contracts::evidence::Bundle;
use msp_contracts::keys::VerifyingKey;
use std::thread;

use crate::store::evidence::Row;

/// So many bundles are held in memory at once.
pub const BATCH: usize = 1024;

/// One bundle: as it is stored, its hash, and what was signed if all of it holds.
pub struct Opened {
    pub row: Row,
    pub hash: String,
    pub bundle: Result<Bundle, DsseError>,
}

/// Reads a signed payload from an envelope that must be in canonical form.
pub fn open<T: Signed>(bytes: &[u8], keys: &[VerifyingKey]) -> Result<T, DsseError> {
    T::verify(&Envelope::from_bytes(bytes)?, keys)
}

/// Opens each of the bundles, in order, on as many threads as there are processors.
pub fn all(rows: Vec<Row>, keys: &[VerifyingKey]) -> Vec<Opened> {
    let one = |row: Row| Opened { hash: sha256_hex(&row.envelope), bundle: open(&row.envelope, keys), row };
    let threads = thread::available_parallelism().map_or(1, usize::from);
    let share = rows.len().div_ceil(threads).max(1);
    let mut rows = rows.into_iter();
    let shares: Vec<Vec<Row>> = (0..threads).map(|_| rows.by_ref().take(share).collect()).collect();
    let mut opened = Vec::new();
    thread::scope(|scope| {
        let workers: Vec<_> = shares
            .into_iter()
            .map(|share| scope.spawn(move || share.into_iter().map(one).collect::<Vec<_>>()))
            .collect();
        for worker in workers {
            match worker.join() {
                Ok(done) => opened.extend(done),
                Err(panic) => std::panic::resume_unwind(panic),
            }
        }
    });
    opened
}
