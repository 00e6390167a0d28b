//! A clinic's network: two appliances on booted systemds, Central Command and a Windows server beside them, and a cable
//! that is pulled.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use msp_lab::drift::{Drift, Server};
use msp_lab::process::{Process, succeed};
use msp_suite::machine::Machine;
use msp_suite::machine_or_skip;
use serde_json::{Value, json};
use std::collections::BTreeSet;
use std::future::Future;
use std::path::Path;
use std::time::Duration;
use tempfile::TempDir;

const SITE: &str = "clinic-a";
const CENTRAL: &str = "10.77.0.1";
const SERVER: &str = "10.77.0.11";
const ACCOUNT: &str = "msp-svc";

/// What the site sets beside what enrolment writes.
const SETTINGS: &str = "state_dir: /var/lib/msp\nbaseline_path: /etc/msp/baseline.yaml\n\
    windows_ca_cert_file: /etc/msp/windows-ca.pem\npoll_interval: 1\nhost_check_interval: 1\n";
const BASELINE: &str = "appliance:\n  services: {running: [web.service, mail.service], max_failed: 100}\n";
const LIST: &str = r#"{"user": "msp-agent", "units": ["web.service", "mail.service"]}"#;
const UNIT: &str = "[Service]\nExecStart=/bin/sleep infinity\n[Install]\nWantedBy=multi-user.target\n";
/// One that was killed is started again soon.
const SOON: &str = "[Service]\nRestartSec=100ms\n";

/// A report that could not be delivered is tried again after a minute at the latest.
const PATIENCE: Duration = Duration::from_secs(120);

/// Central Command and a Windows server on one network.
struct Clinic {
    folder: TempDir,
    _central: Process,
    fs01: Server,
}

impl Clinic {
    async fn open() -> anyhow::Result<Self> {
        let folder = tempfile::tempdir()?;
        std::fs::create_dir(folder.path().join("logs"))?;
        let dir = folder.path().join("central").display().to_string();
        succeed("msp-central", &["init", "--dir", &dir, "--name", CENTRAL]).await?;
        let doors = ["--listen", "10.77.0.1:8443", "--enroll", "10.77.0.1:8445", "--people", "127.0.0.1:8444"];
        let args = [&["serve", "--dir", &dir, "--exit-with-stdin"], &doors[..]].concat();
        let mut central = Process::start(&folder.path().join("logs"), "central", "msp-central", &args)?;
        central.ready::<Value>().await?;
        let fs01 = Server::start(folder.path(), "FS01", "member", SERVER, ACCOUNT).await?;
        Ok(Self { folder, _central: central, fs01 })
    }

    /// A command of Central Command about the site.
    async fn central(&self, command: &[&str], rest: &[&str]) -> anyhow::Result<Vec<u8>> {
        let dir = self.folder.path().join("central").display().to_string();
        succeed("msp-central", &[command, &["--dir", &dir], rest].concat()).await
    }

    async fn list(&self, what: &str) -> anyhow::Result<Value> {
        Ok(serde_json::from_slice(&self.central(&["list", what], &["--site", SITE, "--json"]).await?)?)
    }

    /// Which runbooks an appliance healed with, as Central Command was told: once for each time.
    async fn heals(&self, appliance: &str) -> anyhow::Result<Vec<String>> {
        let told = self.list("executions").await?;
        let of =
            told.as_array().unwrap().iter().filter(|one| one["appliance"] == appliance && one["detail"] == "fixed");
        let mut heals: Vec<_> = of.map(|one| one["runbook_id"].as_str().unwrap().to_owned()).collect();
        heals.sort();
        Ok(heals)
    }

    async fn until_healed(&self, appliance: &str, runbooks: &[&str]) -> anyhow::Result<()> {
        let what = format!("Central Command knows that {appliance} healed by {runbooks:?}");
        until(&what, async || Ok(self.heals(appliance).await? == runbooks)).await
    }

    /// How often a script mended this on the Windows server.
    async fn mended(&self, drift: Drift) -> anyhow::Result<usize> {
        msp_suite::agent::changes(&self.fs01, drift).await
    }

