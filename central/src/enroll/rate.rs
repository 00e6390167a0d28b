//! How often one address may knock at the enrolment's door.
//!
//! A token has 256 random bits, so nobody guesses one: the limit is there so that whoever tries, or is broken, costs
//! little. A bucket for each address; an IPv6 network of 64 bits is one address. The table is bounded.

use jiff::{SignedDuration, Timestamp};
use std::collections::HashMap;
use std::net::{IpAddr, Ipv6Addr};
use std::sync::Mutex;

/// How many calls an address may make at once.
const BURST: i64 = 20;
/// After how long it may make one more.
const EVERY: SignedDuration = SignedDuration::from_secs(3);
/// How many addresses are remembered.
const ADDRESSES: usize = 4096;

/// The calls of late.
#[derive(Debug, Default)]
pub(crate) struct Rate {
    /// For each address, when its bucket will be full again: later, the more it called.
    full_at: Mutex<HashMap<IpAddr, Timestamp>>,
}

fn network(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(six) => IpAddr::V6(Ipv6Addr::from_bits(six.to_bits() & !u128::from(u64::MAX))),
        four @ IpAddr::V4(_) => four,
    }
}

impl Rate {
    /// Counts a call; when it is one too many, how many seconds to wait.
    pub(crate) fn call(&self, address: IpAddr, now: Timestamp) -> Result<(), u16> {
        let address = network(address);
        let depth = EVERY * i32::try_from(BURST).unwrap_or(i32::MAX);
        let mut full_at = self.full_at.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        if full_at.len() >= ADDRESSES && !full_at.contains_key(&address) {
            full_at.retain(|_, full| *full > now);
            if full_at.len() >= ADDRESSES {
                return Err(seconds(EVERY));
            }
        }
        let full = full_at.entry(address).or_insert(now);
        // A clock that was set back must not close the door for long.
        *full = (*full).clamp(now, crate::clock::after(now, depth));
        let next = crate::clock::after(*full, EVERY);
        let over = next.duration_since(now) - depth;
        if over.is_positive() {
            return Err(seconds(over));
        }
        *full = next;
        Ok(())
    }
}

fn seconds(wait: SignedDuration) -> u16 {
    u16::try_from(wait.as_secs() + 1).unwrap_or(u16::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(1_800_000_000 + second).unwrap()
    }

    #[test]
    fn an_address_gets_a_burst_then_one_call_at_a_time_and_holds_up_no_other() {
        let (rate, one) = (Rate::default(), "192.0.2.1".parse().unwrap());
        let made = (0..100).filter(|_| rate.call(one, at(0)).is_ok()).count();
        assert_eq!(made, 20);
        assert_eq!(rate.call(one, at(0)), Err(4));
        assert_eq!(rate.call("192.0.2.2".parse().unwrap(), at(0)), Ok(()));
        assert_eq!(rate.call(one, at(3)), Ok(()));
        assert!(rate.call(one, at(3)).is_err());
        assert_eq!((0..100).filter(|_| rate.call(one, at(3600)).is_ok()).count(), 20);
        // A clock that was ahead for a day.
        assert_eq!((0..100).filter(|_| rate.call(one, at(-86_400)).is_ok()).count(), 0);
        assert_eq!(rate.call(one, at(-86_400 + 3)), Ok(()));
    }

    #[test]
    fn an_ipv6_network_is_one_address_and_the_table_does_not_grow_without_end() {
        let rate = Rate::default();
        let made = (0..100_u32).filter(|n| rate.call(format!("2001:db8::{n:x}").parse().unwrap(), at(0)).is_ok());
        assert_eq!(made.count(), 20);
        for n in 0..5000_u32 {
            let _ = rate.call(IpAddr::V4(n.into()), at(0));
        }
        assert_eq!(rate.full_at.lock().unwrap().len(), ADDRESSES);
        assert_eq!(rate.call("192.0.2.1".parse().unwrap(), at(3600)), Ok(()));
    }
}
