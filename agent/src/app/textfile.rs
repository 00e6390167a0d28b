//! The agent's numbers for node_exporter's textfile collector: nobody scrapes the agent itself.
//!
//! Every number is of the state, not of the process: a restart takes none of them back. All are gauges, which both
//! OpenMetrics and the older text format of the collector read alike. `docs/metrics.md` has each with its meaning; a
//! test holds that table against the file.

use crate::model::status::Status;
use jiff::Timestamp;
use prometheus_client::encoding::text::encode;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Registry;
use std::collections::BTreeMap;
use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

type Labelled = Family<Vec<(&'static str, String)>, Gauge>;

fn grouped(registry: &mut Registry, name: &str, help: &str, label: &'static str, counts: &BTreeMap<String, u64>) {
    let family = Labelled::default();
    for (value, count) in counts {
        family.get_or_create(&vec![(label, value.clone())]).set(whole(*count));
    }
    registry.register(name, help, family);
}

fn whole(count: u64) -> i64 {
    i64::try_from(count).unwrap_or(i64::MAX)
}

/// Seconds since the epoch; 0 for a time that never was.
fn seconds(time: Option<&str>) -> i64 {
    time.and_then(|time| time.parse::<Timestamp>().ok()).map_or(0, Timestamp::as_second)
}

/// The numbers of `status` as text.
///
/// # Errors
/// Never for a status; the encoder's signature asks for it.
fn text(status: &Status) -> Result<String, std::fmt::Error> {
    let mut registry = Registry::with_prefix("msp_agent");
    let mut number = |name: &str, help: &str, value: i64| {
        let gauge = Gauge::<i64>::default();
        gauge.set(value);
        registry.register(name, help, gauge);
    };
    let central = &status.central;
    number("start_time_seconds", "When the agent was started", seconds(Some(&status.started_at)));
    number("written_time_seconds", "When this file was written", seconds(Some(&status.written_at)));
    number("last_contact_time_seconds", "The last check-in that succeeded", seconds(central.last_contact.as_deref()));
    number("central_reached", "1 when the last check-in succeeded", central.reached.into());
    number(
        "fresh_until_time_seconds",
        "Until when Central Command's word is fresh",
        seconds(central.fresh_until.as_deref()),
    );
    number(
        "clock_ahead_seconds",
        "How far this clock was ahead of Central Command's",
        central.clock_ahead_seconds.unwrap_or(0),
    );
    number("kill_switch_engaged", "1 when every change is stopped", status.kill_switch.is_some().into());
    number("dry_run", "1 when nothing is changed", status.dry_run.into());
    number("windows_servers", "Servers in the inventory", status.counts.servers.try_into().unwrap_or(i64::MAX));
    number("evidence_bundles", "Bundles in the chain", whole(status.counts.evidence));
    number("outbox_pending_reports", "Reports that wait", whole(status.queue.pending));
    number("outbox_rejected_reports", "Reports that Central Command refused for good", whole(status.queue.rejected));
    number("orders_waiting", "Orders that were accepted and are not over", whole(status.queue.orders_waiting));
    number("rules_loaded", "Rules in force", status.rules.loaded.try_into().unwrap_or(i64::MAX));
    number("rules_quarantined", "Rules that did not load", status.rules.quarantined.try_into().unwrap_or(i64::MAX));
    number(
        "rules_synced_time_seconds",
        "The last rule sync that succeeded",
        seconds(status.rules.synced_at.as_deref()),
    );
    number("loops_overdue", "Loops that hang", status.overdue.len().try_into().unwrap_or(i64::MAX));
    grouped(&mut registry, "checks", "Checks by their status now", "status", &status.counts.checks);
    grouped(&mut registry, "incidents", "Incidents by their state", "state", &status.counts.incidents);
    grouped(&mut registry, "plans", "Plans by how they ended", "outcome", &status.counts.outcomes);
    let mut text = String::new();
    encode(&mut text, &registry)?;
    Ok(text)
}

/// Writes the numbers of `status` into `file`, all at once, readable for the collector.
///
/// # Errors
/// When the file or the one beside it cannot be written.
pub fn write(file: &Path, status: &Status) -> io::Result<()> {
    let text = text(status).map_err(io::Error::other)?;
    // The collector reads *.prom only: never the file beside it.
    let new = file.with_extension("prom.new");
    std::fs::write(&new, text)?;
    std::fs::set_permissions(&new, std::fs::Permissions::from_mode(0o644))?;
    std::fs::rename(&new, file)
}
