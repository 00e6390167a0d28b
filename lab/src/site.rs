//! What a site decides for itself: which repairs it arms, and when people may be disturbed.

use jiff::tz::TimeZone;
use jiff::{Span, Timestamp};

/// What the clinic's site arms: the repairs that a site has to want itself.
pub const ARMED: &str = "\
schema_version: 1
rules:
  - id: SITE-PATCH-001
    name: Install missing Windows updates
    conditions:
      - {field: check_type, operator: eq, value: patching}
      - {field: drift_detected, operator: eq, value: true}
      - {field: details.platform, operator: eq, value: windows}
    action: run_windows_runbook
    action_params: {runbook_id: RB-WIN-PATCH-001, phases: [remediate, verify]}
    priority: 1
  - id: SITE-ENCRYPTION-001
    name: Turn BitLocker on
    conditions:
      - {field: check_type, operator: eq, value: encryption}
      - {field: drift_detected, operator: eq, value: true}
      - {field: details.platform, operator: eq, value: windows}
    action: run_windows_runbook
    action_params: {runbook_id: RB-WIN-ENCRYPTION-001, phases: [remediate, verify]}
    priority: 1
";

/// A maintenance window, from `begins` to `ends` hours from now.
#[allow(clippy::disallowed_methods, reason = "the agent's window is opened and closed around the real time")]
pub fn window(begins: i64, ends: i64) -> String {
    let now = Timestamp::now().to_zoned(TimeZone::UTC);
    let at = |hours: i64| now.saturating_add(Span::new().hours(hours)).strftime("%H:%M").to_string();
    format!("maintenance_window: \"{}-{}\"\nmaintenance_window_timezone: UTC\n", at(begins), at(ends))
}
