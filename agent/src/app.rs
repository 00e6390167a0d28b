//! Wires the parts: the only file that knows every one of them.
//!
//! One loop a concern (the appliance's checks, each Windows server, check-in, rule sync, outbox, roll-up):
//! a slow or dead one never holds up the others. All end when the token is cancelled.

mod connection;
mod fleet;
pub mod policy;
pub mod round;

use crate::causes::chain;
use crate::clock::Clock;
use crate::config::Config;
use crate::guard;
use crate::prove::chain::Signer;
use crate::report::checkin::{self, CheckinError};
use crate::report::client::Central;
use crate::report::drain::Drain;
use crate::report::sync::{self, SyncError};
use crate::sense::host::{self, Machine};
use crate::store::{Store, facts, not_stored};
use anyhow::Context;
use jiff::tz::TimeZone;
use msp_contracts::api::WindowsTarget;
use msp_contracts::evidence::Target;
use msp_contracts::keys::{self, SigningKey, VerifyingKey};
use policy::Policy;
use std::os::unix::fs::PermissionsExt;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use zeroize::Zeroizing;

/// How long one check of the appliance may take.
pub const HOST_CHECK_LIMIT: Duration = Duration::from_secs(30);

/// Everything the loops share.
pub struct Agent {
    pub config: Config,
    pub clock: Arc<dyn Clock>,
    pub store: Store,
    pub signer: Arc<Signer>,
    pub server_keys: Vec<VerifyingKey>,
    /// The appliance itself, as findings and evidence name it.
    pub appliance: Target,
    /// The rules and the baseline in force; replaced when rules change.
    pub policy: watch::Sender<Arc<Policy>>,
    /// The practice's servers; replaced when the inventory changes.
    pub inventory: watch::Sender<Vec<WindowsTarget>>,
    /// Changes when something was added to the outbox.
    pub owed: watch::Sender<()>,
    /// True once a check-in has succeeded since the start: Central Command knows this agent's key then.
    pub known: watch::Sender<bool>,
}

impl Agent {
    /// What the configuration allows the guard to allow.
    pub fn guard_policy(&self) -> guard::Policy {
        guard::Policy { healing_enabled: self.config.healing_enabled, dry_run: self.config.dry_run }
    }

    /// Opens the state and reads keys, rules and baseline.
    ///
    /// # Errors
    /// When any of it is missing or damaged: the message names the file and the cure.
    pub async fn open(config: Config, clock: Arc<dyn Clock>, appliance: Target) -> anyhow::Result<Self> {
        let key = signing_key(&config)?;
        let server_keys = vec![keys::public_from_hex(&config.mcp_public_key).context("mcp_public_key")?];
        let store = Store::open_or_set_aside(&config.state_dir, clock.now())?;
        let (envelope, targets) =
            store.write(|db| Ok((facts::get(db, facts::RULES)?, checkin::inventory(db)?))).await?;
        if let Err(error) = sync::lay_out(&config.state_dir, envelope.as_deref(), &server_keys) {
            tracing::error!(error = %chain(&error), "the stored rule set is not used; the built-in rules are");
            if let Err(error) = sync::lay_out(&config.state_dir, None, &server_keys) {
                tracing::error!(error = %chain(&error), "the folder of the synced rules could not be emptied");
            }
        }
        let policy = Arc::new(Policy::load(&config)?);
        let signer = Signer {
            key,
            site_id: config.site_id.clone(),
            host_id: config.host_id.clone(),
            deployment_mode: config.deployment_mode,
        };
        Ok(Self {
            clock,
            store,
            signer: Arc::new(signer),
            server_keys,
            appliance,
            policy: watch::Sender::new(policy),
            inventory: watch::Sender::new(targets),
            owed: watch::Sender::new(()),
            known: watch::Sender::new(false),
            config,
        })
    }

    /// Runs every loop until `stop`.
    ///
    /// # Errors
    /// When the connection to Central Command cannot even be prepared.
    pub async fn run(self: Arc<Self>, machine: Arc<Machine>, stop: CancellationToken) -> anyhow::Result<()> {
        let central = Central::new(&self.config)?;
        let drain = Drain {
            central: central.clone(),
            store: self.store.clone(),
            server_keys: self.server_keys.clone(),
            added: self.owed.subscribe(),
            clock: Arc::clone(&self.clock),
        };
        let mut loops = JoinSet::new();
        loops.spawn(Arc::clone(&self).deliver(drain, stop.clone()));
        loops.spawn(Arc::clone(&self).check_in(central.clone(), stop.clone()));
        loops.spawn(Arc::clone(&self).sync_rules(central, stop.clone()));
        loops.spawn(Arc::clone(&self).watch_appliance(machine, stop.clone()));
        loops.spawn(fleet::watch_servers(Arc::clone(&self), stop.clone()));
        loops.spawn(Arc::clone(&self).roll_up(stop.clone()));
        loops.spawn(self.store.clone().damaged());
        while let Some(ended) = loops.join_next().await {
            if stop.is_cancelled() {
                continue;
            }
            if let Some(damage) = self.store.damage() {
                stop.cancel();
                return Err(damage.into());
            }
            // A daemon with a dead loop looks alive and is not: the service manager starts it anew.
            stop.cancel();
            return match ended {
                Ok(()) => Err(anyhow::anyhow!("a loop of the agent ended early")),
                Err(error) => Err(error).context("a loop of the agent ended early"),
            };
        }
        Ok(())
    }

