//! Generations of NixOS on a booted systemd: switched by signed orders alone, and back by itself.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use msp_agent_act::protocol::{Operation, Request};
use msp_suite::machine::Machine;
use msp_suite::machine_or_skip;
use msp_suite::nixos::Nixos;
use serde_json::Value;

/// The new system starts the agent anew, as one with another agent in it does.
const RESTARTS_THE_AGENT: &str = "systemctl daemon-reload; systemctl restart msp-agent.service msp-agent-act.socket";

fn is(incident: &Value, check: &str, state: &str) -> bool {
    incident["check"] == check && incident["state"] == state
}

#[tokio::test]
async fn an_order_switches_to_a_signed_system_that_outlives_the_agent_and_is_kept_when_it_is_confirmed()
-> anyhow::Result<()> {
    let machine = machine_or_skip!(
        "an_order_switches_to_a_signed_system_that_outlives_the_agent_and_is_kept_when_it_is_confirmed"
    );
    let nixos = Nixos::boot(machine, false)?;
    // Somebody else is activating a system just now: that is waited for.
    nixos.machine.sh("systemd-run --quiet flock /run/nixos/switch-to-configuration.lock sleep 3")?;
    let second = nixos.system("second", RESTARTS_THE_AGENT, "one")?;
    let order = nixos.order(&second)?;
    let over = nixos.completed(&order)?;
    assert_eq!(over["completion"]["success"], true, "{over:#}");
    assert_eq!(over["completion"]["result"]["outcome"], "fixed", "{over:#}");
    assert_eq!(nixos.links()?, [second.clone(), second.clone(), second.clone()]);
    let listed = nixos.generations()?;
    assert_eq!(listed["declared"]["store_path"], second.as_str(), "{listed:#}");
    assert_eq!(
        (&listed["switches"][0]["state"], &listed["switches"][0]["contact"]),
        (&"confirmed".into(), &true.into())
    );
    let healed = nixos.machine.incident("it is told", |one| is(one, "generation", "resolved"))?;
    assert_eq!(healed["outcome"], "fixed", "{healed}");
    let bundle = nixos.machine.agent(&["evidence", "show", healed["evidence_id"].as_str().unwrap()])?;
    assert_eq!(
        (&bundle["rollback_available"], &bundle["rollback_generation"]),
        (&true.into(), &1.into()),
        "{bundle:#}"
    );
    assert_eq!(bundle["actions"][0]["phase"], "switch", "{bundle:#}");
    let switched = nixos.machine.sh("cat /srv/switched")?;
    assert!(switched.ends_with(&format!("test {second}\nboot {second}\n")), "{switched}");

    // Another kernel: it runs, and a restart is due.
    let third = nixos.system("third", "true", "two")?;
    let over = nixos.completed(&nixos.order(&third)?)?;
    assert_eq!(over["completion"]["result"]["outcome"], "reboot_required", "{over:#}");
    assert_eq!(nixos.links()?, [third.clone(), third.clone(), third.clone()]);

    // It was built here, so nobody signed it, and comes from a binary cache as well: that has a signature for it.
    let fourth = nixos.unsigned_system("fourth", "true", "two")?;
    nixos.serve(&fourth)?;
    let over = nixos.completed(&nixos.order(&fourth)?)?;
    assert_eq!(over["completion"]["success"], true, "{over:#}");
    // It was never here: it is fetched.
    let third = nixos.unsigned_system("fifth", "true", "two")?;
    nixos.serve(&third)?;
    nixos.machine.sh(&format!("nix-store --delete {third}; ! test -e {third}"))?;
    let over = nixos.completed(&nixos.order(&third)?)?;
    assert_eq!(over["completion"]["success"], true, "{over:#}");

    // What was ordered once is not ordered: an old envelope, and one that is not Central Command's.
    refused_to_the_daemons_user(&nixos, &order, &second)?;

    // A person goes back, without Central Command.
    nixos.machine.sh("systemctl stop central.service")?;
    nixos.machine.sh("msp-agent generations rollback 3")?;
    let back = nixos.machine.sh("msp-agent generations rollback --json")?;
    let back: Value = serde_json::from_str(&back)?;
    assert_eq!(
        (&back["switch"]["state"], &back["switch"]["to"]),
        (&"confirmed".into(), &second.as_str().into()),
        "{back}"
    );
    assert_eq!(nixos.links()?, [second.clone(), second.clone(), second]);
    nixos.machine.sh("msp-agent generations diff 1 3 --json | grep -q changes")?;
    // Once more leads further back, and not to where it came from.
    nixos.machine.sh("msp-agent generations rollback")?;
    let numbers: Vec<_> =
        nixos.generations()?["generations"].as_array().unwrap().iter().map(|one| one["number"].clone()).collect();
    assert_eq!(numbers, [1, 2, 3, 4, 5], "nobody made new generations of old systems");
    assert_eq!(nixos.generations()?["generations"][0]["is_default"], true);
    Ok(())
}

