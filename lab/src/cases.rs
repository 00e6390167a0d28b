//! Everything that can become of a check of a Windows server, each brought about once and held against what it has to be.
//!
//! A drift is healed, waits for the maintenance window, goes to a person because its site has not armed the repair, or is
//! healed as far as it can be until the server restarts or a long job ends. What a server does not have is unsupported.

use crate::Progress;
use crate::appliance::Appliance;
use crate::clinic::Clinic;
use crate::drift::Drift;
use crate::process::output;
use crate::watch::{self, Incident};
use anyhow::{Context, bail};
use serde::{Deserialize, Serialize};
use std::time::Duration;

/// How long one case may take.
const PATIENCE: Duration = Duration::from_secs(60);
/// How often the agents are asked.
const LOOK: Duration = Duration::from_millis(100);

/// What has to become of a case.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Situation {
    /// The server does not have what the check is about.
    Unsupported,
    /// Something is under way, and ends by itself or with a restart.
    Pending,
    /// It waits for the maintenance window.
    Deferred,
    /// The site has not armed the repair: a person is asked.
    Escalated,
}

/// What became of a case.
#[derive(Debug, Serialize)]
pub struct Case {
    /// The site.
    pub site: String,
    /// The server's name.
    pub target: String,
    /// The check.
    pub check: String,
    /// What had to become of it.
    pub situation: Situation,
    /// What was seen: a check's status, or how the last thing that was done ended.
    pub seen: String,
    /// Why, in the agent's words.
    pub reason: Option<String>,
    /// The bundle that proves it.
    pub evidence_id: Option<String>,
    /// Whether it is what it had to be.
    pub ok: bool,
}

/// A server, its checks and their statuses.
#[derive(Debug, Serialize, Deserialize)]
pub struct Status {
    /// The server's name.
    #[serde(default)]
    pub target: String,
    /// The check.
    pub check: String,
    /// Its part.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub subject: Option<String>,
    /// Its status.
    pub status: String,
    /// Why it is not compliant.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
}

/// The servers that lack something, and which checks cannot be made there.
const LACKING: [(&str, &[&str]); 6] = [
    ("FS01", &["directory"]),
    ("CORE01", &["backup", "directory"]),
    ("WS01", &["backup", "directory"]),
    ("AV01", &["antivirus", "directory"]),
    ("OLD01", &["encryption", "directory"]),
    ("DC01", &[]),
];

/// Waits until an incident of this drift is as `wanted`.
///
/// # Errors
/// When the agent cannot be asked, a process died, or patience ends; what was seen last stands in the message.
pub async fn incident(
    clinic: &mut Clinic,
    at_branch: bool,
    hostname: &str,
    drift: Drift,
    wanted: impl Fn(&Incident) -> bool,
) -> anyhow::Result<Incident> {
    let host_id = clinic.server(hostname).with_context(|| format!("{hostname} is not running"))?.winrm.ip().to_string();
    let mut last = None;
    for _ in 0..PATIENCE.as_millis() / LOOK.as_millis() {
        let appliance = appliance(clinic, at_branch)?;
        last = watch::incidents_of(appliance).await?.of(&host_id, drift, &[]).cloned();
        if let Some(found) = last.take_if(|found| wanted(found)) {
            return Ok(found);
        }
        if let Some(dead) = clinic.dead() {
            bail!(dead);
        }
        tokio::time::sleep(LOOK).await;
    }
    bail!("{hostname}: {} was not dealt with in {PATIENCE:?} as it has to be: {last:?}", drift.words())
}

fn appliance(clinic: &Clinic, at_branch: bool) -> anyhow::Result<&Appliance> {
    match at_branch {
        true => clinic.branch.as_ref().map(|branch| &branch.appliance).context("there is no second site"),
        false => Ok(&clinic.appliance),
    }
}

