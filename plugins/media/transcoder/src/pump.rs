//! Carries raw media from the decoder to the encoder and assigns final times: frames at a constant rate,
//! sound without gaps, from where an earlier attempt stopped.

use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::time::Duration;

use gstreamer as gst;

use crate::control::{Control, EncodeError};
use crate::decode::{Branch, Item, Next};
use crate::ladder::{AUDIO_CHANNELS, AUDIO_RATE, Rate};
use crate::pipeline::Feed;
use crate::sink::Sink;
use crate::thumbs::Thumbnails;
use crate::timeline::{FrameClock, LONGEST_GAP, Placement, SampleClock};

/// The last frame's own duration is respected up to this.
const LONGEST_LAST_FRAME: Duration = Duration::from_secs(60);

/// Caps of frames at a constant rate.
pub(crate) fn constant_rate_caps(caps: Option<&gst::CapsRef>, rate: Rate) -> Result<gst::Caps, EncodeError> {
    let mut caps = caps
        .map(|caps| caps.to_owned())
        .ok_or_else(|| EncodeError::Engine("the first frame has no caps".to_owned()))?;
    let writable = caps.make_mut();
    writable.set("framerate", gst::Fraction::new(rate.num as i32, rate.den as i32));
    writable.set("interlace-mode", "progressive");
    Ok(caps)
}

#[derive(Clone)]
pub(crate) struct Progress {
    pub(crate) sink: Arc<dyn Sink>,
    pub(crate) total_ns: u64,
    pub(crate) size_says: u64,
    pub(crate) from: f64,
    pub(crate) to: f64,
    pub(crate) max_ns: u64,
    pub(crate) too_long: EncodeError,
}

impl Progress {
    /// Reports the progress; `Err` past the duration limit.
    fn at(&self, time_ns: u64) -> Result<(), EncodeError> {
        if time_ns > self.max_ns {
            return Err(self.too_long.clone());
        }
        if self.total_ns > 0 && self.size_says > 0 {
            let share = (time_ns as f64 / self.total_ns as f64).min(0.999);
            self.sink.progress(self.from + (self.to - self.from) * share);
        }
        Ok(())
    }
}

/// The renditions that a pump feeds.
pub(crate) struct Tracks {
    pub(crate) names: Vec<String>,
    pub(crate) sink: Arc<dyn Sink>,
    /// This pass completes them.
    pub(crate) whole: bool,
}

impl Tracks {
    /// Ends the feed. Without one nothing was fed, because everything exists already: the encoder has nothing
    /// to end, and the renditions are complete.
    fn end(&self, feed: Option<&Feed>, control: &Control) {
        if let Some(feed) = feed {
            return feed.end();
        }
        if control.stopped() {
            return;
        }
        for name in &self.names {
            let completed = if self.whole { self.sink.complete(name) } else { Ok(()) };
            match completed {
                Ok(()) => control.track_done(),
                Err(error) => control.fail(EncodeError::Sink(error.to_string())),
            }
        }
    }
}

/// The common end of video and audio: the shorter one continues with its last frame, or with silence.
pub(crate) struct Span {
    /// Pumps that have not reached their end, and the latest end, nanoseconds of the presentation.
    state: Mutex<(usize, u64)>,
    met: Condvar,
}

impl Span {
    /// For this many pumps; earlier results end at `least`.
    pub(crate) fn new(pumps: usize, least: u64) -> Arc<Self> {
        Arc::new(Self { state: Mutex::new((pumps, least)), met: Condvar::new() })
    }

    /// Reports the end of one pump, and waits for that of all.
    fn meet(&self, end: u64, control: &Control) -> u64 {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        *state = (state.0.saturating_sub(1), state.1.max(end));
        self.met.notify_all();
        while state.0 > 0 && !control.stopped() {
            let patience = Duration::from_millis(100);
            state = self.met.wait_timeout(state, patience).unwrap_or_else(PoisonError::into_inner).0;
        }
        state.1
    }
}

/// Carries frames from the decoder to the encoder at a constant rate.
pub(crate) struct VideoPump {
    pub(crate) branch: Branch,
    pub(crate) feed: Option<Feed>,
    pub(crate) rate: Rate,
    pub(crate) start: i64,
    /// When the source's first frame is shown, and whether the decoder skipped it.
    pub(crate) picture_start: i64,
    pub(crate) jumped: bool,
    /// Frames before this index exist already.
    pub(crate) first: u64,
    /// Frames from this index on are not wanted.
    pub(crate) end: u64,
    /// The common end.
    pub(crate) span: Arc<Span>,
    /// The renditions fed with it.
    pub(crate) tracks: Tracks,
    pub(crate) thumbnails: Option<Thumbnails>,
    pub(crate) progress: Progress,
    pub(crate) control: Arc<Control>,
}

