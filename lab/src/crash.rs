//! Crash rounds: something drifts, the agent is started and killed at a random moment, again and again. Now and then
//! Central Command is killed too.
//!
//! A round does not wait for its drift: the next start of the agent goes on with what the last one left behind, as it
//! does after a power cut. When every part of the clinic has drifted once, or the rounds are over, everything must come
//! out right: each drift mended exactly once by the servers' own ledgers, one incident each, resolved; the chain whole;
//! each bundle at Central Command, once.
//!
//! An intent that was left open holds its part of a check back until the phase that may still run has passed its
//! time: minutes. The rule is kept, and the time is rehearsed: the clocks of agent and Central Command jump.

mod milestone;
mod moment;

use crate::Progress;
use crate::clinic::Clinic;
use crate::drift::Drift;
use crate::peace::{self, Ahead, Moving, now};
use crate::random::{self, Random};
use crate::watch::{self, Known};
use anyhow::{Context, bail, ensure};
use jiff::SignedDuration;
use milestone::{Stretch, Tail, Usual};
pub use moment::Moment;
use std::collections::BTreeMap;
use std::time::Duration;

/// More domain controllers, so that enough parts can drift before the first may drift again.
const MORE_CONTROLLERS: u8 = 3;
/// What the agent looks at on each server: services that do not need one another.
const SERVICES: [&str; 9] =
    ["DNS", "NTDS", "Netlogon", "Kdc", "W32Time", "EventLog", "LanmanServer", "Dnscache", "Spooler"];
/// Those that a member server does not have.
const DIRECTORY: [&str; 3] = ["DNS", "NTDS", "Kdc"];
/// Longer than any phase may run and any cooldown lasts.
const JUMP: SignedDuration = SignedDuration::from_mins(11);
/// Central Command is killed in one of so many rounds.
const CENTRAL_DIES: u64 = 7;
/// How long nothing may move.
const PATIENCE: Duration = Duration::from_secs(60);
const LOOK: Duration = Duration::from_millis(40);
/// How closely the agent's log is followed.
const STEP: Duration = Duration::from_millis(1);
/// How long a kill waits at most for the stretch it is aimed at.
const LONGEST: Duration = Duration::from_secs(3);

/// How many rounds, and which.
#[derive(Debug, Clone, Copy)]
pub struct Rounds {
    /// How many.
    pub rounds: u32,
    /// Decides what drifts when, and when it is killed.
    pub seed: u64,
}

/// What the rounds showed.
#[derive(Debug)]
pub struct Summary {
    /// What was asked for.
    pub asked: Rounds,
    /// How often the kill met which moment.
    pub moments: BTreeMap<Moment, u32>,
    /// How often Central Command was killed.
    pub central_killed: u32,
    /// How many heals were found interrupted at a later start.
    pub interrupted: usize,
    /// How many bundles prove it all.
    pub bundles: u64,
    /// How long it took.
    pub took: Duration,
}

impl std::fmt::Display for Summary {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { asked: Rounds { rounds, seed }, central_killed, interrupted, bundles, .. } = self;
        let moments: Vec<_> = self.moments.iter().map(|(moment, times)| format!("{moment} {times}")).collect();
        write!(
            f,
            "{rounds} crash rounds (seed {seed}) in {:.0} s: every drift healed once, {bundles} bundles, chain whole, each at \
             Central Command once. Killed {}; Central Command {central_killed} times; {interrupted} heals found interrupted",
            self.took.as_secs_f64(),
            moments.join(", "),
        )
    }
}

/// A part of a check that can drift, and how often it has.
struct Part {
    /// Which of the servers.
    server: usize,
    host_id: String,
    drift: Drift,
    times: usize,
    /// A cooldown keeps the agent from it until the next jump.
    rests: bool,
}

/// A seed that nobody chose.
///
/// # Errors
/// When the operating system gives no randomness.
pub fn any_seed() -> anyhow::Result<u64> {
    random::any()
}

/// A clinic in which rounds can be run; it is not open yet.
///
/// # Errors
/// When its folder cannot be made.
pub fn clinic(keep: Option<&std::path::Path>) -> anyhow::Result<Clinic> {
    let clinic = Clinic::prepare(keep)?.with_more_controllers(MORE_CONTROLLERS);
    let clinic = clinic.with_settings("baseline_path: baseline.yaml\nhost_check_interval: 3600\n");
    let folder = clinic.path().join("agent");
    std::fs::create_dir_all(&folder).context("making the agent's folder")?;
    let baseline = format!("windows:\n  services: [{}]\n", SERVICES.join(", "));
    std::fs::write(folder.join("baseline.yaml"), baseline).context("writing the baseline")?;
    Ok(clinic)
}

