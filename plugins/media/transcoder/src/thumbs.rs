//! The poster and the thumbnails of the seek bar: picks frames as they pass, scales them, lays them out in
//! sheets and writes the WebVTT index (`file#xywh=x,y,w,h`). On its own thread, so that encoding does not
//! wait; it never decodes.

use std::fmt::Write as _;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread::JoinHandle;
use std::time::Duration;

use bytes::Bytes;
use gstreamer as gst;
use gstreamer_video as gst_video;
use gstreamer_video::prelude::*;

use crate::media;
use crate::sink::{Sink, SinkError};

/// Tiles in a row, and rows in a sheet.
const GRID: usize = 10;
/// Longer side of a tile's bound; the shorter follows the video.
const TILE_HEIGHT: u32 = 90;
const TILE_MAX_WIDTH: u32 = 240;
const POSTER_MAX: u32 = 1280;
/// Frames darker than this on average (of 255) are no poster.
const DARK: u64 = 32;
/// Bright frames are searched for this long.
const POSTER_PATIENCE_MS: u64 = 10_000;

/// Why there are no thumbnails.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ThumbnailError {
    #[error("{0}")]
    Media(String),
    #[error("{0}")]
    Sink(SinkError),
}

impl From<gst::glib::BoolError> for ThumbnailError {
    fn from(error: gst::glib::BoolError) -> Self {
        Self::Media(error.to_string())
    }
}

/// What to make.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Wish {
    pub(crate) poster: bool,
    pub(crate) thumbnails: bool,
    /// As declared by the headers; it only sets the distance of the thumbnails.
    pub(crate) duration: Option<Duration>,
    /// Display size of the source.
    pub(crate) width: u32,
    pub(crate) height: u32,
}

/// Takes frames as they pass.
pub(crate) struct Thumbnails {
    frames: Option<SyncSender<(u64, gst::Sample)>>,
    thread: Option<JoinHandle<()>>,
    step_ms: u64,
    next_ms: u64,
}

impl Thumbnails {
    pub(crate) fn start(wish: Wish, sink: &Arc<dyn Sink>, nice: i32) -> std::io::Result<Self> {
        let (frames, received) = sync_channel(4);
        let step_ms = step_ms(wish.duration);
        let sink = Arc::clone(sink);
        let thread = std::thread::Builder::new().name("thumbnails".to_owned()).spawn(move || {
            crate::media::set_niceness(nice);
            // A content is usable without thumbnails: report it and continue.
            if let Err(error) = make(wish, step_ms, &received, &sink) {
                tracing::warn!(%error, "no thumbnails");
            }
            for _ in received {}
        })?;
        Ok(Self { frames: Some(frames), thread: Some(thread), step_ms, next_ms: 0 })
    }

    /// Offers the frame shown at `time_ms`; takes it if it is due.
    pub(crate) fn offer(&mut self, time_ms: u64, sample: &gst::Sample) {
        if time_ms < self.next_ms {
            return;
        }
        self.next_ms = (time_ms / self.step_ms + 1) * self.step_ms;
        if let Some(frames) = &self.frames {
            // The thread receives until the end, so this only waits, never fails.
            let _ = frames.send((time_ms, sample.clone()));
        }
    }

    /// No more frames: waits until everything is passed to the sink.
    pub(crate) fn finish(mut self) {
        self.frames = None;
        if let Some(thread) = self.thread.take()
            && thread.join().is_err()
        {
            tracing::warn!("the thumbnails thread panicked");
        }
    }
}

/// One thumbnail a second for short films, ten seconds apart for long ones.
fn step_ms(duration: Option<Duration>) -> u64 {
    let duration = duration.map_or(200_000, |duration| duration.as_millis() as u64);
    (duration / 100).clamp(1000, 10_000)
}