/// The frame that waits until its duration is known.
struct Pending {
    buffer: gst::Buffer,
}

impl VideoPump {
    /// Returns the number of frames of the presentation.
    pub(crate) fn run(mut self) -> u64 {
        let mut clock = if self.jumped {
            FrameClock::resumed(self.rate, self.picture_start - self.start, self.first)
        } else {
            FrameClock::new(self.rate)
        };
        let mut pending: Option<Pending> = None;
        let mut pushed = clock.next();
        let mut fed = false;
        let mut end = 0i64;
        let first = self.branch.first.take();
        let mut caps = first.as_ref().and_then(|first| first.sample.caps()).map(|caps| caps.to_owned());
        let (mut seen, mut repeated, mut dropped) = (0u64, 0u64, 0u64);
        let mut next = first.map_or(Next::End, Next::Item);
        while let Next::Item(Item { sample, time }) = next {
            if self.control.stopped() {
                break;
            }
            seen += 1;
            let expected = end - self.start;
            let time = time.map_or(expected, |time| time - self.start);
            if let Placement::Show { index, repeats } = clock.place(time) {
                repeated += repeats;
                if !self.show(&mut pending, &mut pushed, index.min(self.end), &mut fed) || index >= self.end {
                    break;
                }
                let time_ns = self.rate.time_ns(index);
                if let Some(thumbnails) = &mut self.thumbnails {
                    thumbnails.offer(time_ns / 1_000_000, &sample);
                }
                if let Err(error) = self.progress.at(time_ns) {
                    self.control.fail(error);
                    break;
                }
                if sample.caps() != caps.as_deref() {
                    self.change_caps(sample.caps());
                    caps = sample.caps().map(|caps| caps.to_owned());
                }
                pending = sample.buffer_owned().map(|buffer| Pending { buffer });
            } else {
                dropped += 1;
            }
            let frame = self.rate.time_ns(1) as i64;
            let duration = sample.buffer().and_then(gst::BufferRef::duration);
            let duration =
                duration.map_or(frame, |duration| duration.nseconds().min(i64::MAX as u64 / 4) as i64);
            end = time + self.start + duration;
            drop(sample);
            next = self.branch.next();
        }
        clock.finish(end - self.start, LONGEST_LAST_FRAME);
        let end = self.span.meet(self.rate.time_ns(clock.next()), &self.control);
        clock.finish(end as i64, LONGEST_GAP);
        let total = clock.next().min(self.end);
        self.show(&mut pending, &mut pushed, total, &mut fed);
        tracing::debug!(rate = %self.rate, seen, repeated, dropped, total, "the video ends");
        self.tracks.end(self.feed.as_ref().filter(|_| fed), &self.control);
        if let Some(thumbnails) = self.thumbnails.take() {
            thumbnails.finish();
        }
        total
    }

    /// Pushes the pending frame for every index from `pushed` up to `until`.
    fn show(&self, pending: &mut Option<Pending>, pushed: &mut u64, until: u64, fed: &mut bool) -> bool {
        let Some(Pending { buffer }) = pending.take() else { return true };
        let (Some(feed), true) = (&self.feed, until > self.first) else {
            *pushed = until;
            return true;
        };
        let mut buffer = Some(buffer);
        for index in (*pushed).max(self.first)..until {
            let last = index + 1 == until;
            let Some(mut frame) = (if last { buffer.take() } else { buffer.clone() }) else { break };
            let (start, end) = (self.rate.time_ns(index), self.rate.time_ns(index + 1));
            let writable = frame.make_mut();
            writable.set_pts(gst::ClockTime::from_nseconds(start));
            writable.set_dts(gst::ClockTime::NONE);
            writable.set_duration(gst::ClockTime::from_nseconds(end - start));
            if !feed.push(frame) {
                return false;
            }
            *fed = true;
        }
        *pushed = until;
        true
    }

    fn change_caps(&self, caps: Option<&gst::CapsRef>) {
        if let (Ok(caps), Some(feed)) = (constant_rate_caps(caps, self.rate), &self.feed) {
            tracing::debug!(%caps, "the source changes its video format");
            feed.set_caps(&caps);
        }
    }
}

/// Carries samples from the decoder to the encoder without gaps.
pub(crate) struct AudioPump {
    pub(crate) branch: Branch,
    pub(crate) feed: Option<Feed>,
    pub(crate) start: i64,
    /// The decoder skipped what exists already.
    pub(crate) jumped: bool,
    /// Samples before this index exist already.
    pub(crate) first: u64,
    /// Samples from this index on are not wanted.
    pub(crate) end: u64,
    /// As [`VideoPump::span`].
    pub(crate) span: Arc<Span>,
    /// The renditions fed with it.
    pub(crate) tracks: Tracks,
    pub(crate) progress: Option<Progress>,
    pub(crate) control: Arc<Control>,
}

