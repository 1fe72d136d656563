//! The playlists and the manifest of one content at one revision, each written on first use and kept: as
//! bytes with their header fields, and for gated contents as templates that each viewer's token is put into.
//! Never does I/O.

use std::sync::OnceLock;

use http::HeaderValue;

use crate::manifest::chapters::chapters;
use crate::manifest::texts::{self, Text};
use crate::manifest::timeline::{NotPlayable, Phase, Timeline, Track};
use crate::manifest::{dash, hls};
use crate::object::answer::{self, Entity};
use crate::object::path::{Item, QUERY};

/// Placeholder behind every URI of a template. Text from people contains no control characters.
const PLACE: &str = "\u{1}";
/// Growing playlists may be cached for a second, so that a proxy in front takes the load.
const GROWING: HeaderValue = HeaderValue::from_static("public, max-age=1");

/// Why an item has no document.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Missing {
    /// It may become available later.
    NotPlayable(NotPlayable),
    /// The content has no such item.
    NotHere,
}

/// How documents are written.
#[derive(Debug, Clone)]
pub(crate) struct Style {
    /// As in [`Timeline::target_duration`].
    pub(crate) floor: u64,
    /// `Cache-Control` of complete documents.
    pub(crate) complete: HeaderValue,
}

/// A content at one revision with its documents.
#[derive(Debug)]
pub(crate) struct Snapshot {
    pub(crate) timeline: Timeline,
    style: Style,
    /// The same for everyone.
    open: Documents<Entity>,
    /// With [`PLACE`] behind every URI, for a viewer's token.
    templates: Documents<Written>,
}

#[derive(Debug)]
struct Documents<T> {
    multivariant: OnceLock<Result<T, NotPlayable>>,
    manifest: OnceLock<Result<T, NotPlayable>>,
    /// In the order of the timeline's tracks.
    tracks: Box<[TrackDocuments<T>]>,
    /// The playlists of texts, in the order of the timeline's.
    texts: Box<[OnceLock<T>]>,
    chapters: OnceLock<Option<T>>,
}

#[derive(Debug)]
struct TrackDocuments<T> {
    playlist: OnceLock<T>,
    i_frames: OnceLock<T>,
}

/// A document as text.
#[derive(Debug)]
pub(crate) struct Written {
    pub(crate) text: String,
    pub(crate) media_type: &'static str,
    grows: bool,
}

impl<T> Documents<T> {
    fn of(timeline: &Timeline) -> Self {
        let none = |_| TrackDocuments { playlist: OnceLock::new(), i_frames: OnceLock::new() };
        let tracks = timeline.tracks.iter().map(none).collect();
        let texts = timeline.texts.iter().map(|_| OnceLock::new()).collect();
        Self {
            multivariant: OnceLock::new(),
            manifest: OnceLock::new(),
            tracks,
            texts,
            chapters: OnceLock::new(),
        }
    }
}

impl Snapshot {
    pub(crate) fn new(timeline: Timeline, style: Style) -> Self {
        let (open, templates) = (Documents::of(&timeline), Documents::of(&timeline));
        Self { timeline, style, open, templates }
    }

    /// The document that `item` names; `None` if `item` is an object.
    pub(crate) fn document(&self, item: Item<'_>) -> Option<Result<&Entity, Missing>> {
        self.find(&self.open, item, "", |written| self.entity(written))
    }

    /// The same with a token behind every URI.
    pub(crate) fn personal(&self, item: Item<'_>, token: &str) -> Option<Result<Written, Missing>> {
        let template = self.find(&self.templates, item, PLACE, |written| written)?;
        Some(template.map(|template| Written {
            text: template.text.replace(PLACE, &format!("{QUERY}{token}")),
            ..*template
        }))
    }

    /// A playlist or the manifest for a player that began with an earlier generation; with none it is the
    /// usual one. A player that does not state a generation began with the current one for a manifest, and
    /// with the first one for a playlist.
    pub(crate) fn since(
        &self,
        item: Item<'_>,
        began: Option<u32>,
        now_ms: i64,
        query: &str,
    ) -> Option<Written> {
        let (timeline, floor) = (&self.timeline, self.style.floor);
        let playlist = |name: &str, write: &dyn Fn(&[&Track], &Track) -> String| {
            let track = timeline.track(name)?;
            let before = timeline.tracks_since(name, began.unwrap_or(0), now_ms);
            let grows = timeline.track_grows(track);
            let text = (!before.is_empty()).then(|| write(&before, track))?;
            Some(Written { text, media_type: hls::MEDIA_TYPE, grows })
        };
        match item {
            Item::Manifest => {
                let before = timeline.played_since(began?, now_ms);
                let text =
                    (!before.is_empty()).then(|| dash::manifest_since(timeline, &before, floor, query));
                Some(Written { text: text?.ok()?, media_type: dash::MEDIA_TYPE, grows: timeline.growing() })
            }
            Item::Playlist(name) => {
                playlist(name, &|before, track| hls::media_playlist(timeline, before, track, floor, query))
            }
            Item::IFrames(name) => {
                playlist(name, &|before, track| hls::i_frame_playlist(timeline, before, track, floor, query))
            }
            _ => None,
        }
    }

