//! Who gets in, and as whom.

use crate::clinic::{Clinic, SITE, escalation, execution, good, incident, problem};
use msp_contracts::api::Health;
use rcgen::{CertificateParams, ExtendedKeyUsagePurpose, Issuer, KeyPair, SanType};
use serde_json::Value;
use x509_parser::prelude::GeneralName;

/// A certificate and key that the clinic's own authority signs, outside of `issue`.
fn signed(clinic: &Clinic, uris: &[&str], purpose: ExtendedKeyUsagePurpose) -> Vec<u8> {
    let read = |name: &str| std::fs::read_to_string(clinic.dir().join(name)).unwrap();
    let issuer = Issuer::from_ca_cert_pem(&read("ca.pem"), KeyPair::from_pem(&read("ca-key.pem")).unwrap()).unwrap();
    let mut params = CertificateParams::new(vec!["localhost".to_owned()]).unwrap();
    params.subject_alt_names.extend(uris.iter().map(|uri| SanType::URI((*uri).try_into().unwrap())));
    params.extended_key_usages = vec![purpose];
    let key = KeyPair::generate().unwrap();
    let certificate = params.signed_by(&key, &issuer).unwrap();
    format!("{}{}", certificate.pem(), key.serialize_pem()).into_bytes()
}

#[tokio::test]
async fn without_a_client_certificate_nothing_is_answered() {
    let clinic = Clinic::new();
    let (agent, server) = (clinic.issue("apl-1"), clinic.serve());
    let _: Health = good(agent.get(&server, "/health").await).await;
    assert!(clinic.client(None).get(server.url("/health")).send().await.is_err());
}

#[tokio::test]
async fn a_certificate_of_another_authority_is_refused() {
    let (clinic, stranger) = (Clinic::new(), Clinic::new());
    clinic.issue("apl-1");
    stranger.issue("apl-1");
    let server = clinic.serve();
    let read = |name: &str| std::fs::read(stranger.root().join("clinic-a-apl-1").join(name)).unwrap();
    let pem = [read("client.pem"), read("client-key.pem")].concat();
    assert!(clinic.client(Some(&pem)).get(server.url("/health")).send().await.is_err());
}

#[tokio::test]
async fn an_agent_does_not_talk_to_the_server_of_another_authority() {
    let (clinic, stranger) = (Clinic::new(), Clinic::new());
    let (agent, server) = (clinic.issue("apl-1"), stranger.serve());
    assert!(agent.client.get(server.url("/health")).send().await.is_err());
}

#[tokio::test]
async fn a_server_certificate_is_no_client_certificate() {
    let clinic = Clinic::new();
    let server = clinic.serve();
    let uri = ["urn:msp:clinic-a:apl-1"];
    clinic.issue("apl-1");
    let pem = signed(&clinic, &uri, ExtendedKeyUsagePurpose::ServerAuth);
    assert!(clinic.client(Some(&pem)).get(server.url("/health")).send().await.is_err());
    let pem = signed(&clinic, &uri, ExtendedKeyUsagePurpose::ClientAuth);
    assert!(clinic.client(Some(&pem)).get(server.url("/health")).send().await.unwrap().status().is_success());
}

#[tokio::test]
async fn a_certificate_must_name_exactly_one_appliance() {
    let clinic = Clinic::new();
    clinic.issue("apl-1");
    let server = clinic.serve();
    let cases: [&[&str]; 5] = [
        &[],
        &["urn:other:clinic-a:apl-1"],
        &["urn:msp:clinic-a"],
        &["urn:msp:clinic-a:apl-1:x"],
        &["urn:msp:clinic-a:apl-1", "urn:msp:clinic-b:apl-1"],
    ];
    for uris in cases {
        let client = clinic.client(Some(&signed(&clinic, uris, ExtendedKeyUsagePurpose::ClientAuth)));
        for path in ["/health", "/agent/sync?site_id=clinic-a"] {
            problem(client.get(server.url(path)).send().await.unwrap(), 403, "no_identity").await;
        }
    }
}

