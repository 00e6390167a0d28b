//! The practice's Windows servers, as Central Command lists them.
//!
//! A server is reached by its IP address and nothing else. An entry without one, with one that is no address, or
//! whose way in would show a password to the network is refused by name and hurts no other. There is no fallback
//! target.

use msp_contracts::api::{Authentication, Transport, WindowsTarget};
use msp_contracts::evidence::Target;
use msp_contracts::finding::Platform;
use msp_contracts::fingerprint::Fingerprint;
use std::net::IpAddr;

/// A server that can be reached.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Server {
    pub hostname: String,
    pub address: IpAddr,
    pub port: u16,
    /// Its credentials, encrypted to this appliance.
    pub sealed: Option<String>,
    pub access: Access,
}

/// How a server is reached and logged on to. A password in the clear is not among the ways.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Access {
    /// NTLM over plain HTTP: every message is sealed with the session's key.
    SealedHttp,
    /// Over TLS.
    Https {
        authentication: Authentication,
        /// The only certificate that is believed; without one the authorities decide.
        pinned: Option<Fingerprint>,
    },
}

impl Access {
    /// In words, for people.
    pub fn words(&self) -> &'static str {
        match self {
            Self::SealedHttp => "http, ntlm, sealed",
            Self::Https { authentication: Authentication::Ntlm, pinned: None } => "https, ntlm",
            Self::Https { authentication: Authentication::Ntlm, pinned: Some(_) } => "https, ntlm, pinned",
            Self::Https { authentication: Authentication::Basic, pinned: None } => "https, basic",
            Self::Https { authentication: Authentication::Basic, pinned: Some(_) } => "https, basic, pinned",
        }
    }
}

impl Server {
    /// The server as findings and evidence name it.
    pub fn target(&self) -> Target {
        Target { host_id: self.address.to_string(), name: self.hostname.clone(), platform: Platform::Windows }
    }
}

/// An entry that was refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "Windows server {hostname:?} in the inventory is refused: {reason}. It is not checked until the entry is corrected at Central Command"
)]
pub struct Refused {
    pub hostname: String,
    pub reason: String,
}

/// Sorts the entries into servers and refused ones; of two entries with one address, the second is refused.
pub fn read(entries: &[WindowsTarget]) -> (Vec<Server>, Vec<Refused>) {
    let (mut servers, mut refused) = (Vec::<Server>::new(), Vec::new());
    for entry in entries {
        match server(entry, &servers) {
            Ok(found) => servers.push(found),
            Err(reason) => refused.push(Refused { hostname: entry.hostname.clone(), reason }),
        }
    }
    (servers, refused)
}

fn server(entry: &WindowsTarget, before: &[Server]) -> Result<Server, String> {
    let text = entry.ip_address.as_deref().map(str::trim).filter(|text| !text.is_empty());
    let text = text.ok_or("it has no ip_address")?;
    let address: IpAddr = text.parse().map_err(|_| format!("ip_address {text:?} is no IP address"))?;
    // One machine has one address: an IPv4 address in IPv6 clothes is that IPv4 address.
    let address = address.to_canonical();
    if address.is_unspecified() || address.is_multicast() {
        return Err(format!("ip_address {address} is no address of one machine"));
    }
    if entry.hostname.is_empty() || entry.hostname.contains(['/', '\\']) || entry.hostname.starts_with('.') {
        return Err("its hostname is empty or holds a slash".to_owned());
    }
    if let Some(other) = before.iter().find(|other| other.address == address) {
        return Err(format!("ip_address {address} is already {}'s", other.hostname));
    }
    Ok(Server {
        hostname: entry.hostname.clone(),
        address,
        port: entry.port,
        access: access(entry)?,
        sealed: entry.credentials.clone(),
    })
}

