//! The rate limit: so many heals are begun within any hour, on one machine and at the whole site.
//!
//! A heal counts from the moment its intent is stored. It is a sliding hour: a new one never begins while as many as
//! allowed were begun in the hour before it.

use crate::model::Plan;
use crate::store::StoreError;
use crate::store::heals::{self, Begun};
use jiff::{SignedDuration, Timestamp};
use rusqlite::Connection;

/// How long a heal counts.
pub const SPAN: SignedDuration = SignedDuration::from_hours(1);

/// How many heals may be begun within an hour.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    pub per_host: u32,
    pub per_site: u32,
}

impl Limits {
    /// Against one more heal on `host_id` at `now`, when `begun` were.
    pub fn objection(self, begun: &[Begun], host_id: &str, now: Timestamp) -> Option<String> {
        let counts = |heal: &&Begun| heal.at <= now && now.duration_since(heal.at) < SPAN;
        let at_site = begun.iter().filter(counts).count();
        let on_host = begun.iter().filter(counts).filter(|heal| heal.host_id == host_id).count();
        let full = |count: usize, limit: u32| usize::try_from(limit).is_ok_and(|limit| count >= limit);
        if full(on_host, self.per_host) {
            return Some(format!(
                "{on_host} heals were begun on this machine within an hour (heals_per_host_per_hour: {})",
                self.per_host
            ));
        }
        full(at_site, self.per_site).then(|| {
            format!(
                "{at_site} heals were begun at this site within an hour (heals_per_site_per_hour: {})",
                self.per_site
            )
        })
    }
}

/// Against a plan when a limit is reached.
pub fn objection(db: &Connection, limits: Limits, plan: &Plan, now: Timestamp) -> Result<Option<String>, StoreError> {
    let begun = heals::begun(db, now.saturating_sub(SPAN).unwrap_or(Timestamp::MIN), now)?;
    Ok(limits.objection(&begun, &plan.target.host_id, now))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn no_hour_ever_holds_more_heals_than_allowed_and_none_is_refused_without_cause(
            per_host in 1u32..6,
            per_site in 1u32..12,
            plans in proptest::collection::vec((0i64..1500, 0usize..4), 1..120),
        ) {
            let hosts = ["a", "b", "c", "d"];
            let limits = Limits { per_host, per_site };
            let mut now = Timestamp::from_second(1_800_000_000).unwrap();
            let mut begun: Vec<Begun> = Vec::new();
            for (seconds, host) in plans {
                now += SignedDuration::from_secs(seconds);
                // The hour that would end with this heal, counted in another way: whole seconds, from the end.
                let hour = |host: Option<&str>| {
                    let within = begun.iter().rev().take_while(|heal| now.as_second() - heal.at.as_second() < 3600);
                    within.filter(|heal| host.is_none_or(|host| heal.host_id == host)).count()
                };
                let room = hour(Some(hosts[host])) < per_host as usize && hour(None) < per_site as usize;
                prop_assert_eq!(limits.objection(&begun, hosts[host], now).is_none(), room);
                if room {
                    begun.push(Begun { host_id: hosts[host].to_owned(), at: now });
                }
            }
            // Whatever hour is looked at afterwards.
            for first in &begun {
                let within = |heal: &&Begun| heal.at >= first.at && heal.at.as_second() - first.at.as_second() < 3600;
                prop_assert!(begun.iter().filter(within).count() <= per_site as usize);
                let here = |heal: &&Begun| within(heal) && heal.host_id == first.host_id;
                prop_assert!(begun.iter().filter(here).count() <= per_host as usize);
            }
        }
    }
}
