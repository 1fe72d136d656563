//! The pump: sends the body of one request to storage, piece by piece. After each piece its bytes are on disk
//! and the new offset is recorded, while the next piece is already in transit. With a checksum nothing is
//! recorded before the whole body has been verified.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use streamgate_contracts::db::DbError;
use streamgate_contracts::storage::{self, StorageError};
use streamgate_plugin_api::failpoint;
use streamgate_plugin_api::tempo::Tempo;
use streamgate_plugin_api::time::{millis, now_ms};
use tokio::sync::Notify;
use tokio::time::{Instant, MissedTickBehavior};
use tokio_util::sync::CancellationToken;

use crate::dependencies::Dependencies;
use crate::fault::Fault;
use crate::incoming::{End, Incoming};
use crate::quota::Room;
use crate::store::{State, Store, Upload};

/// How often progress is reported to the catalogue.
const PROGRESS: Duration = Duration::from_millis(500);
/// How long storage may take to sync what it has received.
const SETTLE: Duration = Duration::from_secs(120);
const CATALOGUE_DEADLINE: Duration = Duration::from_secs(10);

/// Bounds of a transfer, from the settings.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Pace {
    pub(crate) checkpoint: u64,
    pub(crate) checkpoint_interval: Duration,
    pub(crate) idle_timeout: Duration,
    /// Bytes per second on average over `idle_timeout`.
    pub(crate) min_rate: u64,
    pub(crate) expire_after: Duration,
}

impl Pace {
    /// The new expiry time of an upload after activity.
    pub(crate) fn expiry(&self) -> i64 {
        now_ms().saturating_add(millis(self.expire_after))
    }
}

/// The dependencies of a transfer.
#[derive(Debug, Clone)]
pub(crate) struct Pump {
    pub(crate) store: Store,
    pub(crate) objects: storage::Client,
    pub(crate) dependencies: Dependencies,
    pub(crate) pace: Pace,
    /// There are new entries for the audit log.
    pub(crate) noted: Arc<Notify>,
}

/// The result of one piece.
struct Landed {
    offset: u64,
    /// Why the transfer ends.
    given_up: Option<Fault>,
}

impl Pump {
    /// Sends all of `incoming` to the upload, from its current offset on. `upload` contains what is recorded,
    /// also after a failure. With `verified` false (there is a checksum) everything is recorded at the end,
    /// or nothing.
    pub(crate) async fn run(
        &self,
        upload: &mut Upload,
        incoming: &Incoming,
        announced: Option<u64>,
        verified: bool,
        stop: &CancellationToken,
    ) -> Result<(), Fault> {
        let path = upload.object();
        let progress = Progress::new(self, upload, stop);
        let mut recorded = upload.clone();
        let mut offset = upload.received;
        let mut tempo = Tempo::new(self.pace.min_rate, self.pace.idle_timeout);
        let (mut given_up, mut over) = (None, None);
        let mut fault = None;
        loop {
            let ended = incoming.end().is_some() || stop.is_cancelled() || given_up.is_some();
            let mut size = self.pace.checkpoint;
            if !ended && fault.is_none() && upload.length.is_none() {
                match self.room_for_piece(&recorded, offset, incoming, announced).await {
                    Ok(Some(room)) => {
                        size = room.end.saturating_sub(offset).max(1);
                        over = room.over;
                    }
                    Ok(None) => {}
                    // Earlier bytes are recorded in the next round.
                    Err(fault) => {
                        given_up = Some(fault);
                        continue;
                    }
                }
            }
            // The bytes of the last piece are recorded while this one is in transit.
            let due = verified && offset > recorded.received && !is_overlong(incoming);
            let target = Upload { received: offset, ..recorded.clone() };
            let record = async { if due { self.record(&target).await } else { Ok(()) } };
            let (record, landed) = if ended || fault.is_some() {
                (record.await, None)
            } else {
                let at = (offset, size);
                let (record, landed) =
                    tokio::join!(record, self.piece(&path, at, incoming, stop, &progress, &mut tempo));
                (record, Some(landed))
            };
            match record {
                Ok(()) if due => recorded = target.recorded(),
                Ok(()) => {}
                Err(fault) => {
                    *upload = recorded;
                    return Err(fault);
                }
            }
            match landed {
                None => break,
                Some(Ok(landed)) => {
                    failpoint("upload.appended");
                    offset = landed.offset;
                    given_up = landed.given_up;
                }
                Some(Err(error)) => {
                    if let StorageError::Full { kept: Some(kept) } = error {
                        offset = offset.max(kept.min(recorded.received + incoming.meter().passed()));
                    }
                    if let StorageError::Gap { have } = error {
                        self.fall_back(&mut recorded, have).await?;
                        offset = recorded.received;
                    }
                    fault = Some(error);
                }
            }
        }
        *upload = recorded;
        if progress.content_is_gone() {
            self.store.end(&upload.id, None).await?;
            return Err(Fault::Gone);
        }
        if let Some(fault) = fault {
            return Err(fault.into());
        }
        let complete = match (conclude(incoming, announced, stop, given_up, upload.length.unwrap_or(0)), over)
        {
            (Err(Fault::BeyondLength { .. }), Some(over)) => Err(over),
            (complete, _) => complete,
        };
        if verified {
            return complete;
        }
        complete?;
        if !incoming.checksum_holds() {
            return Err(Fault::Checksum);
        }
        let target = Upload { received: offset, ..upload.clone() };
        self.record(&target).await?;
        *upload = target.recorded();
        Ok(())
    }

