//! A plugin's own metrics, which the host collects and `streamgate metrics` prints as OpenMetrics text.
//!
//! A plugin registers each of them once in its `start`, under a name without its own, which is prepended;
//! then it counts in the returned handle. A counter's name has no `_total`: the text adds it. The counts end
//! with the run.

use std::fmt;

use parking_lot::Mutex;
use prometheus_client::encoding::text::encode_registry;
use prometheus_client::registry::{Metric, Registry};

pub use prometheus_client::metrics::counter::Counter;
pub use prometheus_client::metrics::family::Family;
pub use prometheus_client::metrics::gauge::Gauge;
pub use prometheus_client::metrics::histogram::Histogram;

/// Labels of one member of a [`Family`]. Their values must be a bounded set: never an address, an id or
/// client input.
pub type Labels<const N: usize> = [(&'static str, String); N];

/// From a millisecond to a minute, in seconds.
pub const LATENCY: [f64; 12] = [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 1.0, 5.0, 15.0, 60.0];

/// The metrics of one run of a plugin.
pub struct Metrics(Mutex<Registry>);

impl Metrics {
    /// An empty registry for a plugin of this name.
    pub fn new(plugin: &str) -> Self {
        Self(Mutex::new(Registry::with_prefix(plugin.replace('-', "_"))))
    }

    /// Registers a metric and returns it. `help` is a sentence without its full stop.
    pub fn register<M: Metric + Clone>(&self, name: &str, help: &str, metric: M) -> M {
        self.0.lock().register(name, help, metric.clone());
        metric
    }

    /// A value that only grows, from zero.
    pub fn counter(&self, name: &str, help: &str) -> Counter {
        self.register(name, help, Counter::default())
    }

    /// A value that goes up and down.
    pub fn gauge(&self, name: &str, help: &str) -> Gauge {
        self.register(name, help, Gauge::default())
    }

    /// How often values were up to each of these bounds.
    pub fn histogram(&self, name: &str, help: &str, bounds: impl IntoIterator<Item = f64>) -> Histogram {
        self.register(name, help, Histogram::new(bounds))
    }

    /// OpenMetrics text without its `# EOF`.
    pub(crate) fn text(&self) -> String {
        let mut text = String::new();
        // It fails only where writing to a string does.
        let _ = encode_registry(&mut text, &self.0.lock());
        text
    }
}

impl fmt::Debug for Metrics {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Metrics").finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn metrics_are_printed_under_the_plugins_name() {
        let metrics = Metrics::new("chain-evm");
        metrics.counter("calls", "Calls").inc_by(3);
        let depth: Family<Labels<1>, Gauge> = metrics.register("waiting", "What waits", Family::default());
        depth.get_or_create(&[("queue", "a\"b".to_owned())]).set(-2);
        metrics.histogram("call_seconds", "How long calls take", [0.5, 1.0]).observe(0.7);
        let text = metrics.text();
        for line in [
            "# HELP chain_evm_calls Calls.",
            "# TYPE chain_evm_calls counter",
            "chain_evm_calls_total 3",
            "chain_evm_waiting{queue=\"a\\\"b\"} -2",
            "chain_evm_call_seconds_bucket{le=\"0.5\"} 0",
            "chain_evm_call_seconds_bucket{le=\"1.0\"} 1",
            "chain_evm_call_seconds_count 1",
        ] {
            assert!(text.lines().any(|found| found == line), "{line} is not in\n{text}");
        }
        assert!(!text.contains("EOF"));
    }
}
