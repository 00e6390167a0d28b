//! The scripted round: a firewall profile off on the member server; Central Command cut off; DNS stopped on the
//! domain controller; Central Command back. In between two signed orders, one carried out and one refused. Each drift has to be healed, once, and proved, and everything has to
//! arrive.

use crate::Progress;
use crate::clinic::Clinic;
use crate::drift::{Drift, Server};
use crate::orders;
use crate::report::{Healed, Report};
use crate::watch;
use anyhow::{Context, bail};
use std::time::{Duration, Instant};

/// How long one drift may take to be healed, and the outbox to empty.
const PATIENCE: Duration = Duration::from_secs(30);
/// How often the agent is asked.
const LOOK: Duration = Duration::from_millis(25);

/// Milliseconds since the round began, on a monotonic clock.
struct Stopwatch(Instant);

impl Stopwatch {
    #[allow(clippy::disallowed_methods, reason = "the lab times the agent from outside, in real time")]
    fn start() -> Self {
        Self(Instant::now())
    }

    fn ms(&self) -> u64 {
        u64::try_from(self.0.elapsed().as_millis()).unwrap_or(u64::MAX)
    }
}

/// Runs the round, and writes into `report` what it shows.
///
/// # Errors
/// When the round cannot go on; what was seen until then stands in `report`.
pub async fn round(clinic: &mut Clinic, progress: Progress, report: &mut Report) -> anyhow::Result<()> {
    progress.say("waiting until the agent has looked at both servers");
    first_contact(clinic).await?;
    let watch = Stopwatch::start();

    let drift = Drift::FirewallProfileOff("Public");
    heal(clinic, progress, &watch, report, Which::Member, drift).await?;

    order(clinic, progress, report).await?;

    progress.say("Central Command is cut off");
    clinic.stop_central().await;
    heal(clinic, progress, &watch, report, Which::Controller, Drift::ServiceStopped("DNS")).await?;
    let waiting = watch::incidents(clinic).await?.outbox.pending;
    if waiting == 0 {
        report.failures.push("Central Command was cut off, and yet nothing waited in the outbox".to_owned());
    }
    progress.say(&format!("Central Command is back; {waiting} reports wait"));
    clinic.start_central().await?;
    report.pending = drained(clinic, &watch).await?;
    if report.pending > 0 {
        report.failures.push(format!("{} reports did not arrive in {PATIENCE:?}", report.pending));
    }
    prove(clinic, progress, report).await
}

/// Two orders, both signed by Central Command: one is carried out, one is refused, because it may be accepted for
/// longer than the agent allows.
async fn order(clinic: &Clinic, progress: Progress, report: &mut Report) -> anyhow::Result<()> {
    progress.say("two signed orders: one to carry out, one to refuse");
    let check = ["run-check", "--host", "FS01", "--check", "firewall", "--reason", "a round of the lab"];
    let carried_out = orders::give(clinic, &check).await?;
    let long = ["set-dry-run", "on", "--expires-in", "24h", "--reason", "a round of the lab"];
    let refused = orders::give(clinic, &long).await?;
    for (order, wanted) in [(&carried_out, "done"), (&refused, "refused")] {
        if order.state != wanted || order.evidence_id.is_none() {
            report.failures.push(format!("order {} was to end {wanted} with evidence: {order:?}", order.order_id));
        }
    }
    report.orders.extend([carried_out, refused]);
    Ok(())
}

/// Which of the two servers.
#[derive(Clone, Copy)]
enum Which {
    Member,
    Controller,
}

fn server(clinic: &Clinic, which: Which) -> anyhow::Result<&Server> {
    let server = match which {
        Which::Member => &clinic.member,
        Which::Controller => &clinic.controller,
    };
    server.as_ref().context("the server is not running")
}

/// Until evidence of both servers' first checks has arrived: then the loop turns.
async fn first_contact(clinic: &mut Clinic) -> anyhow::Result<()> {
    let watch = Stopwatch::start();
    let mut wanted = Vec::new();
    for which in [Which::Member, Which::Controller] {
        wanted.push(server(clinic, which)?.winrm.ip().to_string());
    }
    while watch.ms() < PATIENCE.as_millis().try_into().unwrap_or(u64::MAX) {
        let config = clinic.config();
        let printed = crate::process::output("msp-agent", &["evidence", "list", "--json", "--config", &config]).await;
        let printed = printed.map(|(_, printed)| String::from_utf8_lossy(&printed).into_owned()).unwrap_or_default();
        if wanted.iter().all(|ip| printed.contains(&format!("\"{ip}\""))) {
            return Ok(());
        }
        if let Some(dead) = clinic.dead() {
            bail!(dead);
        }
        tokio::time::sleep(LOOK).await;
    }
    bail!("the agent did not look at both servers in {PATIENCE:?}")
}

