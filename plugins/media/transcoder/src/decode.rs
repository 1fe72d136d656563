//! Opens a source: selects its video and its sounds, decodes just those, and emits raw frames (I420,
//! progressive, upright) and samples (float, stereo, 48 kHz) through small queues. Independent of encoding: a
//! source that breaks in the middle ends the frames, not the encode. It never retimes anything.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use ffmpeg_next as av;
use gstreamer as gst;

use crate::choice::{Choice, Silent};
use crate::container;
use crate::control::{Control, EncodeError, Watchdog};
use crate::frames::{Pictures, Sounds};
use crate::input::{self, Chosen};
use crate::media::{self, Fault, FaultKind};
use crate::packets::{Lane, Packets};
use crate::reading::Reading;
use crate::recordings;
use crate::sink::Text;
use crate::source::Blocks;
use crate::texts::Texts;
use crate::tracks::About;

/// Opening a source fails without output for this long.
const OPEN_PATIENCE: Duration = Duration::from_secs(15);
/// A file with a torn packet at its end is damaged if it declares this much more.
const TORN_OFF: Duration = Duration::from_millis(500);
/// Timestamps of decoded frames that are kept to determine the frame rate.
const TIMES_KEPT: usize = 240;
/// Raw frames queued behind the video decoder.
const FRAMES_QUEUED: usize = 2;
/// Raw sample runs queued behind the audio decoder.
const RUNS_QUEUED: usize = 32;

/// What to open and how.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Want {
    pub(crate) video: bool,
    pub(crate) audio: bool,
    pub(crate) max_pixels: u64,
    pub(crate) max_streams: usize,
    pub(crate) max_sound_tracks: usize,
    /// The texts too.
    pub(crate) texts: bool,
    pub(crate) patience: Duration,
    pub(crate) nice: i32,
    /// Nothing before this time, nanoseconds by the file's own clock.
    pub(crate) from: Option<i64>,
}

/// A raw frame or run of samples, and its time in the file, in nanoseconds; it may be negative.
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
    pub(crate) about: About,
    /// The first item, where it was awaited.
    pub(crate) first: Option<Item>,
    items: Receiver<Item>,
    shared: Arc<Shared>,
}

/// The result of [`Branch::next`].
pub(crate) enum Next {
    Item(Item),
    End,
}

/// An open source. Dropping it stops all its threads; drop the branches first.
pub(crate) struct Decoder {
    shared: Arc<Shared>,
    threads: Vec<JoinHandle<()>>,
    pub(crate) video: Option<Branch>,
    /// The default one comes first.
    pub(crate) sounds: Vec<Branch>,
    /// The start of each chapter, nanoseconds by the file's own clock, and its title.
    pub(crate) chapters: Vec<(i64, String)>,
    /// What was left out, for people.
    pub(crate) notes: Vec<String>,
    /// Name of the container's format.
    pub(crate) format: String,
    /// The duration that the container declares.
    pub(crate) duration: Option<Duration>,
}

pub(crate) struct Shared {
    pub(crate) control: Arc<Control>,
    pub(crate) packets: Packets,
    want: Want,
    closed: AtomicBool,
    state: Mutex<State>,
    texts: Mutex<Option<Texts>>,
}

#[derive(Default)]
pub(crate) struct State {
    fault: Option<Fault>,
    /// Why the first of the undecodable sounds failed.
    sound_fault: Option<Fault>,
    /// Of tracks, for people.
    notes: Vec<String>,
    pub(crate) too_big: Option<String>,
    times: Vec<i64>,
    /// When the video's first packet is decoded, if its packets state only that; in units of the stream.
    pub(crate) decoding_begins: Option<i64>,
    /// The last packet of a stream was incomplete.
    pub(crate) torn: bool,
    /// Streams that continue another one, by their indexes.
    followers: HashMap<usize, av::codec::Parameters>,
}

impl Shared {
    pub(crate) fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn fault(&self, fault: Fault) {
        self.lock().fault.get_or_insert(fault);
    }

    /// Nothing of a sound can be decoded.
    pub(crate) fn sound_failed(&self, chosen: &Chosen, fault: Fault) {
        tracing::info!(place = chosen.place, detail = fault.detail, "a sound is silent");
        self.note(format!("The {} is silent: none of it could be decoded.", chosen.sound_name()));
        self.lock().sound_fault.get_or_insert(fault);
    }

    /// From here on, packets of this stream replace those of another one.
    pub(crate) fn follow(&self, follower: &Chosen) {
        self.lock().followers.insert(follower.index, follower.parameters.clone());
    }

    /// The properties of a stream that follows another one.
    pub(crate) fn follower(&self, index: usize) -> Option<av::codec::Parameters> {
        self.lock().followers.get(&index).cloned()
    }

    /// Notes for people about a track.
    pub(crate) fn note(&self, note: String) {
        self.lock().notes.push(note);
    }

