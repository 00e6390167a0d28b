//! Generation: the NixOS system that runs is the one that was installed and declared.
//!
//! The system profile, /run/current-system and the declared store path or revision must agree. A running kernel
//! (or initrd, or modules) other than the current system's means that a restart is due.

use super::Machine;
use crate::config::baseline;
use crate::model::{CheckKind, Observation};
use crate::sense::check::{Check, Observing};
use msp_contracts::finding::{Platform, Severity};
use serde::Deserialize;
use serde_json::json;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

const PROFILE: &str = "/nix/var/nix/profiles/system";

/// What of a system only takes effect when the machine starts.
const BOOTED_PARTS: [&str; 3] = ["kernel", "initrd", "kernel-modules"];

/// The check.
pub struct Generation {
    pub machine: Arc<Machine>,
    pub desired: baseline::Generation,
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
        let desired = json!({
            "profile_is_current": true,
            "declared": self.desired.declared,
            "configuration_revision": self.desired.configuration_revision,
        });
        if self.machine.platform() != Platform::Nixos {
            return Observation::unsupported(kind, desired, "this is not NixOS (there is no /etc/NIXOS)");
        }
        let paths = self.store_path(Path::new(PROFILE)).and_then(|profile| {
            Ok((self.profile_link()?, profile, self.store_path(Path::new("/run/current-system"))?))
        });
        let (link, profile, current) = match paths {
            Ok(paths) => paths,
            Err(error) => {
                return Observation::unknown(kind, desired, format!("the system's links could not be read ({error})"));
            }
        };
        let version = self.version().await;
        let revision = version.as_ref().ok().and_then(|version| version.configuration_revision.clone());
        let number = generation_number(&link);
        let actual = json!({
            "generation": number,
            "current": current,
            "configuration_revision": revision,
            "nixos_version": version.as_ref().ok().and_then(|version| version.nixos_version.clone()),
        });
        let mut diff = Vec::new();
        if current != profile {
            diff.push(format!(
                "running is {}, but generation {} of the system profile is {}",
                current.display(),
                number.map_or("?".to_owned(), |number| number.to_string()),
                profile.display()
            ));
        }
        if let Some(declared) = self.desired.declared.as_ref().filter(|declared| **declared != current) {
            diff.push(format!("running is {}, declared is {}", current.display(), declared.display()));
        }
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
                .recommend("nixos-rebuild switch to the declared configuration, or roll back to it")
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
        observation.detail("generation", number).detail("reboot_required", matches!(restart, Ok(Some(_))))
    }

    /// The name of the profile's link, `system-42-link`.
    fn profile_link(&self) -> io::Result<PathBuf> {
        self.machine.files.link(PROFILE)
    }

    /// The path in the store that a link, or a chain of links, leads to.
    fn store_path(&self, path: &Path) -> io::Result<PathBuf> {
        let mut path = path.to_owned();
        for _ in 0..8 {
            let target = self.machine.files.link(&path)?;
            let next = if target.is_absolute() { target } else { path.with_file_name(target) };
            if next.starts_with("/nix/store") {
                return Ok(next);
            }
            path = next;
        }
        Err(io::Error::other(format!("{} does not lead into the store", path.display())))
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

/// 42 of `system-42-link`.
fn generation_number(link: &Path) -> Option<u64> {
    let name = link.file_name()?.to_str()?;
    name.strip_prefix("system-")?.strip_suffix("-link")?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::super::fixture::{Fixture, observe};
    use super::*;
    use msp_contracts::finding::CheckStatus;

    const A: &str = "/nix/store/aaaa-nixos-system-clinic-26.05";
    const B: &str = "/nix/store/bbbb-nixos-system-clinic-26.05";

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
        observe(&Generation { machine: fixture.machine(), desired }).await
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
