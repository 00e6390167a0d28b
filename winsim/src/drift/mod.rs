//! The drift interface: a small HTTP service, on loopback only, that shows the machine's state and ledger and changes the
//! state the way a fault, an administrator or Group Policy would.

mod api;
mod kinds;
mod protection;

pub(crate) use api::answer;
pub use kinds::Drift;
pub use protection::{Bitlocker, Defender, WindowsBackup};