/// Waits until the incident's last outcome is one of these.
async fn outcome(
    clinic: &mut Clinic,
    at_branch: bool,
    (hostname, drift): (&str, Drift),
    situation: Situation,
    outcomes: &[&str],
) -> anyhow::Result<Case> {
    let ended = |one: &Incident| one.outcome.as_deref().is_some_and(|outcome| outcomes.contains(&outcome));
    let found = incident(clinic, at_branch, hostname, drift, ended).await?;
    Ok(Case {
        site: appliance(clinic, at_branch)?.site.to_owned(),
        target: hostname.to_owned(),
        check: drift.check().0.to_owned(),
        situation,
        seen: found.outcome.unwrap_or_default(),
        reason: found.error,
        ok: found.evidence_id.is_some(),
        evidence_id: found.evidence_id,
    })
}

/// Outside the window: what disturbs people waits, and its evidence says so.
///
/// # Errors
/// When it does not.
pub async fn deferred(clinic: &mut Clinic, progress: Progress) -> anyhow::Result<Vec<Case>> {
    let waiting = [("FS01", Drift::BitLockerSuspended), ("FS01", Drift::UpdateMissing)];
    progress.say("outside the maintenance window: FS01 misses an update, and its BitLocker is suspended");
    for (hostname, drift) in waiting {
        clinic.server(hostname).context("FS01 is not running")?.inject(drift).await?;
    }
    let mut cases = Vec::new();
    for one in waiting {
        cases.push(outcome(clinic, false, one, Situation::Deferred, &["deferred"]).await?);
    }
    Ok(cases)
}

/// At the second site nothing is armed: updates and encryption go to a person.
///
/// # Errors
/// When they do not.
pub async fn escalated(clinic: &mut Clinic, progress: Progress) -> anyhow::Result<Vec<Case>> {
    let unarmed = [("FS02", Drift::BitLockerSuspended), ("FS02", Drift::UpdateMissing)];
    progress.say("at the second site, where nothing is armed: FS02 misses an update, and its BitLocker is suspended");
    for (hostname, drift) in unarmed {
        clinic.server(hostname).context("FS02 is not running")?.inject(drift).await?;
    }
    let mut cases = Vec::new();
    for (hostname, drift) in unarmed {
        let mut case = outcome(clinic, true, (hostname, drift), Situation::Escalated, &["escalated"]).await?;
        let server = clinic.server(hostname).context("FS02 is not running")?;
        // Nobody touched it: that is what unarmed means.
        case.ok &= server.ledger().await?.iter().all(|change| !drift.is_about(change));
        cases.push(case);
    }
    Ok(cases)
}

/// What ends by itself, or with a restart, is pending until then, and is not done a second time.
///
/// # Errors
/// When it is not.
pub async fn pending(clinic: &mut Clinic, progress: Progress) -> anyhow::Result<Vec<Case>> {
    progress.say("what takes its time: an update that needs a restart, a backup, a volume that is being encrypted");
    let slow = [("CORE01", Drift::UpdateWithReboot), ("DC01", Drift::BackupOld)];
    let server = |name: &str| clinic.server(name).with_context(|| format!("{name} is not running"));
    server("DC01")?.send(&serde_json::json!({ "kind": "windows_backup", "job_seconds": 5 })).await?;
    server("WS01")?.send(&serde_json::json!({ "kind": "bitlocker", "encryption_seconds": 6 })).await?;
    server("WS01")?.inject(Drift::Encrypting).await?;
    for (hostname, drift) in slow {
        server(hostname)?.inject(drift).await?;
    }
    let mut cases = vec![status_is(clinic, "WS01", "encryption", "pending").await?];
    for one in slow {
        cases.push(outcome(clinic, false, one, Situation::Pending, &["pending", "reboot_required"]).await?);
    }
    progress.say("CORE01 is restarted by a person");
    clinic.server("CORE01").context("CORE01 is not running")?.send(&serde_json::json!({ "kind": "reboot" })).await?;
    for (hostname, drift) in slow {
        let found = incident(clinic, false, hostname, drift, |one| one.state == "resolved").await?;
        let changes = clinic.server(hostname).context("it is not running")?.ledger().await?;
        let by = healers(&changes, drift);
        for case in cases.iter_mut().filter(|case| case.target == hostname && case.check == found.check) {
            case.ok &= by <= 1;
        }
    }
    let ended = status_is(clinic, "WS01", "encryption", "compliant").await?;
    cases[0].ok &= ended.ok;
    Ok(cases)
}

