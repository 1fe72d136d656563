//! The plugin's settings, and the plugin that reads the chain for it.
#![allow(dead_code, clippy::unwrap_used, unreachable_pub)]

use std::time::Duration;

use alloy_primitives::Address;
use serde_json::{Value, json};
use streamgate_plugin_api::Client;
use streamgate_registry_evm::Settings;

pub use streamgate_tests::anvil::{Anvil, CHAIN};

/// Maximum time a test waits for an expected event.
pub const PATIENCE: Duration = Duration::from_secs(60);

/// Keys of the plugin instead of the registry, and of the chain that `chain-evm` reads.
const OF_THE_PLUGIN: [&str; 1] = ["reconcile"];
const OF_THE_CHAIN: [&str; 1] = ["reorg_depth"];

/// The settings of a test: for the plugin, and for the one that reads the chain.
pub struct Both {
    pub registry: Settings,
    pub chain: streamgate_chain_evm::Settings,
}

/// Settings for one chain at these endpoints, which may be on this machine. Without a `registry` there is
/// none.
pub fn settings(endpoints: &[&str], more: Value) -> Both {
    let mut chain =
        json!({ "id": CHAIN, "name": "Anvil", "endpoints": endpoints, "max_age": "0s", "max_lag": 2 });
    let (mut registry, mut plugin) = (json!({}), json!({ "poll": "50ms", "idle_poll": "50ms" }));
    for (key, value) in more.as_object().into_iter().flatten() {
        let target = match &**key {
            key if OF_THE_PLUGIN.contains(&key) => &mut plugin,
            key if OF_THE_CHAIN.contains(&key) => &mut chain,
            _ => &mut registry,
        };
        target[key] = value.clone();
    }
    if registry["registry"].is_string() {
        plugin["chains"] = json!([registry]);
    }
    let chain = json!({
        "allow_private": true, "deadline": "1s", "hedge_after": "200ms", "head_ttl": "0s", "poll": "50ms",
        "idle_poll": "50ms", "breaker_failures": 3, "breaker_pause": "100ms", "max_answer": "64KiB",
        "chains": [chain],
    });
    let both = Both {
        registry: serde_json::from_value(plugin).unwrap(),
        chain: serde_json::from_value(chain).unwrap(),
    };
    assert_eq!((both.registry.problems(), both.chain.problems()), (vec![], vec![]));
    both
}

/// The plugin that reads the chain, over this database.
pub async fn chain(
    database: Client,
    settings: streamgate_chain_evm::Settings,
) -> streamgate_chain_evm::Standalone {
    streamgate_chain_evm::Standalone::start(database, settings, |_| {}).await.unwrap()
}

pub fn name(account: Address) -> String {
    format!("eip155:{CHAIN}:{account:#x}")
}
