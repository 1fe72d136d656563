//! What a request path under `/v` names. Strict on purpose: each object has exactly one path, so a path that
//! parses can be used as a cache key and in a storage key unchanged.

use std::fmt;

use streamgate_contracts::renditions;

/// The public prefix.
pub(crate) const PREFIX: &str = "/v/";
/// The query parameter of a token: `?t=…`.
pub(crate) const QUERY: &str = "?t=";
/// The query parameter of the generation that a player began with.
pub(crate) const BEGAN: &str = "g=";

/// A content's id: a UUID, in the one form used in paths.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct ContentId(u128);

impl ContentId {
    /// Reads a UUID in lower case with hyphens, and no other form.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        let text = text.as_bytes();
        if text.len() != 36 {
            return None;
        }
        let mut value = 0_u128;
        for (place, byte) in text.iter().enumerate() {
            let digit = match (place, byte) {
                (8 | 13 | 18 | 23, b'-') => continue,
                (8 | 13 | 18 | 23, _) => return None,
                (_, b'0'..=b'9') => byte - b'0',
                (_, b'a'..=b'f') => byte - b'a' + 10,
                _ => return None,
            };
            value = value << 4 | u128::from(digit);
        }
        Some(Self(value))
    }

    pub(crate) fn bytes(self) -> [u8; 16] {
        self.0.to_be_bytes()
    }
}

impl fmt::Display for ContentId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        uuid::Uuid::from_u128(self.0).as_hyphenated().fmt(f)
    }
}

impl fmt::Debug for ContentId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// A generation of a rendition, which has its own folder.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Folder<'a> {
    pub(crate) name: &'a str,
    pub(crate) generation: u32,
}

