//! One job from its lease to its end: the catalogue's state of the content, the encode on its own thread,
//! heartbeats, and how each outcome is recorded.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use serde::Deserialize;
use streamgate_contracts::catalogue::v1 as catalogue;
use streamgate_contracts::catalogue::v1::ContentState;
use streamgate_contracts::deletions::Deletions;
use streamgate_contracts::events;
use streamgate_contracts::jobs::v1 as jobs;
use streamgate_contracts::jobs::v1::jobs_client::JobsClient;
use streamgate_contracts::storage::StorageError;
use streamgate_plugin_api::{Client, Host};
use tokio::runtime::Handle;
use tokio::sync::oneshot;
use tokio_util::sync::CancellationToken;
use tonic::{Code, Status};

use crate::control::{Control, EncodeError};
use crate::encode::{Options, Report, encode};
use crate::ladder::Rate;
use crate::objects::{Objects, StoredSource};
use crate::publish::{Entry, Progress, PublishError, Publisher};
use crate::sink::{Earlier, Existing, Kind, Rendition, Sink};
use crate::source::Source;
use crate::tracks::About;
use crate::worked::{Counted, Worked};

/// The queue of this plugin.
pub(crate) const QUEUE: &str = "transcode";

/// The message for people about a file that crashed the encoder's process.
const SET_ASIDE: &str = "The encoder was interrupted or crashed on this file again and again, so it was set aside. \
                         Upload it in another format, or encode it again after an update.";

/// The payload of a job.
#[derive(Debug, Deserialize)]
struct Payload {
    content: String,
}

/// What jobs need from the platform.
#[derive(Clone)]
pub(crate) struct Platform {
    pub(crate) storage: Client,
    pub(crate) catalogue: Client,
    pub(crate) jobs: Client,
    /// Reports deletions; `None` in tests without a bus.
    pub(crate) host: Option<Host>,
    pub(crate) shutdown: CancellationToken,
    pub(crate) options: Options,
    pub(crate) lease: Duration,
    /// How long a job waits on a full disk.
    pub(crate) no_room_pause: Duration,
}

/// The outcome of an attempt.
#[derive(Debug)]
enum End {
    /// Ready.
    Done,
    /// The content is gone, or needs nothing: there is nothing to do.
    Nothing(&'static str),
    /// The file is the reason; the text is for people.
    Refused(String),
    /// The file crashed the encoder's process repeatedly; the text is from the queue.
    SetAside(String),
    /// A retry may succeed.
    Again(String),
    /// There is no room for the result, which is not the content's fault: later, as often as necessary.
    NoRoom(String),
    /// The job was cancelled.
    Cancelled,
    /// Another worker has the job now.
    LeaseLost,
    /// The plugin stops.
    Shutdown,
}

impl End {
    /// One line for the log.
    fn log(&self, content: &str, job: &str) {
        match self {
            Self::Done => tracing::info!(content, job, "encoding ended: ready"),
            Self::Nothing(why) => tracing::info!(content, job, why, "encoding ended: nothing to do"),
            Self::Refused(reason) => tracing::info!(content, job, reason, "encoding ended: refused"),
            Self::SetAside(reason) => tracing::warn!(content, job, reason, "not encoded: set aside"),
            Self::Again(error) => tracing::warn!(content, job, error, "encoding failed"),
            Self::NoRoom(error) => tracing::warn!(content, job, error, "encoding waits for room"),
            Self::Cancelled => tracing::info!(content, job, "encoding ended: cancelled"),
            Self::LeaseLost => tracing::warn!(content, job, "encoding ended: its lease was lost"),
            Self::Shutdown => tracing::info!(content, job, "encoding ended: the plugin stops"),
        }
    }
}

/// Runs one leased job to its end and records it. With `set_aside` it is only recorded as failed.
pub(crate) async fn run(platform: &Platform, job: jobs::Job, lease: String, set_aside: String) {
    let worked = Arc::new(Worked::default());
    let payload: Payload = match serde_json::from_slice(&job.payload) {
        Ok(payload) => payload,
        Err(error) => {
            let end = End::Refused(format!("the payload is not {{\"content\": id}}: {error}"));
            return record(platform, &job, (&lease, 0), None, end).await;
        }
    };
    let content = payload.content;
    let end = if set_aside.is_empty() {
        tracing::info!(content, job = job.id, attempt = job.attempt, "encoding begins");
        let attempt = Attempt { platform, job: &job, lease: &lease, content: &content, worked: &worked };
        attempt.run().await
    } else {
        End::SetAside(set_aside)
    };
    end.log(&content, &job.id);
    let entry = Entry::new(platform.catalogue.clone(), &content, job.fence);
    record(platform, &job, (&lease, worked.ms()), Some(entry), end).await;
}

/// Records the outcome of the attempt: in the catalogue first, then in the job, with its work time.
async fn record(
    platform: &Platform,
    job: &jobs::Job,
    (lease, worked_ms): (&str, u64),
    entry: Option<Entry>,
    end: End,
) {
    let mut client = JobsClient::new(platform.jobs.clone());
    let (id, lease) = (job.id.clone(), lease.to_owned());
    let last = job.attempt >= job.max_attempts;
    let to_people = match &end {
        End::Refused(reason) => Some(reason.clone()),
        End::SetAside(_) => Some(SET_ASIDE.to_owned()),
        End::Cancelled => Some("Encoding was cancelled.".to_owned()),
        End::Again(error) if last => Some(format!("Encoding failed {} times: {error}.", job.attempt)),
        _ => None,
    };
    if let (Some(entry), Some(reason)) = (entry, to_people) {
        let unusable = Some(matches!(end, End::Refused(_)));
        let mut update = catalogue::UpdateRequest { reason: Some(reason), unusable, ..Default::default() };
        update.set_state(ContentState::Failed);
        if let Err(error) = entry.update(update).await {
            tracing::warn!(%error, job = id, "the content could not be marked as failed");
        }
    }
    let told: Result<(), Status> = match end {
        End::Done => client
            .complete(jobs::CompleteRequest { id, lease, result: Bytes::new(), worked_ms })
            .await
            .map(drop),
        End::Nothing(why) => client
            .complete(jobs::CompleteRequest { id, lease, result: Bytes::from(why), worked_ms })
            .await
            .map(drop),
        End::Refused(error) | End::SetAside(error) => {
            client.fail(jobs::FailRequest { id, lease, error, permanent: true, worked_ms }).await.map(drop)
        }
        End::Again(error) => {
            client.fail(jobs::FailRequest { id, lease, error, permanent: false, worked_ms }).await.map(drop)
        }
        End::NoRoom(reason) => {
            let delay_ms = u32::try_from(platform.no_room_pause.as_millis()).unwrap_or(u32::MAX);
            client.release(jobs::ReleaseRequest { id, lease, delay_ms, reason, worked_ms }).await.map(drop)
        }
        End::Shutdown => client
            .release(jobs::ReleaseRequest { id, lease, worked_ms, ..Default::default() })
            .await
            .map(drop),
        End::Cancelled | End::LeaseLost => Ok(()),
    };
    // An unrecorded end shows as an expired lease: the job is leased again and finds its work done.
    if let Err(status) = told {
        tracing::warn!(%status, job = job.id, "the end of the job could not be recorded");
    }
}

struct Attempt<'a> {
    platform: &'a Platform,
    job: &'a jobs::Job,
    lease: &'a str,
    content: &'a str,
    worked: &'a Arc<Worked>,
}

