//! Patching: security updates that wait, and how old the knowledge of them is.
//!
//! On NixOS the age of the nixpkgs that the system was built from; on Debian and its relatives the age of apt's
//! lists and the security updates of a simulated upgrade, which changes nothing and takes no lock. Another
//! package manager is not read, and its machine is unknown. Stale lists make the count worthless, so they are
//! drift by themselves.

mod apt;
mod nixpkgs;

use super::{Machine, and_unclear};
use crate::config::baseline;
use crate::model::{CheckKind, Observation};
use crate::sense::check::{Check, Observing};
use msp_contracts::finding::{Platform, Severity};
use serde_json::json;
use std::sync::Arc;

/// The check.
pub struct Patching {
    pub machine: Arc<Machine>,
    pub desired: baseline::Patching,
}

impl Check for Patching {
    fn kind(&self) -> CheckKind {
        CheckKind::Patching
    }

    fn observe(&self) -> Observing<'_> {
        Box::pin(async {
            if self.machine.platform() == Platform::Nixos {
                self.nixos().await
            } else if self.machine.commands.find("apt-get").is_some() {
                self.debian().await
            } else {
                let desired = json!({"max_critical_missing": self.desired.max_critical_missing});
                let reason = "this is neither NixOS nor a system with apt; its package manager is not read";
                Observation::unknown(self.kind(), desired, reason)
            }
        })
    }
}

impl Patching {
    async fn nixos(&self) -> Observation {
        let kind = self.kind();
        let limit = f64::from(self.desired.max_nixpkgs_age_days);
        let desired = json!({"max_nixpkgs_age_days": self.desired.max_nixpkgs_age_days});
        let source = match nixpkgs::source(&self.machine.files) {
            Ok(source) => source,
            Err(reason) => {
                return Observation::unknown(kind, desired, reason)
                    .recommend("build the system from a nixpkgs release, whose version carries its date");
            }
        };
        let Some(hours) = self.machine.age_hours(source.built) else {
            let reason = format!("the nixpkgs of {} is dated in the future ({})", source.named, source.built);
            return Observation::unknown(kind, desired, reason);
        };
        let days = (hours / 2.4).round() / 10.0;
        let actual = json!({"nixpkgs": source.named, "age_days": days});
        let observation = if days > limit {
            let line = format!("the system's nixpkgs is {days} days old, allowed are {limit}");
            Observation::drift(kind, Severity::High, actual, desired, vec![line])
                .recommend("update the nixpkgs input (nix flake update, or nix-channel --update) and rebuild")
        } else {
            Observation::compliant(kind, actual, desired)
        };
        observation.detail("nixpkgs_age_days", days)
    }

    async fn debian(&self) -> Observation {
        let kind = self.kind();
        let wanted = &self.desired;
        let desired = json!({
            "max_critical_missing": wanted.max_critical_missing,
            "max_list_age_hours": wanted.max_list_age_hours,
        });
        let (mut diff, mut unclear) = (Vec::new(), Vec::new());
        let limit = f64::from(wanted.max_list_age_hours);
        let mut list_age = None;
        match apt::lists_fetched(&self.machine.files) {
            Ok(Some(fetched)) => match self.machine.age_hours(fetched) {
                Some(age) => {
                    list_age = Some(age);
                    if age > limit {
                        diff.push(format!("the package lists are {age} h old, allowed are {limit} h"));
                    }
                }
                None => unclear.push(format!("the package lists are dated in the future ({fetched})")),
            },
            Ok(None) => diff.push("there are no package lists: updates were never looked for".to_owned()),
            Err(error) => unclear.push(format!("the age of the package lists could not be read ({error})")),
        }
        let pending = apt::pending(&self.machine.commands).await;
        let (missing, all) = match &pending {
            Ok(pending) => (Some(pending.security.clone()), Some(pending.all)),
            Err(reason) => {
                unclear.push(reason.clone());
                (None, None)
            }
        };
        let count = missing.as_ref().map(Vec::len);
        let critical = count.is_some_and(|count| count > wanted.max_critical_missing as usize);
        if let Some(names) = missing.as_ref().filter(|_| critical) {
            diff.push(format!("{} security updates wait: {}", names.len(), shortened(names)));
        }
        let restart = self.machine.files.exists("/run/reboot-required").unwrap_or(false);
        let actual = json!({
            "critical_missing": count,
            "updates_missing": all,
            "list_age_hours": list_age,
            "reboot_required": restart,
        });
        let mut observation = if !diff.is_empty() {
            let severity = if critical { Severity::High } else { Severity::Medium };
            and_unclear(Observation::drift(kind, severity, actual, desired, diff), &unclear)
                .recommend("apt-get update && apt-get upgrade")
        } else if !unclear.is_empty() {
            Observation::unknown(kind, desired, unclear.join("; "))
        } else if restart {
            Observation::pending(
                kind,
                actual,
                desired,
                "installed updates take effect with a restart (/run/reboot-required)",
            )
            .recommend("restart in the maintenance window")
        } else {
            Observation::compliant(kind, actual, desired)
        };
        if let Some(names) = missing {
            observation = observation.detail("critical_missing", names.len()).detail("security_updates", names);
        }
        observation.detail("reboot_required", restart)
    }
}

fn shortened(names: &[String]) -> String {
    let shown: Vec<&str> = names.iter().take(5).map(String::as_str).collect();
    let rest = names.len() - shown.len();
    if rest == 0 { shown.join(", ") } else { format!("{} and {rest} more", shown.join(", ")) }
}

#[cfg(test)]
mod tests;
