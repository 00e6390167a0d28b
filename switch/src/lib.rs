//! The generations of NixOS on this machine: which there are, which one is declared, and the switch to another.
//!
//! A switch is carried out by `msp-agent-switch` in a unit of its own (`msp-agent-switch@<id>.service`), because it
//! has to be root, starts whatever a system starts when it is activated, and outlives the daemon, which the new system
//! may replace. It activates with `test`, looks whether a unit newly failed, and waits for the agent's word that all is
//! well; only then does it set the profile and install the boot loader. Until then the machine starts with what it started
//! with before: a power cut leads back to it. One in the middle of these last two steps is settled at the next start, by
//! which system came up.
//!
//! In reading order: [`places`] where things lie, [`profile`] which generations there are, [`declared`] which one
//! should run, [`record`] what became of each switch, [`sequence`] which order was the last one, [`switch`] the switch itself; `boot_space`, `command` and `units`
//! are its parts. The agent reads the first four; only root writes them.

mod boot_space;
mod command;
pub mod declared;
mod files;
pub mod places;
pub mod profile;
pub mod record;
pub mod sequence;
pub mod switch;
mod units;

use jiff::Timestamp;

/// The wall clock, which only dates what is written; how long something takes is told by the boot's own clock.
#[must_use]
#[allow(clippy::disallowed_methods, reason = "this crate's one reader of the wall clock: it only dates records")]
pub fn now() -> Timestamp {
    Timestamp::now()
}

/// Milliseconds since the machine was started; nobody can set that clock.
#[must_use]
pub fn boot_time_ms() -> u64 {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::Boottime);
    let seconds = u64::try_from(time.tv_sec).unwrap_or(0);
    seconds.saturating_mul(1000).saturating_add(u64::try_from(time.tv_nsec).unwrap_or(0) / 1_000_000)
}