    /// Gives the server, and the way in, to this appliance.
    async fn give_server(&self, appliance: &str) -> anyhow::Result<()> {
        let file = |name: &str| self.folder.path().join(name).display().to_string();
        let (targets, password) = (file("targets.json"), file("password"));
        let port = self.fs01.winrm.port();
        let target = json!([{ "hostname": "FS01", "ip_address": SERVER, "port": port, "appliance": appliance }]);
        std::fs::write(&targets, target.to_string())?;
        std::fs::write(&password, &self.fs01.password)?;
        self.central(&["targets", "set"], &["--site", SITE, &targets]).await?;
        let logon = [SITE, "FS01", "--username", ACCOUNT, "--password-file", &password];
        self.central(&["targets", "credentials", "set"], &logon).await?;
        Ok(())
    }

    /// Ends an agent that owes nothing: everything of it is here, once, and proved. How many bundles that is.
    async fn all_arrived(&self, name: &str, machine: &Machine) -> anyhow::Result<usize> {
        let proof = || machine.agent(&["evidence", "verify", "--json"]);
        let owes_nothing = || -> anyhow::Result<bool> {
            let (known, proof) = (machine.agent(&["incidents", "--json"])?, proof()?);
            Ok(known["outbox"]["pending"] == 0 && proof["receipts"] == proof["count"])
        };
        until(&format!("everything of {name} has arrived"), async || {
            if !owes_nothing()? {
                return Ok(false);
            }
            // What it did last may be owed still.
            machine.sh("systemctl stop msp-agent.service")?;
            let stays = owes_nothing()?;
            if !stays {
                machine.sh("systemctl start msp-agent.service")?;
            }
            Ok(stays)
        })
        .await?;
        let proof = proof()?;
        assert_eq!(proof["ok"], true, "{proof:#}");
        assert_eq!(machine.agent(&["queue", "rejected", "--json"])?["queue"], json!([]));
        let there = self.list("evidence").await?;
        let of = |what: &str| {
            let all = there[what].as_array().unwrap().iter();
            all.filter(|one| one["appliance"] == name).cloned().collect::<Vec<_>>()
        };
        let chains = of("chains");
        assert_eq!(chains.len(), 1, "{chains:#?}");
        assert_eq!([&chains[0]["gaps"], &chains[0]["forks"], &chains[0]["broken"]], [&json!(0); 3], "{chains:#?}");
        let bundles = of("bundles");
        let ids: BTreeSet<_> = bundles.iter().map(|one| one["bundle_id"].to_string()).collect();
        assert_eq!((bundles.len(), json!(bundles.len())), (ids.len(), proof["count"].clone()), "each of them once");
        assert_eq!(there["suspicious"], json!([]));
        Ok(bundles.len())
    }
}

