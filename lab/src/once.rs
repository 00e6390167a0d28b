//! The scripted round: every kind of drift is healed, once, and proved; what cannot or may not be healed is what it has to be;
//! in between Central Command is cut off, and two signed orders come, one to carry out and one to refuse. Everything has
//! to arrive.

use crate::Progress;
use crate::cases;
use crate::clinic::Clinic;
use crate::drift::{Drift, Server};
use crate::orders;
use crate::report::{Healed, Report};
use crate::site;
use crate::watch;
use anyhow::{Context, bail};
use std::path::Path;
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

/// The clinic of the round: servers that lack one thing or another, a second site, and a window that is closed.
///
/// # Errors
/// When its folder cannot be made.
pub fn clinic(keep: Option<&Path>) -> anyhow::Result<Clinic> {
    let clinic = Clinic::prepare(keep)?
        .with_server("CORE01", "core")
        .with_server("WS01", "workstation")
        .with_server("AV01", "third-party-antivirus")
        .with_server("OLD01", "no-tpm")
        .with_branch()
        .with_settings(&site::window(2, 3));
    clinic.appliance.prepare()?;
    clinic.appliance.write_rules(site::ARMED)?;
    Ok(clinic)
}

/// Runs the round, and writes into `report` what it shows.
///
/// # Errors
/// When the round cannot go on; what was seen until then stands in `report`.
pub async fn round(clinic: &mut Clinic, progress: Progress, report: &mut Report) -> anyhow::Result<()> {
    progress.say("waiting until the agents have looked at all servers");
    first_contact(clinic).await?;
    let watch = Stopwatch::start();

    report.cases.extend(cases::deferred(clinic, progress).await?);
    report.cases.extend(cases::escalated(clinic, progress).await?);
    progress.say("the maintenance window opens");
    let opened = watch.ms();
    clinic.stop_agent().await;
    clinic.appliance.settings = site::window(-1, 2);
    let central = clinic.address().context("Central Command is not running")?.agents.clone();
    clinic.write_config(&central)?;
    clinic.start_agent()?;
    for drift in [Drift::BitLockerSuspended, Drift::UpdateMissing] {
        healed(clinic, progress, (&watch, opened), report, "FS01", drift, &[]).await?;
    }

    heal(clinic, progress, &watch, report, "FS01", Drift::FirewallProfileOff("Public")).await?;
    order(clinic, progress, report).await?;

    progress.say("Central Command is cut off");
    clinic.stop_central().await;
    heal(clinic, progress, &watch, report, "DC01", Drift::ServiceStopped("DNS")).await?;
    heal(clinic, progress, &watch, report, "FS01", Drift::RealTimeProtectionOff).await?;
    heal(clinic, progress, &watch, report, "FS01", Drift::LogonsNotAudited).await?;
    server(clinic, "FS01")?.send(&serde_json::json!({ "kind": "windows_backup", "job_seconds": 0 })).await?;
    heal(clinic, progress, &watch, report, "FS01", Drift::BackupOld).await?;
    heal(clinic, progress, &watch, report, "DC01", Drift::ReplicationFailing).await?;
    let waiting = watch::incidents(clinic).await?.outbox.pending;
    if waiting == 0 {
        report.failures.push("Central Command was cut off, and yet nothing waited in the outbox".to_owned());
    }
    progress.say(&format!("Central Command is back; {waiting} reports wait"));
    clinic.start_central().await?;

    report.cases.extend(cases::pending(clinic, progress).await?);
    progress.say("looking at every check of every server once more");
    let (statuses, unsupported) = cases::at_the_end(clinic).await?;
    report.statuses = statuses;
    report.cases.extend(unsupported);
    for case in report.cases.iter().filter(|case| !case.ok) {
        let (target, check) = (&case.target, &case.check);
        report.failures.push(format!("{target}: {check} was to be {:?}, and is {}", case.situation, case.seen));
    }
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

fn server<'c>(clinic: &'c Clinic, hostname: &str) -> anyhow::Result<&'c Server> {
    clinic.server(hostname).with_context(|| format!("{hostname} is not running"))
}