fn access(entry: &WindowsTarget) -> Result<Access, String> {
    let pinned = entry.certificate_sha256.as_deref().map(str::parse::<Fingerprint>).transpose();
    let pinned = pinned.map_err(|error| format!("certificate_sha256: {error}"))?;
    match (entry.transport, entry.authentication) {
        (Transport::Https, authentication) => Ok(Access::Https { authentication, pinned }),
        (Transport::Http, Authentication::Basic) => {
            Err("authentication basic over transport http would show the password to the network".to_owned())
        }
        (Transport::Http, Authentication::Ntlm) if pinned.is_some() => {
            Err("it pins a certificate_sha256, and there is no certificate over transport http".to_owned())
        }
        (Transport::Http, Authentication::Ntlm) => Ok(Access::SealedHttp),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(hostname: &str, ip_address: Option<&str>) -> WindowsTarget {
        WindowsTarget {
            hostname: hostname.into(),
            ip_address: ip_address.map(Into::into),
            port: 5986,
            transport: Transport::Https,
            authentication: Authentication::Ntlm,
            certificate_sha256: None,
            credentials: None,
        }
    }

    #[test]
    fn an_entry_without_a_usable_address_is_refused_by_name_and_hurts_no_other() {
        let entries = [
            entry("FS01", Some("192.0.2.7")),
            entry("NOIP", None),
            entry("BLANK", Some(" ")),
            entry("PREFIX", Some("192")),
            entry("TWICE", Some("192.0.2.7")),
            entry("MAPPED", Some("::ffff:192.0.2.7")),
            entry("ALL", Some("0.0.0.0")),
            entry("../etc", Some("192.0.2.9")),
            entry("DC01", Some("2001:db8::1")),
        ];
        let (servers, refused) = read(&entries);
        let names: Vec<_> = servers.iter().map(|server| server.hostname.as_str()).collect();
        assert_eq!(names, ["FS01", "DC01"]);
        let refused: Vec<_> = refused.iter().map(ToString::to_string).collect();
        for (said, (name, why)) in refused.iter().zip([
            ("NOIP", "no ip_address"),
            ("BLANK", "no ip_address"),
            ("PREFIX", "no IP address"),
            ("TWICE", "already FS01's"),
            ("MAPPED", "already FS01's"),
            ("ALL", "no address of one machine"),
            ("../etc", "slash"),
        ]) {
            assert!(said.contains(name) && said.contains(why), "{said}");
        }
        assert_eq!(refused.len(), 7);
    }

    #[test]
    fn a_way_in_that_shows_a_password_or_makes_no_sense_is_refused_and_ntlm_is_the_default() {
        let read_one = |json: &str| {
            let entry: WindowsTarget = serde_json::from_str(json).unwrap();
            let (servers, refused) = read(&[entry]);
            servers.into_iter().next().map(|server| server.access).ok_or_else(|| refused[0].to_string())
        };
        let pin = "ab".repeat(32);
        let entry = |rest: &str| format!(r#"{{"hostname": "FS01", "ip_address": "192.0.2.7"{rest}}}"#);
        let https = |authentication, pinned| Ok(Access::Https { authentication, pinned });
        assert_eq!(read_one(&entry("")), https(Authentication::Ntlm, None));
        assert_eq!(read_one(&entry(r#", "authentication": "basic""#)), https(Authentication::Basic, None));
        assert_eq!(read_one(&entry(r#", "transport": "http", "port": 5985"#)), Ok(Access::SealedHttp));
        let pinned = read_one(&entry(&format!(r#", "certificate_sha256": "{}""#, pin.to_uppercase())));
        assert_eq!(pinned, https(Authentication::Ntlm, Some(pin.parse().unwrap())));
        for (rest, why) in [
            (r#", "transport": "http", "authentication": "basic""#.to_owned(), "show the password"),
            (format!(r#", "transport": "http", "certificate_sha256": "{pin}""#), "no certificate over transport http"),
            (r#", "certificate_sha256": "abc""#.to_owned(), "64 hexadecimal"),
        ] {
            let said = read_one(&entry(&rest)).unwrap_err();
            assert!(said.contains("\"FS01\"") && said.contains(why), "{said}");
        }
    }
}
