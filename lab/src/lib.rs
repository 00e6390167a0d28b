//! A clinic on loopback. The real binaries as child processes: Central Command with mutual TLS, one agent, two
//! simulated Windows servers; drift is injected, and the lab says whether it was healed and proved.
//!
//! [`clinic`] starts and stops the processes, [`appliance`] is one agent with its folder, [`drift`] turns things off on a server, [`watch`] reads what the
//! agent and Central Command say, [`once`] is the scripted round, [`cases`] what in it is not simply healed, [`crash`] kills again and again, [`chaos`] lets everything go wrong at once, `peace` comes after both, [`report`] its table and its JSON. The tests of
//! the suite open clinics through the same door.

pub mod appliance;
pub mod cases;
pub mod chaos;
pub mod clinic;
pub mod crash;
pub mod drift;
pub mod endless;
mod inventory;
pub mod once;
pub mod orders;
mod peace;
pub mod people;
pub mod process;
mod random;
pub mod report;
pub mod site;
pub mod watch;

use std::io::Write;

/// Says on stderr what the lab is doing.
#[derive(Debug, Clone, Copy)]
pub struct Progress;

impl Progress {
    /// One line.
    pub fn say(self, text: &str) {
        let _ = writeln!(std::io::stderr(), "lab: {text}");
    }
}
