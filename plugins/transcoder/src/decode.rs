//! Opens a source: chooses its picture and its sound, decodes just those, and hands out raw frames (I420, progressive,
//! upright) and samples (float, stereo, 48 kHz) through small queues. Independent of encoding: a source that breaks in
//! the middle ends the frames, not the encode. It never retimes anything.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use ffmpeg_next as av;
use ffmpeg_next::format::context::Input;
use gstreamer as gst;

use crate::control::{Control, EncodeError, Watchdog};
use crate::frames::{Pictures, Sounds};
use crate::input::{self, Chosen};
use crate::media::{self, Fault, FaultKind};
use crate::packets::{Lane, Packets};
use crate::source::Blocks;

/// A source that gives nothing for so long is not opened.
const OPEN_PATIENCE: Duration = Duration::from_secs(15);
/// Time stamps of decoded frames that are kept to tell the frame rate.
const TIMES_KEPT: usize = 240;
/// Raw frames queued behind the video decoder.
const FRAMES_QUEUED: usize = 3;
/// Raw sample runs queued behind the audio decoder.
const RUNS_QUEUED: usize = 32;

/// A stream that was chosen: its index, and the name of its codec.
type Named = (usize, String);

/// What to open and how.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Want {
    pub(crate) video: bool,
    pub(crate) audio: bool,
    pub(crate) max_pixels: u64,
    pub(crate) max_streams: usize,
    pub(crate) patience: Duration,
    pub(crate) nice: i32,
    /// Nothing before this time, nanoseconds by the file's own clock.
    pub(crate) from: Option<i64>,
}

/// A raw frame or run of samples, and when the file shows or sounds it, in nanoseconds; it may be negative.
#[derive(Debug, Clone)]
pub(crate) struct Item {
    pub(crate) sample: gst::Sample,
    pub(crate) time: Option<i64>,
}

/// One decoded stream.
pub(crate) struct Branch {
    /// A short name: `h264`, `aac`.
    pub(crate) codec: String,
    /// Of sound.
    pub(crate) channels: u32,
    /// The first item.
    pub(crate) first: Item,
    items: Receiver<Item>,
    shared: Arc<Shared>,
}

/// What [`Branch::next`] found.
pub(crate) enum Next {
    Item(Item),
    End,
}

/// An open source. Dropping it stops all its threads; drop the branches first.
pub(crate) struct Decoder {
    shared: Arc<Shared>,
    threads: Vec<JoinHandle<()>>,
    pub(crate) video: Option<Branch>,
    pub(crate) audio: Option<Branch>,
    /// Something was left out, for people.
    pub(crate) note: Option<String>,
    /// Name of the container's format.
    pub(crate) format: String,
    /// The duration the container claims.
    pub(crate) duration: Option<Duration>,
}

pub(crate) struct Shared {
    pub(crate) control: Arc<Control>,
    pub(crate) packets: Packets,
    want: Want,
    closed: AtomicBool,
    state: Mutex<State>,
}

#[derive(Default)]
pub(crate) struct State {
    fault: Option<Fault>,
    sound_fault: Option<Fault>,
    pub(crate) too_big: Option<String>,
    times: Vec<i64>,
}

impl Shared {
    pub(crate) fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn fault(&self, fault: Fault) {
        self.lock().fault.get_or_insert(fault);
    }

    /// The sound cannot be decoded, or not to its end.
    pub(crate) fn sound_failed(&self, fault: Fault) {
        self.lock().sound_fault.get_or_insert(fault);
    }

    fn is_closed(&self) -> bool {
        self.closed.load(Ordering::Acquire)
    }

    /// Gives the reader an item, when it has room. `false`: it wants no more.
    pub(crate) fn hand_over(&self, items: &SyncSender<Item>, item: Item) -> bool {
        self.control.alive();
        !self.is_closed() && items.send(item).is_ok()
    }

    pub(crate) fn too_big(&self, width: u32, height: u32) -> Option<String> {
        let max_pixels = self.want.max_pixels;
        (u64::from(width) * u64::from(height) > max_pixels).then(|| {
            format!(
                "The picture is too large: {width}x{height}; this server takes up to {max_pixels} pixels."
            )
        })
    }

    /// A frame of the picture at this time.
    pub(crate) fn saw(&self, time: i64) {
        let mut state = self.lock();
        if state.times.len() < TIMES_KEPT {
            state.times.push(time);
        }
    }

    pub(crate) fn is_before_start(&self, time: Option<i64>) -> bool {
        self.want.from.zip(time).is_some_and(|(from, time)| time < from)
    }
}

