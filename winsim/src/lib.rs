//! A simulated Windows server that speaks WS-Management.
//!
//! [`Server`] listens for WinRM over TLS, if asked to also over plain HTTP, and for a drift interface on loopback. Behind them is a [`windows::Machine`]: a
//! typed state with a ledger of its changes. Scripts that come in over WinRM run in an interpreter for the subset of
//! PowerShell listed in SUBSET.md, whatever they are called and whatever they say.

mod clock;
mod drift;
mod ntlm;
mod powershell;
mod process;
pub mod profiles;
mod programs;
mod server;
mod tls;
pub mod windows;
mod wsman;

pub use drift::{Bitlocker, Defender, Drift, WindowsBackup};
pub use powershell::{ScriptProblem, check_script};
pub use profiles::Profile;
pub use server::{Server, ServerConfig, StartError};
pub use tls::{Identity, TlsError};
pub use wsman::{Account, MAX_ENVELOPE};
