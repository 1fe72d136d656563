//! HLS and DASH as a player sees them: every playlist, every segment, every frame.
//!
//! The parsers implement just enough of RFC 8216 and ISO/IEC 23009-1 to list what a player would fetch;
//! ffprobe does the decoding.

use std::collections::BTreeSet;
use std::ffi::OsStr;
use std::process::Command;

use anyhow::{Context, Result, bail, ensure};
use futures_util::{StreamExt as _, TryStreamExt as _, stream};
use quick_xml::Reader;
use quick_xml::events::{BytesStart, Event};
use reqwest::Url;
use serde::Deserialize;

use crate::server::Server;
use crate::tools::run;

/// A stream that ffprobe decoded to its end.
#[derive(Debug, Clone, Deserialize)]
pub struct Stream {
    index: u32,
    /// `video` or `audio`.
    pub codec_type: String,
    /// Pixels; none for sound.
    pub width: Option<u32>,
    /// Pixels; none for sound.
    pub height: Option<u32>,
    #[serde(default)]
    nb_read_frames: String,
}

impl Stream {
    /// Decoded frames.
    ///
    /// # Panics
    /// When ffprobe could not count them.
    #[must_use]
    pub fn frames(&self) -> u64 {
        self.nb_read_frames.parse().unwrap_or_else(|_| panic!("no frame was decoded: {self:?}"))
    }
}

/// Decodes every stream of a file or an address, each in its own run: read all at once, ffmpeg's DASH demuxer
/// stops when the first of them ends.
///
/// # Errors
/// When ffprobe cannot read it, or reports any decoding error.
pub fn decode(input: impl AsRef<OsStr>) -> Result<Vec<Stream>> {
    let input = input.as_ref();
    let listed = probe(input, &["-show_entries", "stream=index,codec_type,width,height"])?;
    let decoded = listed.iter().map(|stream| {
        let index = stream.index.to_string();
        let entries = "stream=index,codec_type,width,height,nb_read_frames";
        let mut one = probe(input, &["-count_frames", "-select_streams", &index, "-show_entries", entries])?;
        ensure!(one.len() == 1, "{}: stream {index} is read as {one:?}", input.display());
        Ok(one.remove(0))
    });
    decoded.collect()
}

fn probe(input: &OsStr, arguments: &[&str]) -> Result<Vec<Stream>> {
    #[derive(Deserialize)]
    struct Report {
        streams: Vec<Stream>,
    }
    let output =
        run(Command::new("ffprobe").args(["-v", "error", "-of", "json"]).args(arguments).arg(input))?;
    let complaints = String::from_utf8_lossy(&output.stderr);
    ensure!(complaints.trim().is_empty(), "{}: {complaints}", input.display());
    let report: Report = serde_json::from_slice(&output.stdout)?;
    Ok(report.streams)
}

/// Video frames of a file or an address.
///
/// # Errors
/// As [`decode`], and when it has no picture.
pub fn video_frames(file: impl AsRef<OsStr>) -> Result<u64> {
    decode(file)?
        .iter()
        .find(|stream| stream.codec_type == "video")
        .map(Stream::frames)
        .context("a video stream")
}

/// A media playlist (RFC 8216 §4).
#[derive(Debug, Clone)]
pub struct Playlist {
    /// Its address.
    pub url: Url,
    /// EXT-X-MAP.
    pub init: Option<Url>,
    /// Address and EXTINF of every segment.
    pub segments: Vec<(Url, f64)>,
    /// EXT-X-TARGETDURATION.
    pub target: f64,
    /// EXT-X-PLAYLIST-TYPE.
    pub kind: Option<String>,
    /// EXT-X-ENDLIST is there.
    pub ended: bool,
}

/// Reads the multivariant playlist and all media playlists that it names.
///
/// # Errors
/// When one is missing or is not a playlist.
pub async fn hls(server: &Server, path: &str) -> Result<Vec<Playlist>> {
    let base = Url::parse(&server.url(path))?;
    let master = text(server, &base, "application/vnd.apple.mpegurl").await?;
    let mut names = BTreeSet::new();
    let mut variant = false;
    for line in master.lines() {
        if line.starts_with("#EXT-X-MEDIA:") {
            names.extend(attribute(line, "URI").map(str::to_owned));
        } else if line.starts_with("#EXT-X-STREAM-INF:") {
            variant = true;
        } else if variant && !line.starts_with('#') && !line.is_empty() {
            names.insert(line.to_owned());
            variant = false;
        }
    }
    ensure!(!names.is_empty(), "{base} names no playlist:\n{master}");
    let mut playlists = Vec::new();
    for name in names {
        playlists.push(playlist(server, base.join(&name)?).await?);
    }
    Ok(playlists)
}

