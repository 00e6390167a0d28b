//! `msp-central`: Central Command, what the agents report to.
//!
//! Reading order: [`cli`] what can be asked, [`app`] how the server is wired, [`listen`] the listeners,
//! [`api`] the agents' calls, [`people`] the pages, [`metrics`] the numbers for monitoring, [`enroll`] who belongs to
//! the fleet, [`orders`] and [`kill_switch`] what is asked of appliances, [`store`] what is kept; [`directory`],
//! [`pki`], [`signing`] and [`fleet`] are what they stand on.

mod api;
mod app;
mod causes;
mod cli;
mod clock;
mod directory;
mod enroll;
mod fleet;
mod kill_switch;
mod listen;
mod metrics;
mod orders;
mod people;
mod pki;
mod signing;
mod store;

use std::process::ExitCode;

fn main() -> ExitCode {
    // rustls asks for one provider for the whole process. It can only be set once, and here it is.
    let _ = rustls::crypto::ring::default_provider().install_default();
    cli::run(&mut std::io::stdout(), &mut std::io::stderr())
}
