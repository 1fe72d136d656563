//! One encode from beginning to end: opens the source, plans the ladder, decides on one pass or two, carries
//! frames from the decoder to the encoder with final times, and continues where an earlier attempt stopped.
//! It knows nothing of storage or catalogue.

use std::collections::HashMap;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use crate::chapters::chapters;
use crate::choice::Silent;
use crate::collect::Made;
use crate::control::{Control, EncodeError, over};
use crate::cover::cover;
use crate::decode::{Branch, Decoder, Want};
use crate::ladder::{
    AAC_FRAME, AUDIO_RATE, AudioRung, Rate, Rung, audio_ladder, gop_frames, video_ladder, watchable,
};
use crate::media;
pub use crate::options::{Options, Passes};
use crate::pipeline::{AudioPlan, Encoder, Track, Tuning, VideoPlan, audio_lead_in, timescale};
use crate::probe::{Probed, probe};
use crate::pump::{AudioPump, Progress, Span, Tracks, VideoPump, constant_rate_caps};
use crate::resume::{audio_track, earlier_duration, video_track};
use crate::sink::{Earlier, Sink};
use crate::source::{Blocks, Source};
use crate::thumbs::{Thumbnails, Wish};
use crate::timeline::{first_unit, is_first_frame};

/// Below this, decoding is as quick as seeking.
const JUMP_FROM: Duration = Duration::from_secs(20);

/// Maximum bytes of the notes about an encode.
const MAX_NOTE: usize = 900;

/// The result of an encode.
#[derive(Debug, Clone)]
pub struct Report {
    /// Of the presentation: the longer of video and audio.
    pub duration: Duration,
    /// Frames at the ladder's rate.
    pub frames: u64,
    /// Notes for people: damage, omitted sound.
    pub note: Option<String>,
    /// A poster was made, now or earlier.
    pub poster: bool,
    /// Thumbnails were made, now or earlier.
    pub thumbnails: bool,
}

/// Encodes `source` into `sink`, continuing from `earlier`. Blocks until done; [`Control::cancel`] ends it
/// soon. [`media::start`] must have succeeded.
pub fn encode(
    source: &Arc<dyn Source>,
    options: &Options,
    earlier: Earlier,
    sink: &Arc<dyn Sink>,
    control: &Arc<Control>,
) -> Result<Report, EncodeError> {
    let deadline = Instant::now() + options.max_wall_time;
    if source.size() == 0 {
        return Err(EncodeError::input("The file is empty.", "0 bytes"));
    }
    if source.size() > options.max_bytes {
        return Err(EncodeError::input(
            format!(
                "The file is too large: {} bytes; this server takes up to {}.",
                source.size(),
                options.max_bytes
            ),
            "the size limit (setting max_bytes)",
        ));
    }
    let blocks =
        Arc::new(Blocks::new(Arc::clone(source)).map_err(|error| EncodeError::Engine(error.to_string()))?);
    Run { blocks, options, sink, control, deadline, texts: !earlier.texts, silent: Vec::new() }.all(&earlier)
}

struct Run<'a> {
    blocks: Arc<Blocks>,
    options: &'a Options,
    sink: &'a Arc<dyn Sink>,
    control: &'a Arc<Control>,
    deadline: Instant,
    /// The texts of the source are wanted.
    texts: bool,
    /// Undecodable sounds.
    silent: Vec<Silent>,
}

/// The plan of one pass over the source.
struct Pass {
    video: Vec<Track<Rung>>,
    audio: Vec<Track<AudioRung>>,
    wish: Option<Wish>,
    /// The texts of the source, and its chapters.
    texts: bool,
    /// Only this many segments from the start.
    lead: Option<u32>,
    /// Where the results of earlier passes end, nanoseconds of the presentation.
    least: u64,
    /// Progress at the start and at the end of the pass.
    progress: (f64, f64),
}

/// The findings of a pass.
#[derive(Default)]
struct Passed {
    frames: u64,
    samples: u64,
    damage: Option<String>,
    notes: Vec<String>,
    made: HashMap<String, Made>,
}