fn refused_to_the_daemons_user(nixos: &Nixos, order: &str, store_path: &str) -> anyhow::Result<()> {
    let machine = &nixos.machine;
    machine.sh(&format!("msp-central order show --dir /srv/central {order} --out /srv/old.json"))?;
    let old = machine.sh("cat /srv/old.json")?;
    let boot_id = machine.sh("cat /proc/sys/kernel/random/boot_id")?.trim().to_owned();
    let forged = old.replacen("\"sig\":\"", "\"sig\":\"AA", 1);
    for (n, order, reason) in [(1, old.as_str(), "is old"), (2, &forged, "not signed"), (3, store_path, "no order")] {
        let operation = Operation::SwitchGeneration { order: order.to_owned(), contact: false };
        let request = Request { boot_id: boot_id.clone(), ..Request::now(format!("{n:032x}"), operation)? };
        let client = "my $s = IO::Socket::UNIX->new(Peer => '/run/msp-agent/act.sock') or die; syswrite $s, $ARGV[0]; print <$s>;";
        let line = serde_json::to_string(&request)? + "\n";
        let (_, said) = machine.as_user("msp-agent", &["perl", "-MIO::Socket::UNIX", "-e", client, &line])?;
        assert!(said.contains(reason), "{reason}: {said}");
    }
    // Nor is there another way to the unit that switches.
    let start = "busctl call org.freedesktop.systemd1 /org/freedesktop/systemd1 org.freedesktop.systemd1.Manager StartUnit ss msp-agent-switch@x.service replace";
    let (done, said) = machine.as_user("msp-agent", &start.split(' ').collect::<Vec<_>>())?;
    assert!(!done && (said.contains("denied") || said.contains("authentication required")), "{said}");
    let (done, _) = machine.as_user("msp-agent", &["touch", "/var/lib/msp-agent-switch/switches/x.json"])?;
    assert!(!done);
    let (_, said) = machine.as_user("msp-agent", &["msp-agent", "generations", "accept"])?;
    assert!(said.contains("only root"), "{said}");
    machine.incident("a person is told", |one| is(one, "executor", "escalated"))?;
    Ok(())
}

/// Orders a switch that does not succeed, and answers what Central Command was told of it.
fn fails(nixos: &Nixos, store_path: &str, before: &[String; 3]) -> anyhow::Result<(String, String)> {
    let over = nixos.completed(&nixos.order(store_path)?)?;
    assert_eq!(over["completion"]["success"], false, "{over:#}");
    assert_eq!(nixos.links()?, *before, "{over:#}");
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    Ok((text(&over["completion"]["result"]["outcome"]), text(&over["completion"]["error_message"])))
}

