//! The agent on a booted systemd, with its units: what it heals, what it survives, and what its user cannot get as root.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use msp_agent_act::protocol::{Operation, Request, boot_time_ms};
use msp_suite::machine::Machine;
use msp_suite::machine_or_skip;
use serde_json::Value;

/// A request to the executor, from inside the machine and as its user: what it answers.
fn ask(machine: &Machine, user: &str, socket: &str, bytes: &str) -> anyhow::Result<(bool, String)> {
    let client = "$SIG{PIPE} = 'IGNORE'; my $s = IO::Socket::UNIX->new(Peer => $ARGV[0]) or die \"connect: $!\\n\"; \
                  syswrite $s, $ARGV[1]; print <$s>;";
    machine.as_user(
        user,
        &["perl", "-MIO::Socket::UNIX", "-e", client, "/run/msp-agent/", bytes]
            .map(|word| if word == "/run/msp-agent/" { socket } else { word }),
    )
}

const ACT: &str = "/run/msp-agent/act.sock";

/// A request as the agent makes it; a machine has a boot's id of its own.
fn request(machine: &Machine, id: u32, operation: Operation) -> Request {
    let boot_id = machine.sh("cat /proc/sys/kernel/random/boot_id").unwrap().trim().to_owned();
    Request { boot_id, ..Request::now(format!("{id:032x}"), operation).unwrap() }
}

fn restart(unit: &str) -> Operation {
    Operation::RestartUnit { unit: unit.to_owned() }
}

fn line(request: &Request) -> String {
    serde_json::to_string(request).unwrap() + "\n"
}

fn is(incident: &Value, check: &str, state: &str) -> bool {
    incident["check"] == check && incident["state"] == state
}

#[tokio::test]
async fn a_stopped_unit_is_started_and_proved_and_one_that_is_not_on_roots_list_goes_to_a_person() -> anyhow::Result<()>
{
    let machine =
        machine_or_skip!("a_stopped_unit_is_started_and_proved_and_one_that_is_not_on_roots_list_goes_to_a_person");
    machine.boot(&[])?;
    machine.until("systemctl is-active msp-agent.service web.service")?;
    machine.sh("systemctl stop web.service")?;
    let healed = machine.incident("web.service runs again", |one| is(one, "services", "resolved"))?;
    assert_eq!((&healed["runbook_id"], &healed["outcome"]), (&"RB-HOST-SVC-001".into(), &"fixed".into()), "{healed}");
    assert_eq!(machine.sh("systemctl is-active web.service")?.trim(), "active");
    let bundle = machine.agent(&["evidence", "show", healed["evidence_id"].as_str().unwrap()])?;
    let phases: Vec<_> = bundle["actions"].as_array().unwrap().iter().map(|one| one["phase"].clone()).collect();
    assert_eq!(phases, ["remediate", "verify"], "{bundle}");
    assert_eq!(bundle["actions"][0]["report"]["observed"]["asked_of_systemd"], "RestartUnit web.service");

    // The journal has the fields, so that one asks it for an incident.
    let incident = healed["incident_id"].as_str().unwrap();
    let told = machine.sh(&format!("journalctl --no-pager -o json MSP_INCIDENT_ID={incident}"))?;
    assert!(
        told.contains("MSP_EVIDENCE_ID") && told.contains("MSP_RUNBOOK_ID") && told.contains("MSP_HOST_ID"),
        "{told}"
    );
    let status = machine.sh("systemctl show -P StatusText msp-agent.service")?;
    assert!(status.split_whitespace().count() > 3, "{status}");

    machine.sh("echo '{\"user\": \"msp-agent\"}' >/etc/msp-agent/act.json; systemctl stop web.service")?;
    machine.incident("a person is asked", |one| is(one, "services", "escalated"))?;
    assert_eq!(machine.sh("systemctl is-active web.service || true")?.trim(), "inactive");
    Ok(())
}