impl Run<'_> {
    /// Passes on the texts and chapters, by the presentation's clock. Returns notes for people about the
    /// chapters.
    fn publish_texts(
        &self,
        decoder: &Decoder,
        probed: &Probed,
        end: u64,
    ) -> Result<Vec<String>, EncodeError> {
        let end = i64::try_from(end).unwrap_or(i64::MAX);
        // Where the first frame is moved to the beginning, the texts move with it.
        let start = match probed.picture {
            Some(picture) if is_first_frame(probed.picture_start - probed.start, picture.rate) => {
                probed.picture_start
            }
            _ => probed.start,
        };
        let texts = decoder.texts(start, start.saturating_add(end));
        let (chapters, notes) = chapters(&decoder.chapters, probed.file_start, end);
        self.sink.texts(texts, chapters).map_err(|error| EncodeError::Sink(error.to_string()))?;
        Ok(notes)
    }

    fn all(&mut self, earlier: &Earlier) -> Result<Report, EncodeError> {
        // A viewer may wait for the first segments: until they exist, the priority is not lowered.
        let (decoder, silent) = {
            let want = Want { texts: self.texts, ..self.want(true, true, 0) };
            Decoder::open(&self.blocks, want, self.control)?
        };
        self.silent = silent;
        let probed = probe(&decoder).map_err(EncodeError::Engine)?;
        if decoder.is_still() {
            return Err(EncodeError::input("This is a still picture, not a video.", decoder.format.clone()));
        }
        if let Some(duration) = probed.duration
            && duration > self.options.max_duration
            // A header may lie: a file too small for its declared length is judged by its content.
            && self.blocks.size() as f64 / duration.as_secs_f64() > 1000.0
        {
            return Err(self.too_long());
        }
        let facts = &probed.facts;
        tracing::info!(
            container = decoder.format,
            width = facts.width,
            height = facts.height,
            rate = facts.rate.map(|rate| rate.to_string()),
            video_codec = facts.video_codec,
            audio_codec = facts.audio_codec,
            audio_channels = facts.audio_channels,
            duration_ms = facts.duration_ms,
            "source opened"
        );
        let rungs = probed.picture.map(video_ladder).unwrap_or_default();
        let audio = audio_ladder(u32::try_from(decoder.sounds.len()).unwrap_or(u32::MAX));
        let first_rung = watchable(&rungs);
        let mut watch: Vec<String> =
            rungs.get(first_rung).map(|rung| rung.name.clone()).into_iter().collect();
        watch.extend(audio.first().map(|rung| rung.name.clone()));
        self.sink.planned(&probed.facts, &watch).map_err(|error| EncodeError::Sink(error.to_string()))?;

        let scale = probed.picture.map(|picture| timescale(picture.rate));
        let segment = self.segment_rate(&probed);
        let video = rungs.into_iter().map(|rung| video_track(rung, scale, earlier));
        let video: Vec<_> = video.filter_map(Result::transpose).collect::<Result<_, _>>()?;
        let audio = audio.into_iter().map(|rung| audio_track(rung, segment, earlier));
        let audio: Vec<_> = audio.filter_map(Result::transpose).collect::<Result<_, _>>()?;
        let wish = probed.picture.filter(|_| !earlier.poster || !earlier.thumbnails).map(|picture| Wish {
            poster: !earlier.poster,
            thumbnails: !earlier.thumbnails,
            duration: probed.duration,
            width: picture.width,
            height: picture.height,
        });

        let mut notes = decoder.notes.clone();
        let mut poster = earlier.poster || probed.picture.is_some();
        if !poster {
            let cover = cover(&self.blocks, self.options.max_pixels, self.control);
            notes.extend(cover.note);
            if let Some(picture) = cover.poster {
                let made = self.sink.image("poster.jpg", picture);
                made.map_err(|error| EncodeError::Sink(error.to_string()))?;
                poster = true;
            }
        }
        let with_sound = !decoder.sounds.is_empty();
        let two = self.two_passes(&probed) && video.len() > 1;
        let (mut first, rest): (Vec<_>, Vec<_>) =
            video.into_iter().partition(|track| !two || watch.contains(&track.rung.name));
        let mut audio = audio;
        let mut decoder = Some(decoder);
        if let Some(lead) = lead(&probed, &first, &watch) {
            let opened = decoder.take();
            self.lead(opened, &probed, lead, (&mut first, &mut audio), &watch)?;
        }
        media::set_niceness(self.options.nice);
        let mut passed = Passed::default();
        let middle = if rest.is_empty() { 1.0 } else { 0.3 };
        if !first.is_empty() || !audio.is_empty() || wish.is_some() || self.texts {
            let want = Want { texts: self.texts, ..self.want(true, with_sound, self.options.nice) };
            let decoder = decoder.take().map_or_else(|| self.open(want), Ok)?;
            let pass = Pass {
                video: first,
                audio,
                wish,
                texts: self.texts,
                lead: None,
                least: earlier_duration(earlier).as_nanos() as u64,
                progress: (0.0, middle),
            };
            passed = self.pass(decoder, &probed, pass)?;
        }
        if !rest.is_empty() {
            let want = self.want(true, false, self.options.nice);
            let decoder = decoder.take().map_or_else(|| self.open(want), Ok)?;
            let least = ends(&probed, &passed).max(earlier_duration(earlier).as_nanos() as u64);
            let pass = Pass {
                video: rest,
                audio: Vec::new(),
                wish: None,
                texts: false,
                lead: None,
                least,
                progress: (middle, 1.0),
            };
            let second = self.pass(decoder, &probed, pass)?;
            passed.damage = passed.damage.or(second.damage);
            passed.frames = passed.frames.max(second.frames);
        }
        let thumbnails = probed.picture.is_some();
        notes.splice(..0, passed.damage.take());
        notes.append(&mut passed.notes);
        Ok(Report {
            duration: Duration::from_nanos(ends(&probed, &passed)).max(earlier_duration(earlier)),
            frames: passed.frames,
            note: summed_up(notes),
            poster,
            thumbnails,
        })
    }

    /// The first segments that must exist before a content can be watched, and nothing else: a second time
    /// they are only encoded, not written.
    fn lead(
        &self,
        decoder: Option<Decoder>,
        probed: &Probed,
        lead: u32,
        (video, audio): (&mut [Track<Rung>], &mut [Track<AudioRung>]),
        watch: &[String],
    ) -> Result<(), EncodeError> {
        let want = self.want(true, !audio.is_empty(), 0);
        let decoder = decoder.map_or_else(|| self.open(want), Ok)?;
        let watched: Vec<_> =
            video.iter().filter(|track| watch.contains(&track.rung.name)).cloned().collect();
        let pass = Pass {
            video: watched,
            audio: audio.to_vec(),
            wish: None,
            texts: false,
            lead: Some(lead),
            least: 0,
            progress: (0.0, 0.0),
        };
        let passed = self.pass(decoder, probed, pass)?;
        for track in video.iter_mut() {
            track.go_on(passed.made.get(&track.rung.name));
        }
        for track in audio.iter_mut() {
            track.go_on(passed.made.get(&track.rung.name));
        }
        Ok(())
    }

    fn want(&self, video: bool, audio: bool, nice: i32) -> Want {
        Want {
            video,
            audio,
            max_pixels: self.options.max_pixels,
            max_streams: self.options.max_streams,
            max_sound_tracks: self.options.max_sound_tracks,
            texts: false,
            patience: self.options.stall_timeout,
            nice,
            from: None,
        }
    }

    /// Opens the source again, with the same choice of streams.
    fn open(&self, want: Want) -> Result<Decoder, EncodeError> {
        Decoder::reopen(&self.blocks, want, &self.silent, self.control)
    }

    fn too_long(&self) -> EncodeError {
        EncodeError::input(
            format!(
                "The file is too long; this server takes up to {} minutes.",
                self.options.max_duration.as_secs() / 60
            ),
            "the duration limit (setting max_duration)",
        )
    }

    /// Segments a second, common to picture and sound.
    fn segment_rate(&self, probed: &Probed) -> Rate {
        match probed.picture {
            Some(picture) => {
                Rate::new(picture.rate.num, picture.rate.den.saturating_mul(gop_frames(picture.rate)))
            }
            None => Rate::new(1, 2),
        }
    }

    fn two_passes(&self, probed: &Probed) -> bool {
        match self.options.passes {
            Passes::One => false,
            Passes::Two => true,
            Passes::Auto => {
                let heavy = probed.picture.is_some_and(|picture| {
                    f64::from(picture.width) * f64::from(picture.height) * picture.rate.fps()
                        > 2_100_000.0 * 60.0
                });
                probed.duration.is_some_and(|duration| {
                    duration >= self.options.two_passes_from || heavy && duration > Duration::from_secs(20)
                })
            }
        }
    }

    /// Seeks past what exists already, if that saves much decoding.
    fn jump(&self, decoder: Decoder, probed: &Probed, pass: &Pass) -> Result<(Decoder, bool), EncodeError> {
        if pass.wish.is_some() || pass.texts || !decoder.seeks_exactly() {
            return Ok((decoder, false));
        }
        let segment = self.segment_rate(probed);
        let first_frame = decoder.video.as_ref().and(probed.picture).map(|picture| {
            let number = pass.video.iter().map(|track| track.write_from).min().unwrap_or(0);
            // One frame earlier: the decoder cuts what it begins in the middle of.
            picture.rate.time_ns((u64::from(number) * u64::from(gop_frames(picture.rate))).saturating_sub(2))
        });
        let first_sample = decoder.sounds.first().map(|_| {
            let number = pass.audio.iter().map(|track| track.write_from).min().unwrap_or(0);
            let unit = audio_lead_in(first_unit(u64::from(number), segment));
            // Audio decoders need a moment to settle.
            Rate { num: AUDIO_RATE, den: AAC_FRAME as u32 }.time_ns(unit).saturating_sub(100_000_000)
        });
        let wanted = [first_frame, first_sample].into_iter().flatten().min().unwrap_or(0);
        let to = wanted.saturating_add_signed(probed.start);
        if to < JUMP_FROM.as_nanos() as u64 {
            return Ok((decoder, false));
        }
        let (video, audio) = (decoder.video.is_some(), !decoder.sounds.is_empty());
        let want = self.want(video, audio, self.options.nice);
        drop(decoder);
        let opened = self.open(Want { from: i64::try_from(to).ok(), ..want });
        if let Ok(decoder) = opened {
            let first = decoder.video.as_ref().and_then(|branch| branch.first.as_ref());
            let begins = first.and_then(|first| first.time);
            if begins.is_none_or(|time| time <= to as i64 + 1_000_000_000) {
                tracing::info!(seconds = to / 1_000_000_000, "continuing in the middle of the source");
                return Ok((decoder, true));
            }
        }
        tracing::info!("the source is not seekable; decoding from its start");
        Ok((self.open(want)?, false))
    }

    fn pass(&self, mut decoder: Decoder, probed: &Probed, pass: Pass) -> Result<Passed, EncodeError> {
        // Unused streams are not decoded.
        let with_picture = !pass.video.is_empty() || pass.wish.is_some() || pass.texts;
        if !with_picture {
            decoder.video = None;
        }
        if pass.audio.is_empty() && (decoder.video.is_some() || !pass.texts) {
            decoder.sounds.clear();
        }
        let (mut decoder, jumped) = self.jump(decoder, probed, &pass)?;
        let video = decoder.video.take().filter(|_| with_picture);
        let sounds = sounds(std::mem::take(&mut decoder.sounds), pass.audio, video.is_none() && pass.texts);
        let segment = self.segment_rate(probed);
        let video_plan = match (&video, probed.picture) {
            (Some(branch), Some(picture)) if !pass.video.is_empty() => Some(VideoPlan {
                caps: constant_rate_caps(
                    branch.first.as_ref().and_then(|first| first.sample.caps()),
                    picture.rate,
                )?,
                rate: picture.rate,
                first_segment: pass.video.iter().map(|track| track.write_from).min().unwrap_or(0),
                tracks: pass.video,
                lead: pass.lead,
            }),
            _ => None,
        };
        let (branches, audio_plans): (Vec<_>, Vec<_>) = sounds
            .into_iter()
            .map(|(branch, tracks)| {
                let first_segment = tracks.iter().map(|track| track.write_from).min().unwrap_or(0);
                let about = branch.about.clone();
                (branch, AudioPlan { segment, first_segment, tracks, about, lead: pass.lead })
            })
            .unzip();
        let tuning = Tuning {
            preset: self.options.preset.clone(),
            quality: self.options.quality,
            threads: self.options.threads,
            nice: if pass.lead.is_some() { 0 } else { self.options.nice },
        };
        let encoder = Encoder::start(video_plan.as_ref(), &audio_plans, &tuning, self.sink, self.control)?;

        let progress = Progress {
            sink: Arc::clone(self.sink),
            total_ns: probed.duration.map_or(0, |duration| duration.as_nanos() as u64),
            size_says: self.blocks.size(),
            from: pass.progress.0,
            to: pass.progress.1,
            max_ns: self.options.max_duration.as_nanos() as u64,
            too_long: self.too_long(),
        };
        let tracks = |names: &mut dyn Iterator<Item = &String>| Tracks {
            names: names.cloned().collect(),
            sink: Arc::clone(self.sink),
            whole: pass.lead.is_none(),
        };
        let pumps = usize::from(video.is_some()) + branches.len();
        let span = Span::new(pumps, pass.least);
        let video_pump = match (video, probed.picture) {
            (Some(branch), Some(picture)) => {
                let thumbnails = pass
                    .wish
                    .map(|wish| Thumbnails::start(wish, self.sink, self.options.nice))
                    .transpose()
                    .map_err(|error| EncodeError::Engine(error.to_string()))?;
                let gop = u64::from(gop_frames(picture.rate));
                let first = video_plan.as_ref().map_or(u64::MAX, |plan| u64::from(plan.first_segment) * gop);
                let end = pass.lead.map_or(u64::MAX, |lead| u64::from(lead) * gop);
                let pump = VideoPump {
                    branch,
                    feed: encoder.video.clone(),
                    rate: picture.rate,
                    start: probed.start,
                    picture_start: probed.picture_start,
                    jumped,
                    first,
                    end,
                    span: span.clone(),
                    tracks: tracks(
                        &mut video_plan.iter().flat_map(|plan| &plan.tracks).map(|track| &track.rung.name),
                    ),
                    thumbnails,
                    progress: progress.clone(),
                    control: Arc::clone(self.control),
                };
                Some(spawn("video-frames", move || pump.run())?)
            }
            _ => None,
        };
        let mut audio_pumps = Vec::new();
        for (at, (branch, plan)) in branches.into_iter().zip(&audio_plans).enumerate() {
            let lead_in = audio_lead_in(first_unit(u64::from(plan.first_segment), segment)) * AAC_FRAME;
            let pump = AudioPump {
                branch,
                feed: encoder.audio.get(at).cloned().filter(|_| !plan.tracks.is_empty()),
                start: probed.start,
                jumped,
                first: lead_in,
                // The encoder is one unit late; another one makes sure.
                end: pass
                    .lead
                    .map_or(u64::MAX, |lead| (first_unit(u64::from(lead), segment) + 2) * AAC_FRAME),
                span: Arc::clone(&span),
                tracks: tracks(&mut plan.tracks.iter().map(|track| &track.rung.name)),
                progress: (video_pump.is_none() && at == 0).then(|| progress.clone()),
                control: Arc::clone(self.control),
            };
            audio_pumps.push(spawn("audio-samples", move || pump.run())?);
        }

        let ended = self.control.wait(self.options.stall_timeout, self.deadline);
        if let Err(error) = &ended {
            self.control.fail(error.clone());
        }
        let frames = join(video_pump)?;
        let mut samples = 0;
        for pump in audio_pumps {
            samples = samples.max(join(Some(pump))?);
        }
        let made = encoder.made();
        drop(encoder);
        ended?;
        if let Some(failure) = self.control.failure() {
            return Err(failure);
        }
        if let Some(failure) = self.blocks.failure() {
            return Err(EncodeError::Source(failure));
        }
        over(self.deadline)?;
        let mut passed = Passed { frames, samples, made, ..Passed::default() };
        if pass.texts {
            passed.notes = self.publish_texts(&decoder, probed, ends(probed, &passed))?;
        }
        if pass.lead.is_none() {
            passed.notes.splice(..0, decoder.discovered());
        }
        let end = Duration::from_nanos(ends(probed, &passed));
        passed.damage = decoder.damage(end).map(|fault| {
            tracing::info!(detail = fault.detail, "the source is damaged");
            let seconds = ends(probed, &passed) as f64 / 1e9;
            format!("The file is damaged after {seconds:.1} s; only what comes before can be watched.")
        });
        Ok(passed)
    }
}

