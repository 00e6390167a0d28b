//! Generation: the NixOS system that runs is the one that was installed and declared.
//!
//! The system profile, /run/current-system and the declared store path or revision must agree. Declared is what an
//! order asks for just now, else what the baseline says, else what was last confirmed or accepted on this machine. A
//! running kernel (or initrd, or modules) other than the current system's means that a restart is due. A switch that
//! was rolled back stays drift until another succeeds or a person accepts what runs.

use super::Machine;
use crate::config::baseline;
use crate::model::{CheckKind, Observation};
use crate::sense::check::{Check, Observing};
use msp_agent_switch::declared::{self, Declared};
use msp_agent_switch::profile;
use msp_agent_switch::record::{self, Record};
use msp_contracts::finding::{Platform, Severity};
use msp_contracts::store_path::StorePath;
use serde::Deserialize;
use serde_json::json;
use std::io;
use std::sync::Arc;

/// What of a system only takes effect when the machine starts.
const BOOTED_PARTS: [&str; 3] = ["kernel", "initrd", "kernel-modules"];

/// The check.
pub struct Generation {
    pub machine: Arc<Machine>,
    pub desired: baseline::Generation,
    /// What an order that waits wants to run.
    pub ordered: Option<StorePath>,
}

/// What the machine's links and records say.
struct Links {
    number: Option<u64>,
    profile: StorePath,
    current: StorePath,
    declared: Option<Declared>,
    /// The last switch, if it did not succeed and nobody has accepted that.
    undone: Option<Record>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Version {
    configuration_revision: Option<String>,
    nixos_version: Option<String>,
}

impl Check for Generation {
    fn kind(&self) -> CheckKind {
        CheckKind::Generation
    }

    fn observe(&self) -> Observing<'_> {
        Box::pin(self.look())
    }
}

impl Generation {
    async fn look(&self) -> Observation {
        let kind = self.kind();
        let links = if self.machine.platform() == Platform::Nixos { Some(self.links()) } else { None };
        let known = links.as_ref().and_then(|links| links.as_ref().ok());
        let declared = match (&self.ordered, &self.desired.declared) {
            (Some(ordered), _) => Some(ordered.to_string()),
            (None, Some(path)) => Some(path.display().to_string()),
            (None, None) => known.and_then(|links| links.declared.as_ref()).map(|one| one.store_path.to_string()),
        };
        let desired = json!({
            "profile_is_current": true,
            "declared": declared,
            "configuration_revision": self.desired.configuration_revision,
        });
        let links = match links {
            None => return Observation::unsupported(kind, desired, "this is not NixOS (there is no /etc/NIXOS)"),
            Some(Err(reason)) => return Observation::unknown(kind, desired, reason),
            Some(Ok(links)) => links,
        };
        let version = self.version().await;
        let revision = version.as_ref().ok().and_then(|version| version.configuration_revision.clone());
        let actual = json!({
            "generation": links.number,
            "current": links.current,
            "configuration_revision": revision,
            "nixos_version": version.as_ref().ok().and_then(|version| version.nixos_version.clone()),
        });
        let mut diff = self.differences(&links, declared.as_deref());
        let mut unclear = None;
        if let Some(wanted) = &self.desired.configuration_revision {
            match (&version, &revision) {
                (Err(reason), _) => unclear = Some(reason.clone()),
                (Ok(_), Some(revision)) if revision == wanted => {}
                (Ok(_), Some(revision)) => diff.push(format!("the configuration is {revision}, declared is {wanted}")),
                (Ok(_), None) => {
                    diff.push(format!("the system carries no configuration revision, declared is {wanted}"))
                }
            }
        }
        let restart = self.restart_due();
        let observation = if !diff.is_empty() {
            Observation::drift(kind, Severity::Medium, actual, desired, diff)
                .recommend("accept what runs, go back, or order a switch: `msp-agent generations --help`")
        } else if let Some(reason) = unclear {
            Observation::unknown(kind, desired, reason)
        } else {
            match &restart {
                Err(error) => {
                    Observation::unknown(kind, desired, format!("the booted system could not be read ({error})"))
                }
                Ok(Some(part)) => {
                    let reason = format!("the booted {part} is not the current system's: a restart is due");
                    Observation::pending(kind, actual, desired, reason).recommend("restart in the maintenance window")
                }
                Ok(None) => Observation::compliant(kind, actual, desired),
            }
        };
        observation
            .detail("generation", links.number)
            .detail("reboot_required", matches!(restart, Ok(Some(_))))
            .detail("switch_rolled_back", links.undone.is_some())
    }

