//! Prove: every step leaves a bundle of evidence, signed and chained to the one before.

pub mod bundle;
pub mod chain;
pub mod record;
pub mod verify;