/// Bytes of one sample of all channels, 32-bit float.
const SAMPLE_BYTES: u64 = 4 * AUDIO_CHANNELS as u64;
/// Silence is made in runs of this many samples.
const SILENCE_RUN: u64 = 4800;

impl AudioPump {
    /// Returns the number of samples of the presentation.
    pub(crate) fn run(mut self) -> u64 {
        let mut clock = if self.jumped { SampleClock::resumed(self.first) } else { SampleClock::default() };
        let mut fed = false;
        let mut next = self.branch.first.take().map_or_else(|| self.branch.next(), Next::Item);
        while let Next::Item(item) = next {
            if self.control.stopped() || !self.carry(&mut clock, &item, &mut fed) {
                break;
            }
            if let Some(progress) = &self.progress
                && let Err(error) = progress.at(Rate { num: AUDIO_RATE, den: 1 }.time_ns(clock.next()))
            {
                self.control.fail(error);
                break;
            }
            if clock.next() >= self.end {
                break;
            }
            next = self.branch.next();
        }
        let samples = Rate { num: AUDIO_RATE, den: 1 };
        let mut end = clock.next();
        let until = self.span.meet(samples.time_ns(end), &self.control);
        let until = (u128::from(until) * u128::from(AUDIO_RATE) / 1_000_000_000) as u64;
        let missing = until.min(self.end).saturating_sub(end);
        if !self.control.stopped() && self.silence(end, missing, &mut fed) {
            end += missing;
        }
        self.tracks.end(self.feed.as_ref().filter(|_| fed), &self.control);
        end
    }

    fn carry(&self, clock: &mut SampleClock, item: &Item, fed: &mut bool) -> bool {
        let Some(buffer) = item.sample.buffer_owned() else { return true };
        let count = buffer.size() as u64 / SAMPLE_BYTES;
        let at = clock.next();
        let expected = Rate { num: AUDIO_RATE, den: 1 }.time_ns(at) as i64;
        let time = item.time.map_or(expected, |time| time - self.start);
        let splice = clock.place(time, count);
        if !self.silence(at, splice.silence, fed) {
            return false;
        }
        let at = at + splice.silence;
        let left = count - splice.skip;
        if left == 0 || at + left <= self.first {
            return true;
        }
        let rest = if splice.skip == 0 {
            Ok(buffer)
        } else {
            let skipped = (splice.skip * SAMPLE_BYTES) as usize;
            buffer.copy_region(gst::BufferCopyFlags::MEMORY, skipped..)
        };
        rest.is_ok_and(|rest| self.push(rest, at, left, fed))
    }

    /// Pushes `count` samples of silence that begin at index `at`.
    fn silence(&self, mut at: u64, mut count: u64, fed: &mut bool) -> bool {
        while count > 0 {
            let run = count.min(SILENCE_RUN);
            if at + run > self.first {
                let Ok(mut quiet) = gst::Buffer::with_size((run * SAMPLE_BYTES) as usize) else {
                    return false;
                };
                if let Ok(mut data) = quiet.make_mut().map_writable() {
                    data.fill(0);
                }
                if !self.push(quiet, at, run, fed) {
                    return false;
                }
            }
            at += run;
            count -= run;
        }
        true
    }

    /// Pushes `count` samples that begin at index `at`, without the existing ones.
    fn push(&self, buffer: gst::Buffer, at: u64, count: u64, fed: &mut bool) -> bool {
        let Some(feed) = &self.feed else { return true };
        let before = self.first.saturating_sub(at).min(count);
        let cut = (before * SAMPLE_BYTES) as usize..(count * SAMPLE_BYTES) as usize;
        let mut run = if before == 0 {
            buffer
        } else {
            match buffer.copy_region(gst::BufferCopyFlags::MEMORY, cut) {
                Ok(run) => run,
                Err(_) => return false,
            }
        };
        let seconds = Rate { num: AUDIO_RATE, den: 1 };
        let (start, end) = (seconds.time_ns(at + before), seconds.time_ns(at + count));
        let writable = run.make_mut();
        writable.set_pts(gst::ClockTime::from_nseconds(start));
        writable.set_dts(gst::ClockTime::NONE);
        writable.set_duration(gst::ClockTime::from_nseconds(end - start));
        writable.set_offset(at + before);
        writable.set_offset_end(at + count);
        writable.unset_flags(gst::BufferFlags::DISCONT);
        *fed = true;
        feed.push(run)
    }
}
