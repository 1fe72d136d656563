//! Opens a source: finds its first picture and sound streams, decodes just those, and
//! hands out raw frames (I420, progressive, upright) and samples (float, stereo, 48 kHz)
//! through small queues. Independent of encoding: a source that breaks in the middle
//! ends the frames, not the encode. It never retimes anything.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, TryRecvError};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use gstreamer as gst;
use gstreamer::prelude::*;
use gstreamer_app as gst_app;

use crate::control::{Control, EncodeError, Watchdog};
use crate::media::{self, Fault, FaultKind};
use crate::source::Blocks;
use crate::streams::attach;

/// Without reading a byte or finding a stream for this long, a source is not opened: the
/// parser sometimes swallows a demuxer's error.
const OPEN_PATIENCE: Duration = Duration::from_secs(15);
/// A seek may take this long.
const SEEK_PATIENCE: Duration = Duration::from_secs(10);
/// Time stamps of compressed frames that are kept to tell the frame rate.
pub(crate) const TIMES_KEPT: usize = 240;

/// What to open and how.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Want {
    pub(crate) video: bool,
    pub(crate) audio: bool,
    pub(crate) max_pixels: u64,
    pub(crate) max_streams: usize,
    pub(crate) patience: Duration,
    pub(crate) nice: i32,
}

/// One decoded stream.
pub(crate) struct Branch {
    /// Caps of the compressed stream.
    pub(crate) compressed: gst::Caps,
    /// The first sample.
    pub(crate) first: gst::Sample,
    times: Arc<Mutex<Vec<u64>>>,
    items: Receiver<gst::Sample>,
    shared: Arc<Shared>,
    /// Running times start anew with a seek: what to add to them.
    shift: i64,
}

/// What [`Branch::next`] found.
pub(crate) enum Next {
    Sample(gst::Sample),
    End,
}

/// An open source. Dropping it stops all its threads; drop the branches first.
pub(crate) struct Decoder {
    pipeline: gst::Pipeline,
    shared: Arc<Shared>,
    pub(crate) video: Option<Branch>,
    pub(crate) audio: Option<Branch>,
    /// Something was left out, for people.
    pub(crate) note: Option<String>,
    /// Caps of the container.
    pub(crate) container: Option<gst::Caps>,
}

pub(crate) struct Shared {
    pub(crate) control: Arc<Control>,
    pub(crate) want: Want,
    pub(crate) closed: AtomicBool,
    pub(crate) state: Mutex<State>,
    pub(crate) changed: Condvar,
}

#[derive(Default)]
pub(crate) struct State {
    pub(crate) streams: usize,
    pub(crate) video: Option<Opening>,
    pub(crate) audio: Option<Opening>,
    pub(crate) all_streams_known: bool,
    pub(crate) fault: Option<Fault>,
    pub(crate) missing: Vec<String>,
    pub(crate) container: Option<gst::Caps>,
    pub(crate) too_big: Option<String>,
}

pub(crate) struct Opening {
    pub(crate) compressed: gst::Caps,
    pub(crate) times: Arc<Mutex<Vec<u64>>>,
    pub(crate) items: Receiver<gst::Sample>,
}

impl Shared {
    pub(crate) fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn fault(&self, fault: Fault) {
        self.lock().fault.get_or_insert(fault);
        self.changed.notify_all();
    }
}

impl Decoder {
    /// Opens a source and waits for the first frame and samples of what it has.
    pub(crate) fn open(
        blocks: &Arc<Blocks>,
        want: Want,
        control: &Arc<Control>,
    ) -> Result<Self, EncodeError> {
        match Self::open_once(blocks, want, control) {
            // Sound that cannot be decoded is no reason to refuse the picture.
            Err(Refused { audio_only: true, error }) if want.video && want.audio => {
                tracing::info!(%error, "the sound cannot be decoded; going on without it");
                let mut decoder = Self::open_once(blocks, Want { audio: false, ..want }, control)
                    .map_err(|refused| refused.error)?;
                decoder.note = Some("The sound of this file could not be decoded.".to_owned());
                Ok(decoder)
            }
            other => other.map_err(|refused| refused.error),
        }
    }

