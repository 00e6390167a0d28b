//! The one connection to Central Command: mutual TLS, our own authority, bounded in time and size.
//!
//! A renewed certificate is taken over while calls go on: those under way end with the old one.

use super::identity::{Identity, IdentityError};
use crate::config::Config;
use msp_contracts::api::Problem;
use reqwest::{Certificate, Client, ClientBuilder, Method, StatusCode};
use serde::Serialize;
use serde::de::DeserializeOwned;
use std::path::{Path, PathBuf};
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

/// Larger replies are refused: no honest one comes near.
const MAX_REPLY: usize = 8 * 1024 * 1024;
/// Words of Central Command against the caller itself, whatever the call was.
const AGAINST_THE_CALLER: &[&str] =
    &["certificate_revoked", "certificate_expired", "unknown_certificate", "unknown_appliance", "no_identity"];

/// The connection could not be prepared.
#[derive(Debug, thiserror::Error)]
pub enum SetupError {
    #[error("{}: cannot be read ({key})", file.display())]
    Unreadable {
        key: &'static str,
        file: PathBuf,
        #[source]
        source: std::io::Error,
    },
    #[error("{}: {key} is not what it should be: a PEM file from `msp-central issue`", file.display())]
    Pem {
        key: &'static str,
        file: PathBuf,
        #[source]
        source: reqwest::Error,
    },
    #[error("{}: {key} holds no certificate in PEM: use the file from `msp-central issue`", file.display())]
    NoCertificate { key: &'static str, file: PathBuf },
    #[error(transparent)]
    Identity(#[from] IdentityError),
    #[error(
        "the connection to Central Command could not be prepared (do certificate and private key belong together?)"
    )]
    Client {
        #[source]
        source: reqwest::Error,
    },
}

/// A call that did not succeed.
#[derive(Debug, thiserror::Error)]
pub enum CallError {
    #[error("{url}: the connection was refused over certificates: does ca_cert_file vouch for Central Command?")]
    Certificate {
        url: String,
        #[source]
        source: reqwest::Error,
    },
    #[error(
        "{url}: the connection was ended over this appliance's certificate: has it expired, or is it of another Central Command? \
         `msp-agent check-config --files` tells; enrolling anew helps"
    )]
    OwnCertificate {
        url: String,
        #[source]
        source: reqwest::Error,
    },
    #[error("{url}: Central Command does not accept this appliance: {said} ({code})")]
    NotAccepted { url: String, code: String, said: String },
    #[error("{url}: Central Command could not be reached")]
    Transport {
        url: String,
        #[source]
        source: reqwest::Error,
    },
    #[error("{url}: Central Command answered {status}: {said}")]
    Status { url: String, status: StatusCode, said: String, code: Option<String>, retry_after: Option<Duration> },
    #[error("{url}: Central Command answered something that is no {expected}: {reason}")]
    Garbage { url: String, expected: &'static str, reason: String },
    #[error("{url}: the answer is longer than {longest} bytes")]
    TooLong { url: String, longest: usize },
}

impl CallError {
    /// Whether the same call may succeed later: 408, 429, 5xx, anything on the way, an unreadable answer, and what is
    /// said against the caller: enrolled anew, it may deliver what it owes.
    pub fn is_passing(&self) -> bool {
        match self {
            Self::Status { status, .. } => {
                status.is_server_error()
                    || matches!(*status, StatusCode::REQUEST_TIMEOUT | StatusCode::TOO_MANY_REQUESTS)
                    // Not the API itself, but something on the way to it.
                    || status.is_redirection()
                    || status.is_informational()
            }
            Self::Transport { .. }
            | Self::Certificate { .. }
            | Self::OwnCertificate { .. }
            | Self::NotAccepted { .. }
            | Self::Garbage { .. }
            | Self::TooLong { .. } => true,
        }
    }

    /// How long the server asked to be left alone.
    pub fn retry_after(&self) -> Option<Duration> {
        match self {
            Self::Status { retry_after, .. } => *retry_after,
            _ => None,
        }
    }
}

/// The connection to Central Command.
#[derive(Debug, Clone)]
pub struct Central {
    http: Arc<RwLock<Current>>,
    authority: Arc<Vec<Certificate>>,
    base: String,
}