impl Decoder {
    /// Opens a source and waits for the first frame and samples of what it has.
    pub(crate) fn open(
        blocks: &Arc<Blocks>,
        want: Want,
        control: &Arc<Control>,
    ) -> Result<Self, EncodeError> {
        let mut left_out = Vec::new();
        let mut note = None;
        loop {
            let (mut decoder, picture, sound) = Self::open_once(blocks, want, &left_out, control)?;
            if let Some((_, codec)) = picture.filter(|_| decoder.video.is_none() && !decoder.is_still()) {
                tracing::info!(codec, "the picture cannot be decoded");
                note = Some(format!("The picture of this file ({codec}) could not be decoded."));
            }
            // Sound that cannot be decoded is no reason to refuse the picture, nor another track.
            match sound.filter(|_| decoder.audio.is_none()) {
                Some((index, codec)) if left_out.len() < want.max_streams => {
                    tracing::info!(index, codec, "a sound track cannot be decoded");
                    note.get_or_insert(format!("A sound track of this file ({codec}) could not be decoded."));
                    left_out.push(index);
                }
                _ => {
                    if decoder.video.is_none() && decoder.audio.is_none() {
                        return Err(decoder.refusal(blocks, "no stream gave a sample"));
                    }
                    decoder.note = note;
                    return Ok(decoder);
                }
            }
        }
    }

    fn open_once(
        blocks: &Arc<Blocks>,
        want: Want,
        left_out: &[usize],
        control: &Arc<Control>,
    ) -> Result<(Self, Option<Named>, Option<Named>), EncodeError> {
        let refused = |kind: FaultKind, detail: String| {
            if let Some(failure) = control.failure() {
                return failure;
            }
            if let Some(failure) = blocks.failure() {
                return EncodeError::Source(failure);
            }
            EncodeError::input(crate::probe::explain(blocks, Some(kind)), detail)
        };
        let mut input = input::open(blocks, want.max_streams, control).map_err(|error| {
            let kind = match error {
                av::Error::DemuxerNotFound => FaultKind::UnknownType,
                _ => FaultKind::Damaged,
            };
            refused(kind, error.to_string())
        })?;
        if let Some(from) = want.from {
            let to = from / 1000;
            input.seek(to, ..to).map_err(|error| refused(FaultKind::Other, error.to_string()))?;
        }
        let video = input::picture(&input).filter(|_| want.video);
        let audio = input::sound(&input, left_out).filter(|_| want.audio);
        let lanes: Vec<_> = [video.as_ref().map(|_| Lane::Picture), audio.as_ref().map(|_| Lane::Sound)]
            .into_iter()
            .flatten()
            .collect();
        let shared = Arc::new(Shared {
            control: Arc::clone(control),
            packets: Packets::new(&lanes),
            want,
            closed: AtomicBool::new(false),
            state: Mutex::default(),
        });
        let mut decoder = Self {
            shared: Arc::clone(&shared),
            threads: Vec::new(),
            video: None,
            audio: None,
            note: None,
            format: input.format().name().to_owned(),
            duration: input::duration(&input),
        };
        let named = |chosen: &Chosen| (chosen.index, chosen.codec());
        let (picture, sound) = (video.as_ref().map(named), audio.as_ref().map(named));
        let pictures = video.map(|chosen| {
            let (items, receiver) = sync_channel(FRAMES_QUEUED);
            decoder.spawn("pictures", Pictures::new(chosen, items, Arc::clone(&shared)), Pictures::run);
            receiver
        });
        let sounds = audio.map(|chosen| {
            let (items, receiver) = sync_channel(RUNS_QUEUED);
            let channels = channels(&chosen.parameters);
            decoder.spawn("sounds", Sounds::new(chosen, items, Arc::clone(&shared)), Sounds::run);
            (channels, receiver)
        });
        let indexes = [&picture, &sound].map(|named| named.as_ref().map(|(index, _)| *index));
        let reader = Reading { input, indexes, shared: Arc::clone(&shared) };
        decoder.spawn("packets", reader, Reading::run);

        let mut watch = Watchdog::new(control, want.patience.min(OPEN_PATIENCE));
        if let (Some((_, codec)), Some(items)) = (&picture, pictures) {
            decoder.video = decoder.first(blocks, codec.clone(), 0, items, &mut watch)?;
        }
        if let (Some((_, codec)), Some((channels, items))) = (&sound, sounds) {
            decoder.audio = decoder.first(blocks, codec.clone(), channels, items, &mut watch)?;
        }
        if let Some(reason) = shared.lock().too_big.clone() {
            return Err(EncodeError::input(reason, "the pixel limit (setting max_pixels)"));
        }
        Ok((decoder, picture, sound))
    }

