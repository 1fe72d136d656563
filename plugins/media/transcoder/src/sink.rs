//! Where an encode puts its results: the trait that the engine writes to, and a folder of files that
//! implements it for tests and measurements. It never encodes.

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use bytes::Bytes;

use crate::ladder::Rate;
use crate::tracks::About;

/// Properties of the source, as far as they are known.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Facts {
    /// As shown.
    pub width: u32,
    /// As shown.
    pub height: u32,
    /// Constant rate it is encoded with.
    pub rate: Option<Rate>,
    /// `h264`, `vp9`; empty without video.
    pub video_codec: String,
    /// `aac`; empty without audio.
    pub audio_codec: String,
    /// Channels in the source.
    pub audio_channels: u32,
    /// From the headers: it may be wrong.
    pub duration_ms: Option<u64>,
}

/// The kind of a rendition.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Kind {
    /// Video.
    Video {
        /// Pixels.
        width: u32,
        /// Pixels.
        height: u32,
        /// Frames a second.
        rate: Rate,
    },
    /// Audio.
    Audio {
        /// Samples a second.
        sample_rate: u32,
        /// Channels.
        channels: u32,
    },
}

/// A rendition, known once its init segment is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rendition {
    /// Path element.
    pub name: String,
    /// RFC 6381.
    pub codec: String,
    /// Ticks a second.
    pub timescale: u32,
    /// Video or audio.
    pub kind: Kind,
    /// Target bits a second.
    pub target_bitrate: u32,
    /// Of audio: the track that it is one bit rate of. 0 is the default.
    pub track: u32,
    /// Of audio: its name for people.
    pub about: About,
}

/// Captions or subtitles of the file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Text {
    /// Path element.
    pub name: String,
    /// Its name for people.
    pub about: About,
    /// WebVTT, of the whole content.
    pub data: Bytes,
}

/// A part of the content with a title.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Chapter {
    /// Its start.
    pub start_ms: u64,
    /// May be empty.
    pub title: String,
}

/// A segment of a rendition.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Segment {
    /// From 0.
    pub number: u32,
    /// Ticks.
    pub start: u64,
    /// Ticks.
    pub duration: u64,
    /// The key frame it starts with: offset and length of its boxes and data.
    pub key_frame: Option<(u32, u32)>,
}

/// What exists of a rendition, from an earlier attempt.
#[derive(Debug, Clone)]
pub struct Existing {
    /// As published.
    pub rendition: Rendition,
    /// Its init segment.
    pub init: Bytes,
    /// Start and duration of each segment, in order from number 0 without gaps.
    pub segments: Vec<(u64, u64)>,
    /// Complete.
    pub complete: bool,
}

/// Everything from an earlier attempt.
#[derive(Debug, Clone, Default)]
pub struct Earlier {
    /// Renditions with at least an init segment.
    pub renditions: Vec<Existing>,
    /// The poster image exists.
    pub poster: bool,
    /// The thumbnails and their index exist.
    pub thumbnails: bool,
    /// The texts and chapters exist.
    pub texts: bool,
}

/// Why a result was not accepted.
pub type SinkError = Box<dyn std::error::Error + Send + Sync>;

/// Receives the results of an encode. Calls come from media threads and may block: that is how a slow store
/// slows the encoder. Those of one rendition come in order.
pub trait Sink: Send + Sync + 'static {
    /// The source was recognized; `watch` names the renditions that must have a segment before the content
    /// can be watched.
    fn planned(&self, facts: &Facts, watch: &[String]) -> Result<(), SinkError>;
    /// A rendition begins, before its first segment.
    fn rendition(&self, rendition: &Rendition, init: Bytes) -> Result<(), SinkError>;
    /// The next segment of a rendition.
    fn segment(&self, rendition: &str, segment: Segment, data: Bytes) -> Result<(), SinkError>;
    /// A rendition is complete.
    fn complete(&self, rendition: &str) -> Result<(), SinkError>;
    /// `poster.jpg`, `thumbnails-<k>.jpg`, and last `thumbnails.vtt`.
    fn image(&self, name: &str, data: Bytes) -> Result<(), SinkError>;
    /// All texts and chapters of the file, also if there are none.
    fn texts(&self, texts: Vec<Text>, chapters: Vec<Chapter>) -> Result<(), SinkError>;
    /// 0 to 1, never decreasing within one encode.
    fn progress(&self, progress: f64);
}