    /// Delivers what is owed, from the first check-in on: it is the check-in that tells Central Command the key
    /// which signs the evidence, and a report that comes before it would be refused for good.
    async fn deliver(self: Arc<Self>, drain: Drain, stop: CancellationToken) {
        let mut known = self.known.subscribe();
        let first = tokio::select! {
            () = stop.cancelled() => return,
            first = known.wait_for(|known| *known) => first.is_ok(),
        };
        if first {
            drain.run(stop).await;
        }
    }

    fn poll(&self) -> Duration {
        Duration::from_secs(self.config.poll_interval)
    }

    async fn check_in(self: Arc<Self>, central: Central, stop: CancellationToken) {
        let public_key = keys::public_to_hex(&self.signer.key.verifying_key());
        let mut reached = false;
        loop {
            let once = checkin::check_in(
                &central,
                &self.config,
                &public_key,
                &self.server_keys,
                &self.store,
                self.clock.as_ref(),
            );
            match once.await {
                Ok(changed) => {
                    if !reached {
                        tracing::info!(url = %self.config.mcp_url, "checked in with Central Command");
                    }
                    reached = true;
                    self.known.send_replace(true);
                    if let Some(targets) = changed {
                        tracing::info!(servers = targets.len(), "the inventory of Windows servers changed");
                        self.inventory.send_replace(targets);
                    }
                }
                Err(CheckinError::Store(error)) => not_stored(&error, "what the check-in brought is not stored"),
                Err(error) => {
                    reached = false;
                    tracing::warn!(error = %chain(&error), "check-in failed; work goes on with what is known");
                }
            }
            if !waited(self.clock.real(self.poll()), &stop).await {
                return;
            }
        }
    }

    async fn sync_rules(self: Arc<Self>, central: Central, stop: CancellationToken) {
        // Rules that are stored and not in force yet: kept until they are, whatever goes wrong in between.
        let mut stale = false;
        loop {
            match sync::sync(&central, &self.config, &self.server_keys, &self.store, self.clock.as_ref()).await {
                Ok(changed) => stale |= changed,
                Err(SyncError::Store(error)) => not_stored(&error, "the synced rules are not stored"),
                Err(error) => tracing::warn!(error = %chain(&error), "rule sync failed; the rules stay as they are"),
            }
            if stale {
                match self.reload_rules().await {
                    Ok(()) => stale = false,
                    Err(error) => tracing::error!(error = %format!("{error:#}"), "the new rules could not be loaded"),
                }
            }
            if !waited(self.clock.real(self.poll()), &stop).await {
                return;
            }
        }
    }

    async fn reload_rules(&self) -> anyhow::Result<()> {
        let envelope = self.store.write(|db| facts::get(db, facts::RULES)).await?;
        sync::lay_out(&self.config.state_dir, envelope.as_deref(), &self.server_keys)?;
        self.policy.send_replace(Arc::new(Policy::load(&self.config)?));
        Ok(())
    }

    async fn watch_appliance(self: Arc<Self>, machine: Arc<Machine>, stop: CancellationToken) {
        let every = Duration::from_secs(self.config.host_check_interval);
        let threads = host::Threads::default();
        loop {
            let policy = Arc::clone(&self.policy.borrow());
            let mut running = JoinSet::new();
            for check in host::all_of_daemon(&machine, &policy.baseline.appliance, &self.config.state_dir) {
                let (agent, stop, threads) = (Arc::clone(&self), stop.clone(), threads.clone());
                running.spawn(async move {
                    let observation = tokio::select! {
                        () = stop.cancelled() => return,
                        observation = threads.observe_within(check, HOST_CHECK_LIMIT) => observation,
                    };
                    agent.follow_logged(None, &agent.appliance, observation).await;
                });
            }
            while running.join_next().await.is_some() {}
            if !waited(self.clock.real(every), &stop).await {
                return;
            }
        }
    }

    async fn roll_up(self: Arc<Self>, stop: CancellationToken) {
        while waited(self.clock.real(until_next_hour(self.clock.as_ref())), &stop).await {
            let agent = Arc::clone(&self);
            let done = self.record(move |recorder| recorder.rolled_up(&agent.appliance)).await;
            if let Err(error) = done {
                not_stored(&error, "the hourly roll-up could not be stored");
            }
        }
    }
}

/// The key that signs this appliance's evidence.
///
/// # Errors
/// When its file cannot be read, others can read it too, or it is no key.
pub fn signing_key(config: &Config) -> anyhow::Result<SigningKey> {
    let file = &config.signing_key_file;
    let pem = std::fs::read_to_string(file)
        .map(Zeroizing::new)
        .with_context(|| format!("{}: cannot be read: make a key with `msp-agent keygen --out {0}`", file.display()))?;
    let mode = std::fs::metadata(file).with_context(|| file.display().to_string())?.permissions().mode();
    anyhow::ensure!(
        mode & 0o077 == 0,
        "{}: other users can read it (mode {:04o}): chmod 600 it",
        file.display(),
        mode & 0o777
    );
    keys::private_from_pem(&pem).with_context(|| file.display().to_string())
}

/// Waits; false when the agent is to stop.
async fn waited(time: Duration, stop: &CancellationToken) -> bool {
    tokio::select! {
        () = stop.cancelled() => false,
        () = tokio::time::sleep(time) => true,
    }
}

/// How long it is to the next full hour of the wall clock.
fn until_next_hour(clock: &dyn Clock) -> Duration {
    let now = clock.now().to_zoned(TimeZone::UTC);
    let gone = Duration::from_secs(now.minute().unsigned_abs().into()) * 60
        + Duration::from_secs(now.second().unsigned_abs().into());
    Duration::from_secs(3600).saturating_sub(gone).max(Duration::from_secs(1))
}
