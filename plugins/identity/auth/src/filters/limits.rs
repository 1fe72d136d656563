//! Token buckets: how often an address or a wallet may try. Their memory is bounded.

use std::collections::HashMap;

use parking_lot::Mutex;
use streamgate_plugin_api::address;

/// Buckets in one generation. There are two generations, so memory holds twice as many: an active address is
/// moved along, an inactive one is dropped and starts again with a full bucket.
const GENERATION: usize = 16_384;

/// A rate for each of many keys.
#[derive(Debug)]
pub(crate) struct Limiter {
    /// Attempts allowed at once, and refilled within a minute.
    per_minute: f64,
    buckets: Mutex<Generations>,
}

#[derive(Debug, Default)]
struct Generations {
    young: HashMap<String, Bucket>,
    old: HashMap<String, Bucket>,
}

#[derive(Debug, Clone, Copy)]
struct Bucket {
    tokens: f64,
    at_ms: i64,
}

impl Limiter {
    pub(crate) fn new(per_minute: u32) -> Self {
        Self { per_minute: f64::from(per_minute), buckets: Mutex::default() }
    }

    /// Counts one attempt of `key`; the error is the seconds to wait for the next one, at least 1.
    pub(crate) fn attempt(&self, key: &str, now_ms: i64) -> Result<(), u64> {
        let mut buckets = self.buckets.lock();
        let known = buckets.young.get(key).or_else(|| buckets.old.get(key)).copied();
        let mut bucket = known.unwrap_or(Bucket { tokens: self.per_minute, at_ms: now_ms });
        bucket.tokens = self.tokens(&bucket, now_ms);
        bucket.at_ms = now_ms;
        let taken = if bucket.tokens >= 1.0 {
            bucket.tokens -= 1.0;
            Ok(())
        } else {
            Err(((1.0 - bucket.tokens) * 60.0 / self.per_minute).ceil().max(1.0) as u64)
        };
        if buckets.young.len() >= GENERATION && !buckets.young.contains_key(key) {
            buckets.old = std::mem::take(&mut buckets.young);
        }
        buckets.young.insert(key.to_owned(), bucket);
        taken
    }

    /// How many attempts of `key` are used up and have not come back yet.
    pub(crate) fn used(&self, key: &str, now_ms: i64) -> u32 {
        let buckets = self.buckets.lock();
        let known = buckets.young.get(key).or_else(|| buckets.old.get(key));
        known.map_or(0, |bucket| (self.per_minute - self.tokens(bucket, now_ms)).ceil() as u32)
    }

    fn tokens(&self, bucket: &Bucket, now_ms: i64) -> f64 {
        let passed = now_ms.saturating_sub(bucket.at_ms).max(0) as f64 / 60_000.0;
        (bucket.tokens + passed * self.per_minute).min(self.per_minute)
    }

    #[cfg(test)]
    fn len(&self) -> usize {
        let buckets = self.buckets.lock();
        buckets.young.len() + buckets.old.len()
    }
}

/// The key of an address: itself, or for IPv6 the network of one customer.
pub(crate) fn network(address: &str) -> String {
    match address.parse() {
        Ok(address) => address::network(address).to_string(),
        Err(_) => "unknown".to_owned(),
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn attempts_come_back_with_time_and_never_beyond_the_limit() {
        let limiter = Limiter::new(6);
        assert!((0..6).all(|_| limiter.attempt("a", 0).is_ok()));
        assert_eq!(limiter.attempt("a", 0), Err(10));
        assert_eq!(limiter.attempt("b", 0), Ok(()));
        let used = |key, now_ms| limiter.used(key, now_ms);
        assert_eq!((used("a", 0), used("a", 20_000), used("b", 0), used("c", 0)), (6, 4, 1, 0));
        assert_eq!(limiter.attempt("a", 10_000), Ok(()));
        assert!(limiter.attempt("a", 10_000).is_err());
        assert!((0..6).all(|_| limiter.attempt("a", 10_000_000).is_ok()));
        assert!(limiter.attempt("a", 10_000_000).is_err());
        // A clock that goes back refills nothing.
        assert!(limiter.attempt("a", 0).is_err());
    }

    #[test]
    fn memory_is_bounded_and_an_active_key_is_not_forgotten() {
        let limiter = Limiter::new(2);
        limiter.attempt("busy", 0).unwrap();
        limiter.attempt("busy", 0).unwrap();
        for number in 0..GENERATION * 3 {
            let _ = limiter.attempt(&number.to_string(), 0);
            if number % 1_000 == 0 {
                assert!(limiter.attempt("busy", 0).is_err(), "{number}");
            }
        }
        assert!(limiter.len() <= 2 * GENERATION);
    }

    #[test]
    fn a_customer_of_ipv6_has_one_bucket() {
        assert_eq!(network("2001:db8::1"), network("2001:db8::2:3"));
        assert_ne!(network("2001:db8::1"), network("2001:db8:0:1::1"));
        assert_eq!(network("::ffff:192.0.2.1"), "192.0.2.1");
        assert_eq!(network("nonsense"), "unknown");
    }
}