fn make(
    wish: Wish,
    step_ms: u64,
    frames: &Receiver<(u64, gst::Sample)>,
    sink: &Arc<dyn Sink>,
) -> Result<(), ThumbnailError> {
    let (tile_width, tile_height) = tile_size(wish.width, wish.height);
    let mut sheets =
        Sheets { width: tile_width, height: tile_height, tiles: Vec::new(), made: 0, index: Vec::new() };
    let mut poster = PosterChoice { open: wish.poster, best: None };
    let mut scalers = Scalers::default();
    for (time_ms, sample) in frames {
        poster.consider(time_ms, &sample, wish, &mut scalers, sink)?;
        if !wish.thumbnails {
            continue;
        }
        let tile = scalers.scale(&sample, tile_width, tile_height)?;
        sheets.tiles.push(tile);
        sheets.index.push(time_ms);
        if sheets.tiles.len() == GRID * GRID {
            sheets.flush(sink)?;
        }
    }
    poster.finish(wish, &mut scalers, sink)?;
    if wish.thumbnails && !sheets.index.is_empty() {
        sheets.flush(sink)?;
        sink.image("thumbnails.vtt", sheets.vtt(step_ms).into()).map_err(ThumbnailError::Sink)?;
    }
    Ok(())
}

fn tile_size(width: u32, height: u32) -> (u32, u32) {
    let wanted = u64::from(width) * u64::from(TILE_HEIGHT) / u64::from(height.max(1));
    ((wanted as u32).clamp(16, TILE_MAX_WIDTH) & !1, TILE_HEIGHT)
}

struct PosterChoice {
    open: bool,
    best: Option<(u64, gst::Sample)>,
}

impl PosterChoice {
    /// The first bright frame after the first second, else the brightest of the first ten.
    fn consider(
        &mut self,
        time_ms: u64,
        sample: &gst::Sample,
        wish: Wish,
        scalers: &mut Scalers,
        sink: &Arc<dyn Sink>,
    ) -> Result<(), ThumbnailError> {
        if !self.open {
            return Ok(());
        }
        let luma = mean_luma(sample)?;
        if self.best.as_ref().is_none_or(|(best, _)| luma > *best) || luma >= DARK {
            self.best = Some((luma, sample.clone()));
        }
        if time_ms >= 1000 && luma >= DARK || time_ms > POSTER_PATIENCE_MS {
            self.finish(wish, scalers, sink)?;
        }
        Ok(())
    }

    fn finish(
        &mut self,
        wish: Wish,
        scalers: &mut Scalers,
        sink: &Arc<dyn Sink>,
    ) -> Result<(), ThumbnailError> {
        let Some((_, sample)) = self.best.take().filter(|_| self.open) else { return Ok(()) };
        self.open = false;
        let (width, height) = poster_size(wish.width, wish.height);
        let frame = scalers.scale(&sample, width, height)?;
        sink.image("poster.jpg", jpeg(frame)?).map_err(ThumbnailError::Sink)
    }
}

/// The size of the poster of a picture of this size.
pub(crate) fn poster_size(width: u32, height: u32) -> (u32, u32) {
    let scale = (f64::from(POSTER_MAX) / f64::from(width.max(height).max(1))).min(1.0);
    let side = |length: u32| ((f64::from(length) * scale) as u32).max(16) & !1;
    (side(width), side(height))
}

/// A poster from rows of red, green and blue with this stride in bytes.
pub(crate) fn poster(width: u32, height: u32, rows: &[u8], stride: usize) -> Result<Bytes, ThumbnailError> {
    let mut picture = blank(width, height, None)?;
    let to = picture.plane_stride()[0].unsigned_abs() as usize;
    let target = picture.plane_data_mut(0)?;
    media::copy_rows((rows, stride), (target, to), width as usize * 3, height as usize);
    jpeg(picture)
}

