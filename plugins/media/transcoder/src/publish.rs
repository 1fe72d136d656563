//! Carries the engine's results to storage and then to the catalogue: objects first, rows after, batching
//! what has queued up meanwhile. A row is never written before its bytes are stored, nor out of order within
//! a rendition.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use futures_util::{StreamExt, TryStreamExt, stream};
use streamgate_contracts::catalogue::v1 as catalogue;
use streamgate_contracts::catalogue::v1::catalogue_client::CatalogueClient;
use streamgate_contracts::fence;
use streamgate_contracts::renditions::folder;
use streamgate_contracts::storage::StorageError;
use streamgate_plugin_api::backoff::Backoff;
use streamgate_plugin_api::{Client, failpoint};
use tokio::sync::mpsc;
use tonic::{Code, Status};

use crate::chapters;
use crate::objects::Objects;
use crate::sink::{Chapter, Facts, Kind, Rendition, Segment, Sink, SinkError, Text};

/// Results that may wait to be stored; beyond that the encoder waits.
const QUEUED: usize = 16;
/// Objects written concurrently.
const WRITES: usize = 4;
/// How often a catalogue call is attempted.
const TRIES: u32 = 6;
const BACKOFF: Backoff = Backoff { first: Duration::from_millis(100), longest: Duration::from_secs(4) };

/// Why results could not be published.
#[derive(Debug, thiserror::Error)]
pub(crate) enum PublishError {
    /// The content was deleted while it was being encoded.
    #[error("the content was deleted")]
    Gone,
    /// Another run has the job by now.
    #[error("a later run has the content: {0}")]
    Superseded(String),
    /// The catalogue refused the step.
    #[error("the catalogue refused: {0}")]
    Refused(String),
    /// The catalogue did not answer.
    #[error("the catalogue: {0}")]
    Catalogue(String),
    /// The storage failed.
    #[error(transparent)]
    Storage(StorageError),
    /// The catalogue has no room for the step.
    #[error("the catalogue has no room: {0}")]
    Full(String),
}

impl From<StorageError> for PublishError {
    fn from(error: StorageError) -> Self {
        match error {
            StorageError::PreconditionFailed(_) => Self::Superseded(error.to_string()),
            error => Self::Storage(error),
        }
    }
}

impl From<Status> for PublishError {
    fn from(status: Status) -> Self {
        if fence::superseded_by(&status).is_some() {
            return Self::Superseded(status.message().to_owned());
        }
        match status.code() {
            Code::NotFound => Self::Gone,
            Code::FailedPrecondition | Code::InvalidArgument => Self::Refused(status.message().to_owned()),
            Code::ResourceExhausted => Self::Full(status.message().to_owned()),
            _ => Self::Catalogue(status.to_string()),
        }
    }
}

/// The catalogue's calls for one content, retried while it is unavailable. Every write has the fence of the
/// lease.
#[derive(Clone)]
pub(crate) struct Entry {
    client: CatalogueClient<Client>,
    id: String,
    fence: u64,
}

impl Entry {
    pub(crate) fn new(catalogue: Client, id: &str, fence: u64) -> Self {
        Self { client: CatalogueClient::new(catalogue), id: id.to_owned(), fence }
    }

    /// Makes the catalogue refuse earlier runs, before reading anything that they might still change.
    pub(crate) async fn take_over(&self) -> Result<(), PublishError> {
        // A queue without fences.
        if self.fence == 0 {
            return Ok(());
        }
        self.update(catalogue::UpdateRequest::default()).await.map(drop)
    }

    pub(crate) async fn timeline(&self) -> Result<catalogue::TimelineResponse, PublishError> {
        let request = catalogue::TimelineRequest { id: self.id.clone(), known_revision: 0 };
        retry(|| {
            let (mut client, request) = (self.client.clone(), request.clone());
            async move { client.timeline(request).await }
        })
        .await
    }

    pub(crate) async fn update(
        &self,
        update: catalogue::UpdateRequest,
    ) -> Result<catalogue::Content, PublishError> {
        let request = catalogue::UpdateRequest { id: self.id.clone(), fence: self.fence, ..update };
        retry(|| {
            let (mut client, request) = (self.client.clone(), request.clone());
            async move { client.update(request).await }
        })
        .await
    }

    async fn put_renditions(&self, renditions: Vec<catalogue::Rendition>) -> Result<(), PublishError> {
        let request = catalogue::PutRenditionsRequest { id: self.id.clone(), renditions, fence: self.fence };
        retry(|| {
            let (mut client, request) = (self.client.clone(), request.clone());
            async move { client.put_renditions(request).await }
        })
        .await
        .map(drop)
    }

