//! Chaos: for some minutes things drift, connections break, servers hang or answer late, and agent and Central Command are
//! killed, all at random. Afterwards the clinic is left in peace, and everything must have come out right: every drift
//! healed or with a person, nothing healed twice by the servers' own ledgers, the chain whole, each bundle at Central
//! Command once.
//!
//! What a kill or a broken connection left in the middle holds its part of a check back until the runbook's time is over:
//! an hour and more. The rule is kept, and the time is rehearsed: the clocks of agent and Central Command jump.

use crate::Progress;
use crate::cases::healers;
use crate::clinic::Clinic;
use crate::drift::Drift;
use crate::peace::{self, Ahead, Moving, now};
use crate::random::Random;
use crate::site;
use crate::watch::{self, Known};
use anyhow::{Context, bail, ensure};
use jiff::SignedDuration;
use serde::Serialize;
use serde_json::json;
use std::io::Write;
use std::path::Path;
use std::process::ExitCode;
use std::time::Duration;

/// Longer than the slowest runbook may run, and than any cooldown lasts.
const JUMP: SignedDuration = SignedDuration::from_hours(5);
/// So many jumps at most until nothing is open any more.
const JUMPS: u32 = 4;
/// The longest pause between two things that happen.
const PAUSE_MS: u64 = 3000;
/// How long nothing may move when the clinic is left in peace.
const PATIENCE: Duration = Duration::from_secs(60);
const LOOK: Duration = Duration::from_millis(200);

/// What can drift where.
const PARTS: [(&str, Drift); 21] = [
    ("FS01", Drift::FirewallProfileOff("Public")),
    ("FS01", Drift::ServiceStopped("W32Time")),
    ("FS01", Drift::RealTimeProtectionOff),
    ("FS01", Drift::LogonsNotAudited),
    ("FS01", Drift::BackupOld),
    ("FS01", Drift::BitLockerSuspended),
    ("FS01", Drift::UpdateMissing),
    ("DC01", Drift::FirewallProfileOff("Domain")),
    ("DC01", Drift::ServiceStopped("DNS")),
    ("DC01", Drift::ServiceStopped("Kdc")),
    ("DC01", Drift::RealTimeProtectionOff),
    ("DC01", Drift::LogonsNotAudited),
    ("DC01", Drift::BackupOld),
    ("DC01", Drift::ReplicationFailing),
    ("CORE01", Drift::ServiceStopped("W32Time")),
    ("CORE01", Drift::LogonsNotAudited),
    ("CORE01", Drift::UpdateMissing),
    ("WS01", Drift::RealTimeProtectionOff),
    ("WS01", Drift::LogonsNotAudited),
    ("WS01", Drift::BitLockerSuspended),
    ("WS01", Drift::FirewallProfileOff("Private")),
];
const SERVERS: [&str; 4] = ["FS01", "DC01", "CORE01", "WS01"];
const MESSAGES: [&str; 6] = ["create", "command", "receive", "send", "signal", "delete"];

/// What chaos showed.
#[derive(Debug, Serialize)]
pub struct Summary {
    /// Whether everything came out right.
    pub ok: bool,
    /// Brings the same things about in the same order, as far as time allows.
    pub seed: u64,
    /// How long it lasted, without the peace afterwards.
    pub minutes: f64,
    /// What happened.
    pub happened: Happened,
    /// Parts that are healed at the end.
    pub healed: usize,
    /// Parts that a person has at the end.
    pub escalated: usize,
    /// Parts that scripts changed more often than they drifted.
    pub healed_twice: usize,
    /// How many bundles there are, and whether their chain is whole.
    pub evidence: Evidence,
    /// What is still owed.
    pub pending: u64,
    /// What did not come out right.
    pub failures: Vec<String>,
}

/// The proof at the end.
#[derive(Debug, Default, Serialize)]
pub struct Evidence {
    count: u64,
    chain_ok: bool,
}

/// How often what happened.
#[derive(Debug, Default, Serialize)]
pub struct Happened {
    drifts: usize,
    connections_broken: usize,
    servers_hung: usize,
    servers_slow: usize,
    agent_killed: usize,
    central_killed: usize,
}

/// A clinic for chaos; it is not open yet.
///
/// # Errors
/// When its folder cannot be made.
pub fn clinic(keep: Option<&Path>) -> anyhow::Result<Clinic> {
    let clinic = Clinic::prepare(keep)?.with_server("CORE01", "core").with_server("WS01", "workstation");
    let clinic = clinic.with_settings("host_check_interval: 3600\nallow_disruptive_outside_window: true\n");
    clinic.appliance.prepare()?;
    clinic.appliance.write_rules(site::ARMED)?;
    Ok(clinic)
}

/// Something that can drift, and how often it has.
struct Part {
    hostname: &'static str,
    drift: Drift,
    times: usize,
}

struct Chaos<'a> {
    clinic: &'a mut Clinic,
    random: Random,
    progress: Progress,
    parts: Vec<Part>,
    happened: Happened,
    ahead: Ahead,
}