/// Injects one drift and waits until the agent has healed it, or patience ends.
async fn heal(
    clinic: &mut Clinic,
    progress: Progress,
    watch: &Stopwatch,
    report: &mut Report,
    which: Which,
    drift: Drift,
) -> anyhow::Result<()> {
    let before: Vec<_> = watch::incidents(clinic).await?.incidents.into_iter().map(|one| one.incident_id).collect();
    let (name, host_id) = {
        let server = server(clinic, which)?;
        server.inject(drift).await?;
        (server.hostname.clone(), server.winrm.ip().to_string())
    };
    progress.say(&format!("{name}: {}", drift.words()));
    let injected = watch.ms();
    let limit = injected + u64::try_from(PATIENCE.as_millis()).unwrap_or(u64::MAX);
    let mut healed = Healed::of(&name, drift);
    while watch.ms() < limit {
        let known = watch::incidents(clinic).await?;
        if let Some(incident) = known.of(&host_id, drift, &before) {
            healed.seen(incident, watch.ms());
            if incident.state != "open" {
                break;
            }
        }
        if let Some(dead) = clinic.dead() {
            bail!(dead);
        }
        tokio::time::sleep(LOOK).await;
    }
    match (healed.detected_ms, healed.healed_ms) {
        (Some(detected), Some(at)) => progress.say(&format!(
            "{name}: detected after {} ms, healed after {} ms",
            detected - injected,
            at - injected
        )),
        (Some(_), None) => progress.say(&format!("{name}: detected, and not healed in {PATIENCE:?}")),
        (None, _) => progress.say(&format!("{name}: not detected in {PATIENCE:?}")),
    }
    let changes = server(clinic, which)?.ledger().await?;
    let by_script = changes.iter().filter(|change| drift.is_about(change)).count();
    if healed.healed_ms.is_some() && by_script != 1 {
        report.failures.push(format!("{name}: {} was changed {by_script} times to heal it once", drift.words()));
    }
    report.drifts.push(healed);
    Ok(())
}

/// Waits until nothing waits in the outbox; how much still does.
async fn drained(clinic: &mut Clinic, watch: &Stopwatch) -> anyhow::Result<u64> {
    let limit = watch.ms() + u64::try_from(PATIENCE.as_millis()).unwrap_or(u64::MAX);
    loop {
        let outbox = watch::incidents(clinic).await?.outbox;
        if outbox.rejected > 0 {
            bail!("Central Command rejected {} reports for good", outbox.rejected);
        }
        if outbox.pending == 0 || watch.ms() > limit {
            return Ok(outbox.pending);
        }
        tokio::time::sleep(LOOK).await;
    }
}

/// Holds the evidence against its chain, and against what Central Command holds.
async fn prove(clinic: &Clinic, progress: Progress, report: &mut Report) -> anyhow::Result<()> {
    progress.say("verifying the evidence");
    let held = watch::evidence_at_central(clinic).await?;
    let verified = watch::verify(clinic).await?;
    for problem in &verified.problems {
        report.failures.push(format!("evidence {}: {}", problem.bundle, problem.problem));
    }
    report.count = verified.count;
    report.chain_ok = verified.ok;
    for healed in &mut report.drifts {
        let Some(id) = &healed.evidence_id else {
            report.failures.push(format!("{}: {} was not healed, and left no evidence", healed.target, healed.check));
            continue;
        };
        let arrived = held.iter().filter(|one| *one == id).count();
        healed.evidence_verified = arrived == 1 && !verified.problems.iter().any(|problem| problem.bundle == *id);
        if arrived != 1 {
            report.failures.push(format!("evidence {id} is {arrived} times at Central Command, instead of once"));
        }
        if healed.outcome.as_deref() != Some("fixed") {
            let outcome = healed.outcome.as_deref().unwrap_or("without an outcome");
            report.failures.push(format!("{}: {} ended {outcome}, not fixed", healed.target, healed.check));
        }
    }
    Ok(())
}
