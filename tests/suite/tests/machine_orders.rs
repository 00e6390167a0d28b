//! Orders for the appliance itself, on a booted systemd: its own runbooks, by root's own list.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use msp_lab::clinic::{APPLIANCE, SITE};
use msp_suite::machine_or_skip;
use msp_suite::nixos::Nixos;
use serde_json::Value;

/// Orders a runbook for a unit of the appliance, and answers what became of it.
fn ordered(nixos: &Nixos, unit: &str) -> anyhow::Result<Value> {
    let order = nixos.machine.sh(&format!(
        "msp-central order issue --dir /srv/central {SITE} {APPLIANCE} run-runbook RB-HOST-SVC-001 --host {APPLIANCE} \
         --parameter service={unit} --reason 'ticket 4711' --by alice --json"
    ))?;
    let order: Value = serde_json::from_str(&order)?;
    Ok(nixos.completed(order["order_id"].as_str().unwrap())?["completion"].take())
}

#[tokio::test]
async fn an_order_restarts_a_stopped_unit_that_roots_list_has_and_no_other() -> anyhow::Result<()> {
    let machine = machine_or_skip!("an_order_restarts_a_stopped_unit_that_roots_list_has_and_no_other");
    // No rule starts it: a person has to say so.
    machine.lay("etc/msp/rules/site.yaml", "rules:\n  - {id: L1-HOST-SVC-002, enabled: false}\n", 0o644)?;
    machine.lay("etc/systemd/system/other.service", "[Service]\nExecStart=/bin/sleep infinity\n", 0o644)?;
    let baseline = "appliance:\n  services: {running: [web.service, other.service], max_failed: 100}\n";
    machine.lay("etc/msp/baseline.yaml", baseline, 0o644)?;
    let nixos = Nixos::boot(machine, false)?;
    nixos.machine.sh("systemctl stop web.service")?;
    nixos.machine.incident("nobody starts it", |one| one["check"] == "services" && one["state"] == "escalated")?;

    let done = ordered(&nixos, "web.service")?;
    assert_eq!((&done["success"], &done["result"]["outcome"]), (&true.into(), &"fixed".into()), "{done:#}");
    assert_eq!(nixos.machine.sh("systemctl is-active web.service")?.trim(), "active");
    // It runs, and what drifts is another unit: it is left alone.
    let since = nixos.machine.sh("systemctl show -P ActiveEnterTimestampMonotonic web.service")?;
    let done = ordered(&nixos, "web.service")?;
    assert_eq!((&done["success"], &done["result"]["outcome"]), (&true.into(), &"no_change".into()), "{done:#}");
    assert_eq!(nixos.machine.sh("systemctl show -P ActiveEnterTimestampMonotonic web.service")?, since);
    // The order is signed, and root's list does not have the unit all the same.
    let done = ordered(&nixos, "other.service")?;
    assert_eq!(done["success"], false, "{done:#}");
    assert!(done["error_message"].as_str().unwrap().contains("not on the list"), "{done:#}");
    // Nor is that taken for a stranger who tries the executor: it was not even asked.
    nixos.machine.sh("! test -s /run/msp-agent-act/refused")?;
    assert_eq!(nixos.machine.sh("systemctl is-active other.service || true")?.trim(), "inactive");

    let refused = nixos.machine.sh(&format!(
        "msp-central order issue --dir /srv/central {SITE} {APPLIANCE} run-runbook RB-HOST-SWITCH-001 --host {APPLIANCE} \
         --parameter store_path=/nix/store/x --reason x 2>&1 || true"
    ))?;
    assert!(refused.contains("switch-generation STORE_PATH"), "{refused}");
    Ok(())
}