async fn playlist(server: &Server, url: Url) -> Result<Playlist> {
    let body = text(server, &url, "application/vnd.apple.mpegurl").await?;
    let mut read = Playlist { url, init: None, segments: Vec::new(), target: 0.0, kind: None, ended: false };
    let mut duration = None;
    for line in body.lines() {
        if let Some(rest) = line.strip_prefix("#EXTINF:") {
            duration = Some(rest.split(',').next().unwrap_or_default().parse()?);
        } else if let Some(rest) = line.strip_prefix("#EXT-X-TARGETDURATION:") {
            read.target = rest.parse()?;
        } else if let Some(rest) = line.strip_prefix("#EXT-X-PLAYLIST-TYPE:") {
            read.kind = Some(rest.to_owned());
        } else if line.starts_with("#EXT-X-MAP:") {
            let uri = attribute(line, "URI").context("EXT-X-MAP with a URI")?;
            read.init = Some(read.url.join(uri)?);
        } else if line == "#EXT-X-ENDLIST" {
            read.ended = true;
        } else if !line.starts_with('#') && !line.is_empty() {
            let seconds = duration.take().context("EXTINF before a segment")?;
            read.segments.push((read.url.join(line)?, seconds));
        }
    }
    Ok(read)
}

/// A manifest (ISO/IEC 23009-1), as far as a player requests its parts.
#[derive(Debug, Clone, Default)]
pub struct Manifest {
    /// `static` or `dynamic`.
    pub kind: String,
    /// Every address that a player would fetch.
    pub urls: BTreeSet<Url>,
    /// Representation ids.
    pub representations: Vec<String>,
}

#[derive(Debug, Clone, Default)]
struct Template {
    init: String,
    media: String,
    first: u64,
    segments: u64,
}

/// Reads the manifest and determines the address of every segment.
///
/// # Errors
/// When it is missing or not of the form SegmentTemplate with SegmentTimeline.
pub async fn dash(server: &Server, path: &str) -> Result<Manifest> {
    let base = Url::parse(&server.url(path))?;
    let body = text(server, &base, "application/dash+xml").await?;
    let mut manifest = Manifest::default();
    let mut shared: Option<Template> = None;
    let mut own: Option<Template> = None;
    let mut representation: Option<String> = None;
    let mut waiting: Vec<String> = Vec::new();
    // A text track is one whole file.
    let (mut names_file, mut file) = (false, false);
    let mut reader = Reader::from_str(&body);
    loop {
        let event = reader.read_event().with_context(|| body.clone())?;
        let (element, empty) = match &event {
            Event::Start(element) => (element, false),
            Event::Empty(element) => (element, true),
            Event::End(element) => {
                match element.name().as_ref() {
                    "Representation" => {
                        let id = representation.take().context("an open Representation")?;
                        match own.take() {
                            None if std::mem::take(&mut file) => {}
                            Some(template) => list(&mut manifest, &base, &template, &id)?,
                            None => waiting.push(id),
                        }
                    }
                    "AdaptationSet" => {
                        let template = shared.take();
                        for id in waiting.drain(..) {
                            let template = template.as_ref().context("a SegmentTemplate")?;
                            list(&mut manifest, &base, template, &id)?;
                        }
                    }
                    _ => {}
                }
                continue;
            }
            Event::Text(text) if std::mem::take(&mut names_file) => {
                manifest.urls.insert(base.join(&text.xml10_content())?);
                file = true;
                continue;
            }
            Event::Eof => break,
            _ => continue,
        };
        match element.name().as_ref() {
            "BaseURL" => names_file = true,
            "MPD" => manifest.kind = value(element, "type")?.unwrap_or_default(),
            "Representation" => {
                let id = value(element, "id")?.context("Representation with an id")?;
                manifest.representations.push(id.clone());
                if empty {
                    waiting.push(id);
                } else {
                    representation = Some(id);
                }
            }
            "SegmentTemplate" => {
                let template = Template {
                    init: value(element, "initialization")?.context("initialization")?,
                    media: value(element, "media")?.context("media")?,
                    first: number(element, "startNumber", 1)?,
                    segments: 0,
                };
                if representation.is_some() {
                    own = Some(template);
                } else {
                    shared = Some(template);
                }
            }
            "S" => {
                let repeats = number(element, "r", 0)?;
                let template = own.as_mut().or(shared.as_mut());
                template.context("S in a SegmentTemplate")?.segments += repeats + 1;
            }
            _ => {}
        }
    }
    ensure!(!manifest.urls.is_empty(), "{base} names no segment:\n{body}");
    Ok(manifest)
}