fn mean_luma(sample: &gst::Sample) -> Result<u64, ThumbnailError> {
    let (frame, _) = readable(sample)?;
    let luma = frame.plane_data(0)?;
    let stride = frame.plane_stride().first().copied().unwrap_or(1).unsigned_abs() as usize;
    let width = frame.width() as usize;
    let (mut sum, mut count) = (0u64, 0u64);
    for row in luma.chunks(stride.max(1)).take(frame.height() as usize).step_by(8) {
        for value in row.iter().take(width).step_by(8) {
            sum += u64::from(*value);
            count += 1;
        }
    }
    Ok(sum / count.max(1))
}

fn readable(
    sample: &gst::Sample,
) -> Result<(gst_video::VideoFrame<gst_video::video_frame::Readable>, gst_video::VideoInfo), ThumbnailError> {
    let caps = sample.caps().ok_or_else(|| ThumbnailError::Media("a frame without caps".to_owned()))?;
    let info = gst_video::VideoInfo::from_caps(caps)?;
    let buffer =
        sample.buffer_owned().ok_or_else(|| ThumbnailError::Media("a frame without data".to_owned()))?;
    let frame = gst_video::VideoFrame::from_buffer_readable(buffer, &info)
        .map_err(|_| ThumbnailError::Media("a frame cannot be read".to_owned()))?;
    Ok((frame, info))
}

/// A picture in memory, red, green and blue: the colours of JPEG files differ from those of videos.
type Picture = gst_video::VideoFrame<gst_video::video_frame::Writable>;

fn blank(width: u32, height: u32, like: Option<&gst_video::VideoInfo>) -> Result<Picture, ThumbnailError> {
    let mut builder = gst_video::VideoInfo::builder(gst_video::VideoFormat::Rgb, width, height);
    // The converter refuses to change a frame rate, even of single pictures.
    if let Some(like) = like {
        builder = builder.fps(like.fps());
    }
    let info = builder.build()?;
    let mut buffer = gst::Buffer::with_size(info.size())?;
    buffer.make_mut().map_writable()?.fill(0);
    Picture::from_buffer_writable(buffer, &info)
        .map_err(|_| ThumbnailError::Media("a picture cannot be written".to_owned()))
}

/// Converters for the sizes in use.
#[derive(Default)]
struct Scalers {
    kept: Vec<(gst_video::VideoInfo, (u32, u32), gst_video::VideoConverter)>,
}

impl Scalers {
    fn scale(&mut self, sample: &gst::Sample, width: u32, height: u32) -> Result<Picture, ThumbnailError> {
        let (frame, info) = readable(sample)?;
        let mut target = blank(width, height, Some(&info))?;
        let known = self.kept.iter().position(|(from, to, _)| *from == info && *to == (width, height));
        let at = match known {
            Some(at) => at,
            None => {
                self.kept.truncate(3);
                let converter = gst_video::VideoConverter::new(&info, target.info(), None)?;
                self.kept.insert(0, (info, (width, height), converter));
                0
            }
        };
        self.kept[at].2.frame(&frame, &mut target);
        Ok(target)
    }
}

fn jpeg(frame: Picture) -> Result<Bytes, ThumbnailError> {
    let caps = frame.info().to_caps()?;
    let sample = gst::Sample::builder().caps(&caps).buffer(&frame.into_buffer()).build();
    let target = gst::Caps::builder("image/jpeg").build();
    let encoded = gst_video::convert_sample(&sample, &target, gst::ClockTime::from_seconds(20))
        .map_err(|error| ThumbnailError::Media(error.to_string()))?;
    let buffer = encoded.buffer().ok_or_else(|| ThumbnailError::Media("an empty image".to_owned()))?;
    Ok(Bytes::copy_from_slice(&buffer.map_readable()?))
}

struct Sheets {
    width: u32,
    height: u32,
    tiles: Vec<Picture>,
    made: usize,
    index: Vec<u64>,
}