/// The client, and the certificate it was made with.
#[derive(Debug)]
struct Current {
    client: Client,
    /// SHA-256 of certificate and key: one that is in use already is not taken over again.
    identity: Option<String>,
}

fn builder() -> ClientBuilder {
    Client::builder()
        .https_only(true)
        .no_proxy()
        .redirect(reqwest::redirect::Policy::none())
        .connect_timeout(Duration::from_secs(5))
        .timeout(Duration::from_secs(30))
}

fn client(authority: &[Certificate], identity: Option<&Identity>) -> Result<Current, SetupError> {
    let failed = |source| SetupError::Client { source };
    let builder = builder().tls_certs_only(authority.to_vec());
    let Some(identity) = identity else {
        return Ok(Current { client: builder.build().map_err(failed)?, identity: None });
    };
    let own = reqwest::Identity::from_pem(&identity.pem).map_err(failed)?;
    let client = builder.identity(own).build().map_err(failed)?;
    Ok(Current { client, identity: Some(msp_contracts::canonical::sha256_hex(&identity.pem)) })
}

/// Asks somebody whom nothing vouches for; the caller judges the answer. Nothing of this appliance is sent.
///
/// # Errors
/// See [`CallError`]; an answer longer than a few certificates is refused.
pub async fn fetch_untrusted(url: &str) -> Result<Vec<u8>, CallError> {
    let unreachable =
        |source: reqwest::Error| CallError::Transport { url: url.to_owned(), source: source.without_url() };
    let client = builder().tls_danger_accept_invalid_certs(true).build().map_err(unreachable)?;
    answer(client.get(url), url, 64 * 1024).await
}

fn read(key: &'static str, file: &Path) -> Result<Vec<u8>, SetupError> {
    std::fs::read(file).map_err(|source| SetupError::Unreadable { key, file: file.to_owned(), source })
}

impl Central {
    /// Reads certificate, key and authority.
    ///
    /// # Errors
    /// When one of the files is missing or no PEM.
    pub fn new(config: &Config) -> Result<Self, SetupError> {
        let (key, file) = ("ca_cert_file", &config.ca_cert_file);
        let authority = Certificate::from_pem_bundle(&read(key, file)?).map_err(|source| SetupError::Pem {
            key,
            file: file.clone(),
            source,
        })?;
        if authority.is_empty() {
            return Err(SetupError::NoCertificate { key, file: file.clone() });
        }
        let current = client(&authority, Some(&Identity::load(config)?))?;
        let base = config.mcp_url.trim_end_matches('/').to_owned();
        Ok(Self { http: Arc::new(RwLock::new(current)), authority: Arc::new(authority), base })
    }

    /// A connection of somebody who has no certificate yet, to a server that this authority (DER) vouches for.
    ///
    /// # Errors
    /// When the authority is no certificate.
    pub fn without_identity(base: &str, authority: &[u8]) -> Result<Self, SetupError> {
        let authority = vec![Certificate::from_der(authority).map_err(|source| SetupError::Client { source })?];
        let current = client(&authority, None)?;
        Ok(Self { http: Arc::new(RwLock::new(current)), authority: Arc::new(authority), base: base.to_owned() })
    }

    /// Goes on with this certificate; calls under way end with the one before.
    ///
    /// # Errors
    /// When it cannot be used; nothing changes then.
    pub fn take_over(&self, identity: &Identity) -> Result<(), SetupError> {
        let own = Some(msp_contracts::canonical::sha256_hex(&identity.pem));
        if self.http.read().unwrap_or_else(PoisonError::into_inner).identity == own {
            return Ok(());
        }
        let new = client(&self.authority, Some(identity))?;
        *self.http.write().unwrap_or_else(PoisonError::into_inner) = new;
        Ok(())
    }

    /// Asks for `path`.
    ///
    /// # Errors
    /// See [`CallError`].
    pub async fn get<R: DeserializeOwned>(&self, path: &str, query: &[(&str, &str)]) -> Result<R, CallError> {
        let mut url = format!("{}{path}", self.base);
        for (n, (name, value)) in query.iter().enumerate() {
            // Ids are letters, digits, . _ - (the configuration and the server see to it): nothing to escape.
            url.push_str(&format!("{}{name}={value}", if n == 0 { '?' } else { '&' }));
        }
        self.call(Method::GET, url, None).await
    }

