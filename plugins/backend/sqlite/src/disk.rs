//! Watches the free space of the disk under the databases, so that a low disk is reported before it is full,
//! and restores the reserve once there is room.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use streamgate_plugin_api::Health;
use streamgate_plugin_api::settings::ByteSize;
use tokio_util::sync::CancellationToken;

use crate::condition::{Condition, Reporter};
use crate::reserve::Reserve;

const INTERVAL: Duration = Duration::from_secs(15);

/// Runs until the token is cancelled.
pub(crate) async fn watch(
    directory: PathBuf,
    least: ByteSize,
    reserve: Arc<Reserve>,
    health: Health,
    shutdown: CancellationToken,
) {
    let reporter = Reporter::new(move |condition| tell(&health, condition));
    let mut ticks = tokio::time::interval(INTERVAL);
    loop {
        tokio::select! {
            () = shutdown.cancelled() => return,
            _ = ticks.tick() => {}
        }
        let (directory, reserve) = (directory.clone(), reserve.clone());
        let look = move || match reserve.hold() {
            Ok(()) => condition(&directory, least),
            Err(error) => Condition::Degraded(error.to_string()),
        };
        let looked = tokio::task::spawn_blocking(look).await;
        reporter.set(looked.unwrap_or_else(|error| Condition::Degraded(error.to_string())));
    }
}

fn condition(directory: &Path, least: ByteSize) -> Condition {
    match rustix::fs::statvfs(directory) {
        Ok(stat) => {
            let free = stat.f_bavail.saturating_mul(stat.f_frsize);
            if free >= least.get() {
                Condition::Healthy
            } else {
                let mib = free >> 20;
                Condition::Degraded(format!(
                    "{mib} MiB free on the disk, less than `min_free_space` = {least}"
                ))
            }
        }
        Err(error) => Condition::Degraded(format!("cannot read the free space: {error}")),
    }
}

/// Reports a condition to the host.
pub(crate) fn tell(health: &Health, condition: &Condition) {
    match condition {
        Condition::Healthy => health.healthy(),
        Condition::Degraded(reason) => health.degraded(reason),
        Condition::Unhealthy(reason) => health.unhealthy(reason),
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn a_disk_with_less_room_than_wanted_is_degraded() {
        let directory = tempfile::tempdir().unwrap();
        assert_eq!(condition(directory.path(), ByteSize::bytes(1)), Condition::Healthy);
        assert!(matches!(condition(directory.path(), ByteSize::bytes(u64::MAX)), Condition::Degraded(_)));
        assert!(matches!(
            condition(Path::new("/nowhere/at/all"), ByteSize::bytes(1)),
            Condition::Degraded(_)
        ));
    }
}
