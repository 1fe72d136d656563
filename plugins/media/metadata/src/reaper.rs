//! Guaranteed work, across restarts: the objects of deleted contents are swept until none is left, replaced
//! texts and renditions are removed when they expire, and the jobs of retries are enqueued. The rows in the
//! database are the record; this task only processes them.

use std::time::Duration;

use bytes::Bytes;
use streamgate_contracts::jobs::v1::EnqueueRequest;
use streamgate_plugin_api::backoff::Backoff;
use streamgate_plugin_api::time::{millis, now_ms};

use crate::catalogue::Catalogue;
use crate::dependencies::TRANSCODE;
use crate::graves::Tombstone;
use crate::objects::Media;
use crate::store::StoreError;

/// Rows of one round.
const ROUND: u32 = 32;
/// A round at least this often, whatever the rows contain.
const IDLE: Duration = Duration::from_secs(30);
/// First pause before a retry, doubled with each failure.
const BACKOFF: Backoff = Backoff { first: Duration::from_secs(1), longest: Duration::from_secs(300) };
/// How long a clean tombstone is kept for clients that missed the deletion.
const REMEMBERED_MS: i64 = 86_400_000;
const CALL_DEADLINE: Duration = Duration::from_secs(60);

/// The state of the work, for the plugin's health.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Condition {
    Well,
    Behind(String),
}

/// Runs until the end of the process; calls `report` after each round.
pub(crate) async fn run(catalogue: Catalogue, grace: Duration, report: impl Fn(Condition) + Send) {
    loop {
        let (condition, pause) = round(&catalogue, grace).await;
        report(condition);
        tokio::select! {
            () = tokio::time::sleep(pause) => {}
            () = catalogue.work.notified() => {}
        }
    }
}

/// One round, and how long the next may wait.
pub(crate) async fn round(catalogue: &Catalogue, grace: Duration) -> (Condition, Duration) {
    let mut trouble = match sweep_due(catalogue, grace).await {
        Ok(failed) => failed,
        Err(error) => Some(error.to_string()),
    };
    if let Err(error) = catalogue.expire_texts(ROUND).await {
        trouble.get_or_insert(error.to_string());
    }
    if let Err(reason) = remove_replaced(catalogue).await {
        trouble.get_or_insert(reason);
    }
    if let Err(reason) = enqueue_retries(catalogue).await {
        trouble.get_or_insert(reason);
    }
    if let Err(reason) = catalogue.audit.send().await {
        trouble.get_or_insert(reason.to_string());
    }
    if let Some(reason) = trouble {
        return (Condition::Behind(reason), Duration::from_secs(1));
    }
    let pause = match catalogue.store.next_due_ms().await {
        Ok(Some(due)) => Duration::from_millis(u64::try_from(due - now_ms()).unwrap_or(0)).min(IDLE),
        Ok(None) | Err(_) => IDLE,
    };
    (Condition::Well, pause)
}

/// Sweeps what is due; returns the last problem, if any.
async fn sweep_due(catalogue: &Catalogue, grace: Duration) -> Result<Option<String>, StoreError> {
    let grace_ms = millis(grace).min(i64::MAX / 4);
    let media = Media::new(catalogue.dependencies.storage.clone());
    let mut trouble = None;
    for mut tombstone in catalogue.store.due_tombstones(ROUND).await? {
        if tombstone.clean {
            catalogue.store.forget(&tombstone.id).await?;
            continue;
        }
        let swept = media.storage.delete_all(&format!("{}/", tombstone.id)).await;
        let due =
            after_sweep(&mut tombstone, swept.as_ref().map(|deleted| *deleted).map_err(|_| ()), grace_ms);
        catalogue.store.reschedule(&tombstone, now_ms().saturating_add(due)).await?;
        match swept {
            Ok(deleted) => tracing::debug!(content = tombstone.id, deleted, "swept a deleted content"),
            Err(reason) => {
                tracing::warn!(content = tombstone.id, %reason, "a deleted content's objects could not be removed");
                trouble = Some(format!("the objects of deleted contents cannot be removed: {reason}"));
            }
        }
    }
    Ok(trouble)
}