#[tokio::test]
async fn a_system_that_fails_or_is_not_confirmed_is_rolled_back_and_stays_visible() -> anyhow::Result<()> {
    let machine = machine_or_skip!("a_system_that_fails_or_is_not_confirmed_is_rolled_back_and_stays_visible");
    let broken = "[Service]\nType=oneshot\nExecStart=/bin/false\n";
    machine.lay("etc/systemd/system/broken.service", broken, 0o644)?;
    machine.lay("etc/systemd/system/old.service", broken, 0o644)?;
    let loops = "[Unit]\nStartLimitIntervalSec=0\n[Service]\nExecStart=/bin/false\nRestart=always\nRestartSec=1\n";
    machine.lay("etc/systemd/system/loops.service", loops, 0o644)?;
    let nixos = Nixos::boot(machine, false)?;
    // What had failed before is no fault of the new system.
    nixos.machine.sh("systemctl start old.service || true")?;
    let fine = nixos.system("fine", "nft flush ruleset; systemctl start msp-agent.service; exit 4", "one")?;
    let over = nixos.completed(&nixos.order(&fine)?)?;
    assert_eq!(over["completion"]["result"]["outcome"], "fixed", "{over:#}");
    let before = nixos.links()?;

    let bad = nixos.system("bad", "systemctl start broken.service; exit 4", "one")?;
    let (outcome, said) = fails(&nixos, &bad, &before)?;
    assert_eq!(outcome, "rolled_back", "{said}");
    assert!(said.contains("newly failed: broken.service"), "{said}");
    nixos.machine.sh("systemctl reset-failed broken.service")?;
    nixos.machine.incident("a person is asked", |one| is(one, "generation", "escalated"))?;
    let seen = nixos.machine.sh("msp-agent check --only generation || test $? = 1")?;
    assert!(seen.contains("ended rolled back: newly failed: broken.service"), "{seen}");
    let settle = "! msp-agent generations list && msp-agent generations accept && msp-agent generations list";
    nixos.machine.sh(&format!("if {settle}; then true; else exit 1; fi"))?;

    // It cuts the machine off: the agent cannot confirm what Central Command does not hear of.
    let cut_off = "nft add table inet cut; nft 'add chain inet cut out { type filter hook output priority 0; }'; nft add rule inet cut out tcp dport 8443 reject with tcp reset";
    let cut_off = nixos.system("cut-off", cut_off, "one")?;
    let (outcome, said) = fails(&nixos, &cut_off, &before)?;
    assert_eq!(outcome, "rolled_back", "{said}");
    assert!(said.contains("no confirmation by the agent, which has to reach Central Command"), "{said}");

    for (name, hook, outcome, reason) in [
        ("breaks", "exit 2", "rolled_back", "exit code 2"),
        // NixOS's own program forgets that when a unit fails as well.
        ("does-not-activate", "echo 'Failed to run activate script'; exit 4", "rolled_back", "exit code 2"),
        // It never comes to rest in "failed".
        ("loops", "systemctl start --no-block loops.service; exit 4", "rolled_back", "newly failed: loops.service"),
        ("mute", "true", "failed", "could not confirm"),
        ("other-init", "ln -sfn $(cat /boot/default) /run/current-system; exit 100", "failed", "another init"),
    ] {
        let system = nixos.system(name, hook, "one")?;
        let (found, said) = fails(&nixos, &system, &before)?;
        assert_eq!(found, outcome, "{said}");
        assert!(said.contains(reason), "{said}");
        nixos.machine.sh("systemctl stop loops.service")?;
    }
    let unsigned = nixos.unsigned_system("unsigned", "true", "one")?;
    let (outcome, said) = fails(&nixos, &unsigned, &before)?;
    assert_eq!(outcome, "failed", "{said}");
    assert!(said.contains("not signed by a key"), "{said}");
    let missing = "/nix/store/0123456789abcdfghijklmnpqrsvwxyz-nixos-system-missing";
    let (outcome, said) = fails(&nixos, missing, &before)?;
    assert_eq!(outcome, "failed", "{said}");
    assert!(said.contains("cannot be fetched"), "{said}");
    let verified = nixos.machine.agent(&["evidence", "verify", "--json"])?;
    assert_eq!(verified["ok"], true, "{verified}");
    Ok(())
}

