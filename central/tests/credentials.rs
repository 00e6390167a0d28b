//! Logons for Windows servers: encrypted to each appliance, and in plaintext nowhere.

use crate::clinic::{Clinic, SITE, problem};
use crate::newcomer::{Newcomer, serve, token};
use msp_contracts::api::WindowsTarget;
use msp_contracts::dsse::Signed;
use msp_contracts::logon::TargetLogon;
use msp_contracts::signed::Freshness;
use std::path::Path;

const PASSWORD: &str = "correct horse battery staple";

fn set(clinic: &Clinic, host: &str) -> String {
    let file = clinic.file("password", &format!("{PASSWORD}\r\n"));
    let command = ["targets", "credentials", "set", "--dir", clinic.dir_text(), SITE, host];
    clinic.ok(&[&command[..], &["--username", "CLINIC\\svc", "--password-file", &file]].concat())
}

fn listed(clinic: &Clinic) -> String {
    clinic.ok(&["targets", "list", "--dir", clinic.dir_text(), "--site", SITE])
}

fn opened(target: &WindowsTarget, by: &Newcomer) -> Option<TargetLogon> {
    let bytes = age::decrypt(&by.encryption, target.credentials.as_ref()?.as_bytes()).ok()?;
    serde_json::from_slice(&bytes).ok()
}

/// Every file below `folder` that holds `words`.
fn holding(folder: &Path, words: &str) -> Vec<String> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(holding(&path, words));
        } else if std::fs::read(&path).unwrap().windows(words.len()).any(|window| window == words.as_bytes()) {
            found.push(path.file_name().unwrap().to_string_lossy().into_owned());
        }
    }
    found
}

#[tokio::test]
async fn a_logon_reaches_each_appliance_encrypted_to_its_own_key_inside_the_signed_stamp() {
    let clinic = Clinic::new();
    let server = serve(&clinic, &["--log-level", "trace"]);
    let (one, two) = (Newcomer::new(1), Newcomer::new(2));
    let first = one.enroll(&clinic, &server, &token(&clinic, &[]), "apl-1").await;
    let targets = clinic.file(
        "targets.yaml",
        "- {hostname: DC01, ip_address: 192.168.10.5}\n- {hostname: FS01, ip_address: 192.168.10.6}\n",
    );
    clinic.ok(&["targets", "set", "--dir", clinic.dir_text(), "--site", SITE, &targets]);
    assert!(set(&clinic, "dc01").contains("DC01 to apl-1"), "the list's own spelling");
    let second = two.enroll(&clinic, &server, &token(&clinic, &[]), "apl-2").await;
    let list = listed(&clinic);
    assert!(list.contains("for apl-1 since") && list.contains("none for apl-2"), "{list}");

    let reply = first.check_in(&server).await;
    let stamp = Freshness::verify(&reply.freshness, &[first.central]).unwrap();
    let dc01 = &stamp.windows_targets[0];
    let logon = opened(dc01, &one).unwrap();
    assert_eq!((logon.username.as_str(), logon.password.as_str()), ("CLINIC\\svc", PASSWORD));
    assert_eq!(logon.check(SITE, "apl-1", "DC01"), Ok(()));
    assert!(opened(dc01, &two).is_none(), "no other key opens it");
    assert_eq!(stamp.windows_targets[1].credentials, None);
    assert!(second.check_in(&server).await.windows_targets.is_empty(), "the first looks after both");
    assert!(set(&clinic, "DC01").contains("apl-1, apl-2"));
    let targets = clinic.file("targets.yaml", "- {hostname: DC01, ip_address: 192.168.10.5, appliance: apl-2}\n");
    clinic.ok(&["targets", "set", "--dir", clinic.dir_text(), "--site", SITE, &targets]);
    let list = listed(&clinic);
    assert!(list.contains("for apl-2 since") && !list.contains("for apl-1"), "{list}");
    let reply = second.check_in(&server).await;
    assert_eq!(opened(&reply.windows_targets[0], &two).unwrap().appliance, "apl-2");
    server.stop().await;
    std::fs::remove_file(clinic.root().join("password")).unwrap();
    assert_eq!(holding(clinic.root(), PASSWORD), Vec::<String>::new());
}

#[tokio::test]
async fn another_key_has_no_credentials_and_a_check_in_cannot_bring_one() {
    let clinic = Clinic::new();
    let server = serve(&clinic, &[]);
    let (one, two) = (Newcomer::new(1), Newcomer::new(1));
    let agent = one.enroll(&clinic, &server, &token(&clinic, &[]), "apl-1").await;
    let targets = clinic.file("targets.yaml", "- {hostname: DC01, ip_address: 192.168.10.5}\n");
    clinic.ok(&["targets", "set", "--dir", clinic.dir_text(), "--site", SITE, &targets]);
    set(&clinic, "DC01");
    let mut checkin = agent.checkin();
    checkin["agent_encryption_key"] = two.encryption.to_public().to_string().into();
    let refused = agent.post(&server, "/api/appliances/checkin", &checkin).await;
    assert_eq!(problem(refused, 409, "key_mismatch").await.field.as_deref(), Some("agent_encryption_key"));
    checkin["agent_encryption_key"] = "age1nonsense".into();
    let refused = agent.post(&server, "/api/appliances/checkin", &checkin).await;
    assert_eq!(problem(refused, 400, "malformed_body").await.field.as_deref(), Some("agent_encryption_key"));

    // Released by an operator, another key may come; what is there is not for it.
    clinic.ok(&["appliance", "forget-key", "--dir", clinic.dir_text(), "--site", SITE, "apl-1"]);
    checkin["agent_encryption_key"] = two.encryption.to_public().to_string().into();
    let response = agent.post(&server, "/api/appliances/checkin", &checkin).await;
    let reply: msp_contracts::api::CheckinReply = crate::clinic::good(response).await;
    assert_eq!(reply.windows_targets[0].credentials, None);
    assert!(listed(&clinic).contains("none for apl-1"));

    clinic.ok(&["appliance", "revoke", "--dir", clinic.dir_text(), SITE, "apl-1", "--reason", "gone"]);
    let left: i64 =
        clinic.database().query_row("SELECT COUNT(*) FROM target_credentials", [], |row| row.get(0)).unwrap();
    assert_eq!(left, 0, "nothing is kept for an appliance that was taken out");
}

#[test]
fn a_logon_that_nobody_could_use_is_refused_by_name() {
    let clinic = Clinic::new();
    clinic.issue("apl-1");
    let targets = clinic.file("targets.yaml", "- {hostname: DC01, ip_address: 192.168.10.5}\n");
    clinic.ok(&["targets", "set", "--dir", clinic.dir_text(), "--site", SITE, &targets]);
    let password = clinic.file("password", "hunter2");
    let empty = clinic.file("empty", "\n");
    for (host, file, what) in [
        ("DC02", &password, "listed are DC01"),
        ("DC01", &empty, "empty"),
        ("DC01", &password, "no appliance of clinic-a has told a key"),
    ] {
        let command = ["targets", "credentials", "set", "--dir", clinic.dir_text(), SITE, host, "--username", "svc"];
        let said = clinic.refused(1, &[&command[..], &["--password-file", file]].concat());
        assert!(said.contains(what) && !said.contains("hunter2"), "{said}");
    }
    let remove = ["targets", "credentials", "remove", "--dir", clinic.dir_text(), SITE, "DC01"];
    assert!(clinic.refused(1, &remove).contains("no credentials"));
}
