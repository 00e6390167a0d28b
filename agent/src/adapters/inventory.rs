//! The practice's Windows servers, as Central Command lists them.
//!
//! A server is reached by its IP address and nothing else. An entry without one, or with one that is no
//! address, is refused by name and hurts no other. There is no fallback target.

use msp_contracts::api::WindowsTarget;
use msp_contracts::evidence::Target;
use msp_contracts::finding::Platform;
use std::net::IpAddr;

/// A server that can be reached.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Server {
    pub hostname: String,
    pub address: IpAddr,
    pub port: u16,
    /// Its credentials, encrypted to this appliance.
    pub sealed: Option<String>,
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
    Ok(Server { hostname: entry.hostname.clone(), address, port: entry.port, sealed: entry.credentials.clone() })
}

#[cfg(test)]
mod tests {
    use super::*;
    use msp_contracts::api::{Authentication, Transport};

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
}