    async fn put_segments(&self, request: catalogue::PutSegmentsRequest) -> Result<(), PublishError> {
        let request = catalogue::PutSegmentsRequest { id: self.id.clone(), fence: self.fence, ..request };
        retry(|| {
            let (mut client, request) = (self.client.clone(), request.clone());
            async move { client.put_segments(request).await }
        })
        .await
        .map(drop)
    }
}

/// Every call here is idempotent, so a lost answer does no harm.
async fn retry<T, F>(mut call: impl FnMut() -> F) -> Result<T, PublishError>
where
    F: Future<Output = Result<tonic::Response<T>, Status>>,
{
    for failures in 1..TRIES {
        match call().await {
            Ok(response) => return Ok(response.into_inner()),
            Err(status) if transient(status.code()) => {
                tracing::debug!(%status, "the catalogue call is retried")
            }
            Err(status) => return Err(status.into()),
        }
        tokio::time::sleep(BACKOFF.after(failures)).await;
    }
    Ok(call().await?.into_inner())
}

pub(crate) fn transient(code: Code) -> bool {
    matches!(
        code,
        Code::Unavailable | Code::Internal | Code::Unknown | Code::Aborted | Code::DeadlineExceeded
    )
}

enum Outcome {
    Planned(Facts, Vec<String>),
    Rendition(Rendition, Bytes),
    Segment(String, Segment, Bytes),
    Complete(String),
    Image(String, Bytes),
    Texts(Vec<Text>, Vec<Chapter>),
}

/// Progress of an encode, readable from any thread.
#[derive(Debug, Clone, Default)]
pub(crate) struct Progress(Arc<AtomicU64>);

impl Progress {
    pub(crate) fn get(&self) -> f64 {
        f64::from_bits(self.0.load(Ordering::Relaxed))
    }

    fn raise(&self, to: f64) {
        // Several threads report; the largest value counts.
        let _ = self.0.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |old| {
            (to > f64::from_bits(old)).then(|| to.to_bits())
        });
    }
}

/// The engine's end.
pub(crate) struct StoreSink {
    results: Mutex<Option<mpsc::Sender<Outcome>>>,
    progress: Progress,
}

impl StoreSink {
    fn send(&self, result: Outcome) -> Result<(), SinkError> {
        let sender = self.results.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let sender = sender.ok_or("publishing has ended")?;
        sender.blocking_send(result).map_err(|_| "publishing has stopped".into())
    }

    /// No more results: the publisher ends when it has stored the queued ones.
    pub(crate) fn close(&self) {
        self.results.lock().unwrap_or_else(PoisonError::into_inner).take();
    }
}

impl Sink for StoreSink {
    fn planned(&self, facts: &Facts, watch: &[String]) -> Result<(), SinkError> {
        self.send(Outcome::Planned(facts.clone(), watch.to_vec()))
    }

    fn rendition(&self, rendition: &Rendition, init: Bytes) -> Result<(), SinkError> {
        self.send(Outcome::Rendition(rendition.clone(), init))
    }

    fn segment(&self, rendition: &str, segment: Segment, data: Bytes) -> Result<(), SinkError> {
        self.send(Outcome::Segment(rendition.to_owned(), segment, data))
    }

    fn complete(&self, rendition: &str) -> Result<(), SinkError> {
        self.send(Outcome::Complete(rendition.to_owned()))
    }

    fn image(&self, name: &str, data: Bytes) -> Result<(), SinkError> {
        self.send(Outcome::Image(name.to_owned(), data))
    }

    fn texts(&self, texts: Vec<Text>, chapters: Vec<Chapter>) -> Result<(), SinkError> {
        self.send(Outcome::Texts(texts, chapters))
    }

    fn progress(&self, progress: f64) {
        self.progress.raise(progress);
    }
}

/// The platform's end: stores results until the engine closes its end.
pub(crate) struct Publisher {
    results: mpsc::Receiver<Outcome>,
    entry: Entry,
    objects: Objects,
    source: catalogue::Source,
    progress: Progress,
    /// Of all renditions.
    generation: u32,
    rows: HashMap<String, catalogue::Rendition>,
    segments: HashMap<String, usize>,
    watch: Vec<String>,
    playable: bool,
    /// Of the sheets of thumbnails that no index names yet.
    sheet_bytes: u64,
    notes: Vec<String>,
}