/// Asks again and again.
async fn until<F: Future<Output = anyhow::Result<bool>>>(what: &str, so: impl Fn() -> F) -> anyhow::Result<()> {
    for _ in 0..PATIENCE.as_millis() / 100 {
        if so().await? {
            return Ok(());
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    anyhow::bail!("waited {PATIENCE:?} until {what}")
}

fn lay(machine: &Machine, authority: &Path) -> anyhow::Result<()> {
    machine.lay("etc/msp/baseline.yaml", BASELINE, 0o644)?;
    machine.lay("etc/msp/windows-ca.pem", std::fs::read(authority)?, 0o644)?;
    machine.lay("etc/msp-agent/act.json", LIST, 0o644)?;
    machine.lay("etc/systemd/system/msp-agent.service.d/soon.conf", SOON, 0o644)?;
    for unit in ["web.service", "mail.service"] {
        machine.lay(&format!("etc/systemd/system/{unit}"), UNIT, 0o644)?;
        machine.want("multi-user.target", unit)?;
    }
    Ok(())
}

/// Joins as docs/enrolment.md says.
async fn enrol(clinic: &Clinic, name: &str, machine: &Machine) -> anyhow::Result<()> {
    let token = clinic.central(&["enroll-token"], &[SITE, "--appliance", name]).await?;
    let token = String::from_utf8(token)?;
    machine.until(&format!("ping -c1 -W1 {CENTRAL} >/dev/null || bash -c '</dev/tcp/{CENTRAL}/8445'"))?;
    machine.sh("install -d -o msp-agent -m 0750 /etc/msp")?;
    let enroll = format!("echo {} | msp-agent enroll --server https://{CENTRAL}:8445 --token-file -", token.trim());
    let (enrolled, said) = machine.as_user("msp-agent", &["bash", "-c", &enroll])?;
    anyhow::ensure!(enrolled, "{said}");
    machine.sh(&format!("cat >>/etc/msp/config.yaml <<'END'\n{SETTINGS}END"))?;
    Ok(())
}

#[tokio::test]
async fn what_drifts_while_a_cable_is_pulled_is_healed_once_and_arrives_once() -> anyhow::Result<()> {
    let (_network, [one, two]) = machine_or_skip!(
        "what_drifts_while_a_cable_is_pulled_is_healed_once_and_arrives_once",
        Machine::in_network(["apl-1", "apl-2"], &["10.77.0.1/24", "10.77.0.11/24"])?
    );
    let clinic = Clinic::open().await?;
    for (name, machine) in [("apl-1", &one), ("apl-2", &two)] {
        lay(machine, &clinic.fs01.authority)?;
        machine.boot(&[])?;
        enrol(&clinic, name, machine).await?;
    }
    clinic.give_server("apl-1").await?;
    for machine in [&one, &two] {
        machine.sh("systemctl start msp-agent.service")?;
    }

    // With the cable in: whatever drifts is healed, and Central Command hears of it from both.
    let (time, wall) = (Drift::ServiceStopped("W32Time"), Drift::FirewallProfileOff("Public"));
    for machine in [&one, &two] {
        machine.sh("systemctl stop web.service")?;
    }
    clinic.fs01.inject(time).await?;
    clinic.until_healed("apl-1", &["RB-HOST-SVC-001", "RB-WIN-SVC-001"]).await?;
    clinic.until_healed("apl-2", &["RB-HOST-SVC-001"]).await?;

    // Without: each appliance goes on healing itself, only nobody hears of one of them, and its server waits.
    one.run(&["pull"])?;
    for machine in [&one, &two] {
        machine.sh("systemctl stop mail.service")?;
    }
    clinic.fs01.inject(wall).await?;
    until("mail.service runs again, unheard of", async || {
        let known = one.agent(&["incidents", "--json"])?;
        let of = known["incidents"].as_array().unwrap().iter();
        Ok(of.filter(|one| one["host_id"] == "apl-1" && one["outcome"] == "fixed").count() == 2)
    })
    .await?;
    assert_eq!(one.sh("systemctl is-active mail.service")?.trim(), "active");
    clinic.until_healed("apl-2", &["RB-HOST-SVC-001", "RB-HOST-SVC-001"]).await?;
    assert_eq!(clinic.heals("apl-1").await?, ["RB-HOST-SVC-001", "RB-WIN-SVC-001"]);
    assert!(one.agent(&["incidents", "--json"])?["outbox"]["pending"].as_u64().unwrap() > 0);
    assert_eq!(clinic.mended(wall).await?, 0);

    // In again for as long as it takes to mend the server, and out before the answer: then the agent is killed, too.
    clinic.fs01.send(&json!({ "kind": "winrm_delays", "milliseconds": 1000 })).await?;
    one.run(&["plug"])?;
    until("the server is mended", async || Ok(clinic.mended(wall).await? == 1)).await?;
    one.run(&["pull"])?;
    one.sh("systemctl kill --signal=KILL msp-agent.service")?;
    clinic.fs01.send(&json!({ "kind": "winrm_delays", "milliseconds": 0 })).await?;
    one.until("journalctl --no-pager -u msp-agent.service | grep -q 'check-in failed'")?;
    one.run(&["plug"])?;

    let all = ["RB-HOST-SVC-001", "RB-HOST-SVC-001", "RB-WIN-FIREWALL-001", "RB-WIN-SVC-001"];
    clinic.until_healed("apl-1", &all).await?;
    let log = one.sh("journalctl --no-pager -b -u msp-agent.service")?;
    assert!(log.contains("interrupted by a restart; the machine was looked at"), "{log}");
    assert_eq!((clinic.mended(wall).await?, clinic.mended(time).await?), (1, 1));
    for (name, machine, most) in [("apl-1", &one, 8), ("apl-2", &two, 4)] {
        let bundles = clinic.all_arrived(name, machine).await?;
        assert!(bundles >= most, "{name}: {bundles}");
    }
    assert_eq!(clinic.heals("apl-1").await?, all);
    assert_eq!(clinic.heals("apl-2").await?, ["RB-HOST-SVC-001", "RB-HOST-SVC-001"]);
    Ok(())
}
