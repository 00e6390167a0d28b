//! A server in Central Command's place that misbehaves as it is told: TLS with Central Command's own
//! certificate, HTTP/1.1, one answer a connection. It keeps what it was asked.

use anyhow::Context;
use rustls::ServerConfig;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use std::path::Path;
use std::sync::{Arc, Mutex};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;
use tokio_rustls::TlsAcceptor;

/// Longest request that is read.
const LONGEST: usize = 1024 * 1024;

/// One request.
#[derive(Debug, Clone)]
pub struct Asked {
    /// Method and path, for example `POST /incidents`.
    pub line: String,
    /// The body.
    pub body: Vec<u8>,
}

/// What is sent back, byte for byte; nothing closes the connection without an answer.
pub type Answer = Option<Vec<u8>>;

/// A whole HTTP answer.
#[must_use]
pub fn answer(status: &str, headers: &str, body: &[u8]) -> Answer {
    let head = format!("HTTP/1.1 {status}\r\nconnection: close\r\ncontent-length: {}\r\n{headers}\r\n", body.len());
    Some([head.as_bytes(), body].concat())
}

/// A running stand-in; it ends when it is dropped.
#[derive(Debug)]
pub struct StandIn {
    accepting: JoinHandle<()>,
    address: String,
    asked: Arc<Mutex<Vec<Asked>>>,
}

impl StandIn {
    /// Listens on `address` with the certificate of the Central Command in `central_dir`; `respond` makes each
    /// answer from the request and its number, from 0.
    ///
    /// # Errors
    /// When the certificate cannot be read, or the address is taken.
    pub async fn start(
        central_dir: &str,
        address: &str,
        respond: impl Fn(&Asked, usize) -> Answer + Send + Sync + 'static,
    ) -> anyhow::Result<Self> {
        let folder = Path::new(central_dir);
        let chain: Result<Vec<_>, _> =
            CertificateDer::pem_file_iter(folder.join("server.pem")).context("server.pem")?.collect();
        let key = PrivateKeyDer::from_pem_file(folder.join("server-key.pem")).context("server-key.pem")?;
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let tls = ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()?
            .with_no_client_auth()
            .with_single_cert(chain.context("server.pem")?, key)?;
        let acceptor = TlsAcceptor::from(Arc::new(tls));
        let listener = TcpListener::bind(address).await.with_context(|| format!("listening on {address}"))?;
        let address = listener.local_addr().context("the address")?.to_string();
        let asked = Arc::new(Mutex::new(Vec::new()));
        let (log, respond) = (Arc::clone(&asked), Arc::new(respond));
        let accepting = tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let (acceptor, log, respond) = (acceptor.clone(), Arc::clone(&log), Arc::clone(&respond));
                tokio::spawn(async move {
                    // A client that goes away is none of the stand-in's business.
                    let _ = serve(acceptor, stream, &log, respond.as_ref()).await;
                });
            }
        });
        Ok(Self { accepting, address, asked })
    }

    /// Address and port.
    #[must_use]
    pub fn address(&self) -> &str {
        &self.address
    }

    /// What it was asked so far.
    #[must_use]
    pub fn asked(&self) -> Vec<Asked> {
        self.asked.lock().map(|asked| asked.clone()).unwrap_or_default()
    }

    /// Stops, and frees the address.
    pub async fn stop(self) {
        self.accepting.abort();
        let mut this = self;
        // Aborted is ended.
        let _ = (&mut this.accepting).await;
    }
}

impl Drop for StandIn {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}

async fn serve(
    acceptor: TlsAcceptor,
    stream: TcpStream,
    log: &Mutex<Vec<Asked>>,
    respond: &(impl Fn(&Asked, usize) -> Answer + Send + Sync),
) -> anyhow::Result<()> {
    let mut stream = acceptor.accept(stream).await?;
    let mut bytes = Vec::new();
    let (head, length) = loop {
        anyhow::ensure!(bytes.len() < LONGEST, "too long");
        anyhow::ensure!(stream.read_buf(&mut bytes).await? > 0, "closed early");
        let Some(end) = bytes.windows(4).position(|four| four == b"\r\n\r\n") else { continue };
        let head = String::from_utf8_lossy(&bytes[..end]).into_owned();
        let length = head.lines().find_map(|line| {
            let (name, value) = line.split_once(':')?;
            name.eq_ignore_ascii_case("content-length").then(|| value.trim().parse::<usize>().ok())?
        });
        break (head, end + 4 + length.unwrap_or(0));
    };
    while bytes.len() < length.min(LONGEST) {
        anyhow::ensure!(stream.read_buf(&mut bytes).await? > 0, "closed early");
    }
    let line = head.lines().next().unwrap_or_default().trim_end_matches(" HTTP/1.1").to_owned();
    let body = bytes.split_off(length - (length - head.len() - 4));
    let asked = Asked { line, body };
    let number = {
        let mut log = log.lock().map_err(|_| anyhow::anyhow!("the log is poisoned"))?;
        log.push(asked.clone());
        log.len() - 1
    };
    if let Some(answer) = respond(&asked, number) {
        stream.write_all(&answer).await?;
        stream.shutdown().await?;
    }
    Ok(())
}
