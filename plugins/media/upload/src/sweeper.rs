//! Guaranteed work, across restarts: unfinished hand-overs are repeated, expired uploads end, and the data of
//! ended uploads is removed. The rows in the database are the record; this task only processes them.

use std::time::Duration;

use streamgate_plugin_api::backoff::Backoff;
use streamgate_plugin_api::time::now_ms;

use crate::audit;
use crate::fault::Fault;
use crate::store::{Kind, State, Upload};
use crate::uploads::Uploads;

/// Rows that are read at once.
const PAGE: u32 = 100;
/// Maximum time of a creation: see [`crate::uploads::CREATION`]. A younger one belongs to a run that may
/// still be working on it: this one, its predecessor or one of another node.
const CREATION_MS: i64 = 120_000;
const FIRST_PAUSE: Duration = Duration::from_millis(500);

/// Runs until the end of the process. `report` receives the last problem after each round.
pub(crate) async fn run(uploads: Uploads, interval: Duration, report: impl Fn(Option<&str>) + Send) {
    let backoff = Backoff { first: FIRST_PAUSE, longest: interval.max(FIRST_PAUSE) };
    let mut failures = 0;
    loop {
        let trouble = round(&uploads).await;
        report(trouble.as_deref());
        if trouble.is_some() {
            // Not sooner, whoever asks: what failed would fail again.
            failures += 1;
            tokio::time::sleep(backoff.after(failures)).await;
            continue;
        }
        failures = 0;
        tokio::select! {
            () = tokio::time::sleep(interval) => {}
            () = uploads.work.notified() => {}
        }
    }
}

/// One pass over everything that is due; returns the last problem.
pub(crate) async fn round(uploads: &Uploads) -> Option<String> {
    let mut trouble = None;
    let mut after = String::new();
    loop {
        let page = match uploads.pump.store.due(&after, PAGE).await {
            Ok(page) => page,
            Err(error) => return Some(format!("the uploads cannot be read: {error}")),
        };
        let Some(last) = page.last() else { break };
        after.clone_from(&last.id);
        for upload in page {
            let id = upload.id.clone();
            if let Err(reason) = work_off(uploads, upload).await {
                tracing::warn!(upload = id, reason, "an upload cannot be finished or removed yet");
                trouble = Some(format!("uploads cannot be finished or removed: {reason}"));
            }
        }
    }
    if let Err(error) = uploads.pump.store.free_ahead().await {
        trouble = Some(format!("reserved space cannot be freed: {error}"));
    }
    trouble
}

async fn work_off(uploads: &Uploads, seen: Upload) -> Result<(), String> {
    // Whoever has the lock is doing it already.
    let Some(lock) = uploads.locks.try_take(&seen.id) else { return Ok(()) };
    let store = &uploads.pump.store;
    let words = |fault: Fault| fault.to_string();
    let found = store.find(&seen.id).await.map_err(|error| error.to_string())?;
    let Some(mut upload) = found else { return Ok(()) };
    let now = now_ms();
    let expired = upload.expires_at_ms <= now;
    let ends = match upload.state {
        // Its creator died, or will not finish.
        State::Creating => upload.created_at_ms + CREATION_MS < now,
        State::Receiving => expired,
        State::Done => expired && upload.kind == Kind::Partial && upload.used_by.is_none(),
        State::Joining | State::Finishing | State::Ending | State::Gone => false,
    };
    if ends {
        let entry = match expired {
            true => audit::expired(&upload),
            false => audit::failed(&upload, "the server stopped while it was created"),
        };
        let ended = store.end_unmoved(&upload, entry.as_ref()).await;
        if !ended.map_err(|error| words(error.into()))? {
            return Ok(());
        }
        if expired {
            tracing::info!(upload = upload.id, received = upload.received, "an upload expired");
        }
        uploads.pump.noted.notify_one();
        upload.state = State::Ending;
    }
    match upload.state {
        State::Joining => {
            // It may take long; the others must not wait.
            let uploads = uploads.clone();
            crate::spawn(async move { uploads.finish_under(upload, lock).await });
            Ok(())
        }
        State::Finishing => {
            uploads.pump.finish(&mut upload, &lock).await.map_err(|reason| reason.to_string())
        }
        State::Ending => uploads.pump.clean_up(&upload).await.map_err(|reason| reason.to_string()),
        State::Gone => {
            if expired {
                store.forget(&upload.id).await.map_err(|error| words(error.into()))
            } else {
                Ok(())
            }
        }
        State::Done if expired && upload.kind != Kind::Partial => {
            store.forget(&upload.id).await.map_err(|error| words(error.into()))
        }
        State::Done | State::Creating | State::Receiving => Ok(()),
    }
}
