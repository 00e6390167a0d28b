//! Wires the parts: the only file that knows every one of them.
//!
//! One loop a concern (the appliance's checks, each Windows server, check-in, rule sync, outbox, roll-up):
//! a slow or dead one never holds up the others. All end when the token is cancelled.

pub mod by_hand;
mod connection;
mod contact;
mod fleet;
pub mod generations;
mod hints;
mod identity;
mod lanes;
mod orders;
mod pace;
pub mod policy;
pub mod round;
mod sensors;
pub mod status;
mod supervisor;
mod textfile;
pub mod vigil;

use crate::act::appliance::Appliance;
use crate::adapters::executor::Executor;
use crate::adapters::inherited::Inherited;
use crate::causes::chain;
use crate::clock::Clock;
use crate::config::Config;
use crate::config::exposed::is_exposed;
use crate::guard;
use crate::prove::chain::Signer;
use crate::report::checkin;
use crate::report::client::Central;
use crate::report::drain::Drain;
use crate::report::sync;
use crate::sense::host::{self, Machine};
use crate::sense::own;
use crate::store::server_keys::ServerKeys;
use crate::store::{Store, facts, not_stored};
use anyhow::Context;
use jiff::Timestamp;
use jiff::tz::TimeZone;
use lanes::Lanes;
use msp_contracts::api::WindowsTarget;
use msp_contracts::evidence::Target;
use msp_contracts::keys::{self, SigningKey, VerifyingKey};
use pace::Pace;
use policy::Policy;
use sensors::Sensors;
use std::os::unix::fs::PermissionsExt;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use vigil::Vigil;
use zeroize::Zeroizing;

/// How long one check of the appliance may take.
pub const HOST_CHECK_LIMIT: Duration = Duration::from_secs(30);

const HOUR: Duration = Duration::from_secs(3600);

/// Everything the loops share.
pub struct Agent {
    pub config: Config,
    pub clock: Arc<dyn Clock>,
    pub store: Store,
    pub signer: Arc<Signer>,
    /// The key of Central Command that the configuration names.
    pub configured_key: VerifyingKey,
    /// The keys of Central Command that are believed; replaced when an order rotates them.
    pub server_keys: watch::Sender<Arc<ServerKeys>>,
    /// The key that signs the evidence, in hexadecimal.
    pub public_key: String,
    /// What the configuration allows the guard to allow.
    pub guard: Arc<guard::Policy>,
    /// The appliance itself, as findings and evidence name it.
    pub appliance: Target,
    /// The rules and the baseline in force; replaced when rules change.
    pub policy: watch::Sender<Arc<Policy>>,
    /// The practice's servers; replaced when the inventory changes.
    pub inventory: watch::Sender<Vec<WindowsTarget>>,
    /// Changes when something was added to the outbox.
    pub owed: watch::Sender<()>,
    /// Changes when Central Command answers again after it did not.
    pub back: watch::Sender<()>,
    /// Changes when machines are to be looked at at once: an order waits for one of them.
    pub look: watch::Sender<()>,
    /// Changes when Central Command is to be asked at once.
    pub contact: watch::Sender<()>,
    /// Whether the last check-in succeeded.
    pub reached: AtomicBool,
    /// The word that a switch of generations waits for.
    pub word: generations::Word,
    /// The check-in that the word waits for.
    pub nudge: generations::Word,
    /// The watch over the loops.
    pub vigil: Arc<Vigil>,
    pub started_at: Timestamp,
    /// True once a check-in has succeeded since the start: Central Command knows this agent's key then.
    pub known: watch::Sender<bool>,
    /// The sensor listener, and what sensors asked for.
    sensors: Sensors,
    /// How many servers are worked on at the same time.
    lanes: Lanes,
}

