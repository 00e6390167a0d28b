//! What the configuration allows.

use super::circuit_breaker::Breaker;
use super::flapping::Flapping;
use super::rate_limit::Limits;
use crate::config::Config;
use crate::config::window::Window;
use jiff::SignedDuration;
use msp_rules::Disruption;

/// The guard's part of the configuration.
#[derive(Debug, Clone)]
pub struct Policy {
    pub healing_enabled: bool,
    pub dry_run: bool,
    /// The runbooks that may run; empty: every one that this version ships.
    pub runbook_allowlist: Vec<String>,
    /// From here on a runbook is disruptive.
    pub disruptive_from: Disruption,
    /// When disruptive plans may run; `None`: at any time.
    pub window: Option<Window>,
    pub limits: Limits,
    pub flapping: Flapping,
    pub breaker: Breaker,
}

impl Policy {
    /// The policy that a configuration states.
    pub fn of(config: &Config) -> Self {
        let window = config.window.clone().filter(|_| !config.allow_disruptive_outside_window);
        Self {
            healing_enabled: config.healing_enabled,
            dry_run: config.dry_run,
            runbook_allowlist: config.runbook_allowlist.clone(),
            disruptive_from: config.disruptive_from.into(),
            window,
            limits: Limits { per_host: config.heals_per_host_per_hour, per_site: config.heals_per_site_per_hour },
            flapping: Flapping {
                limit: config.flap_limit,
                within: SignedDuration::from_hours(config.flap_window_hours.into()),
            },
            breaker: Breaker {
                failures: config.breaker_failures,
                pause: SignedDuration::from_mins(config.breaker_pause_minutes.into()),
            },
        }
    }
}
