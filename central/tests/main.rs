//! What Central Command promises, through its real binary, over real mutual TLS.
//!
//! One program, so that the binary's dependencies are linked once; one file a subject.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod bodies;
mod certificates;
mod checkin;
mod clinic;
mod commands;
mod credentials;
mod enrolment;
mod evidence;
mod health;
mod kill_switch;
mod limits;
mod metrics;
mod newcomer;
mod orders;
mod ownership;
mod people;
mod records;
mod revocation;
mod rules;
mod running;
