//! The JSON of a content, as `/api/v1/contents` and the live changes show it.
//! Unknown facts are null, never zero or empty.

use serde::Serialize;
use streamgate_contracts::catalogue::v1::{ContentState, RenditionKind, Source};
use streamgate_plugin_api::time::rfc3339;

use crate::store::{Entry, Rung};

#[derive(Debug, Serialize)]
pub(crate) struct ContentView<'a> {
    id: &'a str,
    title: &'a str,
    description: &'a str,
    tags: &'a [String],
    state: &'static str,
    reason: Option<&'a str>,
    /// It failed, and encoding it again may end better.
    retryable: bool,
    progress: f64,
    /// Seconds.
    duration: Option<f64>,
    created_at: String,
    updated_at: String,
    source: SourceView<'a>,
    renditions: Vec<RenditionView<'a>>,
    hls: Option<String>,
    dash: Option<String>,
    poster: Option<String>,
    thumbnails: Option<String>,
}

#[derive(Debug, Serialize, Default)]
struct SourceView<'a> {
    filename: Option<&'a str>,
    content_type: Option<&'a str>,
    bytes: Option<u64>,
    width: Option<u32>,
    height: Option<u32>,
    fps: Option<f64>,
    video_codec: Option<&'a str>,
    audio_codec: Option<&'a str>,
    audio_channels: Option<u32>,
}

#[derive(Debug, Serialize)]
struct RenditionView<'a> {
    name: &'a str,
    kind: &'static str,
    codec: Option<&'a str>,
    width: Option<u32>,
    height: Option<u32>,
    fps: Option<f64>,
    channels: Option<u32>,
    sample_rate: Option<u32>,
    /// Measured over all segments there are, bits a second.
    bitrate: Option<u64>,
    target_bitrate: Option<u32>,
    segments: u32,
    complete: bool,
}

impl<'a> ContentView<'a> {
    pub(crate) fn new(entry: &'a Entry) -> Self {
        let content = &entry.content;
        let id = content.id.as_str();
        let state = content.state();
        let watchable = matches!(state, ContentState::Playable | ContentState::Ready);
        let path = |there: bool, file: &str| there.then(|| format!("/v/{id}/{file}"));
        let known_bytes = state != ContentState::Uploading;
        Self {
            id,
            title: &content.title,
            description: &content.description,
            tags: &content.tags,
            state: state.name(),
            reason: text(&content.reason),
            retryable: state == ContentState::Failed && !content.unusable,
            progress: content.progress,
            duration: (content.duration_ms > 0).then(|| content.duration_ms as f64 / 1_000.0),
            created_at: rfc3339(content.created_at_ms),
            updated_at: rfc3339(content.updated_at_ms),
            source: content
                .source
                .as_ref()
                .map_or_else(SourceView::default, |source| SourceView::new(source, known_bytes)),
            renditions: entry.rungs.iter().map(RenditionView::new).collect(),
            hls: path(watchable, "master.m3u8"),
            dash: path(watchable, "manifest.mpd"),
            poster: path(content.has_poster, "poster.jpg"),
            thumbnails: path(content.has_thumbnails, "thumbnails.vtt"),
        }
    }

    /// As one line of JSON.
    pub(crate) fn to_json(&self) -> String {
        serde_json::to_string(self).expect("numbers, text and lists are always JSON")
    }
}

impl<'a> SourceView<'a> {
    fn new(source: &'a Source, uploaded: bool) -> Self {
        Self {
            filename: text(&source.filename),
            content_type: text(&source.content_type),
            // Zero bytes is a fact once the upload is over.
            bytes: (uploaded || source.bytes > 0).then_some(source.bytes),
            width: number(source.width),
            height: number(source.height),
            fps: rate(source.fps_numerator, source.fps_denominator),
            video_codec: text(&source.video_codec),
            audio_codec: text(&source.audio_codec),
            audio_channels: number(source.audio_channels),
        }
    }
}

impl<'a> RenditionView<'a> {
    fn new(rung: &'a Rung) -> Self {
        let spec = &rung.spec;
        Self {
            name: &spec.name,
            kind: if spec.kind() == RenditionKind::Audio { "audio" } else { "video" },
            codec: text(&spec.codec),
            width: number(spec.width),
            height: number(spec.height),
            fps: rate(spec.fps_numerator, spec.fps_denominator),
            channels: number(spec.channels),
            sample_rate: number(spec.sample_rate),
            bitrate: rung.totals.bitrate(spec.timescale),
            target_bitrate: number(spec.target_bitrate),
            segments: rung.totals.segments,
            complete: spec.complete,
        }
    }
}

fn text(text: &str) -> Option<&str> {
    (!text.is_empty()).then_some(text)
}

fn number(number: u32) -> Option<u32> {
    (number > 0).then_some(number)
}

/// Frames a second, to three decimals: 30000/1001 is 29.97.
fn rate(numerator: u32, denominator: u32) -> Option<f64> {
    let exact = f64::from(numerator) / f64::from(denominator);
    (numerator > 0 && denominator > 0).then(|| (exact * 1_000.0).round() / 1_000.0)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::timeline::Totals;
    use streamgate_contracts::catalogue::v1::{Content, Rendition};

    fn entry(state: ContentState) -> Entry {
        let spec = Rendition {
            name: "720p".into(),
            kind: RenditionKind::Video.into(),
            timescale: 90_000,
            fps_numerator: 30_000,
            fps_denominator: 1_001,
            ..Rendition::default()
        };
        let content = Content {
            id: "0190163d-8694-739b-aea5-966c26f8ad91".into(),
            state: state.into(),
            duration_ms: 1_500,
            source: Some(Source::default()),
            ..Content::default()
        };
        let totals = Totals { segments: 1, bytes: 250_000, ticks: 180_000 };
        Entry { content, rungs: vec![Rung { spec, totals }], listed: true }
    }

    fn json(state: ContentState) -> serde_json::Value {
        serde_json::from_str(&ContentView::new(&entry(state)).to_json()).unwrap()
    }

    #[test]
    fn manifests_are_named_from_playable_on() {
        assert!(json(ContentState::Transcoding)["hls"].is_null());
        let playable = json(ContentState::Playable);
        assert_eq!(playable["hls"], "/v/0190163d-8694-739b-aea5-966c26f8ad91/master.m3u8");
        assert_eq!(playable["dash"], "/v/0190163d-8694-739b-aea5-966c26f8ad91/manifest.mpd");
        assert!(json(ContentState::Failed)["dash"].is_null());
    }

    #[test]
    fn rates_are_measured_and_unknown_facts_are_null() {
        let shown = json(ContentState::Ready);
        assert_eq!(shown["renditions"][0]["bitrate"], 1_000_000);
        assert_eq!(shown["renditions"][0]["fps"], 29.97);
        assert_eq!(shown["duration"], 1.5);
        assert!(shown["reason"].is_null() && shown["source"]["width"].is_null());
        assert_eq!(shown["source"]["bytes"], 0);
        assert!(json(ContentState::Uploading)["source"]["bytes"].is_null());
    }
}
