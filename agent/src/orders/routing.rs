//! Which machine an order names: an address matches exactly, a name whole or by its short form, and there is no
//! fallback.

use crate::adapters::inventory::Server;
use std::net::IpAddr;

/// The name leads to no machine, or to more than one.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum RoutingError {
    #[error("{name:?} is none of this appliance's machines ({})", if known.is_empty() { "it looks after none" } else { known })]
    Nobody { name: String, known: String },
    #[error("{name:?} could be any of {candidates}: name the address")]
    Several { name: String, candidates: String },
}

fn listed<'a>(servers: impl Iterator<Item = &'a Server>) -> String {
    servers.map(|server| format!("{} {}", server.hostname, server.address)).collect::<Vec<_>>().join(", ")
}

/// The server that `name` leads to.
///
/// # Errors
/// When it leads to none or to several; the candidates are named.
pub fn find<'a>(servers: &'a [Server], name: &str) -> Result<&'a Server, RoutingError> {
    let matches = |server: &&Server| match name.parse::<IpAddr>() {
        Ok(address) => server.address == address.to_canonical(),
        Err(_) => is_named(&server.hostname, name),
    };
    let found: Vec<_> = servers.iter().filter(matches).collect();
    match found[..] {
        [one] => Ok(one),
        [] => Err(RoutingError::Nobody { name: name.to_owned(), known: listed(servers.iter()) }),
        _ => Err(RoutingError::Several { name: name.to_owned(), candidates: listed(found.into_iter()) }),
    }
}

/// Whether a machine called `hostname` may be called `name`: the same whole name, or one is the short form of the
/// other. A part of an address is no name.
fn is_named(hostname: &str, name: &str) -> bool {
    if name.is_empty() || name.bytes().all(|byte| byte.is_ascii_digit() || byte == b'.' || byte == b':') {
        return false;
    }
    let short = |name: &str| name.split('.').next().unwrap_or_default().to_ascii_lowercase();
    let whole = |name: &str| name.contains('.');
    hostname.eq_ignore_ascii_case(name) || (whole(hostname) != whole(name) && short(hostname) == short(name))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::adapters::inventory;
    use msp_contracts::api::WindowsTarget;
    use proptest::prelude::*;
    use serde_json::json;

    fn servers() -> Vec<Server> {
        let entries =
            [("FS01.clinic.example", "192.0.2.7"), ("DC01", "192.0.2.8"), ("fs01.other.example", "192.0.2.9")];
        let entries: Vec<WindowsTarget> = entries
            .iter()
            .map(|(hostname, ip)| serde_json::from_value(json!({"hostname": hostname, "ip_address": ip})).unwrap())
            .collect();
        inventory::read(&entries).0
    }

    #[test]
    fn an_address_or_a_name_leads_to_exactly_one_machine_or_to_none() {
        let servers = servers();
        let leads =
            |name: &str| find(&servers, name).map(|server| server.address.to_string()).map_err(|e| e.to_string());
        assert_eq!(leads("192.0.2.8"), Ok("192.0.2.8".into()));
        assert_eq!(leads("::ffff:192.0.2.8"), Ok("192.0.2.8".into()));
        assert_eq!(leads("dc01"), Ok("192.0.2.8".into()));
        assert_eq!(leads("DC01.clinic.example"), Ok("192.0.2.8".into()));
        assert_eq!(leads("FS01.CLINIC.example"), Ok("192.0.2.7".into()));
        for name in ["192", "192.0.2", "192.0.2.80", "", "DC", "DC011", "fs01.third.example"] {
            assert!(leads(name).unwrap_err().contains("is none of"), "{name}");
        }
        assert!(leads("FS01").unwrap_err().contains("192.0.2.7, fs01.other.example 192.0.2.9: name the address"));
    }

    /// Few names and addresses, so that many inventories hold the same one twice.
    fn entries() -> impl Strategy<Value = Vec<WindowsTarget>> {
        let name = "(FS|dc)0[1-3](\\.clinic|\\.other)?(\\.example)?";
        let address = prop_oneof![
            4 => (1u8..30).prop_map(|n| Some(format!("192.0.2.{n}"))),
            1 => (1u8..9).prop_map(|n| Some(format!("2001:db8::{n}"))),
            1 => Just(None),
            1 => Just(Some("192".to_owned())),
        ];
        let entry = (name, address).prop_map(|(hostname, ip)| {
            serde_json::from_value(json!({"hostname": hostname, "ip_address": ip})).unwrap()
        });
        proptest::collection::vec(entry, 0..9)
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 10_000, ..ProptestConfig::default() })]

        /// Whatever the inventory: an address leads to the machine that has it or to none; a name to one machine that
        /// bears it, and never where another bears it too; nothing leads to an entry that was refused.
        #[test]
        fn no_inventory_leads_a_name_to_a_machine_that_is_not_meant(
            entries in entries(),
            asked in "((FS|fs|DC)0[1-4](\\.clinic|\\.third)?(\\.example)?|192(\\.0(\\.2(\\.[1-9][0-9]?)?)?)?|[0-9:.]{0,6}|FS|)",
        ) {
            let (servers, _) = inventory::read(&entries);
            let short = |name: &str| name.split('.').next().unwrap().to_ascii_lowercase();
            let bears = |server: &&Server| short(&server.hostname) == short(&asked);
            match find(&servers, &asked) {
                Ok(found) => match asked.parse::<IpAddr>() {
                    Ok(address) => prop_assert_eq!(found.address, address),
                    Err(_) => {
                        prop_assert!(bears(&found), "{} for {asked:?}", found.hostname);
                        let same = servers.iter().filter(|one| one.hostname.eq_ignore_ascii_case(&asked)).count();
                        prop_assert!(same <= 1, "{asked:?} is {same} machines");
                        if !asked.contains('.') {
                            prop_assert_eq!(servers.iter().filter(bears).count(), 1);
                        }
                    }
                },
                Err(RoutingError::Several { candidates, .. }) => {
                    let all: Vec<_> = servers.iter().filter(bears).collect();
                    prop_assert!(all.len() > 1);
                    prop_assert!(candidates.matches(' ').count() > 1, "{candidates}");
                }
                Err(RoutingError::Nobody { .. }) => {
                    prop_assert!(servers.iter().all(|one| !one.hostname.eq_ignore_ascii_case(&asked)));
                    prop_assert!(servers.iter().all(|one| one.address.to_string() != asked));
                }
            }
            if asked == "192" {
                prop_assert!(find(&servers, &asked).is_err());
            }
        }
    }
}
