//! A client's sending rate, measured only while the server waits for the client: a slow disk is not its
//! fault.

use std::time::Duration;

/// A minimum rate, checked once for each full window of waiting.
///
/// ```
/// # use streamgate_plugin_api::tempo::Tempo;
/// # use std::time::Duration;
/// let mut tempo = Tempo::new(1024, Duration::from_secs(30));
/// assert!(!tempo.is_too_slow(10, Duration::from_secs(29)));
/// assert!(tempo.is_too_slow(20, Duration::from_secs(1)));
/// ```
#[derive(Debug, Clone)]
pub struct Tempo {
    /// Bytes in each second of waiting.
    rate: u64,
    window: Duration,
    waited: Duration,
    /// Bytes received when the window began.
    before: u64,
}

impl Tempo {
    /// At least `rate` bytes per second, on average over `window`; 0: any.
    pub fn new(rate: u64, window: Duration) -> Self {
        Self { rate, window, waited: Duration::ZERO, before: 0 }
    }

    /// Whether a window ended with too few bytes. `passed` bytes have been received in total; for `waited`
    /// since the last call there were none.
    pub fn is_too_slow(&mut self, passed: u64, waited: Duration) -> bool {
        self.waited += waited;
        if self.waited < self.window {
            return false;
        }
        let least = self.rate.saturating_mul(self.waited.as_secs().max(1));
        let came = passed.saturating_sub(self.before);
        (self.waited, self.before) = (Duration::ZERO, passed);
        came < least
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TICK: Duration = Duration::from_millis(500);

    /// Ticks of waiting until it is too slow, up to a maximum, with this many bytes each.
    fn lasts(bytes_a_tick: u64, most: u32) -> Option<u32> {
        let mut tempo = Tempo::new(1024, Duration::from_secs(30));
        (1..=most).find(|tick| tempo.is_too_slow(u64::from(*tick) * bytes_a_tick, TICK))
    }

    #[test]
    fn a_client_below_the_rate_is_ended_with_its_first_window_and_one_at_it_never() {
        assert_eq!(lasts(1, 10_000), Some(60));
        assert_eq!(lasts(511, 10_000), Some(60));
        assert_eq!(lasts(512, 10_000), None);
    }

    #[test]
    fn what_came_fast_at_first_is_no_credit_for_later() {
        let mut tempo = Tempo::new(1024, Duration::from_secs(30));
        assert!(!tempo.is_too_slow(1 << 30, Duration::from_secs(30)));
        assert!(tempo.is_too_slow((1 << 30) + 100, Duration::from_secs(30)));
    }

    #[test]
    fn time_spent_waiting_for_the_disk_does_not_count_and_rate_zero_never_ends() {
        let mut tempo = Tempo::new(1024, Duration::from_secs(30));
        assert!((0..10_000).all(|_| !tempo.is_too_slow(0, Duration::ZERO)));
        let mut tempo = Tempo::new(0, Duration::from_secs(30));
        assert!((0..100).all(|_| !tempo.is_too_slow(0, Duration::from_secs(30))));
    }
}
