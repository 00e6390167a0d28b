//! What the agent and Central Command say to each other.
//!
//! Plain types with their JSON Schema, the canonical JSON that ids and hashes are taken over, and
//! DSSE envelopes over exact bytes. No I/O, no clock, no async: both sides, the tests and the
//! schema generator use the same definitions, so neither side can drift from the other.
//!
//! Reading order: [`finding`] what was seen, [`outcome`] what became of it, [`evidence`] its proof,
//! [`order`] what the server may ask for,
//! [`signed`] and [`dsse`] how proof and orders are signed, the rest are the calls of the API.

pub mod api;
pub mod canonical;
pub mod dsse;
pub mod evidence;
pub mod finding;
pub mod fingerprint;
pub mod hipaa;
pub mod ids;
pub mod keys;
pub mod logon;
pub mod order;
pub mod outcome;
pub mod rehearsal;
pub mod schema;
pub mod signed;
pub mod store_path;
pub mod token;

/// Version of every artifact's shape; carried in each as `schema_version`.
pub const SCHEMA_VERSION: u32 = 1;
