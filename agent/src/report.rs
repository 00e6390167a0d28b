//! Report: everything that leaves for Central Command, and what comes back.

pub mod checkin;
pub mod client;
pub mod drain;
pub mod enroll;
pub mod identity;
pub mod sync;
