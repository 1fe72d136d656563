//! Repeatable randomness: the seed is printed, and `STREAMGATE_TEST_SEED` sets it.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// A small generator (xorshift64*), good enough to choose times.
#[derive(Debug)]
pub struct Chance(u64);

impl Chance {
    /// From `STREAMGATE_TEST_SEED`, else from the clock; prints the seed.
    ///
    /// # Panics
    /// When the variable is not a number.
    #[must_use]
    pub fn new() -> Self {
        let seed = match std::env::var("STREAMGATE_TEST_SEED") {
            Ok(seed) => seed.parse().expect("STREAMGATE_TEST_SEED is a number"),
            Err(_) => {
                SystemTime::now().duration_since(UNIX_EPOCH).map_or(1, |now| u64::from(now.subsec_nanos()))
            }
        };
        eprintln!("STREAMGATE_TEST_SEED={seed}");
        Self(seed | 1)
    }

    /// A number below `limit`.
    pub fn below(&mut self, limit: u64) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        (self.0.wrapping_mul(0x2545_F491_4F6C_DD1D) >> 16) % limit.max(1)
    }

    /// A time below `limit`.
    pub fn within(&mut self, limit: Duration) -> Duration {
        let limit = u64::try_from(limit.as_micros()).unwrap_or(u64::MAX);
        Duration::from_micros(self.below(limit))
    }
}

impl Default for Chance {
    fn default() -> Self {
        Self::new()
    }
}
