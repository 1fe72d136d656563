//! The clients' operations on uploads: create, query, continue, terminate. Each of them runs to its end, even
//! if its caller disconnects: nothing is left half done.

use std::sync::Arc;
use std::time::Duration;

use streamgate_contracts::audit::Entry;
use streamgate_plugin_api::Body;
use streamgate_plugin_api::fair::{Full, Holder, Place, Places};
use streamgate_plugin_api::time::now_ms;
use tokio::sync::{Notify, RwLock, oneshot};

use crate::audit::{self, Caller};
use crate::detach::ToTheEnd;
use crate::fault::Fault;
use crate::handover::Unfinished;
use crate::incoming::Incoming;
use crate::locks::{Lock, Locks};
use crate::protocol::{Announced, Concat, Continuation, Creation, check_fits};
use crate::settings::Settings;
use crate::store::{self, Bounds, Kind, NotAdded, State, Upload};
use crate::transfer::Pump;

/// How long an answer waits for the hand-over, so that clients find the catalogue up to date. The hand-over
/// continues without them.
const COURTESY: Duration = Duration::from_secs(2);
/// How long the catalogue and the database may take until a new upload can begin; one that is `creating` for
/// longer has no creator any more.
const CREATION: Duration = Duration::from_secs(60);
/// After this time the creation of a final upload gives way to a repeated request.
const CUT_OFF_MS: i64 = 2_000;

/// The uploads. Cheap to clone.
#[derive(Debug, Clone)]
pub(crate) struct Uploads {
    pub(crate) pump: Pump,
    pub(crate) locks: Locks,
    /// There is something for the sweeper to do.
    pub(crate) work: Arc<Notify>,
    places: Places,
    /// Held for reading by every transfer until it has settled.
    transfers: Arc<RwLock<()>>,
    max_size: u64,
    pub(crate) unfinished: Bounds,
}

impl Uploads {
    pub(crate) fn new(pump: Pump, settings: &Settings) -> Self {
        Self {
            pump,
            locks: Locks::default(),
            work: Arc::default(),
            places: Places::new(settings.max_transfers as usize, settings.max_transfers_per_caller as usize),
            transfers: Arc::default(),
            max_size: settings.max_size.get(),
            unfinished: Bounds {
                all: settings.max_unfinished.into(),
                each: settings.max_unfinished_per_caller.into(),
            },
        }
    }

    pub(crate) fn max_size(&self) -> u64 {
        self.max_size
    }

    /// Ends all transfers and waits until each has synced what it received.
    pub(crate) async fn settle(&self, patience: Duration) {
        self.locks.stop_all();
        let idle = self.transfers.write();
        if tokio::time::timeout(patience, idle).await.is_err() {
            tracing::warn!("some transfers did not settle in time; they resume at their last checkpoint");
        }
    }

    /// tus 1.0 §Creation. If the caller disconnects before the answer, the upload is unknown to it and is
    /// ended at once.
    pub(crate) async fn create(
        &self,
        creation: Creation,
        caller: Caller,
        body: Body,
    ) -> Result<Upload, Fault> {
        let (answer, answered) = oneshot::channel();
        let uploads = self.clone();
        crate::spawn(async move {
            let created = uploads.create_to_the_end(creation, caller, body).await;
            if let Err(Ok(orphan)) = answer.send(created) {
                let entry = audit::failed(&orphan, "its client disconnected before it knew of it");
                let _ = uploads.end(&orphan.id, entry).await;
            }
        });
        answered.await.map_err(|_| Fault::Internal("the creation was interrupted".into()))?
    }