impl Agent {
    /// Opens the state and reads keys, rules and baseline.
    ///
    /// # Errors
    /// When any of it is missing or damaged: the message names the file and the cure.
    pub async fn open(config: Config, clock: Arc<dyn Clock>, appliance: Target) -> anyhow::Result<Self> {
        let key = signing_key(&config)?;
        let configured_key = keys::public_from_hex(&config.mcp_public_key).context("mcp_public_key")?;
        let store = Store::open_or_set_aside(&config.state_dir, clock.now())?;
        let (envelope, targets, server_keys) = store
            .write(move |db| {
                Ok((facts::get(db, facts::RULES)?, checkin::inventory(db)?, ServerKeys::of(db, configured_key)?))
            })
            .await?;
        if let Err(error) = sync::lay_out(&config.state_dir, envelope.as_deref(), &server_keys.ever) {
            tracing::error!(error = %chain(&error), "the stored rule set is not used; the built-in rules are");
            if let Err(error) = sync::lay_out(&config.state_dir, None, &[]) {
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
            started_at: clock.now(),
            vigil: Vigil::new(Arc::clone(&clock)),
            clock,
            store,
            public_key: keys::public_to_hex(&signer.key.verifying_key()),
            signer: Arc::new(signer),
            configured_key,
            server_keys: watch::Sender::new(Arc::new(server_keys)),
            guard: Arc::new(guard::Policy::of(&config)),
            appliance,
            policy: watch::Sender::new(policy),
            inventory: watch::Sender::new(targets),
            owed: watch::Sender::new(()),
            back: watch::Sender::new(()),
            look: watch::Sender::new(()),
            contact: watch::Sender::new(()),
            reached: AtomicBool::new(false),
            known: watch::Sender::new(false),
            word: generations::Word::default(),
            nudge: generations::Word::default(),
            sensors: Sensors::default(),
            lanes: Lanes::new(),
            config,
        })
    }

