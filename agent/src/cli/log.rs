//! Where the daemon's log goes: to the journal with its fields, where a journal reads it anyway, else to standard error.

use std::io::IsTerminal;
use std::os::unix::fs::MetadataExt;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;
use tracing_subscriber::{EnvFilter, Layer};

/// Starts it. In the journal `incident_id` is MSP_INCIDENT_ID, `evidence_id` MSP_EVIDENCE_ID, and so on.
pub(super) fn start(filter: &str) {
    let filter = EnvFilter::new(filter);
    let journal = into_journal().then(tracing_journald::layer).and_then(Result::ok);
    if let Some(journal) = journal {
        let journal = journal.with_field_prefix(Some("MSP".to_owned())).with_syslog_identifier("msp-agent".to_owned());
        return tracing_subscriber::registry().with(journal.with_filter(filter)).init();
    }
    tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_ansi(std::io::stderr().is_terminal())
        .with_writer(std::io::stderr)
        // It says so with eprintln!, which panics where standard error is closed.
        .log_internal_errors(false)
        .init();
}

/// Whether standard error is the journal's (systemd.exec(5), "$JOURNAL_STREAM"): a variable alone may be inherited.
fn into_journal() -> bool {
    let named = std::env::var("JOURNAL_STREAM").unwrap_or_default();
    std::fs::metadata("/dev/stderr").is_ok_and(|stream| named == format!("{}:{}", stream.dev(), stream.ino()))
}