#[tokio::test]
async fn what_the_daemons_user_must_not_get_as_root_is_refused_and_reported() -> anyhow::Result<()> {
    let machine = machine_or_skip!("what_the_daemons_user_must_not_get_as_root_is_refused_and_reported");
    machine.boot(&[])?;
    machine.until("systemctl is-active msp-agent.service")?;
    let manager =
        ["busctl", "call", "org.freedesktop.systemd1", "/org/freedesktop/systemd1", "org.freedesktop.systemd1.Manager"];
    let transient = "StartTransientUnit ssa(sv)a(sa(sv)) msp-agent-act-x.service fail 1 ExecStart a(sasb) 1 /bin/touch 2 /bin/touch /owned false 0";
    let start = "StartUnit ss web.service replace";
    for call in [transient, start, "RestartUnit ss web.service replace", "Reload"] {
        let words: Vec<&str> = manager.into_iter().chain(call.split(' ')).collect();
        let (done, said) = machine.as_user("msp-agent", &words)?;
        assert!(!done && (said.contains("denied") || said.contains("authentication required")), "{call}: {said}");
    }
    machine.sh("! test -e /owned")?;

    let good = request(&machine, 1, restart("web.service"));
    let (_, said) = ask(&machine, "msp-agent", ACT, &line(&good))?;
    assert_eq!(said.trim(), r#"{"outcome":"queued","method":"RestartUnit","unit":"web.service"}"#);
    let stale = Request { issued_ms: boot_time_ms() - 40_000, ..request(&machine, 2, restart("web.service")) };
    let other_boot = Request { boot_id: "0".repeat(36), ..request(&machine, 3, restart("web.service")) };
    let oversized = " ".repeat(100_000);
    for (user, bytes, reason) in [
        ("msp-agent", line(&good), "made before"),
        ("msp-agent", line(&request(&machine, 4, restart("dbus.service"))), "not on the list"),
        ("msp-agent", line(&request(&machine, 5, Operation::RestoreFirewall {})), "firewall_unit"),
        ("msp-agent", line(&stale), "older than"),
        ("msp-agent", line(&other_boot), "another boot"),
        ("msp-agent", oversized, "longer than 16384"),
        ("stranger", line(&request(&machine, 6, restart("web.service"))), "may not ask"),
        ("root", line(&request(&machine, 7, restart("web.service"))), "user 0 may not ask"),
    ] {
        let (_, said) = ask(&machine, user, ACT, &bytes)?;
        // One that was oversized may find the door shut before it has read why.
        assert!(said.contains(reason) || reason.starts_with("longer"), "{user}: {said}");
        machine.until(&format!("journalctl --no-pager -t msp-agent-act -p warning | grep -q '{reason}'"))?;
    }
    for socket in [ACT, "/run/msp-agent/nft.sock"] {
        let (_, said) = ask(&machine, "outsider", socket, "")?;
        assert!(said.contains("Permission denied"), "{said}");
    }
    // What the agent cannot change it cannot make its own: the list, the notes, the units.
    for file in ["/etc/msp-agent/act.json", "/run/msp-agent-act/refused", "/run/msp-agent-act/seen/x"] {
        let (done, _) = machine.as_user("msp-agent", &["bash", "-c", &format!("echo >>{file}")])?;
        assert!(!done, "{file}");
    }
    let told = machine.incident("a person is told", |one| is(one, "executor", "escalated"))?;
    let bundle = machine.agent(&["evidence", "show", told["evidence_id"].as_str().unwrap()])?;
    assert!(bundle.to_string().contains("refused"), "{bundle}");
    Ok(())
}

#[tokio::test]
async fn a_hang_in_a_heal_is_ended_by_the_watchdog_and_the_heal_is_looked_at_and_not_done_again() -> anyhow::Result<()>
{
    let machine =
        machine_or_skip!("a_hang_in_a_heal_is_ended_by_the_watchdog_and_the_heal_is_looked_at_and_not_done_again");
    let quick = "[Service]\nWatchdogSec=4\nTimeoutAbortSec=1\nRestartSec=1\n";
    machine.lay("etc/systemd/system/msp-agent.service.d/quick.conf", quick, 0o644)?;
    // It takes its time to start, so that the agent is in the middle of the heal.
    let slow = "[Service]\nType=notify\nNotifyAccess=all\nExecStart=/bin/bash -c 'sleep 3; systemd-notify --ready; exec sleep infinity'\n";
    machine.lay("etc/systemd/system/web.service", format!("{slow}[Install]\nWantedBy=multi-user.target\n"), 0o644)?;
    machine.boot(&[])?;
    machine.until("systemctl is-active msp-agent.service web.service")?;
    machine.sh("systemctl stop web.service")?;
    machine.until("test \"$(systemctl show -P ActiveState web.service)\" = activating")?;
    machine.sh("kill -STOP $(systemctl show -P MainPID msp-agent.service)")?;
    machine.until("test \"$(systemctl show -P NRestarts msp-agent.service)\" -ge 1")?;
    let healed = machine.incident("the heal is told", |one| is(one, "services", "resolved"))?;
    assert_eq!(healed["outcome"], "fixed", "{healed}");
    let log = machine.sh("journalctl --no-pager -b")?;
    assert!(log.contains("Watchdog timeout"), "{log}");
    assert!(log.contains("interrupted by a restart") || log.contains("was interrupted"), "{log}");
    assert_eq!(log.matches("RestartUnit web.service: queued").count(), 1, "{log}");
    Ok(())
}

#[tokio::test]
async fn the_units_are_exposed_no_more_than_is_pinned() -> anyhow::Result<()> {
    let machine = machine_or_skip!("the_units_are_exposed_no_more_than_is_pinned");
    machine.boot(&[])?;
    // systemd-analyze counts in tenths: at the pinned figure a unit passes, one below it fails.
    for (unit, pinned) in [("msp-agent.service", 12), ("msp-agent-act@x.service", 7), ("msp-agent-nft@x.service", 11)] {
        let told = machine.sh(&format!("systemd-analyze security --no-pager {unit} | tail -n 60"))?;
        let passes = |threshold: u32| {
            let line = format!("systemd-analyze security --threshold={threshold} {unit} >/dev/null 2>&1");
            machine.script(&["sh", "bash", "-ec", &line]).unwrap().status.success()
        };
        assert!(passes(pinned), "{unit}: {told}");
        assert!(!passes(pinned - 1), "{unit} is better than the {pinned} it is pinned to: {told}");
    }
    Ok(())
}

#[tokio::test]
async fn a_flushed_packet_filter_goes_to_a_person_and_is_restored_where_the_site_says_so() -> anyhow::Result<()> {
    let machine = machine_or_skip!("a_flushed_packet_filter_goes_to_a_person_and_is_restored_where_the_site_says_so");
    let declared = "#!/usr/sbin/nft -f\nflush ruleset\ntable inet filter {\n  chain input {\n    type filter hook input \
                    priority filter; policy drop;\n    iif lo accept\n    ct state established accept\n  }\n}\n";
    machine.lay("etc/nftables.conf", declared, 0o755)?;
    machine.want("sysinit.target", "nftables.service")?;
    std::fs::remove_file(machine.folder().join("upper/etc/systemd/system/sysinit.target.wants/nftables.service"))?;
    std::os::unix::fs::symlink(
        "/usr/lib/systemd/system/nftables.service",
        machine.folder().join("upper/etc/systemd/system/sysinit.target.wants/nftables.service"),
    )?;
    machine.boot(&[])?;
    machine.until("systemctl is-active msp-agent.service nftables.service")?;
    machine.sh("nft flush ruleset")?;
    machine.incident("a person is asked", |one| is(one, "firewall", "escalated"))?;
    assert_eq!(machine.sh("nft list ruleset")?.trim(), "", "nobody said that it may be restored");

    // Root's list, a rule of the site: both have to say so.
    machine.sh("systemctl stop msp-agent.service; systemctl reload nftables.service")?;
    let rule = "rules:\n  - id: SITE-FW-001\n    name: Declared firewall loaded again\n    conditions:\n      - {field: check_type, operator: eq, value: firewall}\n      - {field: drift_detected, operator: eq, value: true}\n    action: run_runbook\n    action_params: {runbook_id: RB-HOST-FIREWALL-001}\n    priority: 1\n";
    machine.sh(&format!("cat >/etc/msp/rules/site.yaml <<'END'\n{rule}END\n"))?;
    machine.sh("echo '{\"user\": \"msp-agent\", \"firewall_unit\": \"nftables.service\"}' >/etc/msp-agent/act.json")?;
    machine.sh("systemctl start msp-agent.service")?;
    machine.incident("the firewall is seen again", |one| is(one, "firewall", "resolved"))?;
    machine.sh("nft flush ruleset")?;
    let healed = machine.incident("the firewall is restored", |one| {
        is(one, "firewall", "resolved") && one["runbook_id"] == "RB-HOST-FIREWALL-001"
    })?;
    assert_eq!(healed["outcome"], "fixed", "{healed}");
    assert!(machine.sh("nft list ruleset")?.contains("policy drop"));
    Ok(())
}

/// An NTP server (RFC 5905) that is so many seconds ahead, and a time service that asks it.
fn lay_time_server(machine: &Machine) -> anyhow::Result<()> {
    let server = "use IO::Socket::INET;\n\
        my $s = IO::Socket::INET->new(Proto => 'udp', LocalAddr => '127.0.0.1', LocalPort => 1123) or die $!;\n\
        while (my $from = $s->recv(my $q, 512)) {\n\
            my $t = time + 2208988800 + $ARGV[0];\n\
            my $r = pack('C4 N2 a4 N2 a8 N4', 0x24, 1, 4, 0xec, 0, 1, 'LOCL', $t, 0, substr($q, 40, 8), $t, 0, $t, 0);\n\
            $s->send($r, 0, $from);\n\
        }\n";
    machine.lay("usr/local/bin/time-server", server, 0o755)?;
    let config = "server 127.0.0.1 port 1123 iburst minpoll 0 maxpoll 2\ncmdport 323\n";
    machine.lay("etc/test-chrony.conf", config, 0o644)?;
    // -x: the clock is the host's, and is left alone.
    let unit = "[Service]\nExecStart=/usr/sbin/chronyd -x -d -u root -f /etc/test-chrony.conf\n";
    machine.lay("etc/systemd/system/test-chrony.service", unit, 0o644)
}

#[tokio::test]
async fn a_time_service_that_stopped_and_a_disk_that_is_full_are_healed_by_the_units_that_roots_list_names()
-> anyhow::Result<()> {
    let machine = machine_or_skip!(
        "a_time_service_that_stopped_and_a_disk_that_is_full_are_healed_by_the_units_that_roots_list_names"
    );
    lay_time_server(&machine)?;
    let list = r#"{"user": "msp-agent", "time_unit": "test-chrony.service", "garbage_unit": "clean.service"}"#;
    machine.lay("etc/msp-agent/act.json", list, 0o644)?;
    machine.lay("etc/msp/baseline.yaml", "appliance:\n  disk: {mounts: [/srv]}\n", 0o644)?;
    let clean = "[Service]\nType=oneshot\nExecStart=/bin/rm -f /srv/garbage\n";
    machine.lay("etc/systemd/system/clean.service", clean, 0o644)?;
    machine.boot(&[])?;
    machine.sh("systemd-run --quiet --unit=time-server perl /usr/local/bin/time-server 0")?;
    machine.sh("mount -t tmpfs -o size=10m tmpfs /srv; head -c 9900000 /dev/zero >/srv/garbage")?;
    for (check, runbook) in [("time_sync", "RB-HOST-TIME-001"), ("disk", "RB-HOST-DISK-001")] {
        let healed = machine.incident(check, |one| is(one, check, "resolved"))?;
        assert_eq!((&healed["runbook_id"], &healed["outcome"]), (&runbook.into(), &"fixed".into()), "{healed}");
    }
    machine.sh("systemctl is-active test-chrony.service; ! test -e /srv/garbage")?;
    Ok(())
}

#[tokio::test]
async fn a_clock_that_a_false_time_server_would_move_is_found() -> anyhow::Result<()> {
    let machine = machine_or_skip!("a_clock_that_a_false_time_server_would_move_is_found");
    lay_time_server(&machine)?;
    std::fs::remove_file(machine.folder().join("upper/etc/systemd/system/multi-user.target.wants/msp-agent.service"))?;
    machine.boot(&[])?;
    machine.sh("systemd-run --quiet --unit=time-server perl /usr/local/bin/time-server 3600")?;
    machine.sh("systemctl start test-chrony.service")?;
    machine.until("chronyc -n -c tracking | grep -q Normal")?;
    machine.sh("systemctl start msp-agent.service")?;
    let told = machine.incident("a person is asked", |one| is(one, "time_sync", "escalated"))?;
    let bundle = machine.agent(&["evidence", "show", told["evidence_id"].as_str().unwrap()])?;
    let said = bundle["pre_state"]["diff"][0].as_str().unwrap();
    assert!(
        said.starts_with("the clock is -36")
            || said.starts_with("the clock is 36")
            || said.starts_with("the clock is 359"),
        "{said}"
    );
    assert!(said.ends_with("ms off, allowed are 5000 ms"), "{said}");
    Ok(())
}

#[tokio::test]
async fn a_power_cut_loses_nothing_that_the_agent_had_stored() -> anyhow::Result<()> {
    let machine = machine_or_skip!("a_power_cut_loses_nothing_that_the_agent_had_stored");
    // The state lies on a disk of its own that writes back by itself only every five minutes: what is there after the
    // cut is what was forced onto it.
    let (image, copy) = (machine.folder().join("state.img"), machine.folder().join("copy.img"));
    let mount = machine.folder().join("state");
    let disk = Disk::make(&image, &mount)?;
    let bind = format!("--bind={}:/var/lib/msp", mount.display());
    machine.boot(&[&bind])?;
    machine.until("systemctl is-active msp-agent.service web.service")?;
    machine.sh("systemctl stop web.service")?;
    machine.incident("web.service runs again", |one| is(one, "services", "resolved"))?;
    let before = bundles(&machine)?;
    machine.run(&["freeze"])?;
    std::fs::copy(&image, &copy)?;
    machine.run(&["thaw"])?;
    machine.run(&["cut"])?;
    drop(disk);

    let _disk = Disk::mount(&copy, &mount)?;
    machine.boot(&[&bind])?;
    machine.until("systemctl is-active msp-agent.service")?;
    let after = bundles(&machine)?;
    let lost: Vec<_> = before.iter().filter(|id| !after.contains(id)).collect();
    assert!(before.len() > 3 && lost.is_empty(), "of {before:?} are lost: {lost:?}");
    let verified = machine.agent(&["evidence", "verify", "--json"])?;
    assert_eq!(verified["ok"], true, "{verified}");
    let healed = machine.incident("the heal is known", |one| is(one, "services", "resolved"))?;
    assert_eq!(healed["outcome"], "fixed");
    Ok(())
}

fn bundles(machine: &Machine) -> anyhow::Result<Vec<String>> {
    let listed = machine.agent(&["evidence", "list", "--json"])?;
    let listed = listed["evidence"].as_array().unwrap().iter();
    Ok(listed.map(|one| one["bundle_id"].as_str().unwrap().to_owned()).collect())
}

/// A file system in a file.
struct Disk {
    mount: std::path::PathBuf,
}

impl Disk {
    fn make(image: &std::path::Path, mount: &std::path::Path) -> anyhow::Result<Self> {
        let file = std::fs::File::create(image)?;
        file.set_len(96 * 1024 * 1024)?;
        succeed(std::process::Command::new("mkfs.ext4").arg("-q").arg(image))?;
        std::fs::create_dir_all(mount)?;
        Self::mount(image, mount)
    }

    fn mount(image: &std::path::Path, mount: &std::path::Path) -> anyhow::Result<Self> {
        succeed(std::process::Command::new("mount").args(["-o", "loop,commit=300"]).arg(image).arg(mount))?;
        Ok(Self { mount: mount.to_owned() })
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        drop(succeed(std::process::Command::new("umount").arg(&self.mount)));
    }
}

fn succeed(command: &mut std::process::Command) -> anyhow::Result<()> {
    let done = command.output()?;
    anyhow::ensure!(done.status.success(), "{command:?}: {}", String::from_utf8_lossy(&done.stderr));
    Ok(())
}