    async fn create_to_the_end(
        &self,
        creation: Creation,
        caller: Caller,
        body: Body,
    ) -> Result<Upload, Fault> {
        let owner = store::owner(&caller.holder);
        let place = creation.body.as_ref().map(|_| self.admit(caller.holder.clone())).transpose()?;
        let id = uuid::Uuid::now_v7().to_string();
        let (kind, parts) = match creation.concat {
            Concat::Whole => (Kind::Whole, Vec::new()),
            Concat::Partial => (Kind::Partial, Vec::new()),
            Concat::Final(parts) => (Kind::Final, parts),
        };
        let mut length = creation.length;
        if kind == Kind::Final {
            match self.joinable(&parts, &caller).await? {
                Joinable::Free { total } => length = Some(total),
                Joinable::Already(earlier) => return Ok(*earlier),
            }
        }
        let mut upload = Upload {
            id,
            kind,
            state: if kind == Kind::Partial { State::Receiving } else { State::Creating },
            length,
            received: 0,
            facts: creation.facts,
            concat: creation.concat_header,
            parts,
            used_by: None,
            owner,
            sender: caller.by,
            created_at_ms: now_ms(),
            expires_at_ms: self.pump.pace.expiry(),
        };
        let share = self.share(&upload.owner).await?;
        let lock = self.take(&upload.id).await?;
        let inserted = self.pump.store.insert(&upload, share.bounds, share.stored.as_ref()).await;
        inserted.map_err(|error| match error {
            NotAdded::All => Fault::Crowded,
            NotAdded::Share => Fault::Share {
                what: "are unfinished",
                setting: share.setting,
                most: share.bounds.each,
                advice: "finish or terminate some",
            },
            NotAdded::Part => Fault::Conflict("a part was used by another final upload just now".into()),
            NotAdded::Room(fault) => fault,
            NotAdded::Db(error) => error.into(),
        })?;
        self.pump.noted.notify_one();
        let opened = tokio::time::timeout(CREATION, self.open(&mut upload)).await;
        let late = |_| Err(Fault::Unavailable("the catalogue or the database did not answer in time".into()));
        if let Err(fault) = opened.unwrap_or_else(late) {
            let _ = self.end_under(&upload.id, audit::failed(&upload, &fault.to_string()), lock).await;
            return Err(fault);
        }
        if let (Some(place), Some(announced)) = (place, creation.body) {
            match self.receive(&mut upload, announced, body, &lock, place).await {
                // It can be continued: the client learns its address and its offset.
                Ok(())
                | Err(
                    Fault::Idle
                    | Fault::Slow { .. }
                    | Fault::Displaced
                    | Fault::Locked(_)
                    | Fault::Unavailable(_),
                ) => {}
                Err(fault) => {
                    let entry = audit::failed(&upload, &fault.to_string());
                    let _ = self.end_under(&upload.id, entry, lock).await;
                    return Err(fault);
                }
            }
        }
        Ok(self.finish(upload, lock).await)
    }

    /// Gives a new upload its content and lets it begin.
    async fn open(&self, upload: &mut Upload) -> Result<(), Fault> {
        if upload.kind != Kind::Partial {
            let created = self.pump.dependencies.create_content(upload).await;
            created.map_err(|status| {
                Fault::Unavailable(format!("the catalogue failed: {}", status.message()))
            })?;
        }
        let next = match upload.kind {
            Kind::Final => State::Joining,
            _ if upload.is_whole() => State::Finishing,
            _ => State::Receiving,
        };
        if next != upload.state {
            self.pump.store.step(&upload.id, upload.state, next, upload.expires_at_ms).await?;
            upload.state = next;
        }
        Ok(())
    }

    async fn joinable(&self, ids: &[String], caller: &Caller) -> Result<Joinable, Fault> {
        let mut parts = Vec::with_capacity(ids.len());
        for id in ids {
            let part = self.pump.store.find(id).await?;
            let part = part.and_then(|part| caller.own(part).ok());
            parts.push(part.ok_or_else(|| Fault::Conflict(format!("there is no partial upload `{id}`")))?);
        }
        // A request repeated because its answer was lost gets the same answer.
        if let Some(user) = parts.first().and_then(|part| part.used_by.as_ref())
            && let Some(earlier) = self.pump.store.find(user).await?
            && earlier.parts == ids
        {
            if earlier.state == State::Creating {
                return Err(self.cut_off(&earlier).await?);
            }
            if let Ok(earlier) = self.own(user, caller).await {
                return Ok(Joinable::Already(Box::new(earlier)));
            }
        }
        let mut total: u64 = 0;
        for Upload { id, kind, state, used_by, received, .. } in &parts {
            let problem = match state {
                _ if *kind != Kind::Partial => "is not a partial upload",
                _ if used_by.is_some() => "belongs to another final upload",
                State::Done => {
                    total = total.saturating_add(*received);
                    continue;
                }
                State::Finishing => {
                    return Err(Fault::Unavailable(format!("the partial upload `{id}` is being completed")));
                }
                State::Ending | State::Gone => "has ended",
                State::Creating | State::Receiving | State::Joining => "does not have all its bytes yet",
            };
            return Err(Fault::Conflict(format!("the upload `{id}` {problem}")));
        }
        if total > self.max_size {
            return Err(Fault::TooLarge { max: self.max_size });
        }
        Ok(Joinable::Free { total })
    }

