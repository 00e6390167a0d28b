//! Bad input at every door of the agent: a clear error, and nothing is lost.
#![allow(clippy::unwrap_used, clippy::expect_used)]

use msp_contracts::api::{Authentication, CheckinReply, Transport, WindowsTarget};
use msp_contracts::dsse::Signed;
use msp_contracts::ids::Counter;
use msp_contracts::keys;
use msp_contracts::signed::{Freshness, Stamp};
use msp_lab::Progress;
use msp_lab::clinic::{Clinic, SITE};
use msp_lab::drift::Drift;
use msp_lab::process::succeed;
use msp_suite::agent::{healed, json, run, wait};
use msp_suite::stand_in::{StandIn, answer};
use std::fs::Permissions;
use std::os::unix::fs::PermissionsExt;
use std::process::Output;
use std::time::Duration;

fn said(output: &Output) -> String {
    format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
}

#[test]
fn configurations_in_the_old_spelling_load_unchanged() {
    let data = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/data/");
    for (file, site) in [("old-spelling.yaml", "clinic-elm-street"), ("old-spelling.json", "clinic-harbour")] {
        let output = run(&["check-config", &format!("{data}{file}")]).unwrap();
        let text = said(&output);
        assert_eq!(output.status.code(), Some(0), "{text}");
        assert!(text.contains(site) && text.contains("mcp_base_url is an old spelling: write mcp_url"), "{text}");
    }
}

#[test]
fn a_typo_in_the_configuration_stops_the_start_and_names_line_and_cure() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("config.yaml").display().to_string();
    std::fs::write(&file, "site_id: a\nhealing_enabld: true\n").unwrap();
    for command in
        [&["check-config", &file][..], &["run", "--config", &file], &["evidence", "verify", "--config", &file]]
    {
        let output = run(command).unwrap();
        let text = said(&output);
        assert_eq!(output.status.code(), Some(2), "{text}");
        assert!(
            text.contains("config.yaml:2:1: unknown key \"healing_enabld\" (did you mean \"healing_enabled\"?)"),
            "{text}"
        );
    }
    let missing = run(&["run", "--config", "/nowhere/config.yaml"]).unwrap();
    assert_eq!(missing.status.code(), Some(2));
    assert!(said(&missing).contains("/nowhere/config.yaml: cannot be read"), "{}", said(&missing));
}

#[tokio::test]
async fn a_configuration_is_checked_with_or_without_the_files_it_names() {
    let clinic = Clinic::prepare(None).unwrap();
    clinic.found().await.unwrap();
    clinic.write_config("127.0.0.1:9").unwrap();
    let whole = run(&["check-config", "--files", &clinic.config()]).unwrap();
    assert_eq!(whole.status.code(), Some(0), "{}", said(&whole));
    let agent = clinic.path().join("agent");
    for (file, change, word) in [
        ("signing.pem", "chmod", "chmod 600"),
        ("signing.pem", "remove", "msp-agent keygen"),
        ("ca.pem", "garble", "ca_cert_file"),
        ("client.pem", "remove", "client_cert_file"),
    ] {
        let path = agent.join(file);
        let before = std::fs::read(&path).unwrap_or_default();
        match change {
            "chmod" => std::fs::set_permissions(&path, Permissions::from_mode(0o644)).unwrap(),
            "remove" => std::fs::remove_file(&path).unwrap(),
            "garble" => std::fs::write(&path, "no certificate").unwrap(),
            other => panic!("no such change: {other}"),
        }
        let without = run(&["check-config", &clinic.config()]).unwrap();
        assert_eq!(without.status.code(), Some(0), "{}", said(&without));
        let with = run(&["check-config", "--files", &clinic.config()]).unwrap();
        let text = said(&with);
        assert_eq!(with.status.code(), Some(2), "{text}");
        assert!(text.contains(file) && text.contains(word), "{text}");
        std::fs::write(&path, before).unwrap();
        std::fs::set_permissions(&path, Permissions::from_mode(0o600)).unwrap();
    }
}