#[tokio::test]
async fn an_appliance_that_was_never_issued_is_refused() {
    let clinic = Clinic::new();
    clinic.issue("apl-1");
    let server = clinic.serve();
    let pem = signed(&clinic, &["urn:msp:clinic-a:apl-9"], ExtendedKeyUsagePurpose::ClientAuth);
    let client = clinic.client(Some(&pem));
    let refused = client.get(server.url("/agent/sync?site_id=clinic-a")).send().await.unwrap();
    problem(refused, 403, "unknown_appliance").await;
    let refused = client.post(server.url("/incidents")).json(&incident(SITE)).send().await.unwrap();
    problem(refused, 403, "unknown_appliance").await;
}

#[tokio::test]
async fn another_site_in_body_query_or_path_is_refused_and_named() {
    let clinic = Clinic::new();
    let agent = clinic.issue("apl-1");
    clinic.issue_for("clinic-b", "apl-1");
    let server = clinic.serve();
    agent.check_in(&server).await;
    let mut checkin = agent.checkin();
    checkin["site_id"] = Value::from("clinic-b");
    for (path, body) in [
        ("/api/appliances/checkin", checkin),
        ("/incidents", incident("clinic-b")),
        ("/api/agent/executions", execution("clinic-b")),
        ("/api/escalations", escalation("clinic-b")),
    ] {
        let refused = problem(agent.post(&server, path, &body).await, 403, "wrong_site").await;
        assert_eq!(refused.field.as_deref(), Some("site_id"), "{path}");
    }
    let refused = problem(agent.get(&server, "/agent/sync?site_id=clinic-b").await, 403, "wrong_site").await;
    assert_eq!(refused.field.as_deref(), Some("site_id"));
    let envelope = &agent.chain(1)[0].0;
    let body = serde_json::json!({ "schema_version": 1, "bundle": envelope });
    let refused = agent.post(&server, "/api/evidence/sites/clinic-b/submit", &body).await;
    assert_eq!(problem(refused, 403, "wrong_site").await.field.as_deref(), Some("site"));
    assert_eq!(clinic.list("incidents"), serde_json::json!([]));
}

#[test]
fn the_issued_certificate_names_site_and_appliance_and_keys_are_private() {
    use std::os::unix::fs::PermissionsExt;
    let clinic = Clinic::new();
    clinic.issue("apl-1");
    let out = clinic.root().join("clinic-a-apl-1");
    let pem = std::fs::read(out.join("client.pem")).unwrap();
    let (_, pem) = x509_parser::pem::parse_x509_pem(&pem).unwrap();
    let certificate = pem.parse_x509().unwrap();
    let names = &certificate.subject_alternative_name().unwrap().unwrap().value.general_names;
    assert!(matches!(names.as_slice(), [GeneralName::URI("urn:msp:clinic-a:apl-1")]), "{names:?}");
    let usage = certificate.extended_key_usage().unwrap().unwrap().value;
    assert!(usage.client_auth && !usage.server_auth && !usage.any);
    let validity = certificate.validity();
    let days = (validity.not_after.timestamp() - validity.not_before.timestamp()) / 86_400;
    assert!((800..=826).contains(&days), "{days} days");

    let mode = |path: &std::path::Path| std::fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode(&out.join("client-key.pem")), 0o600);
    for private in ["ca-key.pem", "server-key.pem", "signing.pem", "central.db"] {
        assert_eq!(mode(&clinic.dir().join(private)), 0o600, "{private}");
    }
    let public = std::fs::read_to_string(clinic.dir().join("signing.pub")).unwrap();
    assert_eq!(public.trim().len(), 64);
    assert_eq!(public, std::fs::read_to_string(out.join("central.pub")).unwrap());
}

#[test]
fn an_id_that_cannot_stand_in_a_certificate_is_refused_by_name() {
    let clinic = Clinic::new();
    let long = "a".repeat(65);
    let out = clinic.root().join("out");
    for bad in ["", "a b", "a:b", "a/b", "..", "ä", "a'; DROP TABLE sites; --", &long] {
        for (site, appliance) in [(bad, "apl-1"), (SITE, bad)] {
            let (dir, out) = (clinic.dir_text(), out.to_str().unwrap());
            let said =
                clinic.refused(1, &["issue", "--dir", dir, "--site", site, "--appliance", appliance, "--out", out]);
            assert!(said.contains(bad), "{said}");
            let what = if site == bad { "a site" } else { "an appliance" };
            assert!(said.contains(what), "{said}");
        }
    }
    assert!(!out.exists());
}