    /// The outcome of an earlier request for the same final upload is unknown: it may have ended with its
    /// run. If it takes long, and not here, it is ended, and fails if a run still works on it.
    async fn cut_off(&self, earlier: &Upload) -> Result<Fault, Fault> {
        let store = &self.pump.store;
        let entry = audit::failed(earlier, "the same upload was requested again while it was created");
        if earlier.created_at_ms + CUT_OFF_MS < now_ms()
            && let Some(_lock) = self.locks.try_take(&earlier.id)
            && store.end_unmoved(earlier, entry.as_ref()).await?
        {
            self.pump.noted.notify_one();
            self.work.notify_one();
        }
        Ok(Fault::Unavailable("an earlier request is still creating it; try again".into()))
    }

    /// tus 1.0 §HEAD. The current transfer of the upload is stopped first: its client has returned, and the
    /// offset must not move.
    pub(crate) async fn head(&self, id: &str, caller: &Caller) -> Result<Upload, Fault> {
        let upload = self.own(id, caller).await?;
        if upload.state != State::Receiving {
            return Ok(upload);
        }
        let _lock = self.take(id).await?;
        self.pump.store.get(id).await
    }

    /// tus 1.0 §PATCH.
    pub(crate) async fn continue_with(
        &self,
        id: String,
        patch: Continuation,
        caller: Caller,
        body: Body,
    ) -> Result<Upload, Fault> {
        let uploads = self.clone();
        ToTheEnd::new(async move { uploads.continue_to_the_end(&id, patch, caller, body).await }).await
    }

    async fn continue_to_the_end(
        &self,
        id: &str,
        patch: Continuation,
        caller: Caller,
        body: Body,
    ) -> Result<Upload, Fault> {
        self.own(id, &caller).await?;
        let lock = self.take(id).await?;
        if lock.stop.is_cancelled() {
            return Err(Fault::Locked("a newer request took over the upload"));
        }
        let mut upload = self.own(id, &caller).await?;
        if upload.kind == Kind::Final {
            return Err(Fault::Forbidden("a final upload accepts no data: it is joined from its parts"));
        }
        if patch.offset != upload.received {
            return Err(Fault::Offset { current: upload.received, given: patch.offset });
        }
        let declared = self.declared_length(&upload, patch.length)?;
        check_fits(patch.body.length, upload.received, declared, self.max_size)?;
        if upload.state != State::Receiving {
            return Ok(upload);
        }
        let place = self.admit(caller.holder)?;
        upload.sender = caller.by;
        if declared != upload.length {
            upload.length = declared;
            self.declare(&upload).await?;
            self.pump.record(&upload).await?;
            upload = upload.recorded();
        }
        if upload.state == State::Receiving {
            self.receive(&mut upload, patch.body, body, &lock, place).await?;
        }
        Ok(self.finish(upload, lock).await)
    }

    /// tus 1.0 §Upload-Defer-Length: once set, the length stays.
    fn declared_length(&self, upload: &Upload, given: Option<u64>) -> Result<Option<u64>, Fault> {
        match (upload.length, given) {
            (known, None) => Ok(known),
            (Some(known), Some(given)) if known == given => Ok(Some(known)),
            (Some(known), Some(_)) => {
                Err(Fault::header("Upload-Length", format!("is {known} and cannot be changed")))
            }
            (None, Some(given)) if given > self.max_size => Err(Fault::TooLarge { max: self.max_size }),
            (None, Some(given)) if given < upload.received => Err(Fault::header(
                "Upload-Length",
                format!("is less than the {} bytes received", upload.received),
            )),
            (None, Some(given)) => Ok(Some(given)),
        }
    }

    async fn receive(
        &self,
        upload: &mut Upload,
        announced: Announced,
        body: Body,
        lock: &Lock,
        place: Place,
    ) -> Result<(), Fault> {
        let _running = self.transfers.read().await;
        let (most, beyond) = match upload.length {
            Some(length) => (length, Fault::BeyondLength { length }),
            None => (self.max_size, Fault::TooLarge { max: self.max_size }),
        };
        let deferred = upload.length.is_none();
        let room = most.saturating_sub(upload.received);
        let verified = announced.checksum.is_none();
        let incoming = Incoming::new(body, room, announced.checksum);
        let stop = lock.stop.child_token();
        let mut run = Box::pin(self.pump.run(upload, &incoming, announced.length, verified, &stop));
        let received = tokio::select! {
            received = &mut run => received,
            () = place.displaced() => {
                stop.cancel();
                run.as_mut().await
            }
        };
        drop(run);
        if deferred && let Err(error) = self.pump.store.give_back(&upload.id).await {
            tracing::warn!(upload = upload.id, %error, "reserved space is returned later");
        }
        match received {
            Err(Fault::Locked(_)) if !lock.stop.is_cancelled() => Err(Fault::Displaced),
            Err(Fault::BeyondLength { .. }) => Err(beyond),
            other => other,
        }
    }