#[tokio::test]
async fn a_second_agent_on_one_state_folder_refuses_to_start() {
    let mut clinic = Clinic::prepare(None).unwrap();
    clinic.found().await.unwrap();
    clinic.write_config("127.0.0.1:9").unwrap();
    clinic.start_agent().unwrap();
    wait(&mut clinic, "the first works", |_| true).await.unwrap();
    let output = run(&["run", "--config", &clinic.config()]).unwrap();
    assert_eq!(output.status.code(), Some(2));
    assert!(said(&output).contains("another msp-agent works on this state_dir"), "{}", said(&output));
    assert!(clinic.dead().is_none(), "the first goes on");
    for file in ["", "agent.db", "agent.db-wal"] {
        let mode = std::fs::metadata(clinic.path().join("agent/state").join(file)).unwrap().permissions().mode();
        assert_eq!(mode & 0o077, 0, "the state is for the agent alone: {file} has mode {mode:o}");
    }
    clinic.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn with_a_strangers_certificate_nothing_is_delivered_nothing_is_lost_and_healing_goes_on() {
    let mut clinic = Clinic::prepare(None).unwrap();
    clinic.open(Progress).await.unwrap();
    wait(&mut clinic, "all is well", |known| known.outbox.pending == 0 && !known.incidents.is_empty()).await.unwrap();
    clinic.stop_agent().await;

    // A certificate of the same name, from somebody else's authority.
    let stranger = tempfile::tempdir().unwrap();
    let place = |name: &str| stranger.path().join(name).display().to_string();
    succeed("msp-central", &["init", "--dir", &place("central"), "--name", "127.0.0.1"]).await.unwrap();
    let issue =
        ["issue", "--dir", &place("central"), "--site", SITE, "--appliance", "appliance-1", "--out", &place("out")];
    succeed("msp-central", &issue).await.unwrap();
    let agent = clinic.path().join("agent");
    std::fs::rename(agent.join("identity.pem"), agent.join("identity.pem.ours")).unwrap();
    let strangers = ["client.pem", "client-key.pem"].map(|file| std::fs::read(stranger.path().join("out").join(file)));
    std::fs::write(agent.join("identity.pem"), strangers.map(Result::unwrap).concat()).unwrap();
    clinic.start_agent().unwrap();
    let member = clinic.member.as_ref().unwrap();
    let ip = member.winrm.ip().to_string();
    member.inject(Drift::FirewallProfileOff("Domain")).await.unwrap();
    let known = wait(&mut clinic, "healed", |known| healed(known, &ip, "firewall", None)).await.unwrap();
    assert!(known.outbox.pending > 0 && known.outbox.rejected == 0, "{known:?}");

    clinic.stop_agent().await;
    std::fs::rename(agent.join("identity.pem.ours"), agent.join("identity.pem")).unwrap();
    // And the other way round: Central Command's certificate is not from the agent's authority.
    std::fs::rename(agent.join("ca.pem"), agent.join("ca.pem.ours")).unwrap();
    std::fs::copy(stranger.path().join("out/ca.pem"), agent.join("ca.pem")).unwrap();
    clinic.start_agent().unwrap();
    tokio::time::sleep(Duration::from_secs(3)).await;
    let known = wait(&mut clinic, "the agent answers", |_| true).await.unwrap();
    assert!(known.outbox.pending > 0 && known.outbox.rejected == 0, "{known:?}");

    clinic.stop_agent().await;
    std::fs::rename(agent.join("ca.pem.ours"), agent.join("ca.pem")).unwrap();
    clinic.start_agent().unwrap();
    wait(&mut clinic, "everything has arrived", |known| known.outbox.pending == 0).await.unwrap();
    clinic.close().await;
}

/// A check-in reply, signed by `key`.
fn reply(key: &keys::SigningKey, targets: &[(&str, Option<&str>)], sequence: u64, appliance: &str) -> Vec<u8> {
    #[allow(clippy::disallowed_methods)]
    let now = jiff::Timestamp::now();
    let stamp = Stamp {
        site_id: SITE.to_owned(),
        appliance: appliance.to_owned(),
        issued: now,
        expires: now + Duration::from_secs(900),
        sequence: Counter(sequence),
    };
    let windows_targets: Vec<_> = targets
        .iter()
        .map(|(hostname, ip)| WindowsTarget {
            hostname: (*hostname).to_owned(),
            ip_address: ip.map(ToOwned::to_owned),
            port: 5986,
            transport: Transport::Https,
            authentication: Authentication::Ntlm,
            certificate_sha256: None,
            credentials: None,
        })
        .collect();
    let reply = CheckinReply {
        schema_version: 1,
        windows_targets: windows_targets.clone(),
        orders: vec![],
        kill_switch: false,
        kill_switch_reason: None,
        server_time: now,
        freshness: Freshness { schema_version: 1, stamp, windows_targets }.sign(key).unwrap(),
    };
    serde_json::to_vec(&reply).unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_inventory_entry_without_address_is_refused_by_name_and_a_forged_or_replayed_inventory_is_not_taken() {
    let mut clinic = Clinic::prepare(None).unwrap();
    clinic.found().await.unwrap();
    let pem = std::fs::read_to_string(clinic.path().join("central/signing.pem")).unwrap();
    let key = keys::private_from_pem(&pem).unwrap();
    let stranger = keys::from_seed([9; 32]);
    let targets = [("FS01", Some("127.0.0.99")), ("NOADDRESS", None), ("PREFIX", Some("192"))];
    let honest = reply(&key, &targets, 5, "appliance-1");
    let central = StandIn::start(&clinic.central_dir(), "127.0.0.1:0", {
        let replies = [
            reply(&stranger, &[("FORGED", Some("127.0.0.66"))], 9, "appliance-1"),
            reply(&key, &[("OTHERS", Some("127.0.0.67"))], 9, "appliance-2"),
            honest.clone(),
            // The same again, and an older one: neither is taken.
            reply(&key, &[("REPLAYED", Some("127.0.0.68"))], 5, "appliance-1"),
            reply(&key, &[("OLDER", Some("127.0.0.69"))], 4, "appliance-1"),
        ];
        let next = std::sync::atomic::AtomicUsize::new(0);
        move |asked, _| {
            if !asked.line.contains("checkin") {
                return answer("503 Service Unavailable", "", b"");
            }
            let n = next.fetch_add(1, std::sync::atomic::Ordering::SeqCst).min(replies.len() - 1);
            answer("200 OK", "content-type: application/json\r\n", &replies[n])
        }
    })
    .await
    .unwrap();
    clinic.write_config(central.address()).unwrap();
    clinic.start_agent().unwrap();
    let checkins = || central.asked().iter().filter(|asked| asked.line.contains("checkin")).count();
    for _ in 0..100 {
        if checkins() >= 6 {
            break;
        }
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
    assert!(checkins() >= 6, "{} check-ins", checkins());
    let (code, listed) = json(&["targets", "--json", "--config", &clinic.config()]).unwrap();
    assert_eq!(code, Some(1), "an entry is refused");
    let names = |what: &str| -> Vec<String> {
        listed[what].as_array().unwrap().iter().map(|one| one["hostname"].as_str().unwrap().to_owned()).collect()
    };
    assert_eq!(names("targets"), ["FS01"], "{listed:#}");
    assert_eq!(names("refused"), ["NOADDRESS", "PREFIX"], "{listed:#}");
    assert!(listed["refused"][0]["reason"].as_str().unwrap().contains("no ip_address"), "{listed:#}");
    let log = clinic.agent_log();
    for said in ["NOADDRESS", "no ip_address", "none of the 1 trusted keys", "appliance-2", "is a replay"] {
        assert!(log.contains(said), "{said} is not in the log:\n{log}");
    }
    clinic.close().await;
}

#[tokio::test]
async fn a_rule_with_an_unknown_operator_is_quarantined_by_line_and_hurts_no_other() {
    let mut clinic = Clinic::prepare(None).unwrap();
    clinic.found().await.unwrap();
    clinic.write_config("127.0.0.1:9").unwrap();
    let file = clinic.path().join("agent/rules/site.yaml");
    let text = "rules:\n\
        \x20 - id: SITE-BAD\n    name: Bad\n    conditions: [{field: check_type, operator: notregex, value: disk}]\n    action: escalate\n    action_params: {reason: never, urgency: low}\n\
        \x20 - id: SITE-GOOD\n    name: Good\n    conditions: [{field: check_type, operator: eq, value: disk}]\n    action: escalate\n    action_params: {reason: the disk of this site, urgency: low}\n";
    std::fs::write(&file, text).unwrap();
    let output = run(&["rules", "lint", "--config", &clinic.config()]).unwrap();
    let text = said(&output);
    assert_eq!(output.status.code(), Some(1), "{text}");
    assert!(
        text.contains("site.yaml:4:") && text.contains("(did you mean \"not_regex\"?)") && text.contains("SITE-BAD"),
        "{text}"
    );

    let finding = clinic.path().join("finding.json");
    std::fs::write(&finding, r#"{"check_type":"disk","platform":"linux","drift_detected":true}"#).unwrap();
    let finding = finding.display().to_string();
    let (code, explained) = json(&["rules", "explain", &finding, "--json", "--config", &clinic.config()]).unwrap();
    assert_eq!((code, explained["winner"].as_str()), (Some(0), Some("SITE-GOOD")), "{explained:#}");
    clinic.start_agent().unwrap();
    wait(&mut clinic, "the agent works all the same", |_| true).await.unwrap();
    clinic.close().await;
}