impl Attempt<'_> {
    async fn run(&self) -> End {
        match self.attempt().await {
            Ok(end) => end,
            Err(PublishError::Gone) => {
                // A restored catalogue does not know all contents, nor all deletions.
                if self.is_deleted().await {
                    self.clean_up().await;
                }
                End::Nothing("the content is gone")
            }
            // The existing data belongs to the later run.
            Err(PublishError::Superseded(why)) => {
                tracing::warn!(content = self.content, job = self.job.id, why, "a write was refused");
                End::LeaseLost
            }
            Err(error @ (PublishError::Storage(StorageError::Full { .. }) | PublishError::Full(_))) => {
                End::NoRoom(error.to_string())
            }
            Err(error) => End::Again(error.to_string()),
        }
    }

    async fn attempt(&self) -> Result<End, PublishError> {
        let entry = Entry::new(self.platform.catalogue.clone(), self.content, self.job.fence);
        let objects = Objects::new(self.platform.storage.clone(), self.content, self.job.fence);
        entry.take_over().await?;
        objects.take_over().await?;
        let timeline = entry.timeline().await?;
        let state = timeline.content.as_ref().map_or(ContentState::Unspecified, catalogue::Content::state);
        match state {
            ContentState::Ready => return Ok(End::Nothing("the content is ready")),
            ContentState::Uploading => return Ok(End::Again("the upload is not complete".to_owned())),
            ContentState::Uploaded | ContentState::Failed => {
                let mut update =
                    catalogue::UpdateRequest { reason: Some(String::new()), ..Default::default() };
                update.set_state(ContentState::Transcoding);
                entry.update(update).await?;
            }
            _ => {}
        }
        let Some(size) = objects.source_size().await? else {
            return Ok(End::Refused("The uploaded file is not in the storage any more.".to_owned()));
        };
        let mut ground = Ground::find(timeline, &objects).await?;
        loop {
            let (sink, publisher, progress) =
                Publisher::new(entry.clone(), objects.clone(), &ground.timeline, ground.generation);
            let source = StoredSource::new(objects.clone(), size, Handle::current());
            let control = Control::new();
            let again = !ground.earlier.renditions.is_empty();
            let earlier = std::mem::take(&mut ground.earlier);
            let counted = Counted::new(sink.clone(), self.worked, &earlier);
            let publishing = publish(publisher, &control);
            let encoding = self.encode(Arc::new(source), earlier, counted, &control);
            let (encoded, end, published) = {
                let watched = async {
                    let result = self.watch(encoding, &control, &progress).await;
                    sink.close();
                    result
                };
                let ((encoded, end), published) = tokio::join!(watched, publishing);
                (encoded, end, published)
            };
            let notes = published?;
            if let Some(end) = end {
                if matches!(end, End::Nothing(_)) {
                    self.clean_up().await;
                }
                return Ok(end);
            }
            return match encoded {
                Ok(report) => self.ready(&entry, report, notes).await,
                Err(EncodeError::Changed) if again => {
                    // Rows published meanwhile are known too.
                    ground = Ground::anew(entry.timeline().await?);
                    tracing::info!(
                        content = self.content,
                        generation = ground.generation,
                        "earlier segments no longer match; starting over"
                    );
                    continue;
                }
                Err(EncodeError::Input { reason, detail }) => {
                    tracing::info!(content = self.content, reason, detail, "the file cannot be encoded");
                    Ok(End::Refused(reason))
                }
                Err(error) => Ok(End::Again(error.to_string())),
            };
        }
    }

    async fn ready(&self, entry: &Entry, report: Report, notes: Vec<String>) -> Result<End, PublishError> {
        let notes: Vec<_> = report.note.into_iter().chain(notes).collect();
        let mut update = catalogue::UpdateRequest {
            reason: Some(notes.join(" ")),
            progress: Some(1.0),
            duration_ms: Some(report.duration.as_millis() as u64),
            ..Default::default()
        };
        update.set_state(ContentState::Ready);
        entry.update(update).await?;
        Ok(End::Done)
    }

    /// Starts the encode on its own thread.
    fn encode(
        &self,
        source: Arc<dyn Source>,
        earlier: Earlier,
        sink: Arc<dyn Sink>,
        control: &Arc<Control>,
    ) -> oneshot::Receiver<Result<Report, EncodeError>> {
        let (done, result) = oneshot::channel();
        let (options, control) = (self.platform.options.clone(), Arc::clone(control));
        let spawned = std::thread::Builder::new().name("encode".to_owned()).spawn(move || {
            let _ = done.send(encode(&source, &options, earlier, &sink, &control));
        });
        if let Err(error) = spawned {
            tracing::error!(%error, "no thread for an encode");
        }
        result
    }

    /// Waits for the encode; meanwhile keeps the lease and checks for reasons to stop. The second value says
    /// why it was stopped from here.
    async fn watch(
        &self,
        mut encoding: oneshot::Receiver<Result<Report, EncodeError>>,
        control: &Arc<Control>,
        progress: &Progress,
    ) -> (Result<Report, EncodeError>, Option<End>) {
        let mut beat = tokio::time::interval(self.platform.lease / 4);
        beat.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        let mut deleted = self
            .platform
            .host
            .as_ref()
            .and_then(|host| host.subscribe(&events::content_deleted(self.content)).ok());
        let mut end = None;
        loop {
            tokio::select! {
                result = &mut encoding => {
                    let result = result.unwrap_or_else(|_| {
                        Err(EncodeError::Engine("the encoding thread panicked".to_owned()))
                    });
                    return (result, end);
                }
                _ = beat.tick(), if end.is_none() => {
                    end = self.heartbeat(progress.get(), false).await;
                }
                () = self.platform.shutdown.cancelled(), if end.is_none() => {
                    end = Some(End::Shutdown);
                    control.cancel();
                    // If it takes longer than allowed, its end is not the job's fault.
                    self.heartbeat(progress.get(), true).await;
                }
                // An event is no proof; if the catalogue cannot confirm it now, the next segment fails
                // instead.
                Some(_) = next(&mut deleted), if end.is_none() => {
                    if self.is_deleted().await {
                        end = Some(End::Nothing("the content was deleted"));
                    }
                }
            }
            if end.is_some() {
                control.cancel();
            }
        }
    }

    async fn is_deleted(&self) -> bool {
        let deletions = Deletions::new(self.platform.catalogue.clone());
        let deleted = deletions.confirmed(vec![self.content.to_owned()]).await;
        deleted.is_ok_and(|deleted| !deleted.is_empty())
    }

    /// Why to stop, as reported by the jobs plugin.
    async fn heartbeat(&self, progress: f64, stopping: bool) -> Option<End> {
        let request = jobs::HeartbeatRequest {
            id: self.job.id.clone(),
            lease: self.lease.to_owned(),
            progress: Some(progress),
            stopping,
            worked_ms: self.worked.ms(),
        };
        let mut client = JobsClient::new(self.platform.jobs.clone());
        match client.heartbeat(request).await {
            Ok(answer) if answer.get_ref().cancelled => Some(End::Cancelled),
            Ok(_) => None,
            Err(status) if matches!(status.code(), Code::FailedPrecondition | Code::NotFound) => {
                Some(End::LeaseLost)
            }
            // The lease outlives a few lost heartbeats.
            Err(status) => {
                tracing::debug!(%status, "a heartbeat was lost");
                None
            }
        }
    }

    /// Removes what was written for a deleted content.
    async fn clean_up(&self) {
        let objects = Objects::new(self.platform.storage.clone(), self.content, self.job.fence);
        if let Err(error) = objects.remove_all().await {
            tracing::warn!(%error, content = self.content, "objects of a deleted content may be left");
        }
    }
}

