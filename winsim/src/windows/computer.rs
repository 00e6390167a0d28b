//! The computer itself: its name, its role in the domain, its clock and its Windows version.

use serde::{Deserialize, Serialize};

use super::ledger::{Change, Subsystem};

/// `Win32_ComputerSystem.DomainRole`, the values that the profiles have, with their numbers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum DomainRole {
    /// A workstation that is a member of a domain.
    MemberWorkstation = 1,
    /// A server that is a member of a domain.
    MemberServer = 3,
    /// A domain controller that holds the PDC emulator role.
    PrimaryDomainController = 5,
}

/// The display language of Windows. Programs of the console print in it; names of cmdlets and their values do not change.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Language {
    /// English, United States.
    #[serde(rename = "en-US")]
    English,
    /// German, Germany.
    #[serde(rename = "de-DE")]
    German,
}

/// Name, role and clock.
#[derive(Debug, Clone, Serialize)]
pub struct Computer {
    /// NetBIOS name, in capitals.
    pub name: String,
    /// DNS name of the domain.
    pub domain: String,
    /// Its role in the domain.
    pub domain_role: DomainRole,
    /// The language of Windows, which is the language its tools print: `en-US` or `de-DE`.
    pub language: Language,
    /// How many seconds the machine's clock is ahead of true time (negative: behind).
    pub clock_offset_seconds: i64,
    /// `Win32_OperatingSystem.Caption`.
    pub os_caption: String,
    /// `Win32_OperatingSystem.Version`.
    pub os_version: String,
}

impl Language {
    fn as_str(self) -> &'static str {
        match self {
            Self::English => "en-US",
            Self::German => "de-DE",
        }
    }
}

impl Computer {
    pub(crate) fn set_language(&mut self, to: Language) -> Option<Change> {
        let from = std::mem::replace(&mut self.language, to);
        (from != to).then(|| Change {
            subsystem: Subsystem::Computer,
            object: "display".to_owned(),
            property: "language",
            from: from.as_str().to_owned(),
            to: to.as_str().to_owned(),
        })
    }

    pub(crate) fn set_clock_offset(&mut self, to: i64) -> Option<Change> {
        let from = std::mem::replace(&mut self.clock_offset_seconds, to);
        (from != to).then(|| Change {
            subsystem: Subsystem::Computer,
            object: "clock".to_owned(),
            property: "offset_seconds",
            from: from.to_string(),
            to: to.to_string(),
        })
    }
}