/// What a [`DirectorySink`] received of one rendition.
#[derive(Debug, Clone)]
pub struct Written {
    /// The rendition.
    pub rendition: Rendition,
    /// Its init segment.
    pub init: Bytes,
    /// Its segments.
    pub segments: Vec<Segment>,
    /// It is complete.
    pub complete: bool,
}

/// Writes `<rendition>/init.mp4`, `<rendition>/<n>.m4s`, `<text>/1.vtt` and images below a folder, and
/// remembers what it received.
#[derive(Debug)]
pub struct DirectorySink {
    root: PathBuf,
    taken: Mutex<Taken>,
}

/// What a [`DirectorySink`] received.
#[derive(Debug, Default, Clone)]
pub struct Taken {
    /// As planned.
    pub facts: Facts,
    /// By name.
    pub renditions: BTreeMap<String, Written>,
    /// Names of images.
    pub images: Vec<String>,
    /// Texts of the file.
    pub texts: Vec<Text>,
    /// Chapters of the file.
    pub chapters: Vec<Chapter>,
    /// Texts and chapters were received.
    pub texts_read: bool,
    /// Time from the creation of the sink until all watched renditions had a segment.
    pub playable_after: Option<std::time::Duration>,
    watch: Vec<String>,
    since: Option<std::time::Instant>,
}

impl DirectorySink {
    /// Writes below `root`, which is created when needed.
    pub fn new(root: &Path) -> Self {
        let taken = Taken { since: Some(std::time::Instant::now()), ..Taken::default() };
        Self { root: root.to_owned(), taken: Mutex::new(taken) }
    }

    /// What was received so far.
    pub fn taken(&self) -> Taken {
        self.lock().clone()
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Taken> {
        self.taken.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn write(&self, path: &str, data: &[u8]) -> io::Result<()> {
        let path = self.root.join(path);
        if let Some(folder) = path.parent() {
            std::fs::create_dir_all(folder)?;
        }
        std::fs::write(path, data)
    }
}

impl Sink for DirectorySink {
    fn planned(&self, facts: &Facts, watch: &[String]) -> Result<(), SinkError> {
        let mut taken = self.lock();
        taken.facts = facts.clone();
        taken.watch = watch.to_vec();
        Ok(())
    }

    fn rendition(&self, rendition: &Rendition, init: Bytes) -> Result<(), SinkError> {
        self.write(&format!("{}/init.mp4", rendition.name), &init)?;
        let written = Written { rendition: rendition.clone(), init, segments: Vec::new(), complete: false };
        self.lock().renditions.insert(rendition.name.clone(), written);
        Ok(())
    }

    fn segment(&self, rendition: &str, segment: Segment, data: Bytes) -> Result<(), SinkError> {
        self.write(&format!("{rendition}/{}.m4s", segment.number), &data)?;
        let mut taken = self.lock();
        let written = taken.renditions.get_mut(rendition).ok_or("the rendition was not announced")?;
        written.segments.push(segment);
        let watchable = taken
            .watch
            .iter()
            .all(|name| taken.renditions.get(name).is_some_and(|written| !written.segments.is_empty()));
        if watchable && taken.playable_after.is_none() {
            taken.playable_after = taken.since.map(|since| since.elapsed());
        }
        Ok(())
    }

    fn complete(&self, rendition: &str) -> Result<(), SinkError> {
        self.lock().renditions.get_mut(rendition).ok_or("the rendition was not announced")?.complete = true;
        Ok(())
    }

    fn image(&self, name: &str, data: Bytes) -> Result<(), SinkError> {
        self.write(name, &data)?;
        self.lock().images.push(name.to_owned());
        Ok(())
    }

    fn texts(&self, texts: Vec<Text>, chapters: Vec<Chapter>) -> Result<(), SinkError> {
        for text in &texts {
            self.write(&format!("{}/1.vtt", text.name), &text.data)?;
        }
        let mut taken = self.lock();
        (taken.texts, taken.chapters, taken.texts_read) = (texts, chapters, true);
        Ok(())
    }

    fn progress(&self, _: f64) {}
}
