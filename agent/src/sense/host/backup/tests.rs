use super::super::fixture::{Fixture, observe};
use super::*;
use msp_contracts::finding::CheckStatus;

async fn look(fixture: &Fixture, desired: baseline::Backup) -> Observation {
    observe(&Backup { machine: fixture.machine(), desired }).await
}

fn stamp() -> baseline::Backup {
    baseline::Backup { stamp: Some("/var/lib/backup/stamp".into()), ..Default::default() }
}

fn restic(password_file: Option<&str>) -> baseline::Backup {
    let restic = baseline::Restic { repository: "/srv/restic".into(), password_file: password_file.map(Into::into) };
    baseline::Backup { restic: Some(restic), ..Default::default() }
}

fn borg(passphrase_file: Option<&str>) -> baseline::Backup {
    let borg = baseline::Borg { repository: "/srv/borg".into(), passphrase_file: passphrase_file.map(Into::into) };
    baseline::Backup { borg: Some(borg), ..Default::default() }
}

#[tokio::test]
async fn nothing_configured_is_unknown_and_says_how_to_configure_it() {
    let seen = look(&Fixture::new(), baseline::Backup::default()).await;
    assert_eq!(seen.status, CheckStatus::Unknown);
    assert!(seen.recommended_action.unwrap().contains("appliance.backup"));
}

#[tokio::test]
async fn a_stamp_tells_its_time_in_its_content_or_by_its_modification() {
    let path = "/var/lib/backup/stamp";
    for content in ["2026-01-15T04:00:00-06:00\n", "1768471200\nok\n"] {
        let seen = look(&Fixture::new().file(path, content), stamp()).await;
        assert_eq!((seen.status, &seen.details["backup_age_hours"]), (CheckStatus::Compliant, &Value::from(2.0)));
    }
    let seen = look(&Fixture::new().file(path, "").age(path, 30.0), stamp()).await;
    assert_eq!((seen.status, &seen.details["backup_age_hours"]), (CheckStatus::Drift, &Value::from(30.0)));
    let never = look(&Fixture::new(), stamp()).await;
    assert_eq!(never.diff, ["stamp /var/lib/backup/stamp: the stamp was never written"]);
}

#[tokio::test]
async fn a_stamp_from_the_future_is_not_fresh() {
    let path = "/var/lib/backup/stamp";
    let seen = look(&Fixture::new().file(path, "").age(path, -48.0), stamp()).await;
    assert_eq!(seen.status, CheckStatus::Unknown);
    assert!(seen.reason.unwrap().contains("lies in the future"));
    let seen = look(&Fixture::new().file(path, "2099-01-01T00:00:00Z"), stamp()).await;
    assert_eq!(seen.status, CheckStatus::Unknown);
    assert!(!seen.details.contains_key("backup_age_hours"));
}

#[tokio::test]
async fn a_local_restic_repository_tells_without_its_password() {
    let old = format!("/srv/restic/snapshots/{}", "a".repeat(64));
    let new = format!("/srv/restic/snapshots/{}", "b".repeat(64));
    let fixture = Fixture::new().file(&old, "x").age(&old, 50.0).file(&new, "x").age(&new, 3.0);
    let fixture = fixture.file("/srv/restic/snapshots/tmp-upload", "not a snapshot");
    let seen = look(&fixture, restic(None)).await;
    assert_eq!((seen.status, &seen.details["backup_age_hours"]), (CheckStatus::Compliant, &Value::from(3.0)));
    let empty = look(&Fixture::new().dir("/srv/restic/snapshots"), restic(None)).await;
    assert_eq!(empty.diff, ["restic /srv/restic: the repository has no snapshot"]);
    assert_eq!(look(&Fixture::new(), restic(None)).await.status, CheckStatus::Unknown);
}

#[tokio::test]
async fn restic_and_borg_are_asked_with_the_password_file() {
    let password = Some("/etc/msp/password");
    let fixture = Fixture::new()
        .prints("restic", super::super::fixture::recorded("restic-snapshots.json"))
        .prints("borg", super::super::fixture::recorded("borg-list.json"));
    for (desired, age) in [(restic(password), 9.5), (borg(password), 9.0)] {
        let seen = look(&fixture, desired).await;
        assert_eq!((seen.status, &seen.details["backup_age_hours"]), (CheckStatus::Compliant, &Value::from(age)));
    }
    let seen = look(&Fixture::new().prints("restic", "null"), restic(password)).await;
    assert_eq!(seen.status, CheckStatus::Drift, "an empty repository");
    for garbage in ["", "Fatal: wrong password", "{\"archives\": [{\"time\": \"yesterday\"}]}"] {
        let fixture = Fixture::new().prints("restic", garbage).prints("borg", garbage);
        assert_eq!(look(&fixture, restic(password)).await.status, CheckStatus::Unknown, "{garbage:?}");
        assert_eq!(look(&fixture, borg(password)).await.status, CheckStatus::Unknown, "{garbage:?}");
    }
}

#[tokio::test]
async fn every_source_must_be_fresh() {
    let fixture = Fixture::new().file("/srv/borg/index.7", "x").age("/srv/borg/index.7", 100.0);
    let fixture = fixture.file("/var/lib/backup/stamp", "2026-01-15T11:00:00Z");
    let both = baseline::Backup { stamp: stamp().stamp, ..borg(None) };
    let seen = look(&fixture, both).await;
    assert_eq!((seen.status, &seen.details["backup_age_hours"]), (CheckStatus::Drift, &Value::from(100.0)));
    assert_eq!(seen.diff.len(), 1);
}