/// The sounds in use, each with its tracks; with `at_least_one`, the first one in any case.
fn sounds(
    branches: Vec<Branch>,
    mut tracks: Vec<Track<AudioRung>>,
    at_least_one: bool,
) -> Vec<(Branch, Vec<Track<AudioRung>>)> {
    let mut sounds = Vec::new();
    for (number, branch) in (0u32..).zip(branches) {
        let (own, others) = tracks.into_iter().partition(|track| track.rung.track == number);
        tracks = others;
        let own: Vec<_> = own;
        if !own.is_empty() || at_least_one && number == 0 {
            sounds.push((branch, own));
        }
    }
    sounds
}

fn spawn(name: &str, run: impl FnOnce() -> u64 + Send + 'static) -> Result<JoinHandle<u64>, EncodeError> {
    std::thread::Builder::new()
        .name(name.to_owned())
        .spawn(run)
        .map_err(|error| EncodeError::Engine(format!("no thread for {name}: {error}")))
}

fn join(thread: Option<JoinHandle<u64>>) -> Result<u64, EncodeError> {
    thread
        .map_or(Ok(0), |thread| thread.join())
        .map_err(|_| EncodeError::Engine("a media thread panicked".to_owned()))
}

/// How many segments to encode ahead of the rest, so that they can be watched at once: one if the rest
/// follows soon, more if it takes long. `None`: there is nothing to gain, or they exist.
fn lead(probed: &Probed, video: &[Track<Rung>], watch: &[String]) -> Option<u32> {
    let picture = probed.picture?;
    let watched = video.iter().find(|track| watch.contains(&track.rung.name))?;
    if video.len() < 2 || watched.write_from > 0 {
        return None;
    }
    let pixels_a_second = f64::from(picture.width) * f64::from(picture.height) * picture.rate.fps();
    Some(if pixels_a_second > 1280.0 * 720.0 * 31.0 { 2 } else { 1 })
}

/// The notes as one text, within the limits of people and of the catalogue.
fn summed_up(notes: Vec<String>) -> Option<String> {
    let mut text = String::new();
    for (at, note) in notes.iter().enumerate() {
        if text.len() + note.len() > MAX_NOTE {
            text.push_str(&format!(" There are {} more such notes.", notes.len() - at));
            break;
        }
        if at > 0 {
            text.push(' ');
        }
        text.push_str(note);
    }
    (!text.is_empty()).then_some(text)
}

/// Where the result of a pass ends, nanoseconds of the presentation.
fn ends(probed: &Probed, passed: &Passed) -> u64 {
    let picture = probed.picture.map_or(0, |picture| picture.rate.time_ns(passed.frames));
    picture.max(Rate { num: AUDIO_RATE, den: 1 }.time_ns(passed.samples))
}