#[tokio::test]
async fn a_power_cut_or_a_kill_in_the_middle_of_a_switch_leads_back_and_is_told() -> anyhow::Result<()> {
    let machine = machine_or_skip!("a_power_cut_or_a_kill_in_the_middle_of_a_switch_leads_back_and_is_told");
    let nixos = Nixos::boot(machine, false)?;
    let before = nixos.links()?;
    let waits = "test \"$(msp-agent generations list --json | grep -c '\"state\": \"awaiting\"')\" = 1";
    // Nobody confirms, because the new system has no agent.
    let silent = nixos.system("silent", "systemctl stop msp-agent.service", "one")?;
    nixos.order(&silent)?;
    nixos.machine.until(waits)?;
    nixos.machine.sh("systemctl kill --signal=KILL 'msp-agent-switch@*.service'; systemctl start msp-agent.service")?;
    nixos.machine.until("msp-agent generations list --json | grep -q 'ended in the middle'")?;
    assert_eq!(nixos.links()?, before);

    let silent = nixos.system("silent-again", "systemctl stop msp-agent.service", "one")?;
    let order = nixos.order(&silent)?;
    nixos.machine.until(waits)?;
    assert_eq!(nixos.links()?[0], silent);
    nixos.machine.run(&["cut"])?;
    nixos.machine.boot(&[])?;
    assert_eq!(nixos.links()?, before);
    nixos.central()?;
    let over = nixos.completed(&order)?;
    assert_eq!(over["completion"]["result"]["outcome"], "rolled_back", "{over:#}");
    assert!(over["completion"]["error_message"].as_str().unwrap().contains("the machine was restarted"), "{over:#}");
    let failed = nixos.machine.sh("systemctl list-units --failed --plain --no-legend 'msp-agent*'")?;
    assert_eq!(failed.trim(), "", "a switch that was recovered is no failed unit");

    // Cut while it is made the default: before the boot loader's word, and after it.
    let cut = nixos.system("cut-before", "true", "one")?;
    let order = nixos.order(&cut)?;
    nixos.machine.until(&format!("test $(readlink -f /nix/var/nix/profiles/system) = {cut}"))?;
    nixos.machine.run(&["cut"])?;
    nixos.machine.boot(&[])?;
    nixos.machine.until("systemctl is-active msp-agent.service")?;
    assert_eq!(nixos.links()?, before);
    nixos.central()?;
    assert_eq!(nixos.completed(&order)?["completion"]["result"]["outcome"], "rolled_back");
    let cut = nixos.system("cut-after", "true", "one")?;
    let order = nixos.order(&cut)?;
    nixos.machine.until(&format!("grep -q {cut} /boot/default"))?;
    nixos.machine.run(&["cut"])?;
    nixos.machine.boot(&[])?;
    nixos.central()?;
    assert_eq!(nixos.completed(&order)?["completion"]["result"]["outcome"], "fixed");
    assert_eq!(nixos.links()?, [cut.clone(), cut.clone(), cut.clone()]);
    assert_eq!(nixos.generations()?["declared"]["store_path"], cut.as_str());
    Ok(())
}

fn lay_restore_rule(machine: &Machine) -> anyhow::Result<()> {
    let rule = "rules:\n  - id: SITE-GENERATION-RESTORE\n    name: Declared generation switched back to\n    conditions:\n      - {field: check_type, operator: eq, value: generation}\n      - {field: drift_detected, operator: eq, value: true}\n      - {field: details.switch_rolled_back, operator: eq, value: false}\n    action: run_runbook\n    action_params: {runbook_id: RB-HOST-GENERATION-001}\n    priority: 1\n";
    machine.lay("etc/msp/rules/site.yaml", rule, 0o644)
}