    pub(crate) fn texts(&self) -> MutexGuard<'_, Option<Texts>> {
        self.texts.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Captions carried by the frame of this time.
    pub(crate) fn captions(&self, time: i64, captions: &[u8]) {
        if let Some(texts) = &mut *self.texts() {
            texts.ride(time, captions);
        }
    }

    /// When the decoding of the video begins, if nothing else is known about its times.
    pub(crate) fn decoding_begins(&self) -> Option<i64> {
        self.lock().decoding_begins
    }

    pub(crate) fn is_closed(&self) -> bool {
        self.closed.load(Ordering::Acquire)
    }

    /// Passes the reader an item, when it has room. `false`: it wants no more.
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

    /// A video frame of this time.
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
    /// Opens a source and waits for the first frame and samples of its streams.
    pub(crate) fn open(
        blocks: &Arc<Blocks>,
        want: Want,
        control: &Arc<Control>,
    ) -> Result<(Self, Vec<Silent>), EncodeError> {
        let mut silent = Vec::new();
        loop {
            let (mut decoder, chosen) = Self::open_once(blocks, want, &silent, control)?;
            if let Some(picture) = chosen.picture.filter(|_| decoder.video.is_none() && !decoder.is_still()) {
                tracing::info!(codec = picture.codec, "the picture cannot be decoded");
                let note = format!("The picture of this file ({}) could not be decoded.", picture.codec);
                decoder.notes.insert(0, note);
            }
            // Undecodable sound is no reason to refuse the video or another track.
            match chosen.sound.filter(|_| decoder.sounds.is_empty()) {
                Some(sound) if silent.len() < want.max_streams => {
                    tracing::info!(sound.index, sound.codec, "a sound track cannot be decoded");
                    silent.push(Silent(sound.index));
                }
                _ if decoder.video.is_none() && decoder.sounds.is_empty() => {
                    return Err(decoder.refusal(blocks, "no stream gave a sample"));
                }
                _ => return Ok((decoder, silent)),
            }
        }
    }

    /// Opens a source again, without the sounds that are known to be undecodable.
    pub(crate) fn reopen(
        blocks: &Arc<Blocks>,
        want: Want,
        silent: &[Silent],
        control: &Arc<Control>,
    ) -> Result<Self, EncodeError> {
        Self::open_once(blocks, want, silent, control).map(|(decoder, _)| decoder)
    }