/// Until evidence of the first checks of every server has been made: then the loops turn.
async fn first_contact(clinic: &mut Clinic) -> anyhow::Result<()> {
    let watch = Stopwatch::start();
    let branch = clinic.branch.as_ref().context("there is no second site")?;
    let ip = |server: &Server| server.winrm.ip().to_string();
    let here: Vec<_> = clinic.servers().map(ip).collect();
    let there: Vec<_> = branch.server.iter().map(ip).collect();
    let agents = [(clinic.config(), here), (branch.appliance.config(), there)];
    while watch.ms() < PATIENCE.as_millis().try_into().unwrap_or(u64::MAX) {
        let mut all = true;
        for (config, wanted) in &agents {
            let listed = crate::process::output("msp-agent", &["evidence", "list", "--json", "--config", config]).await;
            let listed = listed.map(|(_, printed)| String::from_utf8_lossy(&printed).into_owned()).unwrap_or_default();
            all &= wanted.iter().all(|ip| listed.contains(&format!("\"{ip}\"")));
        }
        if all {
            return Ok(());
        }
        if let Some(dead) = clinic.dead() {
            bail!(dead);
        }
        tokio::time::sleep(LOOK).await;
    }
    bail!("the agents did not look at all servers in {PATIENCE:?}")
}

/// Injects one drift and waits until the agent has healed it, or patience ends.
async fn heal(
    clinic: &mut Clinic,
    progress: Progress,
    watch: &Stopwatch,
    report: &mut Report,
    hostname: &str,
    drift: Drift,
) -> anyhow::Result<()> {
    let before: Vec<_> = watch::incidents(clinic).await?.incidents.into_iter().map(|one| one.incident_id).collect();
    server(clinic, hostname)?.inject(drift).await?;
    progress.say(&format!("{hostname}: {}", drift.words()));
    healed(clinic, progress, (watch, watch.ms()), report, hostname, drift, &before).await
}

/// Waits until the agent has healed a drift that it could heal from `injected` on, or patience ends. Its incident is none
/// of `before`.
async fn healed(
    clinic: &mut Clinic,
    progress: Progress,
    (watch, injected): (&Stopwatch, u64),
    report: &mut Report,
    hostname: &str,
    drift: Drift,
    before: &[String],
) -> anyhow::Result<()> {
    let host_id = server(clinic, hostname)?.winrm.ip().to_string();
    let limit = injected + u64::try_from(PATIENCE.as_millis()).unwrap_or(u64::MAX);
    let mut healed = Healed::of(hostname, drift);
    while watch.ms() < limit {
        let known = watch::incidents(clinic).await?;
        if let Some(incident) = known.of(&host_id, drift, before) {
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
            "{hostname}: {} detected after {} ms, healed after {} ms",
            healed.check,
            detected - injected,
            at - injected
        )),
        (Some(_), None) => progress.say(&format!("{hostname}: detected, and not healed in {PATIENCE:?}")),
        (None, _) => progress.say(&format!("{hostname}: not detected in {PATIENCE:?}")),
    }
    let by_script = cases::healers(&server(clinic, hostname)?.ledger().await?, drift);
    if healed.healed_ms.is_some() && by_script != 1 {
        report.failures.push(format!("{hostname}: {} was changed {by_script} times to heal it once", drift.words()));
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
    let branch = clinic.branch.as_ref().context("there is no second site")?;
    if !watch::verify_of(&branch.appliance).await?.ok {
        report.failures.push("the evidence of the second site does not verify".to_owned());
    }
    let held_of_branch = watch::evidence_of(clinic, branch.appliance.site).await?;
    for case in &mut report.cases {
        let Some(id) = &case.evidence_id else { continue };
        if !held.iter().chain(&held_of_branch).any(|one| one == id) {
            case.ok = false;
            report.failures.push(format!("evidence {id} of {} did not arrive at Central Command", case.target));
        }
    }
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
