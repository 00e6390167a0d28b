//! How often somebody may ask: a bucket each, which empties with every request and fills again with time.

use std::collections::HashMap;
use std::hash::Hash;
use std::time::Duration;

/// The most keys that are held at once; an attacker has more addresses than this machine has memory.
const MOST: usize = 1024;

/// Buckets of one size, one a key.
#[derive(Debug)]
pub struct Buckets<K> {
    burst: u32,
    /// How long it takes until one more request is allowed.
    refill: Duration,
    /// For each key, until when its bucket is not full again, in the time of the clock that never jumps.
    held: HashMap<K, Duration>,
}

impl<K: Eq + Hash> Buckets<K> {
    /// `burst` requests at once, and then one every `refill`.
    pub fn new(burst: u32, refill: Duration) -> Self {
        Self { burst, refill, held: HashMap::new() }
    }

    /// Counts one request of `key`.
    ///
    /// # Errors
    /// How long to wait, when it is one too many; such a request is not counted.
    pub fn take(&mut self, key: K, now: Duration) -> Result<(), Duration> {
        let (full, over) = self.with_one_more(&key, now)?;
        if over > Duration::ZERO {
            return Err(over);
        }
        self.held.insert(key, full);
        Ok(())
    }

    /// Counts one request of `key` that can wait until it is allowed: for how long. To be asked for again only when that
    /// time is over.
    ///
    /// # Errors
    /// How long to wait, when there are too many keys to remember one more; such a request is not counted.
    pub fn reserve(&mut self, key: K, now: Duration) -> Result<Duration, Duration> {
        let (full, over) = self.with_one_more(&key, now)?;
        self.held.insert(key, full);
        Ok(over)
    }

    /// Until when the bucket would not be full with one more request, and by how much that is too many.
    fn with_one_more(&mut self, key: &K, now: Duration) -> Result<(Duration, Duration), Duration> {
        if !self.held.contains_key(key) && self.held.len() >= MOST {
            self.held.retain(|_, full| *full > now);
            if self.held.len() >= MOST {
                return Err(self.refill);
            }
        }
        let full = self.held.get(key).copied().unwrap_or_default().max(now).saturating_add(self.refill);
        let over = full.saturating_sub(now).saturating_sub(self.refill.saturating_mul(self.burst));
        Ok((full, over))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_burst_is_allowed_then_one_in_a_while_and_no_crowd_of_keys_grows_it() {
        let seconds = Duration::from_secs;
        let mut buckets = Buckets::new(3, seconds(10));
        for _ in 0..3 {
            assert_eq!(buckets.take(0, seconds(100)), Ok(()));
        }
        assert_eq!(buckets.take(0, seconds(100)), Err(seconds(10)));
        assert_eq!(buckets.take(0, seconds(104)), Err(seconds(6)));
        assert_eq!(buckets.take(1, seconds(104)), Ok(()), "each for itself");
        assert_eq!(buckets.take(0, seconds(110)), Ok(()));
        assert_eq!(buckets.take(0, seconds(110)), Err(seconds(10)));
        assert_eq!(buckets.reserve(0, seconds(111)), Ok(seconds(9)), "it waits, and is counted");
        assert_eq!(buckets.take(0, seconds(120)), Err(seconds(10)));
        for key in 2..5000 {
            let _ = buckets.take(key, seconds(120));
        }
        assert_eq!(buckets.held.len(), MOST);
        assert_eq!(buckets.take(9999, seconds(120)), Err(seconds(10)));
        assert_eq!(buckets.reserve(9999, seconds(120)), Err(seconds(10)));
        assert_eq!(buckets.take(9999, seconds(200)), Ok(()), "who is forgotten owes nothing");
        assert_eq!(buckets.held.len(), 1);
    }
}
