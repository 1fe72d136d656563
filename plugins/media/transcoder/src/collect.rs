//! Splits the muxer's output of one rendition: announces the init segment, gives every segment its exact
//! place and passes it on. It never changes media.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use bytes::{Bytes, BytesMut};
use gstreamer as gst;

use crate::control::{Control, EncodeError};
use crate::segment::{BoxError, clear_times, parse_fragment, parse_init};
use crate::sink::{Rendition, Segment, Sink};

/// The result of a pass for a track.
#[derive(Debug, Clone)]
pub(crate) struct Made {
    pub(crate) init: Bytes,
    pub(crate) segments: u32,
}

/// Splits one rendition's output and passes it on.
pub(crate) struct Collector {
    pub(crate) rendition: Rendition,
    pub(crate) next_number: u32,
    pub(crate) next_start: u64,
    pub(crate) sample_ticks: u64,
    /// Samples in every segment but the last.
    pub(crate) full_samples: Option<u32>,
    pub(crate) write_from: u32,
    /// The segment `write_from` as it exists already; it is not written again.
    pub(crate) last: Option<(u64, u64)>,
    pub(crate) write_to: Option<u32>,
    pub(crate) init: Option<Bytes>,
    pub(crate) announced: bool,
    pub(crate) made: Arc<Mutex<HashMap<String, Made>>>,
    pub(crate) sink: Arc<dyn Sink>,
    pub(crate) control: Arc<Control>,
}

impl Collector {
    /// Takes a sample of the muxer.
    pub(crate) fn take(&mut self, sample: &gst::Sample) -> Result<(), EncodeError> {
        let control = Arc::clone(&self.control);
        let _waiting = control.waiting();
        let list = sample.buffer_list().ok_or_else(|| engine("the muxer gave no list"))?;
        let mut data = BytesMut::with_capacity(list.calculate_size());
        for buffer in list {
            let is_init = buffer.flags().contains(gst::BufferFlags::DISCONT | gst::BufferFlags::HEADER);
            let bytes = buffer.map_readable().map_err(|error| engine(&error.to_string()))?;
            if is_init {
                let mut init = bytes.to_vec();
                clear_times(&mut init).map_err(structure)?;
                self.init_segment(init.into())?;
            } else {
                data.extend_from_slice(&bytes);
            }
        }
        self.control.alive();
        if data.is_empty() { Ok(()) } else { self.segment(data) }
    }

    fn init_segment(&mut self, data: Bytes) -> Result<(), EncodeError> {
        if self.announced {
            return Ok(());
        }
        let init = parse_init(&data).map_err(structure)?;
        if init.timescale != self.rendition.timescale {
            return Err(engine("the muxer chose another time scale"));
        }
        self.rendition.codec = init.codec;
        self.announced = true;
        if let Some(earlier) = &self.init {
            // Segments of an earlier attempt stay valid only with the very same decoder configuration; their
            // init segment stays unchanged. With another one the next generation begins.
            let same = parse_init(earlier).is_ok_and(|old| {
                earlier.get(old.sample_description.clone()) == data.get(init.sample_description.clone())
                    && old.timescale == init.timescale
            });
            return if same { Ok(()) } else { Err(EncodeError::Changed) };
        }
        self.init = Some(data.clone());
        self.sink.rendition(&self.rendition, data).map_err(|error| EncodeError::Sink(error.to_string()))
    }

    fn segment(&mut self, mut data: BytesMut) -> Result<(), EncodeError> {
        let mut fragment = parse_fragment(&data).map_err(structure)?;
        let number = self.next_number;
        let is_video = self.full_samples.is_some();
        if is_video && !fragment.starts_with_sync {
            return Err(engine("a segment does not start with a key frame"));
        }
        if self.full_samples.is_some_and(|full| fragment.samples > full) {
            return Err(engine("a segment is longer than its group of pictures"));
        }
        // Exact ticks: the muxer counts in nanoseconds.
        let duration = u64::from(fragment.samples) * self.sample_ticks;
        if fragment.duration.abs_diff(duration) > u64::from(fragment.samples) {
            tracing::warn!(
                rendition = self.rendition.name,
                number,
                muxed = fragment.duration,
                duration,
                "a segment has samples of uneven duration"
            );
        }
        let start = self.next_start;
        fragment.restamp(&mut data, start, number + 1).map_err(structure)?;
        self.next_number += 1;
        self.next_start += fragment.duration;
        if number < self.write_from || self.write_to.is_some_and(|end| number >= end) {
            return Ok(());
        }
        if let Some(init) = &self.init {
            let made = Made { init: init.clone(), segments: number + 1 };
            self.made
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
                .insert(self.rendition.name.clone(), made);
        }
        if let Some(last) = self.last.take_if(|_| number == self.write_from) {
            return if last == (start, fragment.duration) { Ok(()) } else { Err(EncodeError::Changed) };
        }
        let key_frame = is_video
            .then(|| {
                let length = fragment.first_sample_end - fragment.moof;
                Some((u32::try_from(fragment.moof).ok()?, u32::try_from(length).ok()?))
            })
            .flatten();
        let segment = Segment { number, start, duration: fragment.duration, key_frame };
        self.sink
            .segment(&self.rendition.name, segment, data.freeze())
            .map_err(|error| EncodeError::Sink(error.to_string()))
    }
}

fn engine(why: &str) -> EncodeError {
    EncodeError::Engine(why.to_owned())
}

fn structure(error: BoxError) -> EncodeError {
    EncodeError::Engine(format!("the muxer's output is not as expected: {error}"))
}