    fn links(&self) -> Result<Links, String> {
        let places = self.machine.places();
        let link = |error: io::Error| format!("the system's links could not be read ({error})");
        let records = |error: io::Error| format!("the records of switches could not be read ({error})");
        let declared = declared::read(&places).map_err(|error| crate::causes::chain(&error))?;
        let switches = record::list(&places).map_err(records)?;
        Ok(Links {
            number: profile::number(&std::fs::read_link(places.profile()).map_err(link)?),
            profile: profile::leads_to(&places, &places.profile()).map_err(link)?,
            current: profile::leads_to(&places, &places.current()).map_err(link)?,
            undone: record::unsettled(&switches, declared.as_ref()),
            declared,
        })
    }

    fn differences(&self, links: &Links, declared: Option<&str>) -> Vec<String> {
        let Links { number, profile, current, undone, .. } = links;
        let mut diff = Vec::new();
        if current != profile {
            let number = number.map_or("?".to_owned(), |number| number.to_string());
            diff.push(format!("running is {current}, but generation {number} of the system profile is {profile}"));
        }
        if let Some(declared) = declared.filter(|declared| *declared != current.as_str()) {
            diff.push(format!("running is {current}, declared is {declared}"));
        } else if let (Some(ordered), Some(before)) = (&self.ordered, &links.declared)
            && *ordered != before.store_path
        {
            diff.push(format!(
                "running is {ordered}, which no order has confirmed yet: declared is {}",
                before.store_path
            ));
        }
        if let Some(Record { to, state, reason, .. }) = undone {
            let reason = reason.as_deref().unwrap_or("no reason is known");
            diff.push(format!("the last switch, to {to}, ended {}: {reason}", state.as_str().replace('_', " ")));
        }
        diff
    }

    /// The part that a restart would change, if any.
    fn restart_due(&self) -> io::Result<Option<&'static str>> {
        for part in BOOTED_PARTS {
            let of = |system: &str| match self.machine.files.link(format!("{system}/{part}")) {
                Ok(target) => Ok(Some(target)),
                // A container has no kernel of its own.
                Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
                Err(error) => Err(error),
            };
            self.machine.files.metadata("/run/booted-system")?;
            if of("/run/booted-system")? != of("/run/current-system")? {
                return Ok(Some(part));
            }
        }
        Ok(None)
    }

    async fn version(&self) -> Result<Version, String> {
        let output =
            self.machine.commands.run("nixos-version", &["--json"]).await.map_err(|error| error.to_string())?;
        serde_json::from_str(&output.stdout)
            .map_err(|error| format!("what `nixos-version --json` printed is not JSON ({error})"))
    }
}

#[cfg(test)]
mod tests {
    use super::super::fixture::{Fixture, observe};
    use super::*;
    use msp_agent_switch::record::State;
    use msp_contracts::finding::CheckStatus;

    const A: &str = "/nix/store/aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa-nixos-system-clinic-26.05";
    const B: &str = "/nix/store/bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb-nixos-system-clinic-26.05";

    fn path(text: &str) -> StorePath {
        StorePath::try_from(text.to_owned()).unwrap()
    }

    fn nixos() -> Fixture {
        let version =
            r#"{"configurationRevision":"1f3a9c","nixosVersion":"26.05.20260101.abcdef0","nixpkgsRevision":"abcdef0"}"#;
        let system = |fixture: Fixture, path: &str| {
            fixture.link(&format!("{path}/kernel"), "/nix/store/kkkk-linux-6.12.1/bzImage")
        };
        system(system(Fixture::new(), A), B)
            .file("/etc/NIXOS", "")
            .link("/nix/var/nix/profiles/system", "system-42-link")
            .link("/nix/var/nix/profiles/system-42-link", A)
            .link("/run/current-system", A)
            .link("/run/booted-system", B)
            .prints("nixos-version", version)
    }

    async fn look(fixture: &Fixture, desired: baseline::Generation) -> Observation {
        observe(&Generation { machine: fixture.machine(), desired, ordered: None }).await
    }