impl Sheets {
    fn flush(&mut self, sink: &Arc<dyn Sink>) -> Result<(), ThumbnailError> {
        if self.tiles.is_empty() {
            return Ok(());
        }
        let columns = self.tiles.len().min(GRID);
        let rows = self.tiles.len().div_ceil(GRID);
        let like = self.tiles.first().map(|tile| tile.info().clone());
        let mut sheet = blank(self.width * columns as u32, self.height * rows as u32, like.as_ref())?;
        for (at, tile) in self.tiles.drain(..).enumerate() {
            paste(&tile, &mut sheet, at % GRID, at / GRID)?;
        }
        let name = format!("thumbnails-{}.jpg", self.made);
        self.made += 1;
        sink.image(&name, jpeg(sheet)?).map_err(ThumbnailError::Sink)
    }

    fn vtt(&self, step_ms: u64) -> String {
        let mut text = String::from("WEBVTT\n");
        for (at, start) in self.index.iter().enumerate() {
            let end = self.index.get(at + 1).copied().unwrap_or(start + step_ms);
            let (sheet, tile) = (at / (GRID * GRID), at % (GRID * GRID));
            let (x, y) = ((tile % GRID) as u32 * self.width, (tile / GRID) as u32 * self.height);
            // The first one also covers the time before its frame.
            let start = if at == 0 { 0 } else { *start };
            let _ = write!(
                text,
                "\n{} --> {}\nthumbnails-{sheet}.jpg#xywh={x},{y},{},{}\n",
                clock(start),
                clock(end),
                self.width,
                self.height
            );
        }
        text
    }
}

fn paste(tile: &Picture, sheet: &mut Picture, column: usize, row: usize) -> Result<(), ThumbnailError> {
    let (width, height) = (tile.width() as usize * 3, tile.height() as usize);
    let stride = |picture: &Picture| picture.plane_stride()[0].unsigned_abs() as usize;
    let (from_stride, to_stride) = (stride(tile), stride(sheet));
    let (from, to) = (tile.plane_data(0)?, sheet.plane_data_mut(0)?);
    for line in 0..height {
        let source = from.get(line * from_stride..line * from_stride + width);
        let start = (row * height + line) * to_stride + column * width;
        if let (Some(source), Some(target)) = (source, to.get_mut(start..start + width)) {
            target.copy_from_slice(source);
        }
    }
    Ok(())
}

/// `00:01:02.345`
fn clock(ms: u64) -> String {
    format!("{:02}:{:02}:{:02}.{:03}", ms / 3_600_000, ms / 60_000 % 60, ms / 1000 % 60, ms % 1000)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn thumbnails_are_one_to_ten_seconds_apart() {
        assert_eq!(step_ms(Some(Duration::from_secs(5))), 1000);
        assert_eq!(step_ms(Some(Duration::from_secs(300))), 3000);
        assert_eq!(step_ms(Some(Duration::from_secs(36_000))), 10_000);
        assert_eq!(step_ms(None), 2000);
    }

    #[test]
    fn tiles_keep_the_shape_of_the_picture() {
        assert_eq!(tile_size(1920, 1080), (160, 90));
        assert_eq!(tile_size(1080, 1920), (50, 90));
        assert_eq!(tile_size(4000, 100), (240, 90));
    }

    #[test]
    fn the_index_names_sheet_and_place_of_every_thumbnail() {
        let index = (0..102).map(|at| at * 1000).collect();
        let sheets = Sheets { width: 160, height: 90, tiles: Vec::new(), made: 0, index };
        let vtt = sheets.vtt(1000);
        assert!(
            vtt.starts_with("WEBVTT\n\n00:00:00.000 --> 00:00:01.000\nthumbnails-0.jpg#xywh=0,0,160,90\n")
        );
        assert!(vtt.contains("\n00:00:11.000 --> 00:00:12.000\nthumbnails-0.jpg#xywh=160,90,160,90\n"));
        assert!(vtt.ends_with("\n00:01:41.000 --> 00:01:42.000\nthumbnails-1.jpg#xywh=160,0,160,90\n"));
    }
}