#[tokio::test]
async fn another_system_than_the_declared_one_goes_to_a_person_and_is_switched_back_where_the_site_says_so()
-> anyhow::Result<()> {
    let machine = machine_or_skip!(
        "another_system_than_the_declared_one_goes_to_a_person_and_is_switched_back_where_the_site_says_so"
    );
    lay_restore_rule(&machine)?;
    let nixos = Nixos::boot(machine, true)?;
    let first = nixos.links()?[0].clone();
    let other = nixos.system("other", "true", "one")?;
    nixos.machine.sh(&format!("{other}/bin/switch-to-configuration test"))?;
    let healed = nixos.machine.incident("it is switched back", |one| is(one, "generation", "resolved"))?;
    assert_eq!(
        (&healed["runbook_id"], &healed["outcome"]),
        (&"RB-HOST-GENERATION-001".into(), &"fixed".into()),
        "{healed}"
    );
    assert_eq!(nixos.links()?[0], first);

    // Accepted, it stays.
    nixos.machine.sh("systemctl stop msp-agent.service")?;
    nixos.machine.sh(&format!(
        "{other}/bin/switch-to-configuration test; nix-env --profile /nix/var/nix/profiles/system --set {other}"
    ))?;
    nixos.machine.sh("msp-agent generations list || test $? = 1; msp-agent generations accept --reason 'tried by hand'; msp-agent generations list")?;
    assert_eq!(nixos.generations()?["declared"]["by"], "root: tried by hand");

    // Where root's list does not say so, a person is asked.
    nixos.machine.sh("sed -i 's/\"restore_declared\":true/\"restore_declared\":false/' /etc/msp-agent/act.json; systemctl start msp-agent.service")?;
    nixos.machine.sh(&format!("{first}/bin/switch-to-configuration test"))?;
    let told = nixos.machine.incident("a person is asked", |one| is(one, "generation", "escalated"))?;
    assert!(told.to_string().contains("generation"), "{told}");
    assert_eq!(nixos.links()?[0], first);
    Ok(())
}

#[tokio::test]
async fn old_generations_make_room_in_boot_and_one_that_stays_full_lets_nothing_begin() -> anyhow::Result<()> {
    let machine = machine_or_skip!("old_generations_make_room_in_boot_and_one_that_stays_full_lets_nothing_begin");
    for kernel in ["k1", "k2", "k3", "k4", "k5"] {
        machine.lay(&format!("srv/kernels/{kernel}"), vec![0; 2 << 20], 0o644)?;
    }
    let nixos = Nixos::boot(machine, false)?;
    nixos.machine.sh("cp -a /boot /srv/boot; mount -t tmpfs -o size=11m tmpfs /boot; cp -a /srv/boot/. /boot")?;
    let mut systems = Vec::new();
    for kernel in ["k1", "k2", "k3", "k4"] {
        let system = nixos.system(kernel, "true", kernel)?;
        let over = nixos.completed(&nixos.order(&system)?)?;
        assert_eq!(over["completion"]["result"]["outcome"], "reboot_required", "{kernel}: {over:#}");
        systems.push(system);
    }
    // The one that it was started with, the one that runs, and one to go back to are there still.
    let listed = nixos.generations()?;
    let left: Vec<_> =
        listed["generations"].as_array().unwrap().iter().map(|one| one["number"].as_u64().unwrap()).collect();
    assert_eq!(left, [1, 3, 4, 5], "{listed:#}");
    assert_eq!(listed["switches"][3]["removed"], serde_json::json!([2]), "{listed:#}");
    let before = nixos.links()?;
    nixos.machine.sh("head -c 4M /dev/zero >/boot/other")?;
    let system = nixos.system("k5", "true", "k5")?;
    let (outcome, said) = fails(&nixos, &system, &before)?;
    assert_eq!(outcome, "failed", "{said}");
    assert!(said.contains("MiB are needed, although old generations were removed"), "{said}");
    assert!(!nixos.machine.sh("cat /srv/switched")?.contains(&format!("test {system}")));
    Ok(())
}