/// Brings chaos into an open clinic for so long.
///
/// # Errors
/// When it cannot go on; what did not come out right stands in the summary.
pub async fn run(clinic: &mut Clinic, lasts: Duration, seed: u64, progress: Progress) -> anyhow::Result<Summary> {
    let parts = PARTS.map(|(hostname, drift)| Part { hostname, drift, times: 0 }).into();
    let (random, happened) = (Random::of(seed), Happened::default());
    let mut chaos = Chaos { clinic, random, progress, parts, happened, ahead: Ahead::default() };
    let done = chaos.run(lasts).await;
    let (healed, escalated, healed_twice, mut failures) = chaos.account().await?;
    if let Err(error) = done {
        failures.push(format!("{error:#}"));
    }
    let known = watch::incidents(chaos.clinic).await?;
    let (verified, wrong) = peace::account(chaos.clinic, &known).await?;
    failures.extend(wrong);
    let pending = known.outbox.pending;
    Ok(Summary {
        ok: failures.is_empty() && pending == 0,
        seed,
        minutes: lasts.as_secs_f64() / 60.0,
        happened: chaos.happened,
        healed,
        escalated,
        healed_twice,
        evidence: Evidence { count: verified.count, chain_ok: verified.ok },
        pending,
        failures,
    })
}

/// Prints the account, as one JSON document or for people. The exit code says whether everything came out right.
///
/// # Errors
/// When standard output cannot be written.
pub fn told(account: &Summary, as_json: bool) -> anyhow::Result<ExitCode> {
    let mut out = std::io::stdout();
    if as_json {
        serde_json::to_writer_pretty(&mut out, account)?;
        writeln!(out)?;
    } else {
        let Summary { seed, minutes, happened, healed, escalated, healed_twice, evidence, pending, .. } = account;
        let chain = if evidence.chain_ok { "whole" } else { "BROKEN" };
        writeln!(
            out,
            "{minutes:.1} minutes of chaos (seed {seed}): {happened:?}\n{healed} parts healed, {escalated} with a person, {healed_twice} \
             healed twice; {} bundles, chain {chain}; {pending} reports wait",
            evidence.count
        )?;
    }
    for failure in &account.failures {
        Progress.say(&format!("FAILED: {failure}"));
    }
    Ok(ExitCode::from(u8::from(!account.ok)))
}