    /// Sends `body`, which is JSON already, to `path`.
    ///
    /// # Errors
    /// See [`CallError`].
    pub async fn post<R: DeserializeOwned>(&self, path: &str, body: Vec<u8>) -> Result<R, CallError> {
        self.call(Method::POST, format!("{}{path}", self.base), Some(body)).await
    }

    /// Sends `body` as JSON to `path`.
    ///
    /// # Errors
    /// See [`CallError`].
    pub async fn send<R: DeserializeOwned>(&self, path: &str, body: &impl Serialize) -> Result<R, CallError> {
        let url = format!("{}{path}", self.base);
        let body = serde_json::to_vec(body).map_err(|error| CallError::Garbage {
            url: url.clone(),
            expected: "JSON",
            reason: error.to_string(),
        })?;
        self.call(Method::POST, url, Some(body)).await
    }

    async fn call<R: DeserializeOwned>(
        &self,
        method: Method,
        url: String,
        body: Option<Vec<u8>>,
    ) -> Result<R, CallError> {
        let client = self.http.read().unwrap_or_else(PoisonError::into_inner).client.clone();
        let mut request = client.request(method, &url);
        if let Some(body) = body {
            request = request.header(reqwest::header::CONTENT_TYPE, "application/json").body(body);
        }
        let bytes = answer(request, &url, MAX_REPLY).await?;
        let reader = &mut serde_json::Deserializer::from_slice(&bytes);
        serde_path_to_error::deserialize(reader).map_err(|error| CallError::Garbage {
            url,
            expected: std::any::type_name::<R>().rsplit("::").next().unwrap_or("reply"),
            reason: error.to_string(),
        })
    }
}

/// Sends a request and reads what a good answer holds, up to `longest` bytes.
async fn answer(request: reqwest::RequestBuilder, url: &str, longest: usize) -> Result<Vec<u8>, CallError> {
    let unreachable = |source: reqwest::Error| {
        let (url, source) = (url.to_owned(), source.without_url());
        // The errors in between wrap one another in ways of their own; the words of the last one are stable.
        let said = crate::causes::chain(&source);
        if said.contains("invalid peer certificate") {
            return CallError::Certificate { url, source };
        }
        let alerts = ["CertificateExpired", "CertificateUnknown", "UnknownCA", "BadCertificate", "CertificateRevoked"];
        if said.contains("received fatal alert") && alerts.iter().any(|alert| said.contains(alert)) {
            return CallError::OwnCertificate { url, source };
        }
        CallError::Transport { url, source }
    };
    let mut response = request.send().await.map_err(unreachable)?;
    let status = response.status();
    let retry_after = response.headers().get(reqwest::header::RETRY_AFTER);
    let retry_after = retry_after.and_then(|value| value.to_str().ok()?.trim().parse().ok()).map(Duration::from_secs);
    let mut bytes = Vec::new();
    while let Some(chunk) = response.chunk().await.map_err(unreachable)? {
        if bytes.len() + chunk.len() > longest {
            return Err(CallError::TooLong { url: url.to_owned(), longest });
        }
        bytes.extend_from_slice(&chunk);
    }
    if status.is_success() {
        return Ok(bytes);
    }
    let url = url.to_owned();
    let short = |text: &str| text.chars().take(600).collect::<String>();
    Err(match serde_json::from_slice::<Problem>(&bytes) {
        Ok(Problem { error, message, .. }) if AGAINST_THE_CALLER.contains(&error.as_str()) => {
            CallError::NotAccepted { url, code: error, said: short(&message) }
        }
        Ok(Problem { error, message, .. }) => {
            let said = short(&format!("{message} ({error})"));
            CallError::Status { url, status, said, code: Some(error), retry_after }
        }
        Err(_) => {
            let said = String::from_utf8_lossy(&bytes).chars().take(300).collect();
            CallError::Status { url, status, said, code: None, retry_after }
        }
    })
}