    fn find<'a, T>(
        &'a self,
        documents: &'a Documents<T>,
        item: Item<'_>,
        query: &str,
        keep: impl Fn(Written) -> T,
    ) -> Option<Result<&'a T, Missing>> {
        let (timeline, floor) = (&self.timeline, self.style.floor);
        let keep = |text, media_type, grows| keep(Written { text, media_type, grows });
        let document = match item {
            Item::Multivariant => documents
                .multivariant
                .get_or_init(|| {
                    let text = hls::multivariant(timeline, floor, query)?;
                    Ok(keep(text, hls::MEDIA_TYPE, timeline.growing()))
                })
                .as_ref()
                .map_err(|error| Missing::NotPlayable(*error)),
            Item::Manifest => documents
                .manifest
                .get_or_init(|| {
                    let text = dash::manifest(timeline, floor, query)?;
                    Ok(keep(text, dash::MEDIA_TYPE, timeline.growing()))
                })
                .as_ref()
                .map_err(|error| Missing::NotPlayable(*error)),
            Item::Playlist(name) if timeline.text(name).is_some() => {
                self.text(documents, name).and_then(|(text, kept)| {
                    let offer = timeline.offer().map_err(Missing::NotPlayable)?;
                    Ok(kept.get_or_init(|| {
                        let text = hls::text_playlist(timeline, &offer, text, query);
                        keep(text, hls::MEDIA_TYPE, false)
                    }))
                })
            }
            Item::Playlist(name) => self.track(documents, name).map(|(track, kept)| {
                kept.playlist.get_or_init(|| {
                    let text = hls::media_playlist(timeline, &[], track, floor, query);
                    keep(text, hls::MEDIA_TYPE, timeline.track_grows(track))
                })
            }),
            Item::IFrames(name) => self.track(documents, name).and_then(|(track, kept)| {
                if track.sync_points.is_empty() {
                    return Err(Missing::NotHere);
                }
                Ok(kept.i_frames.get_or_init(|| {
                    let text = hls::i_frame_playlist(timeline, &[], track, floor, query);
                    keep(text, hls::MEDIA_TYPE, timeline.track_grows(track))
                }))
            }),
            Item::Chapters => {
                if let Phase::Waiting(why) = timeline.phase {
                    return Some(Err(Missing::NotPlayable(NotPlayable { why })));
                }
                let written = || chapters(timeline);
                let kept = documents
                    .chapters
                    .get_or_init(|| written().map(|text| keep(text, texts::MEDIA_TYPE, timeline.growing())));
                kept.as_ref().ok_or(Missing::NotHere)
            }
            _ => return None,
        };
        Some(document)
    }

    /// A text that has a playlist: one that players list.
    fn text<'a, T>(
        &'a self,
        documents: &'a Documents<T>,
        name: &str,
    ) -> Result<(&'a Text, &'a OnceLock<T>), Missing> {
        match self.timeline.phase {
            Phase::Waiting(why) => Err(Missing::NotPlayable(NotPlayable { why })),
            Phase::Growing => Err(Missing::NotHere),
            Phase::Ended => self
                .timeline
                .texts
                .iter()
                .zip(&documents.texts)
                .find(|(text, _)| text.name == name)
                .ok_or(Missing::NotHere),
        }
    }

    fn track<'a, T>(
        &'a self,
        documents: &'a Documents<T>,
        name: &str,
    ) -> Result<(&'a Track, &'a TrackDocuments<T>), Missing> {
        if let Phase::Waiting(why) = self.timeline.phase {
            return Err(Missing::NotPlayable(NotPlayable { why }));
        }
        self.timeline
            .tracks
            .iter()
            .zip(&documents.tracks)
            .find(|(track, _)| track.name == name && track.usable())
            .ok_or(Missing::NotHere)
    }

    pub(crate) fn entity(&self, written: Written) -> Entity {
        let cache_control = if written.grows { GROWING } else { self.style.complete.clone() };
        let etag = answer::etag_of(written.text.as_bytes());
        Entity::new(written.text.into(), HeaderValue::from_static(written.media_type), cache_control, etag)
    }
}

