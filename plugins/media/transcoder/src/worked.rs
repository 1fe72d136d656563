//! The work of an encode on a source: the longest of its renditions, as far as it is encoded. Results of an
//! earlier run do not count.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;

use crate::sink::{Chapter, Earlier, Facts, Rendition, Segment, Sink, SinkError, Text};

/// Of one run of a job; readable from any thread.
#[derive(Debug, Default)]
pub(crate) struct Worked(Mutex<HashMap<String, Made>>);

/// Of one rendition.
#[derive(Debug, Default)]
struct Made {
    /// Ticks a second.
    timescale: u32,
    ticks: u64,
}

impl Worked {
    /// In milliseconds; it only grows.
    pub(crate) fn ms(&self) -> u64 {
        let made = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        made.values().map(Made::ms).max().unwrap_or(0)
    }

    fn known(&self, rendition: &Rendition) {
        let mut made = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        made.entry(rendition.name.clone()).or_default().timescale = rendition.timescale;
    }

    fn add(&self, rendition: &str, ticks: u64) {
        let mut made = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(made) = made.get_mut(rendition) {
            made.ticks = made.ticks.saturating_add(ticks);
        }
    }
}

impl Made {
    fn ms(&self) -> u64 {
        self.ticks.saturating_mul(1_000) / u64::from(self.timescale.max(1))
    }
}

/// Counts what goes to a sink.
pub(crate) struct Counted<S> {
    sink: Arc<S>,
    worked: Arc<Worked>,
}

impl<S: Sink> Counted<S> {
    pub(crate) fn new(sink: Arc<S>, worked: &Arc<Worked>, earlier: &Earlier) -> Arc<Self> {
        earlier.renditions.iter().for_each(|existing| worked.known(&existing.rendition));
        Arc::new(Self { sink, worked: Arc::clone(worked) })
    }
}

impl<S: Sink> Sink for Counted<S> {
    fn planned(&self, facts: &Facts, watch: &[String]) -> Result<(), SinkError> {
        self.sink.planned(facts, watch)
    }

    fn rendition(&self, rendition: &Rendition, init: Bytes) -> Result<(), SinkError> {
        self.worked.known(rendition);
        self.sink.rendition(rendition, init)
    }

    fn segment(&self, rendition: &str, segment: Segment, data: Bytes) -> Result<(), SinkError> {
        let ticks = segment.duration;
        self.sink.segment(rendition, segment, data)?;
        self.worked.add(rendition, ticks);
        Ok(())
    }

    fn complete(&self, rendition: &str) -> Result<(), SinkError> {
        self.sink.complete(rendition)
    }

    fn image(&self, name: &str, data: Bytes) -> Result<(), SinkError> {
        self.sink.image(name, data)
    }

    fn texts(&self, texts: Vec<Text>, chapters: Vec<Chapter>) -> Result<(), SinkError> {
        self.sink.texts(texts, chapters)
    }

    fn progress(&self, progress: f64) {
        self.sink.progress(progress);
    }
}