    fn spawn<T: Send + 'static>(&mut self, name: &str, work: T, run: fn(T)) {
        let nice = self.shared.want.nice;
        let thread = std::thread::Builder::new().name(name.to_owned()).spawn(move || {
            media::set_niceness(nice);
            run(work);
        });
        match thread {
            Ok(thread) => self.threads.push(thread),
            Err(error) => {
                self.shared.control.fail(EncodeError::Engine(format!("no thread for {name}: {error}")))
            }
        }
    }

    /// Whether the container has an index that leads to any time exactly.
    pub(crate) fn seeks_exactly(&self) -> bool {
        self.format.split(',').any(|name| matches!(name, "mov" | "mp4" | "matroska"))
    }

    /// Whether the file is a picture, and no video.
    pub(crate) fn is_still(&self) -> bool {
        self.format.ends_with("_pipe") && self.format != "yuv4mpegpipe"
    }

    /// What ended the source early, if anything did.
    pub(crate) fn damage(&self) -> Option<Fault> {
        self.shared.lock().fault.clone()
    }

    /// Waits for a stream's first item. `None`: it ended without one.
    fn first(
        &self,
        blocks: &Arc<Blocks>,
        codec: String,
        channels: u32,
        items: Receiver<Item>,
        watch: &mut Watchdog,
    ) -> Result<Option<Branch>, EncodeError> {
        let control = &self.shared.control;
        loop {
            match items.recv_timeout(Duration::from_millis(50)) {
                Ok(first) => {
                    let shared = Arc::clone(&self.shared);
                    return Ok(Some(Branch { codec, channels, first, items, shared }));
                }
                Err(RecvTimeoutError::Disconnected) => return Ok(None),
                Err(RecvTimeoutError::Timeout) => {
                    if let Some(failure) = control.failure() {
                        return Err(failure);
                    }
                    if let Err(EncodeError::Input { detail, .. }) = watch.check(control) {
                        return Err(self.refusal(blocks, &detail));
                    }
                }
            }
        }
    }

    /// Why the file cannot be used, in words.
    fn refusal(&self, blocks: &Arc<Blocks>, detail: &str) -> EncodeError {
        if let Some(failure) = blocks.failure() {
            return EncodeError::Source(failure);
        }
        let state = self.shared.lock();
        let fault = state.fault.as_ref().or(state.sound_fault.as_ref());
        let detail = fault.map_or(detail, |fault| fault.detail.as_str()).to_owned();
        let reason = crate::probe::explain(blocks, fault.map(|fault| fault.kind));
        EncodeError::input(reason, detail)
    }
}

impl Drop for Decoder {
    fn drop(&mut self) {
        self.shared.closed.store(true, Ordering::Release);
        // Receivers go first: a thread that waits for room in a queue sees it closed.
        self.video = None;
        self.audio = None;
        for lane in [Lane::Picture, Lane::Sound] {
            self.shared.packets.close(lane);
        }
        for thread in self.threads.drain(..) {
            if thread.join().is_err() {
                tracing::warn!("a decoding thread panicked");
            }
        }
    }
}

fn channels(parameters: &av::codec::Parameters) -> u32 {
    let context = av::codec::Context::from_parameters(parameters.clone());
    let decoder = context.and_then(|context| context.decoder().audio());
    decoder.map_or(2, |decoder| u32::from(decoder.channels()))
}

/// The thread that reads the container.
struct Reading {
    input: Input,
    indexes: [Option<usize>; 2],
    shared: Arc<Shared>,
}

impl Reading {
    fn run(mut self) {
        let control = Arc::clone(&self.shared.control);
        // A join in the middle of a broadcast is no damage; a last packet that is not whole is.
        let mut whole = [true; 2];
        loop {
            let mut packet = av::Packet::empty();
            match packet.read(&mut self.input) {
                Ok(()) => {}
                Err(av::Error::Eof | av::Error::Exit) => break,
                Err(error) => {
                    self.shared.fault(Fault::new(FaultKind::Damaged, error.to_string()));
                    break;
                }
            }
            let lane = match self.indexes.iter().position(|index| *index == Some(packet.stream())) {
                Some(0) => Lane::Picture,
                Some(_) => Lane::Sound,
                None => continue,
            };
            whole[lane as usize] = !packet.is_corrupt();
            if self.shared.is_closed() || !self.shared.packets.push(lane, packet, &control) {
                break;
            }
        }
        if whole != [true; 2] {
            self.shared.fault(Fault::new(FaultKind::Damaged, "a packet is not whole"));
        }
        self.shared.packets.end();
    }
}

impl Branch {
    /// The next item, waiting for it. Ends when the stream, the source or the encode does.
    pub(crate) fn next(&self) -> Next {
        loop {
            match self.items.recv_timeout(Duration::from_millis(100)) {
                Ok(item) => {
                    self.shared.control.alive();
                    return Next::Item(item);
                }
                Err(RecvTimeoutError::Disconnected) => return Next::End,
                Err(RecvTimeoutError::Timeout) => {
                    if self.shared.control.stopped() {
                        return self.items.try_recv().map_or(Next::End, Next::Item);
                    }
                }
            }
        }
    }

    /// When the frames seen so far are shown, ascending, nanoseconds after the first. Waits until there are `enough`, at
    /// most for `patience`.
    pub(crate) fn times(&self, enough: usize, patience: Duration) -> Vec<u64> {
        let deadline = Instant::now() + patience;
        loop {
            let mut times = self.shared.lock().times.clone();
            if times.len() >= enough.min(TIMES_KEPT)
                || Instant::now() >= deadline
                || self.shared.control.stopped()
            {
                times.sort_unstable();
                times.dedup();
                let first = times.first().copied().unwrap_or(0);
                return times.into_iter().map(|time| time.abs_diff(first)).collect();
            }
            std::thread::park_timeout(Duration::from_millis(5));
        }
    }
}
