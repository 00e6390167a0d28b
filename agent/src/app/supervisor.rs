//! Tells the service manager how the agent stands (sd_notify(3): READY, STATUS, WATCHDOG), and writes the status file.
//!
//! The watchdog is fed only while no loop is overdue and the store answers.

use super::{Agent, status, textfile};
use crate::causes::chain;
use crate::model::status::Status;
use sd_notify::NotifyState;
use std::io;
use std::sync::Arc;
use std::time::Duration;
use tokio_util::sync::CancellationToken;

/// How often it looks when no watchdog asks for more.
const LOOK: Duration = Duration::from_secs(5);

fn tell(states: &[NotifyState<'_>]) {
    // Without a service manager there is nobody to tell.
    if let Err(error) = sd_notify::notify(states) {
        tracing::debug!(%error, "the service manager could not be told");
    }
}

/// Supervises until `stop`.
pub(super) async fn supervise(agent: Arc<Agent>, stop: CancellationToken) {
    // Fed at least twice as often as it bites.
    let look = sd_notify::watchdog_enabled().map_or(LOOK, |bites| LOOK.min(bites / 3));
    let mut ready = false;
    let mut hanging = Vec::new();
    let (mut trouble, mut metrics_trouble) = (Trouble::default(), Trouble::default());
    while !stop.is_cancelled() {
        match agent.status().await {
            Ok(status) => {
                let words = status.in_words();
                if status.overdue.is_empty() {
                    tell(&[NotifyState::Watchdog]);
                } else if status.overdue != hanging {
                    tracing::error!(loops = status.overdue.join(", "), "hanging: the watchdog is not fed any more");
                }
                hanging.clone_from(&status.overdue);
                tell(&[NotifyState::Status(&words)]);
                if !ready {
                    tell(&[NotifyState::Ready]);
                    ready = true;
                }
                trouble.say("the status file could not be written", write(&agent, &status));
                if let Some(file) = &agent.config.metrics_textfile {
                    let done = textfile::write(file, &status);
                    metrics_trouble.say("metrics_textfile could not be written", done);
                }
            }
            Err(error) => {
                tracing::error!(error = %chain(&error), "the agent cannot tell how it stands");
                tell(&[NotifyState::Status(&format!("the agent's state cannot be read: {}", chain(&error)))]);
            }
        }
        tokio::select! {
            () = stop.cancelled() => {}
            () = tokio::time::sleep(look) => {}
        }
    }
    tell(&[NotifyState::Stopping, NotifyState::Status("stopping")]);
}

/// The last trouble with a file: the same one again is no news.
#[derive(Default)]
struct Trouble(Option<io::ErrorKind>);

impl Trouble {
    fn say(&mut self, what: &str, done: io::Result<()>) {
        let kind = done.as_ref().err().map(io::Error::kind);
        if let Err(error) = done
            && self.0 != kind
        {
            tracing::warn!(%error, "{what}");
        }
        self.0 = kind;
    }
}

/// Written beside and renamed: a reader sees the old one or the new one, never half of one.
fn write(agent: &Agent, status: &Status) -> io::Result<()> {
    let file = agent.config.state_dir.join(status::FILE);
    let new = agent.config.state_dir.join(".status.json.new");
    std::fs::write(&new, serde_json::to_vec_pretty(status)?)?;
    std::fs::rename(&new, &file)
}