/// The index of thumbnails (WebVTT) with a token behind the address of every sheet.
pub(crate) fn thumbnails(index: &str, token: &str) -> String {
    let mut text = String::with_capacity(index.len() * 2);
    for line in index.split_inclusive('\n') {
        match line.split_once('#') {
            Some((sheet, place)) if sheet.starts_with("thumbnails-") => {
                text.extend([sheet, QUERY, token, "#", place]);
            }
            _ => text.push_str(line),
        }
    }
    text
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::object::path::Folder;
    use crate::samples::{chapter, ended, growing, ntsc, settled, text, video};

    fn snapshot(timeline: Timeline) -> Snapshot {
        Snapshot::new(timeline, Style { floor: 2, complete: HeaderValue::from_static("public, max-age=60") })
    }

    #[test]
    fn what_grows_may_be_kept_a_second_and_what_is_complete_a_minute() {
        let mut tracks = ntsc();
        tracks[0].complete = true;
        let growing = snapshot(settled(growing(tracks)));
        let cache_control = |snapshot: &Snapshot, item| {
            snapshot.document(item).unwrap().unwrap().field("cache-control").unwrap().to_owned()
        };
        assert_eq!(cache_control(&growing, Item::Multivariant), "public, max-age=1");
        assert_eq!(cache_control(&growing, Item::Manifest), "public, max-age=1");
        assert_eq!(cache_control(&growing, Item::Playlist("720p")), "public, max-age=1");
        assert_eq!(cache_control(&growing, Item::Playlist("1080p")), "public, max-age=60");
        let ended = snapshot(ended(ntsc()));
        assert_eq!(cache_control(&ended, Item::IFrames("720p")), "public, max-age=60");
    }

    #[test]
    fn a_playlist_is_written_once() {
        let snapshot = snapshot(ended(ntsc()));
        let first: *const Entity = snapshot.document(Item::Playlist("720p")).unwrap().unwrap();
        let second: *const Entity = snapshot.document(Item::Playlist("720p")).unwrap().unwrap();
        assert_eq!(first, second);
    }

    #[test]
    fn sound_has_no_i_frame_playlist_and_an_empty_rendition_none_at_all() {
        let mut tracks = ntsc();
        tracks.push(video("2160p", 3840, 2160, 12_000_000));
        let snapshot = snapshot(settled(growing(tracks)));
        for item in [Item::IFrames("audio-64k"), Item::Playlist("2160p"), Item::Playlist("144p")] {
            assert_eq!(snapshot.document(item).unwrap().unwrap_err(), Missing::NotHere, "{item:?}");
        }
        assert!(snapshot.document(Item::Segment(Folder { name: "720p", generation: 0 }, 0)).is_none());
    }

    #[test]
    fn before_a_content_is_playable_nothing_of_it_is_listed() {
        let mut timeline = growing(ntsc());
        timeline.phase = Phase::Waiting("transcoding");
        timeline.texts = vec![text("text-1", "en")];
        let snapshot = snapshot(settled(timeline));
        for item in [
            Item::Multivariant,
            Item::Manifest,
            Item::Playlist("720p"),
            Item::Playlist("text-1"),
            Item::IFrames("720p"),
            Item::Chapters,
        ] {
            let missing = snapshot.document(item).unwrap().unwrap_err();
            assert_eq!(missing, Missing::NotPlayable(NotPlayable { why: "transcoding" }));
        }
    }

    #[test]
    fn a_token_stands_behind_uris_and_nowhere_in_what_people_wrote() {
        let mut timeline = ended(ntsc());
        timeline.texts = vec![Text { label: Some("a?t=b".to_owned()), ..text("text-1", "en") }];
        timeline.chapters = vec![chapter(0, "why ?t=")];
        let snapshot = snapshot(timeline);
        let personal = |item| snapshot.personal(item, "TOKEN").unwrap().unwrap().text;
        let (master, manifest) = (personal(Item::Multivariant), personal(Item::Manifest));
        assert!(master.contains("NAME=\"a?t=b\"") && master.contains("URI=\"text-1/index.m3u8?t=TOKEN\""));
        assert!(manifest.contains("<Label>a?t=b</Label>"));
        assert!(manifest.contains("<BaseURL>text-1/1.vtt?t=TOKEN</BaseURL>"));
        assert!(personal(Item::Playlist("text-1")).contains("\n1.vtt?t=TOKEN\n"));
        assert!(personal(Item::Chapters).ends_with("\nwhy ?t=\n"));
        for text in [master, manifest] {
            assert!(!text.contains('\u{1}') && text.matches("?t=TOKEN").count() > 5);
        }
    }

    #[test]
    fn texts_have_a_playlist_once_the_content_is_whole_and_chapters_at_once() {
        let with = |mut timeline: Timeline| {
            timeline.texts = vec![text("text-1", "en")];
            timeline.chapters = vec![chapter(0, "One")];
            snapshot(timeline)
        };
        let growing = with(settled(growing(ntsc())));
        let of = |snapshot: &Snapshot, item| snapshot.document(item).unwrap().err();
        assert_eq!(of(&growing, Item::Playlist("text-1")), Some(Missing::NotHere));
        assert_eq!(of(&growing, Item::Chapters), None);
        let ended = with(ended(ntsc()));
        assert_eq!(of(&ended, Item::Playlist("text-1")), None);
        for item in [Item::IFrames("text-1"), Item::Playlist("text-2")] {
            assert_eq!(of(&ended, item), Some(Missing::NotHere));
        }
        assert_eq!(
            of(&snapshot(Timeline { chapters: Vec::new(), ..ended.timeline }), Item::Chapters),
            Some(Missing::NotHere)
        );
    }
}