    /// Runs every loop until `stop`; `inherited` are the sockets that the service manager handed over.
    ///
    /// # Errors
    /// When the connection to Central Command cannot even be prepared.
    pub async fn run(
        self: Arc<Self>,
        machine: Arc<Machine>,
        inherited: Inherited,
        stop: CancellationToken,
    ) -> anyhow::Result<()> {
        let central = Central::new(&self.config)?;
        let drain = Drain {
            central: central.clone(),
            store: self.store.clone(),
            server_keys: self.server_keys.subscribe(),
            added: self.owed.subscribe(),
            back: self.back.subscribe(),
            clock: Arc::clone(&self.clock),
        };
        // Before the first round, which tells whether the listener is closed.
        let listening = self.open_sensors(inherited).await;
        let mut loops = JoinSet::new();
        loops.spawn(Arc::clone(&self).deliver(drain, stop.clone()));
        loops.spawn(Arc::clone(&self).check_in(central.clone(), Arc::clone(&machine), stop.clone()));
        loops.spawn(Arc::clone(&self).sync_rules(central.clone(), stop.clone()));
        loops.spawn(Arc::clone(&self).follow_orders(central.clone(), stop.clone()));
        loops.spawn(identity::keep_alive(Arc::clone(&self), central, stop.clone()));
        loops.spawn(Arc::clone(&self).watch_appliance(machine, stop.clone()));
        loops.spawn(fleet::watch_servers(Arc::clone(&self), stop.clone()));
        loops.spawn(Arc::clone(&self).roll_up(stop.clone()));
        loops.spawn(supervisor::supervise(Arc::clone(&self), stop.clone()));
        loops.spawn(self.store.clone().damaged());
        if let Some(listening) = listening {
            loops.spawn(listening.serve(Arc::clone(&self), stop.clone()));
        }
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

    async fn watch_appliance(self: Arc<Self>, machine: Arc<Machine>, stop: CancellationToken) {
        let every = Duration::from_secs(self.config.host_check_interval);
        let pace = Pace::new(self.vigil.watch("appliance", HOST_CHECK_LIMIT), every, self.look.subscribe());
        let mut pace = pace.with_hints(self.sensors.hints.of(&self.appliance.host_id));
        let threads = host::Threads::default();
        // Some checks are heavy (a package manager asks its whole index): a restart does not make them early.
        let first =
            if generations::goes_on(&machine) { Duration::ZERO } else { self.until_next_appliance_round(every).await };
        if !pace.due_in(first, &stop).await {
            return;
        }
        loop {
            // Every check ends in time; then each is followed, which takes a few writes.
            let policy = Arc::clone(&self.policy.borrow());
            pace.working(round::LOOKING_BACK);
            let began = self.clock.now();
            let ordered = self.ordered_switch().await;
            let appliance = Arc::new(Appliance {
                machine: Arc::clone(&machine),
                executor: Executor::own(),
                desired: policy.baseline.appliance.clone(),
                state_dir: self.config.state_dir.clone(),
                catalogue: Arc::clone(&policy.catalogue),
                contact: self.reached.load(Relaxed),
                ordered,
            });
            self.reconcile(appliance.as_ref(), &self.appliance.host_id).await;
            // A machine in the middle of a switch says nothing about itself that would last.
            if generations::goes_on(&machine) {
                self.confirm_switch(&machine, None).await;
                if !pace.wait(generations::LOOK_AGAIN, &stop).await {
                    return;
                }
                continue;
            }
            pace.working((HOST_CHECK_LIMIT * 2).saturating_add(policy.longest_heal_here()));
            let mut running = JoinSet::new();
            let ordered = appliance.ordered.as_ref().map(|ordered| &ordered.store_path);
            let checks = host::all_of_daemon(&machine, &appliance.desired, ordered, &self.config.state_dir);
            for check in checks.into_iter().filter(|one| pace.only().is_none_or(|only| only.contains(&one.kind()))) {
                let (agent, stop, threads) = (Arc::clone(&self), stop.clone(), threads.clone());
                let appliance = Arc::clone(&appliance);
                running.spawn(async move {
                    let observation = tokio::select! {
                        () = stop.cancelled() => return,
                        observation = threads.observe_within(check, HOST_CHECK_LIMIT) => observation,
                    };
                    agent.follow_logged(Some(appliance.as_ref()), &agent.appliance, observation).await;
                });
            }
            while running.join_next().await.is_some() {}
            if pace.only().is_none() {
                self.watch_itself().await;
                let done =
                    self.store.write(move |db| facts::set(db, facts::APPLIANCE_CHECKED, &began.to_string())).await;
                if let Err(error) = done {
                    not_stored(&error, "when the appliance was checked is not stored");
                }
            }
            self.looked(&self.appliance, began, pace.only()).await;
            let begun = generations::goes_on(&machine);
            if !(if begun { pace.wait(generations::LOOK_AGAIN, &stop).await } else { pace.next(&stop).await }) {
                return;
            }
        }
    }

    /// How long it is to the appliance's next round of checks: nothing when the last one is long ago, never was, or was
    /// made by a clock that was ahead.
    async fn until_next_appliance_round(&self, every: Duration) -> Duration {
        let last = self.store.write(|db| facts::time(db, facts::APPLIANCE_CHECKED)).await.ok().flatten();
        let ago = last.and_then(|last| Duration::try_from(self.clock.now().duration_since(last)).ok());
        ago.map_or(Duration::ZERO, |ago| every.saturating_sub(ago))
    }

    /// What the agent's own state says: whether its clock and Central Command's word can be trusted.
    async fn watch_itself(&self) {
        let now = self.clock.now();
        match self.store.write(move |db| own::observe(db, now)).await {
            Ok(observations) => {
                for observation in observations {
                    self.follow_logged(None, &self.appliance, observation).await;
                }
            }
            Err(error) => tracing::error!(error = %chain(&error), "the agent's own checks cannot be made"),
        }
    }

    async fn roll_up(self: Arc<Self>, stop: CancellationToken) {
        // Nothing wakes it: what stayed compliant is told by the hour.
        let mut pace = Pace::new(self.vigil.watch("roll-up", HOUR), HOUR, watch::Sender::new(()).subscribe());
        while pace.wait(until_next_hour(self.clock.as_ref()), &stop).await {
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
    let data = std::fs::metadata(file).with_context(|| file.display().to_string())?;
    anyhow::ensure!(
        !is_exposed(file, &data),
        "{}: other users can read it (mode {:04o}): chmod 600 it",
        file.display(),
        data.permissions().mode() & 0o777
    );
    keys::private_from_pem(&pem).with_context(|| file.display().to_string())
}

/// How long it is to the next full hour of the wall clock.
fn until_next_hour(clock: &dyn Clock) -> Duration {
    let now = clock.now().to_zoned(TimeZone::UTC);
    let gone = Duration::from_secs(now.minute().unsigned_abs().into()) * 60
        + Duration::from_secs(now.second().unsigned_abs().into());
    Duration::from_secs(3600).saturating_sub(gone).max(Duration::from_secs(1))
}
