//! How often a login may be tried: without a limit a password is found by trying, with a plain lock anybody locks
//! anybody out.
//!
//! Three counts of failures, each over [`WINDOW`]: of an account from one address (few), of an address over all
//! accounts (more), of an account over all addresses (most, against many addresses at once). The last never holds for
//! an address that the account's owner came in from before, and rests only [`ACCOUNT_REST`]: a stranger can slow down
//! logins from new places, and no more. One-time links are not limited by it. Counts live in memory and are bounded.

use jiff::{SignedDuration, Timestamp};
use std::collections::HashMap;
use std::net::{IpAddr, Ipv6Addr};
use std::sync::{Mutex, PoisonError};

const WINDOW: SignedDuration = SignedDuration::from_mins(15);
const PAIR: u32 = 5;
const ADDRESS: u32 = 20;
const ACCOUNT: u32 = 30;
/// How long an account rests for addresses it was never used from.
const ACCOUNT_REST: SignedDuration = SignedDuration::from_mins(1);
/// How many counts are kept; the stalest go first.
const COUNTS: usize = 20_000;

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
enum Key {
    Pair(String, IpAddr),
    Address(IpAddr),
    Account(String),
}

#[derive(Debug, Clone, Copy)]
struct Count {
    failures: u32,
    /// The first and the last of them.
    since: Timestamp,
    last: Timestamp,
}

/// The failures of late.
#[derive(Debug, Default)]
pub(crate) struct Attempts {
    counts: Mutex<HashMap<Key, Count>>,
}

/// An address as it is counted: of IPv6 its network, for a whole /64 belongs to one customer.
pub(crate) fn counted(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V4(address) => IpAddr::V4(address),
        IpAddr::V6(address) => IpAddr::V6(Ipv6Addr::from_bits(address.to_bits() & !u128::from(u64::MAX))),
    }
}

impl Attempts {
    fn held<T>(&self, work: impl FnOnce(&mut HashMap<Key, Count>) -> T) -> T {
        work(&mut self.counts.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Until when an attempt is refused unread; `known` says that the account was used from this address before.
    pub(crate) fn resting(&self, name: &str, address: IpAddr, known: bool, now: Timestamp) -> Option<Timestamp> {
        let address = counted(address);
        let until = |count: &Count, span| count.last.saturating_add(span).ok().filter(|until| *until > now);
        self.held(|counts| {
            let over = |key: &Key, limit| counts.get(key).filter(|count| count.failures >= limit);
            let pair = over(&Key::Pair(name.to_owned(), address), PAIR).and_then(|count| until(count, WINDOW));
            let address = over(&Key::Address(address), ADDRESS).and_then(|count| until(count, WINDOW));
            let account = over(&Key::Account(name.to_owned()), ACCOUNT).and_then(|count| until(count, ACCOUNT_REST));
            pair.max(address).max(account.filter(|_| !known))
        })
    }

    /// Counts an attempt as a failure before it is judged, so that many at the same time count too; whether one of
    /// the limits is reached by it.
    pub(crate) fn count(&self, name: &str, address: IpAddr, now: Timestamp) -> bool {
        let address = counted(address);
        let keys = [
            (Key::Pair(name.to_owned(), address), PAIR),
            (Key::Address(address), ADDRESS),
            (Key::Account(name.to_owned()), ACCOUNT),
        ];
        self.held(|counts| {
            if counts.len() > COUNTS {
                counts.retain(|_, count| now.duration_since(count.last) < WINDOW);
            }
            if counts.len() > COUNTS {
                let mut lasts: Vec<Timestamp> = counts.values().map(|count| count.last).collect();
                lasts.sort_unstable();
                let middle = lasts.get(lasts.len() / 2).copied().unwrap_or(now);
                counts.retain(|_, count| count.last > middle);
            }
            let mut reached = false;
            for (key, limit) in keys {
                let count = counts.entry(key).or_insert(Count { failures: 0, since: now, last: now });
                if now.duration_since(count.since) > WINDOW {
                    *count = Count { failures: 0, since: now, last: now };
                }
                count.failures = count.failures.saturating_add(1);
                count.last = now;
                reached |= count.failures == limit;
            }
            reached
        })
    }

    /// The attempt was a success: it is taken back, and the account's failures from this address are forgotten.
    pub(crate) fn succeeded(&self, name: &str, address: IpAddr) {
        let address = counted(address);
        self.held(|counts| {
            counts.remove(&Key::Pair(name.to_owned(), address));
            for key in [Key::Address(address), Key::Account(name.to_owned())] {
                if let Some(count) = counts.get_mut(&key) {
                    count.failures = count.failures.saturating_sub(1);
                }
            }
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HERE: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(192, 0, 2, 7));

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_second(1_800_000_000 + seconds).unwrap()
    }

    fn there(number: u8) -> IpAddr {
        IpAddr::from([198, 51, 100, number])
    }

    #[test]
    fn five_failures_rest_an_account_for_that_address_only_and_not_for_ever() {
        let attempts = Attempts::default();
        for second in 0..4 {
            assert!(!attempts.count("ada", HERE, at(second)));
            assert_eq!(attempts.resting("ada", HERE, true, at(second)), None);
        }
        assert!(attempts.count("ada", HERE, at(4)), "the limit is reached, and told once");
        assert!(attempts.resting("ada", HERE, true, at(5)).is_some());
        assert_eq!(attempts.resting("ada", there(1), false, at(5)), None);
        assert_eq!(attempts.resting("eve", HERE, false, at(5)), None);
        assert_eq!(attempts.resting("ada", HERE, false, at(4 + 15 * 60)), None);
    }

    #[test]
    fn a_stranger_with_many_addresses_does_not_lock_the_owner_out() {
        let attempts = Attempts::default();
        for number in 0..60 {
            attempts.count("ada", there(number), at(i64::from(number)));
        }
        assert_eq!(attempts.resting("ada", HERE, true, at(60)), None, "the owner's own address is let in");
        assert!(attempts.resting("ada", HERE, false, at(60)).is_some());
        assert_eq!(attempts.resting("ada", HERE, false, at(60 + 61)), None, "and any other after a minute");
    }

    #[test]
    fn one_address_cannot_try_a_password_on_every_account() {
        let attempts = Attempts::default();
        for number in 0..20 {
            attempts.count(&format!("person{number}"), HERE, at(number));
        }
        assert!(attempts.resting("somebody.else", HERE, false, at(21)).is_some());
    }

    #[test]
    fn a_whole_ipv6_network_counts_as_one_address_and_so_does_a_mapped_one() {
        let attempts = Attempts::default();
        for host in 1..=5_u16 {
            attempts.count("ada", IpAddr::from([0x2001, 0xdb8, 0, 1, 0, 0, 0, host]), at(0));
        }
        assert!(attempts.resting("ada", "2001:db8:0:1::99".parse().unwrap(), false, at(1)).is_some());
        assert_eq!(counted("::ffff:192.0.2.7".parse().unwrap()), HERE);
    }
}
