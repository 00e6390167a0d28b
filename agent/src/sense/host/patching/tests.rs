use super::super::fixture::{Fixture, observe, recorded};
use super::*;
use msp_contracts::finding::CheckStatus;
use serde_json::Value;

const NOTHING: &str = "Reading package lists...\n0 upgraded, 0 newly installed, 0 to remove and 0 not upgraded.\n";

async fn look(fixture: &Fixture) -> Observation {
    observe(&Patching { machine: fixture.machine(), desired: baseline::Patching::default() }).await
}

fn debian(simulated: &str) -> Fixture {
    Fixture::new()
        .prints("apt-get", simulated)
        .file("/var/lib/apt/lists/mirror.example_debian_dists_bookworm_InRelease", "Origin: Debian\n")
        .age("/var/lib/apt/lists", 10.0)
}

fn nixos(version: &str) -> Fixture {
    Fixture::new().file("/etc/NIXOS", "").file("/run/current-system/nixos-version", version)
}

#[tokio::test]
async fn fresh_lists_and_no_security_update_are_compliant() {
    let seen = look(&debian(NOTHING)).await;
    assert_eq!((seen.status, &seen.details["critical_missing"]), (CheckStatus::Compliant, &Value::from(0)), "{seen:?}");
}

#[tokio::test]
async fn waiting_security_updates_are_drift_and_others_are_not_counted() {
    let seen = look(&debian(&recorded("apt-simulate.txt"))).await;
    assert_eq!((seen.status, seen.severity), (CheckStatus::Drift, Severity::High));
    assert_eq!(seen.details["critical_missing"], 4);
    assert_eq!(seen.actual["updates_missing"], 7);
}

#[tokio::test]
async fn old_or_absent_lists_are_drift() {
    let seen = look(&debian(NOTHING).age("/var/lib/apt/lists", 100.0)).await;
    assert_eq!(seen.diff, ["the package lists are 100 h old, allowed are 72 h"]);
    let stamped = debian(NOTHING)
        .age("/var/lib/apt/lists", 100.0)
        .file("/var/lib/apt/periodic/update-success-stamp", "")
        .age("/var/lib/apt/periodic/update-success-stamp", 5.0);
    assert_eq!(look(&stamped).await.status, CheckStatus::Compliant);
    let emptied = Fixture::new().prints("apt-get", NOTHING).dir("/var/lib/apt/lists/partial");
    assert_eq!(look(&emptied).await.diff, ["there are no package lists: updates were never looked for"]);
}

#[tokio::test]
async fn a_restart_that_is_due_is_pending() {
    let seen = look(&debian(NOTHING).file("/run/reboot-required", "")).await;
    assert_eq!((seen.status, &seen.details["reboot_required"]), (CheckStatus::Pending, &Value::from(true)));
}

#[tokio::test]
async fn what_apt_does_not_tell_is_unknown() {
    let cut: String = recorded("apt-simulate.txt").lines().take(3).collect();
    assert_eq!(look(&debian(&cut)).await.status, CheckStatus::Unknown);
    assert_eq!(look(&debian(NOTHING).age("/var/lib/apt/lists", -24.0)).await.status, CheckStatus::Unknown);
    let failing = debian(NOTHING).tool("apt-get", "echo 'E: dpkg was interrupted' >&2; exit 100");
    let seen = look(&failing).await;
    assert!(seen.reason.unwrap().contains("dpkg was interrupted"));
    assert!(!seen.details.contains_key("critical_missing"));
    assert_eq!(look(&Fixture::new()).await.status, CheckStatus::Unknown, "neither apt nor NixOS");
}

#[tokio::test]
async fn the_age_of_nixpkgs_is_in_the_version_or_in_the_registry() {
    let fresh = look(&nixos("26.05.20260105.abcdef0 (Yarara)\n")).await;
    assert_eq!((fresh.status, &fresh.details["nixpkgs_age_days"]), (CheckStatus::Compliant, &Value::from(10.5)));
    let old = look(&nixos("25.05.20251101.abcdef0")).await;
    assert_eq!(old.diff, ["the system's nixpkgs is 75.5 days old, allowed are 30"]);
    let pinned = |registry: &str| nixos("26.05pre-git").file("/etc/nix/registry.json", registry);
    let registry = r#"{"flakes":[{"exact":true,"from":{"id":"nixpkgs","type":"indirect"},"to":{"lastModified":1768219200,"path":"/nix/store/x-source","type":"path"}}],"version":2}"#;
    assert_eq!(look(&pinned(registry)).await.details["nixpkgs_age_days"], 3.0);
    for nothing in ["{}", "not JSON", r#"{"flakes":[{"from":{"id":"nixpkgs"},"to":{"path":"/x"}}]}"#] {
        assert_eq!(look(&pinned(nothing)).await.status, CheckStatus::Unknown, "{nothing}");
    }
    assert_eq!(look(&nixos("26.05.20991231.abcdef0")).await.status, CheckStatus::Unknown, "from the future");
    assert_eq!(look(&nixos("26.05.20261399.abcdef0")).await.status, CheckStatus::Unknown, "no such date");
}