/// Runs the rounds in an open clinic.
///
/// # Errors
/// When something did not come out right; the words say what, and the seed.
pub async fn run(clinic: &mut Clinic, asked: Rounds, progress: Progress) -> anyhow::Result<Summary> {
    let done = Crashes::new(clinic, asked, progress).run().await;
    done.with_context(|| format!("crash rounds with seed {}", asked.seed))
}

struct Crashes<'a> {
    clinic: &'a mut Clinic,
    asked: Rounds,
    progress: Progress,
    random: Random,
    parts: Vec<Part>,
    met: BTreeMap<Moment, u32>,
    central_killed: u32,
    ahead: Ahead,
    /// How long each stretch of the way takes.
    usual: Usual,
}

impl<'a> Crashes<'a> {
    fn new(clinic: &'a mut Clinic, asked: Rounds, progress: Progress) -> Self {
        let mut parts = Vec::new();
        for (server, one) in clinic.servers().enumerate() {
            let member = clinic.member.as_ref().is_some_and(|member| member.hostname == one.hostname);
            let services = SERVICES.into_iter().filter(|name| !(member && DIRECTORY.contains(name)));
            let drifts = services.map(Drift::ServiceStopped).chain([Drift::FirewallProfileOff("Public")]);
            let host_id = one.winrm.ip().to_string();
            parts.extend(drifts.map(|drift| Part { server, host_id: host_id.clone(), drift, times: 0, rests: false }));
        }
        Self {
            clinic,
            asked,
            progress,
            random: Random::of(asked.seed),
            parts,
            met: BTreeMap::new(),
            central_killed: 0,
            ahead: Ahead::default(),
            usual: Usual::of(&[]),
        }
    }

    async fn run(mut self) -> anyhow::Result<Summary> {
        let began = now();
        self.progress.say(&format!("{} crash rounds, seed {}", self.asked.rounds, self.asked.seed));
        self.settled().await?;
        self.warm_up().await?;
        let mut left = self.asked.rounds;
        while left > 0 {
            let mut order: Vec<usize> = (0..self.parts.len()).filter(|part| !self.parts[*part].rests).collect();
            self.random.shuffle(&mut order);
            for part in order.into_iter().take(left as usize) {
                self.round(part).await?;
                left -= 1;
            }
            self.clinic.start_agent()?;
            self.settled().await?;
            self.jump().await?;
            self.check().await?;
            self.progress.say(&format!("{left} rounds to go; killed so far: {:?}", self.met));
        }
        let verified = watch::verify(self.clinic).await?;
        Ok(Summary {
            asked: self.asked,
            interrupted: self.clinic.agent_log().matches("a heal was interrupted by a restart").count(),
            moments: self.met,
            central_killed: self.central_killed,
            bundles: verified.count,
            took: began.elapsed(),
        })
    }

    /// How long things take here: one heal without a crash.
    async fn warm_up(&mut self) -> anyhow::Result<()> {
        self.clinic.kill_agent().await;
        self.inject(0).await?;
        let mut log = Tail::of(&self.clinic.path().join("logs/agent.log"));
        let began = now();
        self.clinic.start_agent()?;
        let mut lines = Vec::new();
        while lines.len() < 4 {
            ensure!(began.elapsed() < PATIENCE, "the first heal took longer than {PATIENCE:?}");
            tokio::time::sleep(STEP).await;
            lines.resize(log.lines(), began.elapsed());
        }
        self.usual = Usual::of(&lines);
        self.progress.say(&format!("without a crash, start, detect, decide, heal and deliver take: {:?}", self.usual));
        self.settled().await
    }

    async fn inject(&mut self, part: usize) -> anyhow::Result<()> {
        let part = &mut self.parts[part];
        let server = self.clinic.servers().nth(part.server).context("the server is not running")?;
        server.inject(part.drift).await?;
        part.times += 1;
        part.rests = true;
        Ok(())
    }

