//! One appliance's connection: HTTP/1.1 over mutual TLS, kept open, with as little work as can be.

use crate::server::Server;
use msp_contracts::keys;
use rustls::ClientConfig;
use rustls::RootCertStore;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use serde_json::json;
use std::sync::Arc;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

/// A recipient of age: nobody here decrypts anything.
const RECIPIENT: &str = "age1ql3z7hjy54pw3hyww5ayyfg7zqgvc7w3j2elw8zmrj2kg5sfn9aqmcac8p";

pub struct Connection {
    stream: TlsStream<TcpStream>,
    request: Vec<u8>,
    read: Vec<u8>,
}

impl Connection {
    pub async fn open(server: &Server, index: usize) -> Self {
        let appliance = &server.appliances[index];
        let mut roots = RootCertStore::empty();
        roots.add(CertificateDer::from_pem_file(server.ca()).unwrap()).unwrap();
        let chain = CertificateDer::pem_file_iter(appliance.folder.join("client.pem")).unwrap();
        let key = PrivateKeyDer::from_pem_file(appliance.folder.join("client-key.pem")).unwrap();
        let config = ClientConfig::builder()
            .with_root_certificates(roots)
            .with_client_auth_cert(chain.map(Result::unwrap).collect(), key)
            .unwrap();
        let tcp = TcpStream::connect(server.address).await.unwrap();
        tcp.set_nodelay(true).unwrap();
        let name = ServerName::from(server.address.ip());
        let stream = TlsConnector::from(Arc::new(config)).connect(name, tcp).await.unwrap();
        Self { stream, request: request(server, index), read: Vec::new() }
    }

    /// Checks in, and answers the body of the reply.
    pub async fn check_in(&mut self) -> Vec<u8> {
        self.stream.write_all(&self.request).await.unwrap();
        self.stream.flush().await.unwrap();
        self.read.clear();
        loop {
            assert_ne!(self.stream.read_buf(&mut self.read).await.unwrap(), 0, "the server hung up");
            let Some(head) = self.read.windows(4).position(|bytes| bytes == b"\r\n\r\n") else { continue };
            let text = std::str::from_utf8(&self.read[..head]).unwrap();
            assert!(text.starts_with("HTTP/1.1 200 "), "{}", String::from_utf8_lossy(&self.read));
            let length = text.lines().find_map(|line| line.strip_prefix("content-length: ")).unwrap();
            let end = head + 4 + length.parse::<usize>().unwrap();
            if self.read.len() >= end {
                return self.read[head + 4..end].to_vec();
            }
        }
    }
}

/// A whole check-in, as an agent sends it.
fn request(server: &Server, index: usize) -> Vec<u8> {
    let seed = u8::try_from(index % 250).unwrap();
    let body = json!({
        "schema_version": 1, "site_id": server.appliances[index].site, "hostname": format!("appliance-{index}"),
        "mac_address": "00:11:22:33:44:55", "ip_addresses": ["192.168.10.250", "fe80::1"], "uptime_seconds": 86400,
        "agent_version": "0.1.0", "nixos_version": "25.05", "has_local_credentials": true,
        "agent_public_key": keys::public_to_hex(&keys::from_seed([seed + 1; 32]).verifying_key()),
        "agent_encryption_key": RECIPIENT,
        "agent": {
            "chain": format!("{index:016x}"), "started_at": "2026-01-02T03:04:05Z", "kill_switch": false,
            "dry_run": false, "healing_tier": "standard", "rules_loaded": 27, "quarantined": [], "outbox_pending": 0,
            "outbox_rejected": 0,
        },
    })
    .to_string();
    let head = format!(
        "POST /api/appliances/checkin HTTP/1.1\r\nHost: {}\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n",
        server.address,
        body.len()
    );
    [head.into_bytes(), body.into_bytes()].concat()
}