async fn next(
    events: &mut Option<streamgate_plugin_api::Subscription>,
) -> Option<streamgate_plugin_api::Event> {
    match events {
        Some(events) => events.next().await,
        None => None,
    }
}

/// Publishes until the engine closes its end; a failure stops the engine.
async fn publish(publisher: Publisher, control: &Arc<Control>) -> Result<Vec<String>, PublishError> {
    let result = publisher.run().await;
    if let Err(error) = &result {
        control.fail(EncodeError::Sink(error.to_string()));
    }
    result
}

/// Where an attempt begins: the newest generation of the renditions, or the next one if that cannot be
/// continued. Bytes at an address never change.
struct Ground {
    generation: u32,
    /// With the rows of this generation alone.
    timeline: catalogue::TimelineResponse,
    earlier: Earlier,
}

impl Ground {
    async fn find(
        mut timeline: catalogue::TimelineResponse,
        objects: &Objects,
    ) -> Result<Self, PublishError> {
        let generation = generations(&timeline).max().unwrap_or(0);
        let all = timeline.clone();
        timeline
            .renditions
            .retain(|row| row.rendition.as_ref().is_some_and(|it| it.generation == generation));
        match renditions(&timeline, objects).await? {
            Some(renditions) => {
                let earlier = Earlier { renditions, ..beside(&timeline) };
                Ok(Self { generation, timeline, earlier })
            }
            None => Ok(Self::anew(all)),
        }
    }