    /// Space for the next piece of an upload without a length; `None`: it accepts no more, and only the
    /// body's end is awaited.
    async fn room_for_piece(
        &self,
        upload: &Upload,
        offset: u64,
        incoming: &Incoming,
        announced: Option<u64>,
    ) -> Result<Option<Room>, Fault> {
        let rest = announced.map(|length| length.saturating_sub(incoming.meter().passed()));
        let most = incoming.room().min(self.pace.checkpoint);
        let wanted = rest.filter(|rest| *rest > 0).map_or(most, |rest| rest.min(most));
        if wanted == 0 {
            return Ok(None);
        }
        let room = self.set_aside(upload, (offset, offset.saturating_add(wanted))).await?;
        if room.over.is_some() {
            incoming.narrow(room.end.saturating_sub(offset));
        }
        Ok(Some(room))
    }

    pub(crate) async fn record(&self, upload: &Upload) -> Result<(), Fault> {
        match self.store.advance(upload, self.pace.expiry()).await {
            Err(DbError::Conflict { .. }) => {}
            done => {
                failpoint("upload.recorded");
                return Ok(done?);
            }
        }
        match self.store.find(&upload.id).await? {
            Some(now)
                if now.received > upload.received && !matches!(now.state, State::Ending | State::Gone) =>
            {
                Err(Fault::Locked("the upload continued elsewhere; request its offset and resume from there"))
            }
            _ => Err(Fault::Gone),
        }
    }

    /// Storage lost bytes that were on disk: the client gets the true offset.
    async fn fall_back(&self, recorded: &mut Upload, have: u64) -> Result<(), Fault> {
        if have < recorded.received {
            tracing::error!(
                upload = recorded.id,
                acknowledged = recorded.received,
                have,
                "the storage lost bytes of an upload; its offset goes back"
            );
            let before = std::mem::replace(&mut recorded.received, have);
            self.store.set_back(recorded, before, self.pace.expiry()).await?;
        }
        Ok(())
    }