impl Publisher {
    /// Both ends, continuing from the catalogue's state of a generation.
    pub(crate) fn new(
        entry: Entry,
        objects: Objects,
        timeline: &catalogue::TimelineResponse,
        generation: u32,
    ) -> (Arc<StoreSink>, Self, Progress) {
        let (sender, results) = mpsc::channel(QUEUED);
        let progress = Progress::default();
        let content = timeline.content.clone().unwrap_or_default();
        let mut publisher = Self {
            results,
            entry,
            objects,
            playable: content.state() == catalogue::ContentState::Playable,
            source: content.source.unwrap_or_default(),
            progress: progress.clone(),
            generation,
            rows: HashMap::new(),
            segments: HashMap::new(),
            watch: Vec::new(),
            sheet_bytes: 0,
            notes: Vec::new(),
        };
        for row in &timeline.renditions {
            let Some(rendition) = &row.rendition else { continue };
            publisher.segments.insert(rendition.name.clone(), row.segments.len());
            publisher.rows.insert(rendition.name.clone(), rendition.clone());
        }
        let sink = StoreSink { results: Mutex::new(Some(sender)), progress: progress.clone() };
        (Arc::new(sink), publisher, progress)
    }

    /// Runs until the engine's end is closed and everything is stored, or the first failure. Returns notes
    /// for people.
    pub(crate) async fn run(mut self) -> Result<Vec<String>, PublishError> {
        let mut batch = Vec::with_capacity(QUEUED);
        while self.results.recv_many(&mut batch, QUEUED).await > 0 {
            self.publish(std::mem::take(&mut batch)).await?;
        }
        Ok(self.notes)
    }

    async fn publish(&mut self, batch: Vec<Outcome>) -> Result<(), PublishError> {
        let mut writes = Vec::new();
        let mut begun = Vec::new();
        let mut completed = Vec::new();
        let mut segments: Vec<catalogue::RenditionSegments> = Vec::new();
        let mut update = None::<catalogue::UpdateRequest>;
        for result in batch {
            match result {
                Outcome::Planned(facts, watch) => {
                    self.watch = watch;
                    update.get_or_insert_default().source = Some(source(&facts, self.source.clone()));
                }
                Outcome::Rendition(rendition, init) => {
                    let row = row(&rendition, self.generation, init.len());
                    writes.push((format!("{}/init.mp4", row.folder()), init));
                    self.rows.insert(rendition.name, row.clone());
                    begun.push(row);
                }
                Outcome::Segment(rendition, segment, data) => {
                    let sync_points = segment.key_frame.map(|(offset, length)| catalogue::SyncPoint {
                        time: segment.start,
                        offset,
                        length,
                    });
                    let row = catalogue::Segment {
                        number: segment.number,
                        start: segment.start,
                        duration: segment.duration,
                        bytes: u32::try_from(data.len()).unwrap_or(u32::MAX),
                        sync_points: sync_points.into_iter().collect(),
                    };
                    let folder = folder(&rendition, self.generation);
                    writes.push((format!("{folder}/{}.m4s", segment.number), data));
                    *self.segments.entry(rendition).or_default() += 1;
                    match segments.iter_mut().find(|of| of.rendition == folder) {
                        Some(of) => of.segments.push(row),
                        None => segments
                            .push(catalogue::RenditionSegments { rendition: folder, segments: vec![row] }),
                    }
                }
                Outcome::Complete(name) => {
                    if let Some(row) = self.rows.get_mut(&name) {
                        row.complete = true;
                        completed.push(row.clone());
                    }
                }
                Outcome::Image(name, data) => {
                    let bytes = data.len() as u64;
                    match name.as_str() {
                        "poster.jpg" => {
                            let update = update.get_or_insert_default();
                            (update.has_poster, update.poster_bytes) = (Some(true), Some(bytes));
                        }
                        "thumbnails.vtt" => {
                            let update = update.get_or_insert_default();
                            let all = std::mem::take(&mut self.sheet_bytes) + bytes;
                            (update.has_thumbnails, update.thumbnail_bytes) = (Some(true), Some(all));
                        }
                        _ => self.sheet_bytes += bytes,
                    }
                    writes.push((name, data));
                }
                Outcome::Texts(texts, chapters) => {
                    let rows = texts.iter().map(text_row).collect();
                    writes.extend(texts.into_iter().map(|text| (format!("{}/1.vtt", text.name), text.data)));
                    let chapters = chapters.into_iter().map(|chapter| catalogue::Chapter {
                        start_ms: chapter.start_ms,
                        title: chapter.title,
                    });
                    update.get_or_insert_default().file_texts =
                        Some(catalogue::FileTexts { texts: rows, chapters: chapters.collect() });
                }
            }
        }
        let objects = &self.objects;
        stream::iter(writes)
            .map(|(name, data)| async move { objects.put(&name, data).await })
            .buffer_unordered(WRITES)
            .try_collect::<()>()
            .await?;
        if !begun.is_empty() {
            self.entry.put_renditions(begun).await?;
        }
        let watchable = !self.watch.is_empty()
            && self.watch.iter().all(|name| self.segments.get(name).is_some_and(|count| *count > 0));
        if !segments.is_empty() {
            let request = catalogue::PutSegmentsRequest {
                segments,
                progress: Some(self.progress.get()),
                playable: watchable && !self.playable,
                ..Default::default()
            };
            failpoint("transcoder.segments-stored");
            self.entry.put_segments(request).await?;
            failpoint("transcoder.rows-written");
            self.playable |= watchable;
        }
        if !completed.is_empty() {
            self.entry.put_renditions(completed).await?;
        }
        if let Some(update) = update {
            let file = update.file_texts.clone().unwrap_or_default();
            let content = self.entry.update(update).await?;
            self.notes.extend(chapters::taken(&titles(file.chapters), &titles(content.chapters.clone())));
            let texts = file.texts.into_iter().map(|text| text.name).collect();
            self.remove_untaken(texts, &content).await?;
        }
        Ok(())
    }

