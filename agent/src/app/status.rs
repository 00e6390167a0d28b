//! What the agent says of itself: in `status.json`, to the service manager, and with each check-in.

use super::Agent;
use crate::model::status::{CentralStatus, QueueStatus, RulesStatus, Status, Tally};
use crate::prove::chain;
use crate::store::outbox::{self, Depth};
use crate::store::{StoreError, facts, orders, tally};
use msp_contracts::SCHEMA_VERSION;
use msp_contracts::api::{AgentReport, QuarantinedRule};
use msp_contracts::ids::ChainId;
use msp_contracts::signed::HealingTier;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;

/// The status file's name under `state_dir`.
pub const FILE: &str = "status.json";
/// The most quarantined rules that a check-in carries.
const MOST_QUARANTINED: usize = 50;

/// What the store knows of it.
struct Stored {
    chain: ChainId,
    last_contact: Option<String>,
    fresh_until: Option<String>,
    clock_ahead_seconds: Option<i64>,
    kill_switch: Option<String>,
    dry_run: Option<bool>,
    tier: Option<String>,
    rules_version: Option<String>,
    synced_at: Option<String>,
    depth: Depth,
    orders_waiting: u64,
    tally: Tally,
}

fn stored(db: &rusqlite::Connection) -> Result<Stored, StoreError> {
    let fact = |name| facts::get(db, name);
    Ok(Stored {
        chain: chain::chain(db)?,
        last_contact: fact(facts::LAST_CONTACT)?,
        fresh_until: fact(facts::FRESH_UNTIL)?,
        clock_ahead_seconds: fact(facts::CLOCK_AHEAD_SECONDS)?.and_then(|text| text.parse().ok()),
        kill_switch: fact(facts::KILL_SWITCH)?,
        dry_run: fact(facts::DRY_RUN)?.and_then(|text| text.parse().ok()),
        tier: fact(facts::RULES_TIER)?,
        rules_version: fact(facts::RULES_VERSION)?,
        synced_at: fact(facts::RULES_SYNCED_AT)?,
        depth: outbox::depth(db)?,
        orders_waiting: orders::unfinished(db)?,
        tally: tally::tally(db)?,
    })
}

impl Agent {
    /// How the agent stands now.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub(super) async fn status(&self) -> Result<Status, StoreError> {
        let stored = self.store.write(stored).await?;
        let policy = Arc::clone(&self.policy.borrow());
        let servers = self.inventory.borrow().len();
        Ok(Status {
            schema_version: SCHEMA_VERSION,
            pid: std::process::id(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            site_id: self.config.site_id.clone(),
            host_id: self.config.host_id.clone(),
            started_at: self.started_at.to_string(),
            written_at: self.clock.now().to_string(),
            central: CentralStatus {
                url: self.config.mcp_url.clone(),
                reached: self.reached.load(Relaxed),
                last_contact: stored.last_contact,
                fresh_until: stored.fresh_until,
                clock_ahead_seconds: stored.clock_ahead_seconds,
            },
            kill_switch: stored.kill_switch,
            dry_run: stored.dry_run.unwrap_or(self.config.dry_run),
            healing_enabled: self.config.healing_enabled,
            rules: RulesStatus {
                healing_tier: stored.tier,
                version: stored.rules_version,
                synced_at: stored.synced_at,
                ..policy.counts()
            },
            queue: QueueStatus {
                pending: stored.depth.pending,
                rejected: stored.depth.rejected,
                orders_waiting: stored.orders_waiting,
            },
            counts: Tally { servers, ..stored.tally },
            sensor: self.sensors.status(),
            overdue: self.vigil.overdue().into_iter().map(|(name, _)| name).collect(),
        })
    }

    /// What a check-in says of the agent itself.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub(super) async fn own_report(&self) -> Result<AgentReport, StoreError> {
        let stored = self.store.write(stored).await?;
        let policy = Arc::clone(&self.policy.borrow());
        let quarantined = policy.quarantined.iter().take(MOST_QUARANTINED).map(|one| QuarantinedRule {
            rule_id: one.rule_id.clone(),
            place: format!("{}:{}:{}", one.file, one.line, one.column),
            reason: one.reason.clone(),
        });
        Ok(AgentReport {
            chain: stored.chain,
            started_at: self.started_at,
            kill_switch: stored.kill_switch.is_some(),
            dry_run: stored.dry_run.unwrap_or(self.config.dry_run),
            healing_tier: stored.tier.as_deref().and_then(tier),
            rules_loaded: policy.rules.len().try_into().unwrap_or(u32::MAX),
            quarantined: quarantined.collect(),
            outbox_pending: stored.depth.pending,
            outbox_rejected: stored.depth.rejected,
        })
    }
}

fn tier(name: &str) -> Option<HealingTier> {
    serde_json::from_value(name.into()).ok()
}
