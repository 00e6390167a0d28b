//! Who gets a certificate, by what, and how often.

use crate::clinic::{Clinic, SITE, good, problem};
use crate::newcomer::{Newcomer, door, serve, token, token_of};
use msp_contracts::api::{EnrollReply, Health};
use msp_contracts::token::EnrollToken;
use serde_json::{Value, json};
use x509_parser::prelude::GeneralName;

#[tokio::test]
async fn a_token_makes_one_appliance_of_its_site_whatever_the_request_says_about_itself() {
    let clinic = Clinic::new();
    let server = serve(&clinic, &["--agents-url", "https://central.example.org:8443/"]);
    let newcomer = Newcomer::new(1);
    let token = token_of(&clinic, "clinic-b", &["--appliance", "apl-1"]);
    let reply: EnrollReply = good(newcomer.ask(&clinic, &server, &token, "").await).await;
    assert_eq!((reply.site_id.as_str(), reply.appliance.as_str()), ("clinic-b", "apl-1"));
    assert_eq!(reply.mcp_url, "https://central.example.org:8443");
    assert_eq!(reply.ca_certificate, std::fs::read_to_string(clinic.dir().join("ca.pem")).unwrap());
    let (_, pem) = x509_parser::pem::parse_x509_pem(reply.certificate.as_bytes()).unwrap();
    let certificate = pem.parse_x509().unwrap();
    let names = &certificate.subject_alternative_name().unwrap().unwrap().value.general_names;
    assert!(matches!(names.as_slice(), [GeneralName::URI("urn:msp:clinic-b:apl-1")]), "{names:?}");
    assert!(!certificate.subject().to_string().contains("somebody"), "{}", certificate.subject());
    let usage = certificate.extended_key_usage().unwrap().unwrap().value;
    assert!(usage.client_auth && !usage.server_auth && !certificate.is_ca());
    let (from, until) = (certificate.validity().not_before.timestamp(), certificate.validity().not_after.timestamp());
    assert!((until - from - 90 * 86_400).abs() <= 3601, "ninety days");
    assert!((reply.renew_after.as_second() - (from + (until - from) * 2 / 3)).abs() <= 2, "two thirds");

    let agent = newcomer.agent(&clinic, &reply);
    agent.check_in(&server).await;
    for (envelope, _) in agent.chain(1) {
        agent.accepted(&server, &envelope).await;
    }
}

#[tokio::test]
async fn a_token_is_used_once_however_many_bring_it_at_the_same_time() {
    let clinic = Clinic::new();
    let server = serve(&clinic, &[]);
    let token = token(&clinic, &[]);
    let newcomers: Vec<_> = (1..=8).map(Newcomer::new).collect();
    let mut asked = Vec::new();
    for (n, newcomer) in newcomers.iter().enumerate() {
        let body = newcomer.request(Some(&token), &format!("apl-{n}"));
        let (client, url) = (clinic.client(None), door(&server, "/api/enroll"));
        asked.push(tokio::spawn(async move { client.post(url).json(&body).send().await.unwrap() }));
    }
    let mut enrolled = 0;
    for response in asked {
        let response = response.await.unwrap();
        if response.status().is_success() {
            enrolled += 1;
        } else {
            assert!(problem(response, 409, "token_used").await.message.contains("enroll-token"));
        }
    }
    assert_eq!(enrolled, 1);
    let made: i64 = clinic.database().query_row("SELECT COUNT(*) FROM certificates", [], |row| row.get(0)).unwrap();
    assert_eq!(made, 1);
}

#[tokio::test]
async fn an_answer_that_was_lost_is_given_again_to_the_same_key_and_to_no_other() {
    let clinic = Clinic::new();
    let server = serve(&clinic, &[]);
    let token = token(&clinic, &["--valid", "2s"]);
    let newcomer = Newcomer::new(1);
    let first: EnrollReply = good(newcomer.ask(&clinic, &server, &token, "apl-1").await).await;
    tokio::time::sleep(std::time::Duration::from_secs(2)).await;
    let again: EnrollReply = good(newcomer.ask(&clinic, &server, &token, "apl-1").await).await;
    assert_eq!(again.certificate, first.certificate, "the same certificate, also after the token's end");
    problem(Newcomer::new(2).ask(&clinic, &server, &token, "apl-1").await, 409, "token_used").await;
    // Once it is revoked, nothing is given again.
    clinic.ok(&["appliance", "revoke", "--dir", clinic.dir_text(), SITE, "apl-1", "--reason", "lost"]);
    problem(newcomer.ask(&clinic, &server, &token, "apl-1").await, 409, "token_used").await;
}

