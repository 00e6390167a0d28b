//! What travels over the socket: one line of JSON each way.

pub use msp_agent_switch::boot_time_ms;
use serde::{Deserialize, Serialize};

/// Where the executor listens, on every machine.
pub const SOCKET: &str = "/run/msp-agent/act.sock";
/// The longest request, in bytes, its newline included.
pub const LONGEST_REQUEST: usize = 16 * 1024;
/// The longest answer, in bytes.
pub const LONGEST_REPLY: usize = 16 * 1024;
/// The version of these types.
pub const SCHEMA: u32 = 1;
/// How old a request may be when it arrives, in milliseconds of the boot's own time.
pub const LONGEST_AGE_MS: u64 = 30_000;
/// Where the kernel tells which boot this is.
pub const BOOT_ID: &str = "/proc/sys/kernel/random/boot_id";

/// What may be asked for. Which units these come to is root's list, not the request's.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "do", rename_all = "snake_case", deny_unknown_fields)]
pub enum Operation {
    /// Start a unit of the list.
    StartUnit {
        /// Its full name.
        unit: String,
    },
    /// Restart a unit of the list.
    RestartUnit {
        /// Its full name.
        unit: String,
    },
    /// Restart the time service, which asks its servers anew.
    SyncTime {},
    /// Start the unit that frees disk space.
    CollectGarbage {},
    /// Load the declared packet filter again.
    RestoreFirewall {},
    /// Switch to the generation of NixOS that a signed order names.
    SwitchGeneration {
        /// The order's envelope, as Central Command made it.
        order: String,
        /// Whether Central Command is reachable now, so that it has to be afterwards as well.
        contact: bool,
    },
    /// Switch back to the declared generation of NixOS.
    RestoreGeneration {
        /// Whether Central Command is reachable now, so that it has to be afterwards as well.
        contact: bool,
    },
    /// All is well with the generation that a switch has activated: keep it.
    ConfirmSwitch {
        /// The switch.
        id: String,
    },
}

/// One request. It is good for this boot, for a short while, and once.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Request {
    /// [`SCHEMA`].
    pub schema: u32,
    /// 32 hexadecimal characters, never used before.
    pub id: String,
    /// The content of [`BOOT_ID`].
    pub boot_id: String,
    /// CLOCK_BOOTTIME in milliseconds: nobody can set that clock, wherever the wall clock is put.
    pub issued_ms: u64,
    /// What is asked for.
    pub operation: Operation,
}

/// The answer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "outcome", rename_all = "snake_case", deny_unknown_fields)]
pub enum Reply {
    /// The service manager took the job. Whether it succeeded, a look at the unit says.
    Queued {
        /// What was asked of the service manager.
        method: String,
        /// The unit.
        unit: String,
    },
    /// It was done, without the service manager.
    Done {
        /// What.
        what: String,
    },
    /// It is not done, and would not be done if asked again like this.
    Refused {
        /// Why.
        reason: String,
    },
    /// It was allowed, and could not be done.
    Failed {
        /// Why.
        reason: String,
    },
}

impl Request {
    /// A request of this moment.
    ///
    /// # Errors
    /// When the kernel does not say which boot this is.
    pub fn now(id: String, operation: Operation) -> std::io::Result<Self> {
        let boot_id = std::fs::read_to_string(BOOT_ID)?.trim().to_owned();
        Ok(Self { schema: SCHEMA, id, boot_id, issued_ms: boot_time_ms(), operation })
    }
}