    fn open_once(blocks: &Arc<Blocks>, want: Want, control: &Arc<Control>) -> Result<Self, Refused> {
        if crate::probe::lacks_index(blocks) {
            // The demuxer would end without a word.
            return Err(EncodeError::input(crate::probe::explain(blocks, None, None), "no moov").into());
        }
        let shared = Arc::new(Shared {
            control: Arc::clone(control),
            want,
            closed: AtomicBool::new(false),
            state: Mutex::default(),
            changed: Condvar::new(),
        });
        let pipeline = build(blocks, &shared).map_err(|why| Refused::from(EncodeError::Engine(why)))?;
        let mut decoder = Self { pipeline, shared, video: None, audio: None, note: None, container: None };
        decoder
            .pipeline
            .set_state(gst::State::Playing)
            .map_err(|_| decoder.refusal(blocks, "the pipeline did not start"))?;
        decoder.prime(blocks)?;
        Ok(decoder)
    }

    /// The duration the container claims.
    pub(crate) fn duration(&self) -> Option<Duration> {
        self.pipeline
            .query_duration::<gst::ClockTime>()
            .map(|time| Duration::from_nanos(time.nseconds()))
            .filter(|duration| !duration.is_zero())
    }

    /// Jumps to `to` nanoseconds, if the container can do that exactly. `false`: it cannot,
    /// or it did not; then the decoder is of no use any more.
    pub(crate) fn seek(&mut self, to: u64) -> bool {
        let mut branches: Vec<_> = [self.video.take(), self.audio.take()].into_iter().collect();
        let pipeline = self.pipeline.clone();
        let flags = gst::SeekFlags::FLUSH | gst::SeekFlags::ACCURATE;
        let seeking =
            std::thread::spawn(move || pipeline.seek_simple(flags, gst::ClockTime::from_nseconds(to)));
        let mut found = [None, None];
        let deadline = Instant::now() + SEEK_PATIENCE;
        // A streaming thread that waits for room in a queue would hold up the seek.
        let complete = loop {
            let mut missing = false;
            let mut ended = false;
            for (branch, found) in branches.iter().zip(&mut found) {
                let Some(branch) = branch.as_ref().filter(|_| found.is_none()) else { continue };
                match branch.skip_to(to) {
                    Ok(sample) => *found = sample,
                    Err(()) => ended = true,
                }
                missing |= found.is_none();
            }
            if !missing && seeking.is_finished() {
                break true;
            }
            let over = Instant::now() >= deadline || self.shared.control.stopped();
            if ended || over || self.damage().is_some() {
                break false;
            }
            std::thread::park_timeout(Duration::from_millis(1));
        };
        if !complete {
            // Their queues close, which lets the seek go on.
            branches.clear();
        }
        let accepted = matches!(seeking.join(), Ok(Ok(())));
        let mut branches = branches.into_iter().zip(found).map(|(branch, first)| {
            let mut branch = branch?;
            branch.first = first?;
            branch.shift = i64::try_from(to).unwrap_or(i64::MAX);
            Some(branch)
        });
        self.video = branches.next().flatten();
        self.audio = branches.next().flatten();
        complete && accepted
    }

    /// Whether the container has an index that leads to any time exactly.
    pub(crate) fn seeks_exactly(&self) -> bool {
        let structure = self.container.as_ref().and_then(|caps| caps.structure(0));
        structure.is_some_and(|structure| {
            matches!(structure.name().as_str(), "video/quicktime" | "video/x-matroska" | "video/webm")
        })
    }

    /// What ended the source early, if anything did.
    pub(crate) fn damage(&self) -> Option<Fault> {
        self.shared.lock().fault.clone()
    }