#[tokio::test]
async fn a_token_that_is_expired_guessed_cut_off_or_of_another_fleet_is_refused_with_the_cure() {
    let (clinic, stranger) = (Clinic::new(), Clinic::new());
    let server = serve(&clinic, &[]);
    let newcomer = Newcomer::new(1);
    let expired = token(&clinic, &["--valid", "1s"]);
    tokio::time::sleep(std::time::Duration::from_millis(1100)).await;
    let refused = problem(newcomer.ask(&clinic, &server, &expired, "apl-1").await, 403, "token_expired").await;
    assert!(refused.message.contains("--valid"), "{}", refused.message);

    let ca = std::fs::read(clinic.dir().join("ca.pem")).unwrap();
    let (_, ca) = x509_parser::pem::parse_x509_pem(&ca).unwrap();
    let guessed = EnrollToken::new([0; 32], &ca.contents).reveal();
    problem(newcomer.ask(&clinic, &server, &guessed, "apl-1").await, 403, "token_unknown").await;

    let real = token(&clinic, &[]);
    problem(newcomer.ask(&clinic, &server, &real[..real.len() - 1], "apl-1").await, 400, "token_damaged").await;
    problem(newcomer.ask(&clinic, &server, "hunter2", "apl-1").await, 400, "token_damaged").await;
    let other = token(&stranger, &[]);
    let refused = problem(newcomer.ask(&clinic, &server, &other, "apl-1").await, 403, "token_unknown").await;
    assert!(refused.message.contains("another fleet"), "{}", refused.message);
    // None of that has used up the real one.
    newcomer.enroll(&clinic, &server, &real, "apl-1").await;
}

#[tokio::test]
async fn a_certificate_is_made_only_for_a_key_whose_holder_asks() {
    let clinic = Clinic::new();
    let server = serve(&clinic, &[]);
    let (newcomer, somebody) = (Newcomer::new(1), Newcomer::new(2));
    let token = token(&clinic, &[]);
    let mut body = newcomer.request(Some(&token), "apl-1");
    // Somebody else's public key under one's own signature: both are P-256, so the lengths fit.
    let (own, other) = (newcomer.csr(), somebody.csr());
    let (own, other) =
        (x509_parser::pem::parse_x509_pem(own.as_bytes()), x509_parser::pem::parse_x509_pem(other.as_bytes()));
    let (own, other) = (own.unwrap().1.contents, other.unwrap().1.contents);
    let key = somebody.tls.public_key_raw();
    let at = other.windows(key.len()).position(|bytes| bytes == key).unwrap();
    let mut forged = own.clone();
    forged[at..at + key.len()].copy_from_slice(key);
    assert_ne!(forged, own);
    let pem = |der: &[u8]| {
        use base64::{Engine, engine::general_purpose::STANDARD};
        format!("-----BEGIN CERTIFICATE REQUEST-----\n{}\n-----END CERTIFICATE REQUEST-----\n", STANDARD.encode(der))
    };
    for csr in [pem(&forged), pem(&own[..own.len() - 1]), String::new(), newcomer.tls.public_key_pem()] {
        body["csr"] = csr.into();
        let refused = clinic.client(None).post(door(&server, "/api/enroll")).json(&body).send().await.unwrap();
        assert_eq!(problem(refused, 400, "bad_csr").await.field.as_deref(), Some("csr"));
    }
    for (field, value) in [("agent_public_key", "00".repeat(32)), ("agent_encryption_key", "age1qqq".into())] {
        let mut body = newcomer.request(Some(&token), "apl-1");
        body[field] = value.into();
        let refused = clinic.client(None).post(door(&server, "/api/enroll")).json(&body).send().await.unwrap();
        assert_eq!(problem(refused, 400, "malformed_body").await.field.as_deref(), Some(field));
    }
    newcomer.enroll(&clinic, &server, &token, "apl-1").await;
}

#[tokio::test]
async fn a_name_belongs_to_one_appliance_until_it_is_revoked_and_only_a_token_for_it_takes_it_over() {
    let clinic = Clinic::new();
    let server = serve(&clinic, &[]);
    let dir = clinic.dir_text();
    let (first, second) = (Newcomer::new(1), Newcomer::new(2));
    let named = token(&clinic, &["--appliance", "apl-1"]);
    let refused = problem(first.ask(&clinic, &server, &named, "apl-2").await, 403, "token_for_another").await;
    assert!(refused.message.contains("--appliance apl-1"), "{}", refused.message);
    problem(first.ask(&clinic, &server, &token(&clinic, &[]), "").await, 400, "name_needed").await;
    problem(first.ask(&clinic, &server, &token(&clinic, &[]), "../apl").await, 400, "malformed_body").await;
    let agent = first.enroll(&clinic, &server, &named, "apl-1").await;
    agent.check_in(&server).await;

    let any = token(&clinic, &[]);
    let refused = problem(second.ask(&clinic, &server, &any, "apl-1").await, 409, "name_taken").await;
    assert!(refused.message.contains("appliance revoke"), "{}", refused.message);
    let said = clinic.refused(1, &["enroll-token", "--dir", dir, SITE, "--appliance", "apl-1"]);
    assert!(said.contains("enrolled already") && said.contains("appliance revoke"), "{said}");

    clinic.ok(&["appliance", "revoke", "--dir", dir, SITE, "apl-1", "--reason", "broken"]);
    let refused = problem(second.ask(&clinic, &server, &any, "apl-1").await, 409, "name_taken").await;
    assert!(refused.message.contains("enroll-token") && refused.message.contains("--appliance apl-1"));
    let agent = second.enroll(&clinic, &server, &token(&clinic, &["--appliance", "apl-1"]), "").await;
    // Its evidence key is pinned by that, without forget-key.
    agent.check_in(&server).await;
    // The name at another site is another name.
    first.enroll(&clinic, &server, &token_of(&clinic, "clinic-b", &[]), "apl-1").await;
}

