//! An appliance that has no certificate yet, and everything it may try.

use crate::clinic::{Agent, Clinic, SITE, Server, good};
use msp_contracts::api::EnrollReply;
use msp_contracts::ids::ChainId;
use msp_contracts::keys::{self, SigningKey};
use rcgen::{CertificateParams, DnType, KeyPair, SanType};
use reqwest::{Client, Response};
use serde_json::{Value, json};

pub struct Newcomer {
    pub tls: KeyPair,
    pub evidence: SigningKey,
    pub encryption: age::x25519::Identity,
}

impl Newcomer {
    pub fn new(seed: u8) -> Self {
        Self {
            tls: KeyPair::generate().unwrap(),
            evidence: keys::from_seed([seed; 32]),
            encryption: age::x25519::Identity::generate(),
        }
    }

    /// A request that gives itself the names of somebody else.
    pub fn csr(&self) -> String {
        let mut params = CertificateParams::new(vec!["central.example.org".to_owned()]).unwrap();
        params.distinguished_name.push(DnType::CommonName, "somebody else");
        params.subject_alt_names.push(SanType::URI("urn:msp:clinic-z:apl-9".try_into().unwrap()));
        params.serialize_request(&self.tls).unwrap().pem().unwrap()
    }

    pub fn request(&self, token: Option<&str>, appliance: &str) -> Value {
        let mut body = json!({
            "schema_version": 1, "csr": self.csr(), "appliance": appliance,
            "agent_public_key": keys::public_to_hex(&self.evidence.verifying_key()),
            "agent_encryption_key": self.encryption.to_public().to_string(),
        });
        if let Some(token) = token {
            body["token"] = token.into();
        }
        body
    }

    /// Asks at the enrolment's door.
    pub async fn ask(&self, clinic: &Clinic, server: &Server, token: &str, appliance: &str) -> Response {
        let body = self.request(Some(token), appliance);
        clinic.client(None).post(door(server, "/api/enroll")).json(&body).send().await.unwrap()
    }

    /// Enrols, which must succeed, and answers the agent that came of it.
    pub async fn enroll(&self, clinic: &Clinic, server: &Server, token: &str, appliance: &str) -> Agent {
        let reply: EnrollReply = good(self.ask(clinic, server, token, appliance).await).await;
        self.agent(clinic, &reply)
    }

    pub fn agent(&self, clinic: &Clinic, reply: &EnrollReply) -> Agent {
        Agent {
            client: self.client(clinic, reply),
            site: reply.site_id.clone(),
            appliance: reply.appliance.clone(),
            key: self.evidence.clone(),
            chain_id: ChainId::from_random([9; 8]),
            central: keys::public_from_hex(&reply.mcp_public_keys[0]).unwrap(),
        }
    }

    pub fn client(&self, clinic: &Clinic, reply: &EnrollReply) -> Client {
        let pem = format!("{}{}", reply.certificate, self.tls.serialize_pem());
        clinic.client(Some(pem.as_bytes()))
    }
}

/// A place at the enrolment's door.
pub fn door(server: &Server, path: &str) -> String {
    format!("https://{}{path}", server.enroll.unwrap())
}

/// A token of [`SITE`], with further arguments.
pub fn token(clinic: &Clinic, further: &[&str]) -> String {
    token_of(clinic, SITE, further)
}

pub fn token_of(clinic: &Clinic, site: &str, further: &[&str]) -> String {
    let printed = clinic.ok(&[&["enroll-token", "--dir", clinic.dir_text(), site], further].concat());
    printed.trim().to_owned()
}

/// A server with both doors.
pub fn serve(clinic: &Clinic, further: &[&str]) -> Server {
    clinic.serve_with(&[&["--enroll", "127.0.0.1:0"], further].concat())
}