    /// Without the existing renditions.
    fn anew(mut timeline: catalogue::TimelineResponse) -> Self {
        let generation = generations(&timeline).max().map_or(0, |newest| newest.saturating_add(1));
        timeline.renditions.clear();
        Self { generation, earlier: beside(&timeline), timeline }
    }
}

fn generations(timeline: &catalogue::TimelineResponse) -> impl Iterator<Item = u32> + '_ {
    timeline.renditions.iter().filter_map(|row| Some(row.rendition.as_ref()?.generation))
}

/// What an earlier attempt left besides the renditions.
fn beside(timeline: &catalogue::TimelineResponse) -> Earlier {
    let content = timeline.content.clone().unwrap_or_default();
    Earlier {
        renditions: Vec::new(),
        poster: content.has_poster,
        thumbnails: content.has_thumbnails,
        texts: content.texts_read,
    }
}

/// The renditions of an earlier attempt, in the engine's form; `None`: the rows are unusable, because an init
/// segment is missing.
async fn renditions(
    timeline: &catalogue::TimelineResponse,
    objects: &Objects,
) -> Result<Option<Vec<Existing>>, PublishError> {
    let mut renditions = Vec::new();
    for row in &timeline.renditions {
        let Some(rendition) = &row.rendition else { continue };
        let init = objects.get(&format!("{}/init.mp4", rendition.folder())).await?;
        let Some(init) = init else { return Ok(None) };
        let kind = match rendition.kind() {
            catalogue::RenditionKind::Audio => {
                Kind::Audio { sample_rate: rendition.sample_rate, channels: rendition.channels }
            }
            _ => Kind::Video {
                width: rendition.width,
                height: rendition.height,
                rate: Rate::new(rendition.fps_numerator, rendition.fps_denominator),
            },
        };
        let segments = row
            .segments
            .iter()
            .enumerate()
            .take_while(|(at, segment)| segment.number as usize == *at)
            .map(|(_, segment)| (segment.start, segment.duration))
            .collect();
        renditions.push(Existing {
            rendition: Rendition {
                name: rendition.name.clone(),
                codec: rendition.codec.clone(),
                timescale: rendition.timescale,
                kind,
                target_bitrate: rendition.target_bitrate,
                track: rendition.track,
                about: About {
                    language: rendition.language.clone(),
                    label: rendition.label.clone(),
                    commentary: rendition.commentary,
                    described: rendition.described,
                    ..About::default()
                },
            },
            init,
            segments,
            complete: rendition.complete,
        });
    }
    Ok(Some(renditions))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests;