    /// tus 1.0 §Termination.
    pub(crate) async fn terminate(&self, id: &str, caller: &Caller) -> Result<(), Fault> {
        let upload = self.own(id, caller).await?;
        if let Some(user) = &upload.used_by
            && let Ok(user) = self.pump.store.get(user).await
            && user.state != State::Done
        {
            return Err(Fault::Locked("the upload is being joined into a final one"));
        }
        self.end(id, audit::terminated(&upload, &caller.by)).await
    }

    /// Ends an upload in any state: recorded at once, its data removed soon.
    pub(crate) async fn end(&self, id: &str, entry: Option<Entry>) -> Result<(), Fault> {
        let uploads = self.clone();
        let id = id.to_owned();
        let task = crate::spawn(async move {
            let lock = uploads.take(&id).await?;
            uploads.end_under(&id, entry, lock).await
        });
        task.await.map_err(|_| Fault::Internal("the termination was interrupted".into()))?
    }

    async fn end_under(&self, id: &str, entry: Option<Entry>, lock: Lock) -> Result<(), Fault> {
        self.pump.store.end(id, entry.as_ref()).await?;
        self.pump.noted.notify_one();
        let (pump, work) = (self.pump.clone(), self.work.clone());
        let id = id.to_owned();
        let cleaning = crate::spawn(async move {
            let cleaned = match pump.store.find(&id).await {
                Ok(Some(upload)) if upload.state == State::Ending => pump.clean_up(&upload).await,
                Ok(_) => Ok(()),
                Err(error) => Err(Fault::from(error).into()),
            };
            drop(lock);
            note_unfinished(&id, cleaned, &work);
        });
        let _ = tokio::time::timeout(COURTESY, cleaning).await;
        Ok(())
    }

    /// Joins and hands over what is ready for it, and answers how the upload stands then.
    async fn finish(&self, mut upload: Upload, lock: Lock) -> Upload {
        if !matches!(upload.state, State::Joining | State::Finishing) {
            return upload;
        }
        let uploads = self.clone();
        let known = upload.clone();
        let finishing = crate::spawn(async move { uploads.finish_under(known, lock).await });
        let patience = if upload.state == State::Joining { COURTESY * 5 } else { COURTESY };
        if let Ok(Ok(finished)) = tokio::time::timeout(patience, finishing).await {
            upload = finished;
        }
        upload
    }

    /// One try to finish an upload, under its lock.
    pub(crate) async fn finish_under(&self, mut upload: Upload, lock: Lock) -> Upload {
        let outcome = self.pump.finish(&mut upload, &lock).await;
        drop(lock);
        if outcome.is_ok() && upload.kind == Kind::Final {
            // Its parts can be removed.
            self.work.notify_one();
        }
        note_unfinished(&upload.id, outcome, &self.work);
        upload
    }

    pub(crate) async fn take(&self, id: &str) -> Result<Lock, Fault> {
        let busy = |_| Fault::Locked("another request is still working on the upload");
        self.locks.take(id).await.map_err(busy)
    }

    fn admit(&self, caller: Holder) -> Result<Place, Fault> {
        self.places.take(caller).map_err(|full| match full {
            Full::All(_) => Fault::Crowded,
            Full::Share(most) => Fault::Share {
                what: "transfer bytes",
                setting: "max_transfers_per_caller",
                most: most as u64,
                advice: "wait for one of them to end",
            },
        })
    }
}

impl Pump {
    /// Joins the parts, if there are parts to join, and hands the upload over.
    pub(crate) async fn finish(&self, upload: &mut Upload, lock: &Lock) -> Result<(), Unfinished> {
        if upload.state == State::Joining {
            self.join_parts(upload, &lock.stop).await?;
        }
        if upload.state == State::Finishing {
            self.hand_over(upload).await?;
        }
        Ok(())
    }
}

/// A final upload's parts: ready to be joined, or joined before.
enum Joinable {
    Free { total: u64 },
    Already(Box<Upload>),
}

/// The sweeper repeats the rest.
fn note_unfinished(id: &str, outcome: Result<(), Unfinished>, work: &Notify) {
    if let Err(reason) = outcome {
        tracing::warn!(upload = id, %reason, "not finished yet; will retry");
        work.notify_one();
    }
}
