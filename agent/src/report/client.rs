//! The one connection to Central Command: mutual TLS, our own authority, bounded in time and size.

use crate::config::Config;
use reqwest::{Certificate, Client, Identity, Method, StatusCode};
use serde::Serialize;
use serde::de::DeserializeOwned;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// Larger replies are refused: no honest one comes near.
const MAX_REPLY: usize = 8 * 1024 * 1024;

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
    #[error("the connection to Central Command could not be prepared")]
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
    #[error("{url}: Central Command could not be reached")]
    Transport {
        url: String,
        #[source]
        source: reqwest::Error,
    },
    #[error("{url}: Central Command answered {status}: {said}")]
    Status { url: String, status: StatusCode, said: String, retry_after: Option<Duration> },
    #[error("{url}: Central Command answered something that is no {expected}: {reason}")]
    Garbage { url: String, expected: &'static str, reason: String },
    #[error("{url}: the answer is longer than {MAX_REPLY} bytes")]
    TooLong { url: String },
}

impl CallError {
    /// Whether the same call may succeed later: 408, 429, 5xx, anything on the way, and an unreadable answer.
    pub fn is_passing(&self) -> bool {
        match self {
            Self::Status { status, .. } => {
                status.is_server_error()
                    || matches!(*status, StatusCode::REQUEST_TIMEOUT | StatusCode::TOO_MANY_REQUESTS)
                    // Not the API itself, but something on the way to it.
                    || status.is_redirection()
                    || status.is_informational()
            }
            Self::Transport { .. } | Self::Certificate { .. } | Self::Garbage { .. } | Self::TooLong { .. } => true,
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
    http: Client,
    base: String,
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
        let pem = |key, file: &Path, source| SetupError::Pem { key, file: file.to_owned(), source };
        let authority = Certificate::from_pem_bundle(&read("ca_cert_file", &config.ca_cert_file)?)
            .map_err(|source| pem("ca_cert_file", &config.ca_cert_file, source))?;
        if authority.is_empty() {
            return Err(SetupError::NoCertificate { key: "ca_cert_file", file: config.ca_cert_file.clone() });
        }
        let mut identity = read("client_cert_file", &config.client_cert_file)?;
        identity.push(b'\n');
        identity.extend(read("client_key_file", &config.client_key_file)?);
        let identity =
            Identity::from_pem(&identity).map_err(|source| pem("client_key_file", &config.client_key_file, source))?;
        let http = Client::builder()
            .tls_certs_only(authority)
            .identity(identity)
            .https_only(true)
            .no_proxy()
            .redirect(reqwest::redirect::Policy::none())
            .connect_timeout(Duration::from_secs(5))
            .timeout(Duration::from_secs(30))
            .build()
            .map_err(|source| SetupError::Client { source })?;
        Ok(Self { http, base: config.mcp_url.trim_end_matches('/').to_owned() })
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
        let mut request = self.http.request(method, &url);
        if let Some(body) = body {
            request = request.header(reqwest::header::CONTENT_TYPE, "application/json").body(body);
        }
        let unreachable = |source: reqwest::Error| {
            let (url, source) = (url.clone(), source.without_url());
            if is_about_certificates(&source) {
                return CallError::Certificate { url, source };
            }
            CallError::Transport { url, source }
        };
        let mut response = request.send().await.map_err(unreachable)?;
        let status = response.status();
        let retry_after = response.headers().get(reqwest::header::RETRY_AFTER);
        let retry_after =
            retry_after.and_then(|value| value.to_str().ok()?.trim().parse().ok()).map(Duration::from_secs);
        let mut bytes = Vec::new();
        while let Some(chunk) = response.chunk().await.map_err(unreachable)? {
            if bytes.len() + chunk.len() > MAX_REPLY {
                return Err(CallError::TooLong { url });
            }
            bytes.extend_from_slice(&chunk);
        }
        if !status.is_success() {
            let said = String::from_utf8_lossy(&bytes).chars().take(300).collect();
            return Err(CallError::Status { url, status, said, retry_after });
        }
        let reader = &mut serde_json::Deserializer::from_slice(&bytes);
        serde_path_to_error::deserialize(reader).map_err(|error| CallError::Garbage {
            url,
            expected: std::any::type_name::<R>().rsplit("::").next().unwrap_or("reply"),
            reason: error.to_string(),
        })
    }
}

/// Whether the connection failed because the server's certificate was not believed.
fn is_about_certificates(error: &reqwest::Error) -> bool {
    // The errors in between wrap one another in ways of their own; the words of the last one are stable.
    crate::causes::chain(error).contains("invalid peer certificate")
}
