//! A WinRM client for one server, as its inventory entry says: NTLM with every message sealed over plain HTTP, NTLM or
//! Basic over TLS. Redirects, proxies and certificates that do not verify are no option anywhere.

use crate::adapters::inventory::{Access, Server};
use crate::config::credentials::Credentials;
use msp_contracts::api::Authentication;
use secrecy::ExposeSecret;
use std::path::Path;
use winrm_rs::{AuthMethod, EncryptionMode, WinrmClient, WinrmConfig, WinrmCredentials, WinrmError};

/// Prepares a client; nothing is sent yet. Without an authority of its own, the system's decide over certificates.
///
/// # Errors
/// When the authority's file, or the system's store, cannot be used.
pub(super) fn client(
    server: &Server,
    credentials: &Credentials,
    authority: Option<&Path>,
) -> Result<WinrmClient, WinrmError> {
    let (transport, auth_method) = match &server.access {
        Access::SealedHttp => {
            (WinrmConfig { encryption: EncryptionMode::Always, ..WinrmConfig::http() }, AuthMethod::Ntlm)
        }
        Access::Https { authentication: Authentication::Ntlm, .. } => (WinrmConfig::https(), AuthMethod::Ntlm),
        Access::Https { authentication: Authentication::Basic, .. } => (WinrmConfig::https(), AuthMethod::Basic),
    };
    let logon = logon(credentials, &auth_method);
    let config = WinrmConfig {
        port: Some(server.port),
        auth_method,
        connect_timeout_secs: 10,
        operation_timeout_secs: 30,
        // A server keeps the shell of an agent that died, and allows a user only so many: none outlives its owner for long.
        idle_timeout_secs: Some(120),
        ..transport
    };
    let builder = WinrmClient::builder(config).credentials(logon);
    let builder = match (&server.access, authority) {
        (Access::SealedHttp, _) => builder,
        (Access::Https { pinned: Some(pinned), .. }, _) => builder.pin_server_certificate_sha256(pinned.as_str()),
        (Access::Https { pinned: None, .. }, Some(file)) => {
            builder.platform_roots(false).add_root_certificates_pem(file)
        }
        (Access::Https { pinned: None, .. }, None) => builder.platform_roots(true),
    };
    builder.build()
}

/// NTLM proves name and domain apart; Basic sends them as they were written.
fn logon(credentials: &Credentials, auth_method: &AuthMethod) -> WinrmCredentials {
    let written = credentials.username.as_str();
    let (domain, user) = match (auth_method, written.split_once('\\')) {
        (AuthMethod::Ntlm, Some(parts)) => parts,
        _ => ("", written),
    };
    WinrmCredentials::new(user, credentials.password.expose_secret(), domain)
}
