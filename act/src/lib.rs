//! The only part of the agent that runs as root, and what the daemon has to know of it.
//!
//! systemd starts `msp-agent-act` for each connection to its socket, without capabilities and without a network. It reads
//! one request, judges it (who asks, how long it is, how old, whether it was made before, whether root's own list has
//! it), asks the service manager for one thing over D-Bus, answers on the same socket and ends. It never opens the
//! daemon's state, starts no program and takes no file name (a path in the Nix store comes with a signed order alone), so that whoever owns the daemon gets what the list says
//! and no more. `docs/threat-model.md` tells why it is not polkit.
//!
//! In reading order: [`protocol`] is what travels, [`policy`] root's list, [`serve`] the judgement; `peer`, `seen`,
//! `refusals`, `switching` and `bus` are its parts.

mod bus;
mod peer;
pub mod policy;
pub mod protocol;
pub mod refusals;
mod seen;
pub mod serve;
mod switching;