impl Chaos<'_> {
    async fn run(&mut self, lasts: Duration) -> anyhow::Result<()> {
        for hostname in SERVERS {
            self.send(hostname, json!({ "kind": "windows_backup", "job_seconds": 2 })).await?;
        }
        self.looked_at_all().await?;
        let began = now();
        while began.elapsed() < lasts {
            self.something().await?;
            tokio::time::sleep(Duration::from_millis(self.random.below(PAUSE_MS))).await;
        }
        self.progress.say(&format!("the clinic is left in peace: {:?}", self.happened));
        self.peace().await
    }

    fn any<T: Copy>(&mut self, of: &[T]) -> anyhow::Result<T> {
        let place = usize::try_from(self.random.below(of.len() as u64))?;
        of.get(place).copied().context("nothing to choose from")
    }

    async fn send(&self, hostname: &str, request: serde_json::Value) -> anyhow::Result<()> {
        self.clinic.server(hostname).with_context(|| format!("{hostname} is not running"))?.send(&request).await
    }

    /// One thing happens.
    async fn something(&mut self) -> anyhow::Result<()> {
        let hostname = self.any(&SERVERS)?;
        match self.random.below(12) {
            0..=5 => {
                let place = usize::try_from(self.random.below(self.parts.len() as u64))?;
                self.drifts(place).await?;
            }
            6 | 7 => {
                let (message, moment) = (self.any(&MESSAGES)?, self.any(&["before", "after"])?);
                self.happened.connections_broken += 1;
                self.progress.say(&format!("{hostname}: a connection breaks {moment} its {message} is done"));
                let drops = json!({ "kind": "winrm_drops", "message": message, "moment": moment, "times": 1 });
                self.send(hostname, drops).await?;
            }
            8 => {
                self.happened.servers_hung += 1;
                self.progress.say(&format!("{hostname} hangs"));
                self.send(hostname, json!({ "kind": "winrm_hangs", "hangs": true })).await?;
                tokio::time::sleep(Duration::from_millis(2000 + self.random.below(4000))).await;
                self.send(hostname, json!({ "kind": "winrm_hangs", "hangs": false })).await?;
            }
            9 => {
                self.happened.servers_slow += 1;
                let late = self.any(&[0, 50, 300])?;
                self.progress.say(&format!("{hostname} answers {late} ms late"));
                self.send(hostname, json!({ "kind": "winrm_delays", "milliseconds": late })).await?;
            }
            10 => {
                self.happened.agent_killed += 1;
                self.progress.say("the agent is killed");
                self.clinic.kill_agent().await;
                tokio::time::sleep(Duration::from_millis(self.random.below(1000))).await;
                self.clinic.start_agent()?;
            }
            _ => {
                self.happened.central_killed += 1;
                self.progress.say("Central Command is killed");
                self.clinic.kill_central().await;
                tokio::time::sleep(Duration::from_millis(self.random.below(2000))).await;
                self.clinic.start_central().await?;
            }
        }
        Ok(())
    }

    /// A part drifts, unless it has drifted already and nobody has dealt with it.
    async fn drifts(&mut self, place: usize) -> anyhow::Result<()> {
        let known = watch::incidents(self.clinic).await?;
        let Some(part) = self.parts.get_mut(place) else { return Ok(()) };
        let server = self.clinic.server(part.hostname).context("the server is not running")?;
        let of: Vec<_> = known.all_of(&server.winrm.ip().to_string(), part.drift).collect();
        // One incident a drift, over before the next: then each change by a script has a drift of its own.
        if of.len() < part.times || of.iter().any(|one| one.state != "resolved") {
            return Ok(());
        }
        part.times += 1;
        self.happened.drifts += 1;
        self.progress.say(&format!("{}: {}", part.hostname, part.drift.words()));
        server.inject(part.drift).await
    }

    /// Nothing happens any more; the agent may finish, and its clock jumps until nothing is held back.
    async fn peace(&mut self) -> anyhow::Result<()> {
        for hostname in SERVERS {
            for message in MESSAGES {
                let drops = json!({ "kind": "winrm_drops", "message": message, "moment": "before", "times": 0 });
                self.send(hostname, drops).await?;
            }
            self.send(hostname, json!({ "kind": "winrm_delays", "milliseconds": 0 })).await?;
        }
        for _ in 0..JUMPS {
            self.ahead.jump(self.clinic, JUMP).await?;
            while self.settled().await? {
                if peace::stand_still(self.clinic).await?.is_some() {
                    return Ok(());
                }
            }
        }
        bail!("{JUMPS} times {JUMP:#} have passed, and something is still open")
    }

    /// Until every server has been looked at: then each drift makes an incident.
    async fn looked_at_all(&mut self) -> anyhow::Result<()> {
        let began = now();
        loop {
            let config = self.clinic.config();
            let listed =
                crate::process::output("msp-agent", &["evidence", "list", "--json", "--config", &config]).await;
            let listed = listed.map(|(_, printed)| String::from_utf8_lossy(&printed).into_owned()).unwrap_or_default();
            if self.clinic.servers().all(|server| listed.contains(&format!("\"{}\"", server.winrm.ip()))) {
                return Ok(());
            }
            ensure!(began.elapsed() < PATIENCE, "the agent did not look at all servers in {PATIENCE:?}");
            tokio::time::sleep(LOOK).await;
        }
    }

    /// Waits as long as something moves. Whether every drift is dealt with, and everything has arrived.
    async fn settled(&mut self) -> anyhow::Result<bool> {
        let mut moving = Moving::begin();
        loop {
            let known = watch::incidents(self.clinic).await?;
            let open = self.open(&known)?;
            if open.is_empty() && known.outbox.pending == 0 {
                return Ok(true);
            }
            if moving.still_for((open.len(), known.outbox.pending)) > PATIENCE / 3 {
                self.progress.say(&format!("still open: {open:?}; owed: {}", known.outbox.pending));
                return Ok(false);
            }
            if let Some(dead) = self.clinic.dead() {
                bail!(dead);
            }
            tokio::time::sleep(LOOK).await;
        }
    }

    /// The drifts that nobody has dealt with.
    fn open(&self, known: &Known) -> anyhow::Result<Vec<String>> {
        let mut open = Vec::new();
        for part in self.parts.iter().filter(|part| part.times > 0) {
            let server = self.clinic.server(part.hostname).context("the server is not running")?;
            let of: Vec<_> = known.all_of(&server.winrm.ip().to_string(), part.drift).collect();
            if of.len() < part.times || of.iter().any(|one| one.state == "open") {
                open.push(format!("{}: {}", part.hostname, part.drift.words()));
            }
        }
        Ok(open)
    }

    /// How many parts are healed, with a person, and healed too often; and what is wrong with that.
    async fn account(&mut self) -> anyhow::Result<(usize, usize, usize, Vec<String>)> {
        let known = watch::incidents(self.clinic).await?;
        let (mut healed, mut escalated, mut twice, mut failures) = (0, 0, 0, Vec::new());
        for part in self.parts.iter().filter(|part| part.times > 0) {
            let name = format!("{}: {}", part.hostname, part.drift.words());
            let server = self.clinic.server(part.hostname).context("the server is not running")?;
            match known.all_of(&server.winrm.ip().to_string(), part.drift).next().map(|one| one.state.as_str()) {
                Some("resolved") => healed += 1,
                Some("escalated") => escalated += 1,
                state => failures.push(format!("{name}, and its incident is {state:?}")),
            }
            let by = healers(&server.ledger().await?, part.drift);
            if by > part.times {
                twice += 1;
                failures.push(format!("{name} {} times, and {by} scripts changed it", part.times));
            }
        }
        Ok((healed, escalated, twice, failures))
    }
}