    /// The catalogue takes only as many texts as fit beside those added by people.
    async fn remove_untaken(
        &mut self,
        texts: Vec<String>,
        content: &catalogue::Content,
    ) -> Result<(), PublishError> {
        let taken = |name: &String| content.texts.iter().any(|text| text.name == *name);
        let untaken: Vec<_> = texts.into_iter().filter(|name| !taken(name)).collect();
        for name in &untaken {
            self.objects.remove(&format!("{name}/1.vtt")).await?;
        }
        if !untaken.is_empty() {
            self.notes
                .push(format!("{} of its subtitle tracks found no room and were left out.", untaken.len()));
        }
        Ok(())
    }
}

fn row(rendition: &Rendition, generation: u32, init_bytes: usize) -> catalogue::Rendition {
    let mut row = catalogue::Rendition {
        name: rendition.name.clone(),
        generation,
        codec: rendition.codec.clone(),
        timescale: rendition.timescale,
        target_bitrate: rendition.target_bitrate,
        language: rendition.about.language.clone(),
        label: rendition.about.label.clone(),
        track: rendition.track,
        commentary: rendition.about.commentary,
        described: rendition.about.described,
        init_bytes: u32::try_from(init_bytes).unwrap_or(u32::MAX),
        ..catalogue::Rendition::default()
    };
    match rendition.kind {
        Kind::Video { width, height, rate } => {
            row.set_kind(catalogue::RenditionKind::Video);
            (row.width, row.height) = (width, height);
            (row.fps_numerator, row.fps_denominator) = (rate.num, rate.den);
        }
        Kind::Audio { sample_rate, channels } => {
            row.set_kind(catalogue::RenditionKind::Audio);
            (row.sample_rate, row.channels) = (sample_rate, channels);
        }
    }
    row
}

fn titles(chapters: Vec<catalogue::Chapter>) -> Vec<(u64, String)> {
    chapters.into_iter().map(|chapter| (chapter.start_ms, chapter.title)).collect()
}

fn text_row(text: &Text) -> catalogue::TextTrack {
    catalogue::TextTrack {
        name: text.name.clone(),
        version: 1,
        bytes: u32::try_from(text.data.len()).unwrap_or(u32::MAX),
        language: text.about.language.clone(),
        label: text.about.label.clone(),
        default: text.about.default,
        forced: text.about.forced,
        hearing_impaired: text.about.hearing_impaired,
        commentary: text.about.commentary,
        earlier: Vec::new(),
    }
}

fn source(facts: &Facts, known: catalogue::Source) -> catalogue::Source {
    catalogue::Source {
        width: facts.width,
        height: facts.height,
        fps_numerator: facts.rate.map_or(0, |rate| rate.num),
        fps_denominator: facts.rate.map_or(0, |rate| rate.den),
        video_codec: facts.video_codec.clone(),
        audio_codec: facts.audio_codec.clone(),
        audio_channels: facts.audio_channels,
        ..known
    }
}