    /// Waits for the first sample of every stream.
    fn prime(&mut self, blocks: &Arc<Blocks>) -> Result<(), Refused> {
        let patience = self.shared.want.patience.min(OPEN_PATIENCE);
        let mut watch = Watchdog::new(&self.shared.control, patience);
        let shared = Arc::clone(&self.shared);
        let mut state = shared.lock();
        while !state.all_streams_known && state.fault.is_none() && state.too_big.is_none() {
            if let Some(failure) = shared.control.failure() {
                return Err(failure.into());
            }
            if let Err(EncodeError::Input { detail, .. }) = watch.check(&shared.control) {
                drop(state);
                return Err(self.refusal(blocks, &detail));
            }
            state = shared
                .changed
                .wait_timeout(state, Duration::from_millis(100))
                .unwrap_or_else(PoisonError::into_inner)
                .0;
        }
        self.container = state.container.clone();
        let (video, audio) = (state.video.take(), state.audio.take());
        drop(state);
        let audio_found = audio.is_some();
        let video_found = video.is_some();
        self.video = video.and_then(|opening| self.first(opening, &mut watch).transpose()).transpose()?;
        self.audio = audio.and_then(|opening| self.first(opening, &mut watch).transpose()).transpose()?;
        if let Some(reason) = self.shared.lock().too_big.clone() {
            return Err(EncodeError::input(reason, "the pixel limit (setting max_pixels)").into());
        }
        let audio_failed = audio_found && self.audio.is_none();
        let video_failed = video_found && self.video.is_none();
        let fault = self.damage();
        if let Some(fault) = &fault
            && (video_failed || self.video.is_none() && self.audio.is_none() || audio_failed)
        {
            let mut refused = self.refusal(blocks, &fault.detail);
            refused.audio_only = video_found && audio_found && fault.path.contains(":audio/");
            if audio_failed && !video_failed && self.video.is_some() && !refused.audio_only {
                // The file broke before its first sound; what pictures there are, stay.
                return Ok(());
            }
            return Err(refused);
        }
        if self.video.is_none() && self.audio.is_none() {
            return Err(self.refusal(blocks, "no stream gave a sample"));
        }
        Ok(())
    }

    /// Waits for a stream's first sample. `None`: it ended without one.
    fn first(&self, opening: Opening, watch: &mut Watchdog) -> Result<Option<Branch>, Refused> {
        let control = &self.shared.control;
        loop {
            match opening.items.recv_timeout(Duration::from_millis(50)) {
                Ok(first) => {
                    return Ok(Some(Branch {
                        compressed: opening.compressed,
                        first,
                        times: opening.times,
                        items: opening.items,
                        shared: Arc::clone(&self.shared),
                        shift: 0,
                    }));
                }
                Err(RecvTimeoutError::Disconnected) => return Ok(None),
                Err(RecvTimeoutError::Timeout) => {
                    if self.shared.lock().fault.is_some() {
                        return Ok(opening.items.try_recv().ok().map(|first| Branch {
                            compressed: opening.compressed,
                            first,
                            times: opening.times,
                            items: opening.items,
                            shared: Arc::clone(&self.shared),
                            shift: 0,
                        }));
                    }
                    if let Some(failure) = control.failure() {
                        return Err(failure.into());
                    }
                    watch.check(control).map_err(Refused::from)?;
                }
            }
        }
    }

    /// Why the file cannot be used, in words.
    fn refusal(&self, blocks: &Arc<Blocks>, detail: &str) -> Refused {
        if let Some(failure) = blocks.failure() {
            return EncodeError::Source(failure).into();
        }
        let state = self.shared.lock();
        let detail = state.fault.as_ref().map_or(detail, |fault| fault.detail.as_str()).to_owned();
        let kind = state.fault.as_ref().map(|fault| fault.kind);
        let reason = crate::probe::explain(blocks, kind, state.missing.first().map(String::as_str));
        EncodeError::input(reason, detail).into()
    }
}

impl Drop for Decoder {
    fn drop(&mut self) {
        self.shared.closed.store(true, Ordering::Release);
        // Receivers go first: a streaming thread that waits for room in a queue sees it
        // closed, so that stopping the pipeline does not wait for it.
        self.video = None;
        self.audio = None;
        let mut state = self.shared.lock();
        (state.video, state.audio) = (None, None);
        drop(state);
        if self.pipeline.set_state(gst::State::Null).is_err() {
            tracing::warn!("a decoding pipeline did not stop");
        }
    }
}

struct Refused {
    error: EncodeError,
    audio_only: bool,
}

impl From<EncodeError> for Refused {
    fn from(error: EncodeError) -> Self {
        Self { error, audio_only: false }
    }
}

impl Branch {
    /// When a sample is shown or heard, nanoseconds of running time; it may be negative.
    pub(crate) fn time(&self, sample: &gst::Sample) -> Option<i64> {
        crate::probe::running_time(sample).map(|time| time.saturating_add(self.shift))
    }

