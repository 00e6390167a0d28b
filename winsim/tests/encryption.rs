//! RB-WIN-ENCRYPTION-001: nothing is encrypted before its key is kept elsewhere, and the key is never said.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod harness;

use std::time::Duration;

use harness::Sim;
use msp_winsim::windows::encryption::{Condition, Escrow};
use msp_winsim::{Bitlocker, Drift, Profile};
use serde_json::{Value, json};

const ENCRYPTION: &str = "RB-WIN-ENCRYPTION-001";

async fn run(sim: &Sim, phase: &str) -> Value {
    sim.phase(ENCRYPTION, phase, &json!({})).await
}

fn outcome(result: &Value) -> (&str, bool) {
    (result["status"].as_str().unwrap(), result["changed"].as_bool().unwrap())
}

fn drift(sim: &Sim, event: Bitlocker) {
    sim.drift(Drift::Bitlocker(event));
}

fn volume(sim: &Sim, condition: Condition) {
    drift(sim, Bitlocker::Volume { mount_point: "C:".to_owned(), condition, percentage: 40 });
}

fn changes(sim: &Sim) -> Vec<String> {
    sim.script_changes().into_iter().map(|e| format!("{} {}", e.property, e.to.split(' ').next().unwrap())).collect()
}

/// The recovery passwords of C:, which only this test asks for.
async fn passwords(sim: &Sim) -> String {
    sim.line("(Get-BitLockerVolume -MountPoint C:).KeyProtector.RecoveryPassword -join ''").await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_protected_system_volume_is_compliant_and_nothing_touches_it() {
    for profile in [Profile::Member, Profile::Dc, Profile::Workstation, Profile::Core] {
        let sim = Sim::start(profile).await;
        for phase in ["detect", "remediate", "verify"] {
            let result = run(&sim, phase).await;
            assert_eq!(outcome(&result), ("compliant", false), "{profile:?} {result}");
            let expected = json!({
                "tpm_present": true, "tpm_ready": true, "bitlocker_enabled": true, "unprotected": [],
                "volumes": [{
                    "mount_point": "C:", "volume_type": "OperatingSystem", "volume_status": "FullyEncrypted",
                    "protection_status": "On", "encryption_percentage": 100, "protectors": ["Tpm", "RecoveryPassword"],
                }],
            });
            assert_eq!(result["observed"], expected, "texts, not the numbers behind them");
        }
        assert!(sim.server.machine().ledger().is_empty());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_open_volume_is_encrypted_once_its_recovery_password_is_kept_and_the_password_is_never_said() {
    let sim = Sim::start(Profile::Member).await;
    volume(&sim, Condition::Decrypted);
    drift(&sim, Bitlocker::EncryptionSeconds(4));
    let before = run(&sim, "detect").await;
    assert_eq!(outcome(&before), ("drift", false), "{before}");
    assert_eq!(before["observed"]["unprotected"], json!(["C:"]));
    assert_eq!(before["observed"]["bitlocker_enabled"], false);
    assert!(sim.script_changes().is_empty(), "detect only reads");

    let mut said = vec![run(&sim, "remediate").await];
    assert_eq!(outcome(&said[0]), ("pending", true), "{}", said[0]);
    let order =
        ["key_protector RecoveryPassword", "escrowed {5B0F2C4E-9D31-4A77-8C10-000000000003}", "key_protector Tpm"];
    let done = changes(&sim);
    assert_eq!(done[..3], order, "the key is kept before anything is encrypted");
    assert_eq!(done[3..], ["condition encrypting"]);

    said.push(run(&sim, "remediate").await);
    assert_eq!(outcome(&said[1]), ("pending", false));
    for _ in 0..100 {
        let verified = run(&sim, "verify").await;
        said.push(verified.clone());
        if verified["status"] == "compliant" {
            break;
        }
        assert_eq!(verified["status"], "pending", "{verified}");
        tokio::time::sleep(Duration::from_millis(300)).await;
    }
    assert_eq!(said.last().unwrap()["status"], "compliant");
    assert_eq!(changes(&sim).len(), 4, "nothing a second time");
    let password = passwords(&sim).await;
    assert_eq!(password.len(), 55, "{password}");
    for result in &said {
        assert!(password.split('-').all(|group| !result.to_string().contains(group)), "{result}");
    }
    let shown = serde_json::to_string(&sim.server.machine().state()).unwrap();
    assert!(!shown.contains(&password));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_script_that_does_not_silence_the_warning_prints_the_recovery_password() {
    let sim = Sim::start(Profile::Member).await;
    volume(&sim, Condition::Decrypted);
    let careless = "Add-BitLockerKeyProtector -MountPoint C: -RecoveryPasswordProtector | Out-Null";
    let output = sim.powershell(careless).await;
    let stderr = String::from_utf8(output.stderr).unwrap();
    let password = passwords(&sim).await;
    assert!(stderr.contains("ACTIONS REQUIRED:") && stderr.contains(&password), "{stderr}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_that_cannot_be_kept_elsewhere_leaves_the_volume_as_it_was() {
    for (answer, words) in [
        (Escrow::RefusedByPolicy, "Group policy does not permit the storage of recovery information"),
        (Escrow::Unreachable, "could not be contacted"),
    ] {
        let sim = Sim::start(Profile::Member).await;
        volume(&sim, Condition::Decrypted);
        drift(&sim, Bitlocker::Escrow(answer));
        let refused = run(&sim, "remediate").await;
        assert_eq!(outcome(&refused), ("drift", false), "{refused}");
        let reasons = refused["reasons"].to_string();
        assert!(reasons.contains("nothing was encrypted") && reasons.contains(words), "{refused}");
        let state = sim.server.machine().state();
        assert!(state.encryption.volumes[0].protectors.is_empty(), "the protector that was added is gone again");
        assert_eq!(changes(&sim), ["key_protector RecoveryPassword", "key_protector none"]);
        let after = run(&sim, "verify").await;
        assert_eq!(after["observed"], run(&sim, "detect").await["observed"]);
        assert_eq!(after["observed"]["volumes"][0]["volume_status"], "FullyDecrypted");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn encrypted_but_suspended_is_not_protected_and_is_resumed_exactly_once() {
    let sim = Sim::start(Profile::Workstation).await;
    volume(&sim, Condition::Suspended);
    let before = run(&sim, "detect").await;
    assert_eq!(outcome(&before), ("drift", false), "{before}");
    assert_eq!(before["observed"]["volumes"][0]["volume_status"], "FullyEncrypted");
    assert_eq!(before["observed"]["volumes"][0]["protection_status"], "Off");
    assert_eq!(outcome(&run(&sim, "remediate").await), ("compliant", true));
    assert_eq!(outcome(&run(&sim, "remediate").await), ("compliant", false));
    assert_eq!(changes(&sim), ["condition encrypted"]);

    // Resumed protection without a key that is kept elsewhere would be a trap: the same order as for a new one.
    volume(&sim, Condition::Suspended);
    drift(&sim, Bitlocker::RecoveryPasswordsLost { mount_point: "C:".to_owned() });
    drift(&sim, Bitlocker::Escrow(Escrow::Unreachable));
    let refused = run(&sim, "remediate").await;
    assert_eq!(outcome(&refused), ("drift", false), "{refused}");
    assert_eq!(refused["observed"]["volumes"][0]["protectors"], json!(["Tpm"]));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_device_that_came_encrypted_gets_its_protectors_and_is_protected() {
    let sim = Sim::start(Profile::Workstation).await;
    volume(&sim, Condition::WaitingForActivation);
    assert_eq!(outcome(&run(&sim, "detect").await), ("drift", false));
    let healed = run(&sim, "remediate").await;
    assert_eq!(outcome(&healed), ("compliant", true), "{healed}");
    assert_eq!(healed["observed"]["volumes"][0]["protectors"], json!(["RecoveryPassword", "Tpm"]));
}

#[tokio::test(flavor = "multi_thread")]
async fn encryption_under_way_is_pending_and_somebodys_pause_or_way_back_is_left_to_a_person() {
    let sim = Sim::start(Profile::Member).await;
    drift(&sim, Bitlocker::EncryptionSeconds(3600));
    volume(&sim, Condition::Encrypting);
    for phase in ["detect", "remediate", "verify"] {
        let result = run(&sim, phase).await;
        assert_eq!(outcome(&result), ("pending", false), "{result}");
        assert_eq!(result["observed"]["volumes"][0]["encryption_percentage"], 40);
    }
    for condition in [Condition::EncryptionPaused, Condition::Decrypting] {
        volume(&sim, condition);
        let left = run(&sim, "remediate").await;
        assert_eq!(outcome(&left), ("drift", false), "{left}");
        assert!(left["reasons"].to_string().contains("a person must end it"), "{left}");
    }
    assert!(sim.script_changes().is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_tpm_or_without_bitlocker_it_is_unsupported_in_every_phase() {
    let no_tpm = Sim::start(Profile::NoTpm).await;
    let not_ready = Sim::start(Profile::Member).await;
    volume(&not_ready, Condition::Decrypted);
    drift(&not_ready, Bitlocker::Tpm { present: true, ready: false });
    let no_feature = Sim::start(Profile::Member).await;
    drift(&no_feature, Bitlocker::Installed(false));
    for (sim, reason) in [
        (&no_tpm, "there is no TPM"),
        (&not_ready, "the TPM is not ready"),
        (&no_feature, "BitLocker is not installed"),
    ] {
        for phase in ["detect", "remediate", "verify"] {
            let result = run(sim, phase).await;
            assert_eq!(outcome(&result), ("unsupported", false), "{result}");
            assert!(result["reasons"].to_string().contains(reason), "{result}");
        }
        assert!(sim.script_changes().is_empty());
    }
    // A volume that is protected by something else than a TPM is protected.
    let otherwise = Sim::start(Profile::Member).await;
    drift(&otherwise, Bitlocker::Tpm { present: false, ready: false });
    assert_eq!(outcome(&run(&otherwise, "detect").await), ("compliant", false));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_fixed_data_volume_is_judged_and_left_to_a_person_and_a_stick_is_only_listed() {
    let sim = Sim::start(Profile::Member).await;
    drift(&sim, Bitlocker::DataVolume { mount_point: "E:".to_owned(), removable: true });
    let stick = run(&sim, "detect").await;
    assert_eq!(outcome(&stick), ("compliant", false), "{stick}");
    assert_eq!(stick["observed"]["volumes"].as_array().unwrap().len(), 2);

    drift(&sim, Bitlocker::DataVolume { mount_point: "D:".to_owned(), removable: false });
    let detected = run(&sim, "detect").await;
    assert_eq!(outcome(&detected), ("drift", false), "{detected}");
    assert_eq!(detected["observed"]["unprotected"], json!(["D:"]));
    assert_eq!(detected["observed"]["bitlocker_enabled"], true);
    let left = run(&sim, "remediate").await;
    assert_eq!(outcome(&left), ("drift", false), "{left}");
    assert!(left["reasons"].to_string().contains("only a person"), "{left}");
    assert!(sim.script_changes().is_empty());

    drift(&sim, Bitlocker::Volume { mount_point: "D:".to_owned(), condition: Condition::Locked, percentage: 0 });
    let locked = run(&sim, "detect").await;
    assert_eq!(outcome(&locked), ("compliant", false), "what is locked is encrypted: {locked}");
    assert_eq!(locked["observed"]["volumes"][2]["volume_status"], Value::Null);
}