fn list(manifest: &mut Manifest, base: &Url, template: &Template, id: &str) -> Result<()> {
    let fill = |pattern: &str| pattern.replace("$RepresentationID$", id);
    manifest.urls.insert(base.join(&fill(&template.init))?);
    let media = fill(&template.media);
    ensure!(media.contains("$Number$"), "no $Number$ in {media}");
    for number in template.first..template.first + template.segments {
        let address = media.replace("$Number$", &number.to_string());
        manifest.urls.insert(base.join(&address)?);
    }
    Ok(())
}

fn value(element: &BytesStart<'_>, name: &str) -> Result<Option<String>> {
    match element.try_get_attribute(name)? {
        Some(attribute) => Ok(Some(attribute.value.into_owned())),
        None => Ok(None),
    }
}

fn number(element: &BytesStart<'_>, name: &str, default: u64) -> Result<u64> {
    Ok(match value(element, name)? {
        Some(text) => text.parse().with_context(|| format!("{name}={text}"))?,
        None => default,
    })
}

/// `URI="…"` of an attribute list (RFC 8216 §4.2).
fn attribute<'a>(line: &'a str, name: &str) -> Option<&'a str> {
    let start = line.find(&format!("{name}=\""))? + name.len() + 2;
    line[start..].split('"').next()
}

/// Fetches all addresses completely and returns the sum of their bytes.
///
/// # Errors
/// When one does not answer 200 with a body of the promised length.
pub async fn fetch_all(server: &Server, urls: impl IntoIterator<Item = Url>) -> Result<u64> {
    stream::iter(urls)
        .map(|url| async move {
            let answer = server.http().get(url.clone()).send().await?;
            let status = answer.status();
            if status != reqwest::StatusCode::OK {
                bail!("GET {url}: {status}");
            }
            let body = answer.bytes().await.with_context(|| format!("GET {url} broke off"))?;
            ensure!(!body.is_empty(), "GET {url}: empty");
            Ok(body.len() as u64)
        })
        .buffer_unordered(8)
        .try_fold(0, |sum, bytes| async move { Ok(sum + bytes) })
        .await
}

async fn text(server: &Server, url: &Url, expected: &str) -> Result<String> {
    let answer = server.http().get(url.clone()).send().await?;
    let status = answer.status();
    let kind = answer
        .headers()
        .get("content-type")
        .and_then(|kind| kind.to_str().ok())
        .unwrap_or_default()
        .to_owned();
    let body = answer.text().await?;
    ensure!(status.is_success(), "GET {url}: {status}: {body}");
    ensure!(kind.starts_with(expected), "GET {url}: Content-Type {kind}");
    Ok(body)
}

/// Checks that a finished content has what a player needs: both manifests complete, naming the same segments,
/// each of which exists; both decode without an error.
///
/// # Errors
/// The problem.
pub async fn whole(server: &Server, content: &crate::api::Content) -> Result<Decoded> {
    let hls_path = content.hls.as_deref().context("an HLS address")?;
    let dash_path = content.dash.as_deref().context("a DASH address")?;
    let playlists = hls(server, hls_path).await?;
    let mut from_hls = BTreeSet::new();
    for playlist in &playlists {
        ensure!(playlist.ended, "{} has no end", playlist.url);
        ensure!(playlist.kind.as_deref() == Some("VOD"), "{} is not VOD", playlist.url);
        from_hls.extend(playlist.init.clone());
        from_hls.extend(playlist.segments.iter().map(|(url, _)| url.clone()));
        for (url, seconds) in &playlist.segments {
            ensure!(
                *seconds <= playlist.target + 0.5,
                "{url} lasts {seconds} s of at most {}",
                playlist.target
            );
        }
    }
    let manifest = dash(server, dash_path).await?;
    ensure!(manifest.kind == "static", "{dash_path} is {}", manifest.kind);
    ensure!(
        manifest.urls == from_hls,
        "HLS and DASH name different segments: {:#?}",
        manifest.urls.symmetric_difference(&from_hls)
    );
    let bytes = fetch_all(server, from_hls).await?;
    Ok(Decoded { bytes, hls: decode(server.url(hls_path))?, dash: decode(server.url(dash_path))?, playlists })
}

/// The results of [`whole`].
#[derive(Debug)]
pub struct Decoded {
    /// The bytes of all segments and init segments.
    pub bytes: u64,
    /// Streams of the multivariant playlist.
    pub hls: Vec<Stream>,
    /// Streams of the manifest.
    pub dash: Vec<Stream>,
    /// Media playlists.
    pub playlists: Vec<Playlist>,
}

impl Decoded {
    /// Frames of every video stream of both manifests.
    #[must_use]
    pub fn video_frames(&self) -> Vec<u64> {
        self.hls
            .iter()
            .chain(&self.dash)
            .filter(|stream| stream.codec_type == "video")
            .map(Stream::frames)
            .collect()
    }
}