#[tokio::test]
async fn the_enrolments_door_takes_two_calls_small_bodies_and_not_too_many_of_them() {
    let clinic = Clinic::new();
    let server = serve(&clinic, &[]);
    let client = clinic.client(None);
    let authority = client.get(door(&server, "/api/enroll/ca")).send().await.unwrap();
    assert_eq!(authority.text().await.unwrap(), std::fs::read_to_string(clinic.dir().join("ca.pem")).unwrap());
    for path in ["/health", "/agent/sync?site_id=clinic-a", "/api/appliances/checkin", "/"] {
        problem(client.get(door(&server, path)).send().await.unwrap(), 404, "unknown_path").await;
    }
    problem(client.get(door(&server, "/api/enroll")).send().await.unwrap(), 405, "wrong_method").await;
    let mut body = Newcomer::new(1).request(None, "apl-1");
    problem(client.post(door(&server, "/api/enroll")).json(&body).send().await.unwrap(), 400, "malformed_body").await;
    body["csr"] = "A".repeat(20_000).into();
    let refused = client.post(door(&server, "/api/enroll")).json(&body).send().await.unwrap();
    assert!(refused.status().is_client_error(), "{}", refused.status());
    let mut limited = None;
    for _ in 0..40 {
        let response = client.get(door(&server, "/api/enroll/ca")).send().await.unwrap();
        if response.status() == 429 {
            limited = Some(response);
            break;
        }
    }
    let limited = limited.expect("not limited");
    let seconds: u32 = limited.headers()["retry-after"].to_str().unwrap().parse().unwrap();
    assert!((1..=5).contains(&seconds), "{seconds}");
    problem(limited, 429, "too_many_calls").await;
    // The agents' door is not held up by that, and still demands a certificate.
    let _: Health = good(clinic.issue("apl-1").get(&server, "/health").await).await;
    assert!(clinic.client(None).get(server.url("/api/enroll/ca")).send().await.is_err());
}

#[tokio::test]
async fn a_token_is_kept_as_a_hash_and_never_logged() {
    let clinic = Clinic::new();
    let server = serve(&clinic, &["--log-level", "trace"]);
    let token = token(&clinic, &[]);
    let newcomer = Newcomer::new(1);
    newcomer.enroll(&clinic, &server, &token, "apl-1").await;
    problem(Newcomer::new(2).ask(&clinic, &server, &token, "apl-2").await, 409, "token_used").await;
    problem(newcomer.ask(&clinic, &server, &token[..60], "apl-2").await, 400, "token_damaged").await;
    server.stop().await;
    let secret = &token["mspenroll1_".len()..][..40];
    for file in [clinic.log(), clinic.dir().join("central.db")] {
        let bytes = std::fs::read(&file).unwrap();
        assert!(!bytes.windows(secret.len()).any(|window| window == secret.as_bytes()), "{}", file.display());
    }
    let document: Value =
        serde_json::from_str(&clinic.ok(&["enroll-token", "--dir", clinic.dir_text(), SITE, "--json"])).unwrap();
    let read: EnrollToken = document["token"].as_str().unwrap().parse().unwrap();
    assert_eq!((&document["site_id"], &document["ca_sha256"]), (&json!(SITE), &json!(read.ca_sha256())));
}

#[tokio::test]
async fn without_the_authoritys_key_the_agents_are_served_and_nothing_is_certified() {
    let clinic = Clinic::new();
    let agent = clinic.issue("apl-1");
    std::fs::rename(clinic.dir().join("ca-key.pem"), clinic.root().join("kept-elsewhere")).unwrap();
    let server = clinic.serve();
    agent.check_in(&server).await;
    let body = Newcomer::new(1).request(None, "apl-1");
    let refused = problem(agent.post(&server, "/api/enroll", &body).await, 503, "authority_offline").await;
    assert!(refused.message.contains("ca-key.pem"), "{}", refused.message);
    server.stop().await;
    let serve = ["serve", "--dir", clinic.dir_text(), "--listen", "127.0.0.1:0", "--people", "127.0.0.1:0"];
    let said = clinic.refused(2, &[&serve[..], &["--enroll", "127.0.0.1:0"]].concat());
    assert!(said.contains("ca-key.pem"), "{said}");
}