    /// Takes what is queued until the first sample of the segment that begins at `to`.
    /// `None`: it is not there yet; `Err`: the stream has ended.
    fn skip_to(&self, to: u64) -> Result<Option<gst::Sample>, ()> {
        loop {
            match self.items.try_recv() {
                Ok(sample) => {
                    let segment =
                        sample.segment().and_then(|segment| segment.downcast_ref::<gst::ClockTime>());
                    let time = segment.and_then(|segment| segment.time()).map_or(0, gst::ClockTime::nseconds);
                    if time.abs_diff(to) < 1_000_000 {
                        return Ok(Some(sample));
                    }
                }
                Err(TryRecvError::Empty) => return Ok(None),
                Err(TryRecvError::Disconnected) => return Err(()),
            }
        }
    }

    /// The next sample, waiting for it. Ends when the stream, the source or the encode does.
    pub(crate) fn next(&self) -> Next {
        loop {
            match self.items.recv_timeout(Duration::from_millis(100)) {
                Ok(sample) => {
                    self.shared.control.alive();
                    return Next::Sample(sample);
                }
                Err(RecvTimeoutError::Disconnected) => return Next::End,
                Err(RecvTimeoutError::Timeout) => {
                    if self.shared.control.stopped() || self.shared.lock().fault.is_some() {
                        // What was queued before the fault is still good.
                        return self.items.try_recv().map_or(Next::End, Next::Sample);
                    }
                }
            }
        }
    }

    /// Time stamps of the compressed frames seen so far, ascending, nanoseconds. Waits
    /// until there are `enough`, at most for `patience`.
    pub(crate) fn times(&self, enough: usize, patience: Duration) -> Vec<u64> {
        let deadline = Instant::now() + patience;
        loop {
            let mut times = self.times.lock().unwrap_or_else(PoisonError::into_inner).clone();
            if times.len() >= enough.min(TIMES_KEPT)
                || Instant::now() >= deadline
                || self.shared.control.stopped()
            {
                times.sort_unstable();
                times.dedup();
                return times;
            }
            std::thread::park_timeout(Duration::from_millis(5));
        }
    }
}

fn build(blocks: &Arc<Blocks>, shared: &Arc<Shared>) -> Result<gst::Pipeline, String> {
    let pipeline = gst::Pipeline::new();
    let source = byte_source(blocks, &shared.control);
    let parse = media::element("parsebin")?;
    pipeline.add_many([source.upcast_ref(), &parse]).map_err(|error| error.to_string())?;
    source.link(&parse).map_err(|error| error.to_string())?;

    let (weak, on_pad) = (pipeline.downgrade(), Arc::clone(shared));
    parse.connect_pad_added(move |_, pad| {
        let Some(pipeline) = weak.upgrade() else { return };
        if let Err(detail) = attach(&pipeline, pad, &on_pad) {
            on_pad.fault(Fault { path: String::new(), detail, kind: FaultKind::Other });
        }
    });
    let on_unknown = Arc::clone(shared);
    parse.connect("unknown-type", false, move |values| {
        if let Some(caps) = values.get(2).and_then(|value| value.get::<gst::Caps>().ok()) {
            on_unknown
                .lock()
                .missing
                .push(gstreamer_pbutils::pb_utils_get_codec_description(&caps).to_string());
        }
        None
    });
    if let Some(typefind) = parse.downcast_ref::<gst::Bin>().and_then(|bin| bin.by_name("typefind")) {
        let on_type = Arc::clone(shared);
        typefind.connect("have-type", false, move |values| {
            on_type.lock().container = values.get(2).and_then(|value| value.get::<gst::Caps>().ok());
            None
        });
    }
    let on_drained = Arc::clone(shared);
    parse.connect("drained", false, move |_| {
        on_drained.lock().all_streams_known = true;
        on_drained.changed.notify_all();
        None
    });
    let (on_fault, on_message) = (Arc::clone(shared), Arc::clone(shared));
    media::watch(
        &pipeline,
        Arc::clone(&shared.control),
        shared.want.nice,
        move |fault| on_fault.fault(fault),
        move |message| {
            if let gst::MessageView::Element(element) = message.view()
                && let Some(structure) = element.structure()
                && structure.name() == "missing-plugin"
                && let Ok(name) = structure.get::<String>("name")
            {
                on_message.lock().missing.push(name);
            }
        },
    );
    Ok(pipeline)
}