    fn open_once(
        blocks: &Arc<Blocks>,
        want: Want,
        silent: &[Silent],
        control: &Arc<Control>,
    ) -> Result<(Self, Awaited), EncodeError> {
        let refused = |kind: FaultKind, detail: String| {
            if let Some(failure) = control.failure() {
                return failure;
            }
            if let Some(failure) = blocks.failure() {
                return EncodeError::Source(failure);
            }
            EncodeError::input(crate::probe::explain(blocks, Some(kind)), detail)
        };
        let (mut input, tape) = input::open(blocks, 0..blocks.size(), control).map_err(|error| {
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
        let facts = container::tracks(blocks, input.format().name());
        let later = recordings::later(&input, blocks, control);
        let video = input::picture(&input, &later).map(|chosen| Chosen {
            aspect: facts.get(chosen.index).and_then(|track| track.aspect),
            ..chosen
        });
        let Choice { sounds, texts, notes } = Choice::of(&input, &later, &facts, want, silent);
        // Unused streams still count for how recordings follow each other.
        let mut streams: Vec<_> = video.iter().map(|chosen| (chosen.index, Lane::Picture)).collect();
        streams.extend(sounds.iter().enumerate().map(|(at, chosen)| (chosen.index, Lane::Sound(at))));
        let video = video.filter(|_| want.video);
        let sounds = if want.audio { sounds } else { Vec::new() };
        let mut lanes: Vec<_> = video.iter().map(|_| Lane::Picture).collect();
        lanes.extend((0..sounds.len()).map(Lane::Sound));
        // The other choices may begin at any time.
        let awaited: Vec<_> =
            lanes.iter().copied().filter(|lane| matches!(lane, Lane::Picture | Lane::Sound(0))).collect();
        let shared = Arc::new(Shared {
            control: Arc::clone(control),
            packets: Packets::new(&lanes, &awaited),
            want,
            closed: AtomicBool::new(false),
            state: Mutex::default(),
            texts: Mutex::new(want.texts.then(|| Texts::new(texts))),
        });
        let mut decoder = Self {
            shared: Arc::clone(&shared),
            threads: Vec::new(),
            video: None,
            sounds: Vec::new(),
            chapters: input::chapters(&input),
            notes,
            format: input.format().name().to_owned(),
            duration: input::duration(&input),
        };
        let chosen = Awaited { picture: video.as_ref().map(Named::of), sound: sounds.first().map(Named::of) };
        let pictures = video.map(|chosen| {
            let (items, receiver) = sync_channel(FRAMES_QUEUED);
            let branch = decoder.branch(&chosen, 0, receiver);
            decoder.spawn("pictures", Pictures::new(chosen, items, Arc::clone(&shared)), Pictures::run);
            branch
        });
        let mut branches = Vec::new();
        for (at, chosen) in sounds.into_iter().enumerate() {
            let (items, receiver) = sync_channel(RUNS_QUEUED);
            branches.push(decoder.branch(&chosen, channels(&chosen.parameters), receiver));
            let sound = Sounds::new(chosen, Lane::Sound(at), items, Arc::clone(&shared));
            decoder.spawn("sounds", sound, Sounds::run);
        }
        let reader = Reading::new((input, tape, blocks.size()), streams, &later, Arc::clone(&shared));
        decoder.spawn("packets", reader, Reading::run);

        let mut watch = Watchdog::new(control, want.patience.min(OPEN_PATIENCE));
        if let Some(mut branch) = pictures
            && decoder.begins(blocks, Lane::Picture, &mut branch, &mut watch)?
        {
            decoder.video = Some(branch);
        }
        if let Some(branch) = branches.first_mut() {
            let begins = decoder.begins(blocks, Lane::Sound(0), branch, &mut watch)?;
            // In the middle of a file a sound may have ended.
            if begins || want.from.is_some() {
                decoder.sounds = branches;
            }
        }
        if let Some(reason) = shared.lock().too_big.clone() {
            return Err(EncodeError::input(reason, "the pixel limit (setting max_pixels)"));
        }
        Ok((decoder, chosen))
    }

    fn branch(&self, chosen: &Chosen, channels: u32, items: Receiver<Item>) -> Branch {
        Branch {
            codec: chosen.codec(),
            channels,
            about: chosen.about.clone(),
            first: None,
            items,
            shared: Arc::clone(&self.shared),
        }
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

    /// Whether the container has an index for exact seeking.
    pub(crate) fn seeks_exactly(&self) -> bool {
        self.format.split(',').any(|name| matches!(name, "mov" | "mp4" | "matroska"))
    }

    /// Whether the file is a still picture.
    pub(crate) fn is_still(&self) -> bool {
        self.format.ends_with("_pipe") && self.format != "yuv4mpegpipe"
    }

    /// The failure that ended the source early, if any; what was read ends at `end`.
    pub(crate) fn damage(&self, end: Duration) -> Option<Fault> {
        let state = self.shared.lock();
        // Where no more was declared, recordings usually end with a torn packet.
        let lacks = self.duration.is_some_and(|claimed| claimed > end + TORN_OFF);
        let torn = || Fault::new(FaultKind::Damaged, "a packet is not whole");
        state.fault.clone().or_else(|| (state.torn && lacks).then(torn))
    }

    /// Notes for people about the tracks, as far as the file was read.
    pub(crate) fn discovered(&self) -> Vec<String> {
        self.shared.lock().notes.clone()
    }

    /// The texts between `start` and `end`, nanoseconds by the file's own clock, as far as the file was read.
    /// Call it once; it determines the notes for people.
    pub(crate) fn texts(&self, start: i64, end: i64) -> Vec<Text> {
        let found = self.shared.texts().take().map(|texts| texts.finish(start, end));
        let (texts, notes) = found.unwrap_or_default();
        notes.into_iter().for_each(|note| self.shared.note(note));
        texts
    }

    /// Waits for a stream's first item. `false`: it ended without one. Sound that begins very late is not
    /// awaited, unless there is nothing else.
    fn begins(
        &self,
        blocks: &Arc<Blocks>,
        lane: Lane,
        branch: &mut Branch,
        watch: &mut Watchdog,
    ) -> Result<bool, EncodeError> {
        let (control, packets) = (&self.shared.control, &self.shared.packets);
        loop {
            match branch.items.recv_timeout(Duration::from_millis(50)) {
                Ok(first) => {
                    branch.first = Some(first);
                    packets.begun(lane);
                    return Ok(true);
                }
                Err(RecvTimeoutError::Disconnected) => return Ok(false),
                Err(RecvTimeoutError::Timeout) => {
                    if let Some(failure) = control.failure() {
                        return Err(failure);
                    }
                    if self.video.is_some() && packets.is_stuck() {
                        tracing::debug!(?lane, "a stream begins late");
                        packets.begun(lane);
                        return Ok(true);
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
        // Receivers first: a thread that waits for room in a queue sees it closed.
        self.video = None;
        self.sounds.clear();
        self.shared.packets.close_all();
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

/// A selected stream.
struct Named {
    index: usize,
    codec: String,
}

impl Named {
    fn of(chosen: &Chosen) -> Self {
        Self { index: chosen.index, codec: chosen.codec() }
    }
}

/// Streams whose beginning is awaited first.
struct Awaited {
    picture: Option<Named>,
    sound: Option<Named>,
}

impl Branch {
    /// The next item, waiting for it. Ends with the stream, the source or the encode.
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

    /// The times of the frames seen so far, ascending, nanoseconds after the first. Waits until there are
    /// `enough`, at most for `patience`.
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