    /// One drift, one start, one kill.
    async fn round(&mut self, part: usize) -> anyhow::Result<()> {
        self.clinic.kill_agent().await;
        let before = self.moments().await?;
        self.inject(part).await?;
        let stretch = Stretch::any(&mut self.random);
        let mut delay = self.usual.within(stretch, &mut self.random);
        let central_dies = self.random.below(CENTRAL_DIES) == 0;
        let mut log = Tail::of(&self.clinic.path().join("logs/agent.log"));
        self.clinic.start_agent()?;
        let began = now();
        // There may be nothing to heal: what there is has an open intent, and is left alone.
        while !log.reached(stretch) && began.elapsed() < LONGEST {
            tokio::time::sleep(STEP).await;
        }
        if central_dies {
            let first = Duration::from_micros(self.random.below(u64::try_from(delay.as_micros())?));
            tokio::time::sleep(first).await;
            self.clinic.kill_central().await;
            self.central_killed += 1;
            delay -= first;
        }
        tokio::time::sleep(delay).await;
        self.clinic.kill_agent().await;
        let after = self.moments().await?;
        let new = before.into_iter().zip(&after).filter(|(before, after)| before < after).map(|(_, after)| *after);
        // The part in the middle of its heal tells more than one that has just been seen, or is done with.
        let most = new.max_by_key(|moment| (*moment == Moment::InHeal, *moment));
        *self.met.entry(most.unwrap_or(Moment::Unseen)).or_default() += 1;
        if central_dies {
            self.clinic.start_central().await?;
        }
        Ok(())
    }

    /// How far the agent has come with each part.
    async fn moments(&self) -> anyhow::Result<Vec<Moment>> {
        let known = watch::incidents(self.clinic).await?;
        Ok(self.parts.iter().map(|part| part.moment(&known)).collect())
    }

    /// Waits until the agent has dealt with everything that it may deal with now, and everything has arrived.
    async fn settled(&mut self) -> anyhow::Result<()> {
        self.all_have_come(Moment::InHeal).await
    }

    /// Waits until the agent has come so far with every drift, and everything has arrived. Patience ends when nothing
    /// has moved for long: how fast things move is the machine's affair.
    async fn all_have_come(&mut self, least: Moment) -> anyhow::Result<()> {
        let mut moving = Moving::begin();
        loop {
            // At its first start the agent has no state that could be asked.
            let known = watch::incidents(self.clinic).await.ok();
            let late: Vec<_> = match &known {
                Some(known) => self.parts.iter().filter(|part| part.times > 0 && part.moment(known) < least).collect(),
                None => self.parts.iter().collect(),
            };
            let outbox = known.as_ref().map(|known| (known.outbox.pending, known.outbox.rejected));
            let looked_at = known.iter().flat_map(|known| &known.incidents).any(|one| one.state == "escalated");
            if late.is_empty() && looked_at && outbox.is_some_and(|(pending, _)| pending == 0) {
                ensure!(outbox == Some((0, 0)), "Central Command refused reports: {outbox:?}");
                return Ok(());
            }
            if moving.still_for((late.len(), outbox)) > PATIENCE {
                let late: Vec<_> =
                    late.iter().map(|part| format!("{} on {}", part.drift.words(), part.host_id)).collect();
                bail!("nothing has moved for {PATIENCE:?}: late are {late:?}, owed (and refused) are {outbox:?}");
            }
            if let Some(dead) = self.clinic.dead() {
                bail!(dead);
            }
            tokio::time::sleep(LOOK).await;
        }
    }

    /// So much time passes that whatever may still have run on a server has ended, and is healed; then so much more
    /// that what was healed is not left alone any more.
    async fn jump(&mut self) -> anyhow::Result<()> {
        for _ in 0..2 {
            self.ahead.jump(self.clinic, JUMP).await?;
            self.all_have_come(Moment::Owed).await?;
        }
        self.parts.iter_mut().for_each(|part| part.rests = false);
        Ok(())
    }

    /// Everything has come out right.
    async fn check(&mut self) -> anyhow::Result<()> {
        let known = loop {
            if let Some(known) = peace::stand_still(self.clinic).await? {
                break known;
            }
            self.settled().await?;
        };
        for (number, server) in self.clinic.servers().enumerate() {
            let ledger = server.ledger().await?;
            for part in self.parts.iter().filter(|part| part.server == number) {
                let name = format!("{}: {}", server.hostname, part.drift.words());
                let mended = ledger.iter().filter(|change| part.drift.is_about(change)).count();
                ensure!(mended == part.times, "{name} {} times and was mended {mended} times", part.times);
                let of: Vec<_> = known.all_of(&part.host_id, part.drift).collect();
                ensure!(of.len() == part.times, "{name} {} times, incidents: {of:#?}", part.times);
                let open = of.iter().find(|one| one.state != "resolved" || one.outcome.as_deref() != Some("fixed"));
                ensure!(open.is_none(), "{name}: {open:#?}");
            }
        }
        let (_, wrong) = peace::account(self.clinic, &known).await?;
        ensure!(wrong.is_empty(), "{wrong:#?}");
        Ok(())
    }
}

impl Part {
    fn moment(&self, known: &Known) -> Moment {
        Moment::of(known, &self.host_id, self.drift, self.times)
    }
}
