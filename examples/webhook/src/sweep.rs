//! Periodic cleanup: ended deliveries past their retention, and those of endpoints that were removed from the
//! settings.

use std::sync::Arc;
use std::time::Duration;

use streamgate_contracts::db::DbError;
use streamgate_plugin_api::time::{millis, now_ms};

use crate::engine::{Engine, pause};
use crate::store::{SWEEP, State};

const EVERY: Duration = Duration::from_secs(30);

/// Sweeps until the engine stops.
pub(crate) async fn run(engine: Arc<Engine>) {
    let stop = engine.stopping();
    while !stop.is_cancelled() {
        if let Err(error) = sweep(&engine).await {
            tracing::warn!(%error, "old deliveries were not removed; it is tried again");
        }
        pause(EVERY, &stop).await;
    }
}

async fn sweep(engine: &Engine) -> Result<(), DbError> {
    let settings = &engine.settings;
    for (state, keep) in [(State::Delivered, settings.retention), (State::Dead, settings.dead_retention)] {
        let before = now_ms() - millis(keep.get());
        while engine.store.forget_before(state, before).await? >= u64::from(SWEEP) {}
    }
    for (name, state, count) in engine.store.counts().await? {
        if state == State::Waiting {
            match engine.endpoints.get(&name) {
                None => {
                    let buried = engine.store.bury(&name, now_ms()).await?;
                    tracing::warn!(
                        endpoint = name,
                        buried,
                        "it is in the settings no more; its deliveries are dead"
                    );
                }
                Some(endpoint) if count < u64::from(settings.max_waiting) => endpoint.set_full(false),
                Some(_) => {}
            }
        } else if count > u64::from(settings.max_kept) {
            while engine.store.forget_beyond(&name, state, settings.max_kept).await? >= u64::from(SWEEP) {}
        }
    }
    Ok(())
}