/// The result of a sweep for its tombstone, and in how many milliseconds it is due again. It is clean once a
/// sweep after the grace period found nothing: all writers have stopped by then.
fn after_sweep(tombstone: &mut Tombstone, swept: Result<u64, ()>, grace_ms: i64) -> i64 {
    let Ok(deleted) = swept else {
        tombstone.failures = tombstone.failures.saturating_add(1);
        return millis(BACKOFF.after(tombstone.failures));
    };
    tombstone.failures = 0;
    tombstone.clean = tombstone.sweeps > 0 && deleted == 0;
    tombstone.sweeps = tombstone.sweeps.saturating_add(1);
    if tombstone.clean { REMEMBERED_MS } else { grace_ms }
}

/// Removes the objects of expired renditions, then their rows.
async fn remove_replaced(catalogue: &Catalogue) -> Result<(), String> {
    let media = Media::new(catalogue.dependencies.storage.clone());
    let due = catalogue.store.due_renditions(now_ms(), ROUND).await.map_err(|error| error.to_string())?;
    for (id, folder) in due {
        media.storage.delete_all(&format!("{id}/{folder}/")).await.map_err(|error| {
            tracing::warn!(content = id, folder, %error, "a replaced rendition's objects could not be removed");
            format!("the objects of replaced renditions cannot be removed: {error}")
        })?;
        catalogue.store.forget_rendition(&id, &folder).await.map_err(|error| error.to_string())?;
        tracing::debug!(content = id, folder, "removed a replaced rendition");
    }
    Ok(())
}

async fn enqueue_retries(catalogue: &Catalogue) -> Result<(), String> {
    let pending = catalogue.store.pending_retries(ROUND).await.map_err(|error| error.to_string())?;
    for id in pending {
        let content = catalogue.store.find(&id).await.map_err(|error| error.to_string())?;
        let request = EnqueueRequest {
            queue: TRANSCODE.into(),
            payload: Bytes::from(serde_json::json!({ "content": id }).to_string()),
            dedupe_key: id.clone(),
            content: id.clone(),
            owner: content.map(|content| content.owner).unwrap_or_default(),
            ..EnqueueRequest::default()
        };
        let mut jobs = catalogue.dependencies.jobs.clone();
        let enqueued = tokio::time::timeout(CALL_DEADLINE, jobs.enqueue(request)).await;
        enqueued
            .map_err(|_| "the job queue does not answer".to_owned())?
            .map_err(|status| format!("a job could not be enqueued: {}", status.message()))?;
        catalogue.store.retry_enqueued(&id).await.map_err(|error| error.to_string())?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tombstone() -> Tombstone {
        Tombstone { id: "a".into(), sweeps: 0, failures: 0, clean: false }
    }

    #[test]
    fn a_tombstone_is_clean_only_after_a_second_sweep_that_found_nothing() {
        let mut grave = tombstone();
        assert_eq!(after_sweep(&mut grave, Ok(0), 5), 5);
        assert!(!grave.clean);
        assert_eq!(after_sweep(&mut grave, Ok(3), 5), 5);
        assert!(!grave.clean, "somebody was still writing");
        assert_eq!(after_sweep(&mut grave, Ok(0), 5), REMEMBERED_MS);
        assert!(grave.clean);
    }

    #[test]
    fn failures_back_off_up_to_five_minutes_and_never_end() {
        let mut grave = tombstone();
        let mut last = 0;
        for _ in 0..100 {
            let pause = after_sweep(&mut grave, Err(()), 5);
            assert!(pause >= last && pause <= millis(BACKOFF.longest));
            last = pause;
        }
        assert_eq!(last, millis(BACKOFF.longest));
        assert!(!grave.clean);
    }
}
