//! How the WinRM service itself behaves, for tests of clients: everything that a network or a busy server can do to one.

use serde::{Deserialize, Serialize};

use super::ledger::{Change, Subsystem};
use crate::profiles::Profile;

/// A message of the command shell.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Message {
    /// Opens a shell.
    Create,
    /// Starts a command.
    Command,
    /// Fetches output.
    Receive,
    /// Brings input.
    Send,
    /// Stops a command.
    Signal,
    /// Closes a shell.
    Delete,
}

/// When a connection breaks. To the client both look the same.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Moment {
    /// The request has arrived, and is lost: what it asks for is not done.
    Before,
    /// What it asks for is done; only the answer is lost.
    After,
}

/// Connections that break.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Drops {
    /// At which message.
    pub message: Message,
    /// Before or after it was carried out.
    pub moment: Moment,
    /// At how many more of them.
    pub times: u32,
}

/// The behaviour of the service.
#[derive(Debug, Clone, Serialize)]
pub struct Winrm {
    /// An error's CLIXML is handed out cut in the middle of its tags, as Server 2025 does.
    pub split_errors: bool,
    /// Answers are sent in chunks, without their length.
    pub chunked: bool,
    /// How long every answer is held back, in milliseconds.
    pub delay_milliseconds: u32,
    /// Connections are accepted, and nothing is ever said on them.
    pub hangs: bool,
    /// Connections that break.
    pub drops: Option<Drops>,
}

impl Winrm {
    pub(crate) fn of(profile: Profile) -> Self {
        let split_errors = profile == Profile::Server2025;
        Self { split_errors, chunked: false, delay_milliseconds: 0, hangs: false, drops: None }
    }

    pub(crate) fn set_split_errors(&mut self, to: bool) -> Option<Change> {
        let from = std::mem::replace(&mut self.split_errors, to);
        changed("split_errors", &from.to_string(), &to.to_string())
    }

    pub(crate) fn set_chunked(&mut self, to: bool) -> Option<Change> {
        let from = std::mem::replace(&mut self.chunked, to);
        changed("chunked", &from.to_string(), &to.to_string())
    }

    pub(crate) fn set_delay(&mut self, to: u32) -> Option<Change> {
        let from = std::mem::replace(&mut self.delay_milliseconds, to);
        changed("delay_milliseconds", &from.to_string(), &to.to_string())
    }

    pub(crate) fn set_hangs(&mut self, to: bool) -> Option<Change> {
        let from = std::mem::replace(&mut self.hangs, to);
        changed("hangs", &from.to_string(), &to.to_string())
    }

    pub(crate) fn set_drops(&mut self, to: Drops) -> Option<Change> {
        let times = |drops: Option<Drops>| drops.map_or(0, |d| d.times).to_string();
        let from = self.drops;
        self.drops = (to.times > 0).then_some(to);
        let change = changed("drops", &times(from), &times(self.drops));
        (from != self.drops).then_some(change).flatten()
    }

    /// Whether the connection of this message breaks, and when; counts it.
    pub(crate) fn take_drop(&mut self, message: Message) -> Option<Moment> {
        let mut drops = self.drops.filter(|d| d.message == message)?;
        drops.times -= 1;
        self.drops = (drops.times > 0).then_some(drops);
        Some(drops.moment)
    }
}

fn changed(property: &'static str, from: &str, to: &str) -> Option<Change> {
    (from != to).then(|| Change {
        subsystem: Subsystem::Winrm,
        object: "service".to_owned(),
        property,
        from: from.to_owned(),
        to: to.to_owned(),
    })
}