/// One item of a content.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Item<'a> {
    /// `master.m3u8`
    Multivariant,
    /// `manifest.mpd`
    Manifest,
    /// `{rendition}/index.m3u8`, also of a text
    Playlist(&'a str),
    /// `{rendition}/iframes.m3u8`
    IFrames(&'a str),
    /// `{folder}/init.mp4`
    Init(Folder<'a>),
    /// `{folder}/{number}.m4s`
    Segment(Folder<'a>, u32),
    /// `{text}/{version}.vtt`
    Text(&'a str, u32),
    /// `chapters.vtt`
    Chapters,
    /// `poster.jpg`
    Poster,
    /// `thumbnails.vtt`
    Thumbnails,
    /// `thumbnails-{number}.jpg`
    ThumbnailSheet(u32),
}

impl Item<'_> {
    /// Whether a client may know of it before this plugin does: the address of a text that was just added.
    pub(crate) fn may_be_new(self) -> bool {
        matches!(self, Self::Text(..))
    }

    /// Whether a request for it means playback, not only browsing.
    pub(crate) fn is_played(self) -> bool {
        matches!(self, Self::Init(_) | Self::Segment(..))
    }

    /// Whether a page shows it beside or instead of a player, by its address alone.
    pub(crate) fn is_beside(self) -> bool {
        matches!(
            self,
            Self::Poster | Self::Thumbnails | Self::ThumbnailSheet(_) | Self::Text(..) | Self::Chapters
        )
    }
}

/// `[a-z0-9-]{1,32}`, of renditions and texts.
pub(crate) fn is_rendition_name(name: &str) -> bool {
    matches!(name.len(), 1..=32) && name.bytes().all(|byte| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'-'))
}

/// A decimal number without sign or leading zeros.
fn number(text: &str) -> Option<u32> {
    let digits = text.as_bytes();
    match digits {
        [b'0'] => Some(0),
        [b'1'..=b'9', rest @ ..] if rest.iter().all(u8::is_ascii_digit) => text.parse().ok(),
        _ => None,
    }
}

/// The item that `path` names, if it is one of ours. `path` is as received: nothing in it is decoded, and
/// nothing that would need decoding is accepted.
pub(crate) fn parse(path: &str) -> Option<(ContentId, Item<'_>)> {
    let (id, rest) = path.strip_prefix(PREFIX)?.split_once('/')?;
    let id = ContentId::parse(id)?;
    let item = match rest.split_once('/') {
        None => match rest {
            "master.m3u8" => Item::Multivariant,
            "manifest.mpd" => Item::Manifest,
            "poster.jpg" => Item::Poster,
            "thumbnails.vtt" => Item::Thumbnails,
            "chapters.vtt" => Item::Chapters,
            _ => Item::ThumbnailSheet(number(rest.strip_prefix("thumbnails-")?.strip_suffix(".jpg")?)?),
        },
        Some((folder, file)) => in_folder(folder, file)?,
    };
    Some((id, item))
}

/// The item of a file in the folder of a rendition or a text. Playlists and texts have no generation.
fn in_folder<'a>(folder: &'a str, file: &str) -> Option<Item<'a>> {
    let (name, generation) = renditions::read_folder(folder).filter(|(name, _)| is_rendition_name(name))?;
    let folder = Folder { name, generation };
    Some(match (file, file.rsplit_once('.')?) {
        ("init.mp4", _) => Item::Init(folder),
        (_, (segment, "m4s")) => Item::Segment(folder, number(segment)?),
        _ if generation > 0 => return None,
        ("index.m3u8", _) => Item::Playlist(name),
        ("iframes.m3u8", _) => Item::IFrames(name),
        (_, (version, "vtt")) => Item::Text(name, number(version)?),
        _ => return None,
    })
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const ID: &str = "0199c3a4-5b6c-7d8e-9f01-23456789abcd";

    #[test]
    fn each_item_has_its_path() {
        let item = |rest: &str| {
            parse(&format!("/v/{ID}/{rest}")).map(|(id, item)| {
                assert_eq!(id.to_string(), ID);
                format!("{item:?}")
            })
        };
        assert_eq!(item("master.m3u8").unwrap(), "Multivariant");
        assert_eq!(item("manifest.mpd").unwrap(), "Manifest");
        assert_eq!(item("720p/index.m3u8").unwrap(), "Playlist(\"720p\")");
        assert_eq!(item("720p/iframes.m3u8").unwrap(), "IFrames(\"720p\")");
        assert_eq!(
            item("audio-64k/init.mp4").unwrap(),
            "Init(Folder { name: \"audio-64k\", generation: 0 })"
        );
        let last = "Segment(Folder { name: \"720p\", generation: 12 }, 4294967295)";
        assert_eq!(item("720p.12/4294967295.m4s").unwrap(), last);
        assert_eq!(item("text-1/index.m3u8").unwrap(), "Playlist(\"text-1\")");
        assert_eq!(item("text-1/12.vtt").unwrap(), "Text(\"text-1\", 12)");
        assert_eq!(item("chapters.vtt").unwrap(), "Chapters");
        assert_eq!(item("poster.jpg").unwrap(), "Poster");
        assert_eq!(item("thumbnails.vtt").unwrap(), "Thumbnails");
        assert_eq!(item("thumbnails-0.jpg").unwrap(), "ThumbnailSheet(0)");
    }

    #[test]
    fn anything_else_names_nothing() {
        for rest in [
            "",
            "/",
            "master.m3u8/",
            "MASTER.M3U8",
            "720p",
            "720p/",
            "720p/00.m4s",
            "720p/01.m4s",
            "720p/+1.m4s",
            "720p/-1.m4s",
            "720p/4294967296.m4s",
            "720p/.m4s",
            "720p/1.m4s/",
            "720p/1.mp4",
            "720p.0/1.m4s",
            "720p.01/1.m4s",
            "720p./1.m4s",
            "720p.1.1/1.m4s",
            "720p.1/index.m3u8",
            "720p.1/iframes.m3u8",
            "text-1.1/1.vtt",
            ".1/init.mp4",
            "720P/1.m4s",
            "text-1/01.vtt",
            "text-1/.vtt",
            "text-1/1.VTT",
            "text-1/1.vtt.vtt",
            "text-1/1.m4s.vtt",
            "text-1/4294967296.vtt",
            "text 1/1.vtt",
            "text-1/../1.vtt",
            "1.vtt",
            "chapters.vtt/",
            "text-1/chapters.vtt",
            "../1.m4s",
            "720p/../1.m4s",
            "%3720p/1.m4s",
            "720p/1%2em4s",
            "720p//1.m4s",
            "thumbnails-.jpg",
            "thumbnails-00.jpg",
            "thumbnails-1.jpg.jpg",
            "source",
            "720_p/init.mp4",
            "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa/init.mp4",
        ] {
            assert_eq!(parse(&format!("/v/{ID}/{rest}")), None, "{rest}");
        }
        for path in [
            "/v",
            "/v/",
            "/v//master.m3u8",
            "/w/x/master.m3u8",
            "/v/0199C3A4-5b6c-7d8e-9f01-23456789abcd/master.m3u8",
            "/v/0199c3a45b6c7d8e9f0123456789abcd/master.m3u8",
            "/v/{0199c3a4-5b6c-7d8e-9f01-23456789abcd}/master.m3u8",
            "/v/0199c3a4-5b6c-7d8e-9f01-23456789abc\u{e9}/master.m3u8",
        ] {
            assert_eq!(parse(path), None, "{path}");
        }
    }

    proptest! {
        #[test]
        fn no_path_makes_it_panic_and_what_parses_holds_nothing_dangerous(path in "(/v/[0-9a-f-]{36}/)?\\PC{0,60}") {
            if let Some((_, Item::Segment(Folder { name, .. }, _) | Item::Init(Folder { name, .. }) | Item::Text(name, _)))
                = parse(&path)
            {
                prop_assert!(is_rendition_name(name));
            }
        }

        #[test]
        fn every_id_reads_back(value: u128) {
            let id = ContentId(value);
            prop_assert_eq!(ContentId::parse(&id.to_string()), Some(id));
        }
    }
}
