//! Whom the agent believes to be a Windows server: an authority, the pinned certificate, and nobody else.
#![allow(clippy::unwrap_used, clippy::expect_used)]

use msp_contracts::fingerprint::Fingerprint;
use msp_lab::clinic::Clinic;
use msp_lab::drift::Server;
use msp_suite::agent::first_evidence;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use serde_json::{Value, json};

/// A clinic whose agent has no authority of its own for Windows servers, only the system's.
async fn without_authority(targets: impl Fn(&Server, &Server) -> Value) -> Clinic {
    let mut clinic = Clinic::prepare(None).unwrap();
    clinic.found().await.unwrap();
    clinic.start_servers().await.unwrap();
    let entries = targets(clinic.member.as_ref().unwrap(), clinic.controller.as_ref().unwrap());
    clinic.set_targets(&entries).await.unwrap();
    clinic.start_central().await.unwrap();
    let central = clinic.address().unwrap().agents.clone();
    clinic.write_config(&central).unwrap();
    let config = std::fs::read_to_string(clinic.config()).unwrap();
    std::fs::write(clinic.config(), config.replace("windows_ca_cert_file: windows-ca.pem\n", "")).unwrap();
    clinic.start_agent().unwrap();
    clinic
}

fn fingerprint(server: &Server) -> Fingerprint {
    let certificate = CertificateDer::from_pem_file(server.authority.with_file_name("cert.pem")).unwrap();
    Fingerprint::of(&certificate)
}

fn entry(server: &Server, more: &Value) -> Value {
    let mut entry =
        json!({ "hostname": server.hostname, "ip_address": server.winrm.ip(), "port": server.winrm.port() });
    entry.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    entry
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_pinned_certificate_is_believed_and_another_is_refused_with_its_fingerprint() {
    let mut clinic = without_authority(|member, controller| {
        // One is pinned rightly; the other to the first one's certificate, as if it had been put in its place.
        let pin = fingerprint(member);
        let colons: Vec<_> = pin.as_str().as_bytes().chunks(2).map(String::from_utf8_lossy).collect();
        json!([
            entry(member, &json!({ "certificate_sha256": colons.join(":").to_uppercase() })),
            entry(controller, &json!({ "certificate_sha256": pin.as_str() })),
        ])
    })
    .await;
    let (member, controller) = (clinic.member.as_ref().unwrap(), clinic.controller.as_ref().unwrap());
    let believed = first_evidence(&clinic, &member.winrm.ip().to_string(), "firewall").await.unwrap();
    assert_eq!(believed["post_state"]["status"], "pass", "{believed:#}");
    let refused = first_evidence(&clinic, &controller.winrm.ip().to_string(), "firewall").await.unwrap();
    assert_eq!(refused["post_state"]["status"], "error", "{refused:#}");
    let (found, pinned) = (fingerprint(controller), fingerprint(member));
    let said = format!("not the pinned one: found {found}, pinned {pinned}");
    assert!(refused.to_string().contains(&said), "{said}\n{refused:#}");
    assert!(!clinic.agent_log().contains("refused the credentials"), "nothing was sent, so nothing was refused");
    clinic.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_an_authority_of_its_own_the_agent_refuses_a_certificate_of_a_private_one() {
    let mut clinic = without_authority(|member, controller| {
        json!([entry(member, &json!({})), entry(controller, &json!({ "authentication": "basic" }))])
    })
    .await;
    for server in [&clinic.member, &clinic.controller] {
        let server = server.as_ref().unwrap();
        let refused = first_evidence(&clinic, &server.winrm.ip().to_string(), "firewall").await.unwrap();
        assert_eq!(refused["post_state"]["status"], "error", "{refused:#}");
        assert!(refused.to_string().contains("certificate"), "{refused:#}");
    }
    clinic.close().await;
}