/// An appsrc that demuxers can read at any place.
fn byte_source(blocks: &Arc<Blocks>, control: &Arc<Control>) -> gst_app::AppSrc {
    let control = Arc::clone(control);
    let position = Arc::new(Mutex::new(0u64));
    let seek_position = Arc::clone(&position);
    let blocks = Arc::clone(blocks);
    let source = gst_app::AppSrc::builder()
        .format(gst::Format::Bytes)
        .stream_type(gst_app::AppStreamType::RandomAccess)
        .size(i64::try_from(blocks.size()).unwrap_or(i64::MAX))
        .build();
    source.set_callbacks(
        gst_app::AppSrcCallbacks::builder()
            .seek_data(move |_, offset| {
                *seek_position.lock().unwrap_or_else(PoisonError::into_inner) = offset;
                true
            })
            .need_data(move |source, length| {
                let _outside = control.outside();
                let mut at = position.lock().unwrap_or_else(PoisonError::into_inner);
                let result = match blocks.read(*at, length as usize) {
                    Ok(parts) if parts.is_empty() => source.end_of_stream(),
                    Ok(parts) => {
                        let mut buffer = gst::Buffer::new();
                        let data = buffer.make_mut();
                        data.set_offset(*at);
                        for part in parts {
                            *at += part.len() as u64;
                            data.append_memory(gst::Memory::from_slice(part));
                        }
                        drop(at);
                        source.push_buffer(buffer)
                    }
                    Err(error) => {
                        tracing::warn!(%error, offset = *at, "the source cannot be read");
                        source.end_of_stream()
                    }
                };
                if let Err(error) = result {
                    tracing::debug!(%error, "the demuxer takes no more");
                }
            })
            .build(),
    );
    source
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::source::FileSource;

    #[test]
    fn a_pipeline_changes_its_state_while_nobody_reads_its_streams() {
        media::start().unwrap();
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("clip.mkv");
        let description = format!(
            "matroskamux name=mux ! filesink location={} videotestsrc num-buffers=100 ! jpegenc ! mux. \
             audiotestsrc num-buffers=400 ! mux.",
            file.display()
        );
        let made = gst::parse::launch(&description).unwrap();
        made.set_state(gst::State::Playing).unwrap();
        let end = [gst::MessageType::Eos, gst::MessageType::Error];
        let end = made.bus().unwrap().timed_pop_filtered(gst::ClockTime::from_seconds(60), &end).unwrap();
        assert_eq!(end.type_(), gst::MessageType::Eos);
        made.set_state(gst::State::Null).unwrap();

        let blocks = Arc::new(Blocks::new(Arc::new(FileSource::open(&file).unwrap())).unwrap());
        let want = Want {
            video: true,
            audio: true,
            max_pixels: u64::MAX,
            max_streams: 8,
            patience: Duration::from_secs(15),
            nice: 0,
        };
        let decoder = Decoder::open(&blocks, want, &Control::new()).unwrap_or_else(|error| panic!("{error}"));
        assert!(decoder.video.is_some() && decoder.audio.is_some());
        let branch = decoder.pipeline.by_name("video").unwrap().downcast::<gst::Bin>().unwrap();
        let compressed = branch
            .children()
            .into_iter()
            .find(|child| child.factory().is_some_and(|kind| kind.name() == "queue"));
        let compressed = compressed.unwrap();
        while compressed.property::<u32>("current-level-buffers") < 90 {
            // Until all is read, and the decoder waits for a reader.
            std::thread::yield_now();
        }
        let (pipeline, (done, changed)) = (decoder.pipeline.clone(), std::sync::mpsc::channel());
        std::thread::spawn(move || {
            for state in [gst::State::Paused, gst::State::Playing, gst::State::Paused] {
                pipeline.set_state(state).unwrap();
            }
            done.send(())
        });
        changed.recv_timeout(Duration::from_secs(30)).expect("the changes of state go through");
    }
}
