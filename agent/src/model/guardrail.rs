//! The guardrails by name: what evidence and the store call the one that held a plan back.
//!
//! The names are for good: they stand in signed evidence. `docs/guardrails.md` says what each promises.

use msp_contracts::outcome::Detail;

/// One reason not to carry out a plan.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Guardrail {
    /// The runbook is not in this version, is for another platform, cannot be verified, or nothing is known to be wrong.
    Soundness,
    /// The site does not allow the runbook.
    Allowlist,
    /// What is healed comes undone again and again.
    Flapping,
    /// Somebody stopped every change.
    KillSwitch,
    /// The configuration says that nothing is healed.
    HealingEnabled,
    /// An earlier plan may still be running.
    OpenIntent,
    /// A disruptive plan, and this machine's clock cannot be trusted.
    ClockSanity,
    /// A disruptive plan outside the maintenance window.
    MaintenanceWindow,
    /// A disruptive plan, and Central Command was not heard for too long.
    Freshness,
    /// Heals of this machine failed one after the other.
    CircuitBreaker,
    /// The same rule acted on the same thing a short while ago.
    Cooldown,
    /// Too many heals within an hour.
    RateLimit,
    /// The agent only says what it would do.
    DryRun,
}

impl Guardrail {
    /// The name in evidence and in the store.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Soundness => "soundness",
            Self::Allowlist => "allowlist",
            Self::Flapping => "flapping",
            Self::KillSwitch => "kill_switch",
            Self::HealingEnabled => "healing_enabled",
            Self::OpenIntent => "open_intent",
            Self::ClockSanity => "clock_sanity",
            Self::MaintenanceWindow => "maintenance_window",
            Self::Freshness => "freshness",
            Self::CircuitBreaker => "circuit_breaker",
            Self::Cooldown => "cooldown",
            Self::RateLimit => "rate_limit",
            Self::DryRun => "dry_run",
        }
    }

    /// How a plan that it refuses ends.
    pub fn detail(self) -> Detail {
        match self {
            Self::DryRun => Detail::DryRun,
            _ => Detail::Deferred,
        }
    }
}