    fn revision(wanted: &str) -> baseline::Generation {
        baseline::Generation { configuration_revision: Some(wanted.to_owned()), declared: None }
    }

    #[tokio::test]
    async fn the_running_system_is_the_installed_and_the_declared_one() {
        let seen = look(&nixos(), revision("1f3a9c")).await;
        assert_eq!(seen.status, CheckStatus::Compliant, "{seen:?}");
        assert_eq!(seen.details["generation"], 42);
        let seen = look(&nixos(), revision("999999")).await;
        assert_eq!(seen.diff, ["the configuration is 1f3a9c, declared is 999999"]);
        let declared = baseline::Generation { declared: Some(B.into()), configuration_revision: None };
        assert_eq!(look(&nixos(), declared).await.status, CheckStatus::Drift);
    }

    #[tokio::test]
    async fn declared_is_what_was_confirmed_or_accepted_here_unless_an_order_wants_another() {
        let fixture = nixos();
        let places = fixture.machine().places();
        declared::write(&places, &path(B), "root").unwrap();
        let seen = look(&fixture, baseline::Generation::default()).await;
        assert_eq!(seen.diff, [format!("running is {A}, declared is {B}")]);
        let ordered =
            Generation { machine: fixture.machine(), desired: baseline::Generation::default(), ordered: Some(path(A)) };
        // It runs already, and becomes the declared one by the switch that the order asks for.
        let seen = observe(&ordered).await;
        assert!(seen.diff[0].contains("no order has confirmed"), "{:?}", seen.diff);
        declared::write(&places, &path(A), "root").unwrap();
        assert_eq!(look(&fixture, baseline::Generation::default()).await.status, CheckStatus::Compliant);
    }

    #[tokio::test]
    async fn a_switch_that_was_rolled_back_is_drift_until_what_runs_is_accepted() {
        let fixture = nixos();
        let places = fixture.machine().places();
        let mut record = Record::new(&places, "s-1", record::Asked::Person {}, path(B));
        (record.state, record.reason) = (State::RolledBack, Some("newly failed: web.service".into()));
        record::put(&places, &record).unwrap();
        let seen = look(&fixture, baseline::Generation::default()).await;
        assert_eq!(seen.diff, [format!("the last switch, to {B}, ended rolled back: newly failed: web.service")]);
        assert_eq!(seen.details["switch_rolled_back"], true);
        declared::write(&places, &path(A), "root").unwrap();
        assert_eq!(look(&fixture, baseline::Generation::default()).await.status, CheckStatus::Compliant);
        // Not of this boot, and never over: the restart has led back.
        record.state = State::Testing;
        record.asked_at = msp_agent_switch::now();
        record.boot_id = "another".into();
        record::put(&places, &record).unwrap();
        let seen = look(&fixture, baseline::Generation::default()).await;
        assert!(seen.diff[0].contains("the machine was restarted"), "{:?}", seen.diff);
    }

    #[tokio::test]
    async fn a_switch_that_was_only_tested_is_drift() {
        let seen = look(&nixos().link("/run/current-system", B), baseline::Generation::default()).await;
        assert_eq!(seen.status, CheckStatus::Drift);
        assert!(seen.diff[0].contains("generation 42 of the system profile"), "{:?}", seen.diff);
    }

    #[tokio::test]
    async fn another_booted_kernel_means_that_a_restart_is_due() {
        let fixture = nixos().link(&format!("{A}/kernel"), "/nix/store/mmmm-linux-6.12.9/bzImage");
        let seen = look(&fixture, baseline::Generation::default()).await;
        assert_eq!(seen.status, CheckStatus::Pending);
        assert_eq!(seen.details["reboot_required"], true);
    }

    #[tokio::test]
    async fn what_cannot_be_read_is_unknown_and_another_system_unsupported() {
        let broken = nixos().tool("nixos-version", "exit 1");
        assert_eq!(look(&broken, revision("1f3a9c")).await.status, CheckStatus::Unknown);
        let unlinked = Fixture::new().file("/etc/NIXOS", "");
        assert_eq!(look(&unlinked, baseline::Generation::default()).await.status, CheckStatus::Unknown);
        assert_eq!(look(&Fixture::new(), baseline::Generation::default()).await.status, CheckStatus::Unsupported);
    }
}