    /// Sends one piece. It ends at its size, at its time limit, when the client is silent or slow for too
    /// long, and when `stop` is cancelled; the bytes received by then are synced.
    async fn piece(
        &self,
        path: &str,
        (offset, size): (u64, u64),
        incoming: &Incoming,
        stop: &CancellationToken,
        progress: &Progress,
        tempo: &mut Tempo,
    ) -> Result<Landed, StorageError> {
        let end = stop.child_token();
        let append = self.objects.append(path, offset, incoming.piece(size, end.clone()));
        let mut append = Box::pin(append);
        let mut ticks = tokio::time::interval(PROGRESS.min(self.pace.checkpoint_interval));
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let meter = incoming.meter();
        let (begun, passed_before) = (Instant::now(), meter.passed());
        let (mut passed, mut moved) = (passed_before, begun);
        let mut last = begun;
        let mut given_up = None;
        let mut ended: Option<Instant> = None;
        loop {
            tokio::select! {
                answer = &mut append => return answer.map(|offset| Landed { offset, given_up }),
                _ = ticks.tick() => {}
            }
            let now = Instant::now();
            if meter.passed() != passed || !meter.is_waiting() {
                (passed, moved) = (meter.passed(), now);
            } else if now.duration_since(moved) >= self.pace.idle_timeout {
                given_up.get_or_insert(Fault::Idle);
                end.cancel();
            }
            let waited = if meter.is_waiting() { now.duration_since(last) } else { Duration::ZERO };
            last = now;
            if tempo.is_too_slow(passed, waited) {
                given_up.get_or_insert(Fault::Slow { least: self.pace.min_rate });
                end.cancel();
            }
            if passed > passed_before && now.duration_since(begun) >= self.pace.checkpoint_interval {
                end.cancel();
            }
            if end.is_cancelled() || incoming.end().is_some() {
                let ended = *ended.get_or_insert(now);
                if now.duration_since(ended) >= SETTLE {
                    let why = "does not put its bytes on disk".to_owned();
                    return Err(StorageError::Unavailable { request: path.to_owned(), why });
                }
            }
            progress.report(passed);
        }
    }
}

fn is_overlong(incoming: &Incoming) -> bool {
    incoming.end() == Some(End::TooLong)
}

/// Whether the body matches its declared length.
fn conclude(
    incoming: &Incoming,
    announced: Option<u64>,
    stop: &CancellationToken,
    given_up: Option<Fault>,
    length: u64,
) -> Result<(), Fault> {
    match incoming.end() {
        Some(End::TooLong) => Err(Fault::BeyondLength { length }),
        Some(End::Broken(reason)) => Err(Fault::BrokeOff(reason)),
        Some(End::Whole) => match announced {
            Some(announced) if incoming.meter().passed() < announced => {
                Err(Fault::BrokeOff("it is shorter than announced".into()))
            }
            _ => Ok(()),
        },
        None if given_up.is_some() => given_up.map_or(Ok(()), Err),
        None if stop.is_cancelled() => Err(Fault::Locked("a newer request took over the upload")),
        None => Err(Fault::Internal("the transfer ended without a reason".into())),
    }
}

/// Reports an upload's progress to the catalogue, one report at a time, and ends the transfer when the
/// content is gone.
struct Progress {
    dependencies: Dependencies,
    /// `None` without a content: a part of a later upload.
    content: Option<String>,
    start: u64,
    length: Option<u64>,
    busy: Arc<AtomicBool>,
    gone: Arc<AtomicBool>,
    stop: CancellationToken,
}

impl Progress {
    fn new(pump: &Pump, upload: &Upload, stop: &CancellationToken) -> Self {
        Self {
            dependencies: pump.dependencies.clone(),
            content: (upload.kind != crate::store::Kind::Partial).then(|| upload.id.clone()),
            start: upload.received,
            length: upload.length,
            busy: Arc::default(),
            gone: Arc::default(),
            stop: stop.clone(),
        }
    }

    fn content_is_gone(&self) -> bool {
        self.gone.load(Ordering::Acquire)
    }

    fn report(&self, passed: u64) {
        let (Some(id), Some(length)) = (self.content.clone(), self.length) else { return };
        if length == 0 || self.busy.swap(true, Ordering::AcqRel) {
            return;
        }
        let done = (self.start + passed).min(length) as f64 / length as f64;
        let (dependencies, stop) = (self.dependencies.clone(), self.stop.clone());
        let (busy, gone) = (self.busy.clone(), self.gone.clone());
        crate::spawn(async move {
            let answer =
                tokio::time::timeout(CATALOGUE_DEADLINE, dependencies.report_progress(&id, done)).await;
            if let Ok(Err(status)) = answer
                && status.code() == tonic::Code::NotFound
            {
                tracing::info!(upload = id, "the content was deleted while it was uploaded");
                gone.store(true, Ordering::Release);
                stop.cancel();
            }
            busy.store(false, Ordering::Release);
        });
    }
}
