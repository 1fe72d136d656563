//! The JSON of a content, for `/api/v1/contents` and the live changes. Unknown facts are null, never zero or
//! empty.

use serde::Serialize;
use streamgate_contracts::catalogue::v1::{Chapter, Content, ContentState, RenditionKind, Source, TextTrack};
use streamgate_plugin_api::time::rfc3339;

use crate::policies;
use crate::store::{Entry, Rung};
use crate::texts;

#[derive(Debug, Serialize)]
pub(crate) struct ContentView<'a> {
    id: &'a str,
    title: &'a str,
    description: &'a str,
    tags: &'a [String],
    state: &'static str,
    reason: Option<&'a str>,
    /// It failed, and a retry of the encoding may succeed.
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
    captions: Vec<CaptionView<'a>>,
    chapters: Vec<ChapterView<'a>>,
    #[serde(flatten)]
    standing: Option<StandingView<'a>>,
}

/// Visible only to users who may change the content.
#[derive(Debug, Serialize)]
struct StandingView<'a> {
    /// A principal.
    owner: Option<&'a str>,
    visibility: Option<&'static str>,
}

/// Captions or subtitles.
#[derive(Debug, Serialize)]
pub(crate) struct CaptionView<'a> {
    name: &'a str,
    language: Option<&'a str>,
    label: Option<&'a str>,
    default: bool,
    forced: bool,
    hearing_impaired: bool,
    commentary: bool,
    bytes: u32,
    url: String,
}

#[derive(Debug, Serialize)]
struct ChapterView<'a> {
    /// Seconds.
    start: f64,
    title: &'a str,
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
    /// Measured over all existing segments, bits a second.
    bitrate: Option<u64>,
    target_bitrate: Option<u32>,
    segments: u32,
    complete: bool,
    /// Audio only.
    track: Option<u32>,
    language: Option<&'a str>,
    label: Option<&'a str>,
    commentary: bool,
    described: bool,
}

impl<'a> ContentView<'a> {
    /// `whole`: with its owner and its visibility.
    pub(crate) fn new(entry: &'a Entry, whole: bool) -> Self {
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
            renditions: in_order(&entry.rungs).into_iter().map(RenditionView::new).collect(),
            hls: path(watchable, "master.m3u8"),
            dash: path(watchable, "manifest.mpd"),
            poster: path(content.has_poster, "poster.jpg"),
            thumbnails: path(content.has_thumbnails, "thumbnails.vtt"),
            captions: CaptionView::all(content),
            chapters: content.chapters.iter().map(ChapterView::new).collect(),
            standing: whole.then(|| StandingView {
                owner: text(&content.owner),
                visibility: policies::visibility(entry.openness),
            }),
        }
    }

    /// As one line of JSON.
    pub(crate) fn to_json(&self) -> String {
        serde_json::to_string(self).expect("numbers, text and lists are always JSON")
    }
}

impl<'a> CaptionView<'a> {
    pub(crate) fn new(id: &str, track: &'a TextTrack) -> Self {
        Self {
            name: &track.name,
            language: text(&track.language),
            label: text(&track.label),
            default: track.default,
            forced: track.forced,
            hearing_impaired: track.hearing_impaired,
            commentary: track.commentary,
            bytes: track.bytes,
            url: format!("/v/{}", texts::object(id, &track.name, track.version)),
        }
    }

    /// Those of a content, in the order in which players list them.
    pub(crate) fn all(content: &'a Content) -> Vec<Self> {
        content.texts.iter().map(|track| Self::new(&content.id, track)).collect()
    }
}

impl<'a> ChapterView<'a> {
    fn new(chapter: &'a Chapter) -> Self {
        Self { start: chapter.start_ms as f64 / 1_000.0, title: &chapter.title }
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
            track: (spec.kind() == RenditionKind::Audio).then_some(spec.track),
            language: text(&spec.language),
            label: text(&spec.label),
            commentary: spec.commentary,
            described: spec.described,
        }
    }
}

/// Video from the smallest to the largest, then audio, each in the stored order.
fn in_order(rungs: &[Rung]) -> Vec<&Rung> {
    let mut rungs: Vec<_> = rungs.iter().collect();
    rungs.sort_by_key(|rung| {
        let spec = &rung.spec;
        let is_audio = spec.kind() == RenditionKind::Audio;
        (is_audio, spec.track, u64::from(spec.width) * u64::from(spec.height), spec.target_bitrate)
    });
    rungs
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
    use streamgate_contracts::access::v1::Openness;
    use streamgate_contracts::catalogue::v1::Rendition;

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
        let rungs = vec![Rung { spec, totals }];
        Entry { content, rungs, listed: true, openness: Openness::Public, position: 1, unlisted: 0, taken: 0 }
    }

    fn json(state: ContentState) -> serde_json::Value {
        serde_json::from_str(&ContentView::new(&entry(state), false).to_json()).unwrap()
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
    fn captions_and_chapters_are_shown_with_their_addresses_and_sounds_with_their_track() {
        let mut entry = entry(ContentState::Ready);
        let track = TextTrack {
            name: "text-1".into(),
            version: 3,
            bytes: 70,
            language: "de".into(),
            ..TextTrack::default()
        };
        entry.content.texts.push(track);
        entry.content.chapters.push(Chapter { start_ms: 1_500, title: "A".into() });
        let mut sound = entry.rungs[0].clone();
        sound.spec = Rendition {
            name: "audio".into(),
            kind: RenditionKind::Audio.into(),
            language: "en".into(),
            commentary: true,
            ..Rendition::default()
        };
        entry.rungs.push(sound);
        let shown: serde_json::Value =
            serde_json::from_str(&ContentView::new(&entry, false).to_json()).unwrap();
        let expected = serde_json::json!([{
            "name": "text-1", "language": "de", "label": null, "default": false, "forced": false,
            "hearing_impaired": false, "commentary": false, "bytes": 70,
            "url": "/v/0190163d-8694-739b-aea5-966c26f8ad91/text-1/3.vtt",
        }]);
        assert_eq!(shown["captions"], expected);
        assert_eq!(shown["chapters"], serde_json::json!([{ "start": 1.5, "title": "A" }]));
        let [video, audio] = [&shown["renditions"][0], &shown["renditions"][1]];
        assert!(video["track"].is_null() && video["language"].is_null());
        assert_eq!((&audio["track"], &audio["language"]), (&0.into(), &"en".into()));
        assert_eq!((&audio["commentary"], &audio["described"]), (&true.into(), &false.into()));
    }

    #[test]
    fn only_those_who_may_change_it_see_its_owner_and_visibility() {
        let mut entry = entry(ContentState::Ready);
        entry.content.owner = "ann".into();
        entry.openness = Openness::Unlisted;
        let json = |whole| serde_json::to_value(ContentView::new(&entry, whole)).unwrap();
        assert!(json(false).get("owner").is_none() && json(false).get("visibility").is_none());
        assert_eq!((&json(true)["owner"], &json(true)["visibility"]), (&"ann".into(), &"unlisted".into()));
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