/// How many runs of a script changed what this drift is about.
pub fn healers(changes: &[crate::drift::Change], drift: Drift) -> usize {
    let mut commands: Vec<_> =
        changes.iter().filter(|change| drift.is_about(change)).map(|change| &change.command_id).collect();
    commands.sort();
    commands.dedup();
    commands.len()
}

/// Waits until a check of a server has this status.
async fn status_is(clinic: &Clinic, hostname: &str, check: &str, wanted: &str) -> anyhow::Result<Case> {
    let mut seen = None;
    for _ in 0..PATIENCE.as_millis() / LOOK.as_millis() {
        seen = statuses_of(clinic, hostname, Some(check)).await?.into_iter().next();
        if seen.as_ref().is_some_and(|seen| seen.status == wanted) {
            break;
        }
        tokio::time::sleep(LOOK).await;
    }
    let seen = seen.with_context(|| format!("{hostname} has no check {check}"))?;
    Ok(Case {
        site: clinic.appliance.site.to_owned(),
        target: hostname.to_owned(),
        check: check.to_owned(),
        situation: Situation::Pending,
        ok: seen.status == wanted,
        seen: seen.status,
        reason: seen.reason,
        evidence_id: None,
    })
}

/// What `msp-agent windows check` says of a server now.
async fn statuses_of(clinic: &Clinic, hostname: &str, only: Option<&str>) -> anyhow::Result<Vec<Status>> {
    #[derive(Deserialize)]
    struct Document {
        checks: Vec<Status>,
    }
    let config = clinic.config();
    let mut args = vec!["windows", "check", hostname, "--json", "--config", &config];
    args.extend(only.iter().flat_map(|check| ["--only", check]));
    let (_, printed) = output("msp-agent", &args).await?;
    let mut document: Document = serde_json::from_slice(&printed).context("reading the checks of a server")?;
    for one in &mut document.checks {
        hostname.clone_into(&mut one.target);
    }
    Ok(document.checks)
}

/// Every check of every server, when all is healed: compliant, but for what a server does not have.
///
/// # Errors
/// When a server cannot be asked.
pub async fn at_the_end(clinic: &Clinic) -> anyhow::Result<(Vec<Status>, Vec<Case>)> {
    let (mut statuses, mut cases) = (Vec::new(), Vec::new());
    for (hostname, lacks) in LACKING {
        for one in statuses_of(clinic, hostname, None).await? {
            // Services that only a domain controller has are unsupported elsewhere, each by its name.
            let lacking = lacks.contains(&one.check.as_str()) || one.check == "services" && one.status == "unsupported";
            if lacks.contains(&one.check.as_str()) {
                cases.push(Case {
                    site: clinic.appliance.site.to_owned(),
                    target: hostname.to_owned(),
                    check: one.check.clone(),
                    situation: Situation::Unsupported,
                    ok: one.status == "unsupported" && one.reason.is_some(),
                    seen: one.status.clone(),
                    reason: one.reason.clone(),
                    evidence_id: None,
                });
            } else if !lacking && one.status != "compliant" {
                anyhow::bail!(
                    "{hostname}: {} is {} at the end, not compliant: {:?}",
                    one.check,
                    one.status,
                    one.reason
                );
            }
            statuses.push(one);
        }
    }
    Ok((statuses, cases))
}
