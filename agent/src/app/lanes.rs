//! How many Windows servers are worked on at the same time, and that a silent one never holds up the others.
//!
//! A server that answers holds its place for a moment; one that does not holds it until its timeouts are over. So servers
//! that were silent the last time have places of their own.

use tokio::sync::{Semaphore, SemaphorePermit};
use tokio_util::sync::CancellationToken;

/// Servers that answer, at the same time: what a small appliance can do without its other work suffering.
const ANSWERING: usize = 16;
/// Servers that were silent, at the same time.
const SILENT: usize = 4;

/// The places.
pub struct Lanes {
    answering: Semaphore,
    silent: Semaphore,
}

impl Lanes {
    pub fn new() -> Self {
        Self { answering: Semaphore::new(ANSWERING), silent: Semaphore::new(SILENT) }
    }

    /// A place, once there is one; none when the agent is to stop.
    pub async fn enter(&self, silent: bool, stop: &CancellationToken) -> Option<SemaphorePermit<'_>> {
        let lane = if silent { &self.silent } else { &self.answering };
        tokio::select! {
            () = stop.cancelled() => None,
            place = lane.acquire() => place.ok(),
        }
    }
}
