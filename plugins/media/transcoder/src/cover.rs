//! The cover of an audio file: the picture that it carries beside its sound (an ID3 tag, a `covr` atom, a
//! FLAC picture block, an attachment of Matroska) becomes the poster. Opens the source once more and reads no
//! further than the picture.

use std::sync::Arc;

use bytes::Bytes;
use ffmpeg_next as av;
use ffmpeg_next::format::context::Input;
use ffmpeg_next::format::stream::Disposition;
use ffmpeg_next::{Dictionary, Packet, codec, frame, media};

use crate::control::Control;
use crate::frames::{Filters, name_of};
use crate::input::{self, short_name};
use crate::source::Blocks;
use crate::thumbs::{self, ThumbnailError};

/// Covers come before everything else; later data is not searched.
const MOST_PACKETS: usize = 1_000;
/// Maximum bytes of a picture in the file.
const MOST_BYTES: usize = 32 << 20;
/// A narrower picture is not useful.
const LEAST_PIXELS: u32 = 16;

/// Formats of pictures that are decoded: single pictures of a few codecs.
const KINDS: [codec::Id; 8] = [
    codec::Id::MJPEG,
    codec::Id::PNG,
    codec::Id::WEBP,
    codec::Id::BMP,
    codec::Id::GIF,
    codec::Id::TIFF,
    codec::Id::JPEG2000,
    codec::Id::JPEGXL,
];

/// Why a cover cannot be the poster.
#[derive(Debug, thiserror::Error)]
enum CoverError {
    #[error("{0}")]
    Media(#[from] av::Error),
    #[error("{0}")]
    Picture(#[from] ThumbnailError),
    #[error("{0}")]
    Unusable(&'static str),
}

/// The cover of a file.
#[derive(Debug, Default)]
pub(crate) struct Cover {
    /// The poster, a JPEG.
    pub(crate) poster: Option<Bytes>,
    /// Notes for people about it.
    pub(crate) note: Option<String>,
}

/// The cover of a file, as a poster. A file without one has none, and an unreadable cover is no reason to
/// refuse a file.
pub(crate) fn cover(blocks: &Arc<Blocks>, max_pixels: u64, control: &Arc<Control>) -> Cover {
    let whole = 0..blocks.size();
    let Ok((mut input, _)) = input::open(blocks, whole, control) else { return Cover::default() };
    let Some((index, parameters)) = attached(&input) else { return Cover::default() };
    let name = short_name(parameters.id());
    match read(&mut input, index, parameters, max_pixels) {
        Ok(poster) => Cover { poster: Some(poster), note: None },
        Err(error) => {
            tracing::info!(codec = name, %error, "the cover is left out");
            let note = format!(
                "The cover, {name}, was left out: it cannot be decoded, or is larger than this server takes \
                 ({max_pixels} pixels)."
            );
            Cover { poster: None, note: Some(note) }
        }
    }
}

/// The picture for the file: its front cover, else the first one.
fn attached(input: &Input) -> Option<(usize, codec::Parameters)> {
    let is_front = |stream: &av::Stream<'_>| {
        let metadata = stream.metadata();
        // The type of an ID3 or FLAC picture, and the file name of an attachment.
        ["comment", "filename"].into_iter().any(|key| {
            let said =
                metadata.get(key).map(|value| String::from_utf8_lossy(value.as_bytes()).to_lowercase());
            said.is_some_and(|said| said == "cover (front)" || said.starts_with("cover."))
        })
    };
    let is_cover = |stream: &av::Stream<'_>| {
        stream.disposition().contains(Disposition::ATTACHED_PIC)
            && stream.parameters().medium() == media::Type::Video
    };
    let covers = input.streams().filter(is_cover);
    covers.min_by_key(|stream| !is_front(stream)).map(|stream| (stream.index(), stream.parameters()))
}

fn read(
    input: &mut Input,
    index: usize,
    parameters: codec::Parameters,
    max_pixels: u64,
) -> Result<Bytes, CoverError> {
    if !KINDS.contains(&parameters.id()) {
        return Err(CoverError::Unusable("its format is unknown"));
    }
    let packet = packet(input, index)?;
    if packet.size() > MOST_BYTES {
        return Err(CoverError::Unusable("it has too many bytes"));
    }
    let codec = codec::decoder::find(parameters.id()).ok_or(av::Error::DecoderNotFound)?;
    let mut options = Dictionary::new();
    // Before anything is decoded: a picture of a few bytes may expand to gigabytes.
    options.set("max_pixels", &max_pixels.min(i32::MAX as u64).to_string());
    options.set("threads", "1");
    let mut decoder = codec::Context::from_parameters(parameters)?.decoder().open_as_with(codec, options)?;
    decoder.send_packet(&packet)?;
    decoder.send_eof()?;
    let mut picture = frame::Video::empty();
    decoder.receive_frame(&mut picture)?;
    if picture.width().min(picture.height()) < LEAST_PIXELS {
        return Err(CoverError::Unusable("it is too small"));
    }
    let (width, height) = thumbs::poster_size(picture.width(), picture.height());
    let scaled = scaled(&mut picture, width, height)?;
    Ok(thumbs::poster(width, height, scaled.data(0), scaled.stride(0))?)
}

/// The packet of the picture.
fn packet(input: &mut Input, index: usize) -> Result<Packet, CoverError> {
    for _ in 0..MOST_PACKETS {
        let mut packet = Packet::empty();
        packet.read(input)?;
        if packet.stream() == index {
            return Ok(packet);
        }
    }
    Err(CoverError::Unusable("it does not come before the sound"))
}

/// The picture in this size, red, green and blue.
fn scaled(picture: &mut frame::Video, width: u32, height: u32) -> Result<frame::Video, av::Error> {
    let arguments = format!(
        "video_size={}x{}:pix_fmt={}:time_base=1/1:pixel_aspect=1/1",
        picture.width(),
        picture.height(),
        name_of(picture.format())
    );
    let between = format!("scale={width}:{height},format=rgb24");
    let mut filters = Filters::new((), ["buffer", "buffersink"], &arguments, &between, None)?;
    picture.set_pts(Some(0));
    filters.add(Some(picture))?;
    filters.add(None)?;
    let mut scaled = frame::Video::empty();
    filters.next(&mut scaled).ok_or(av::Error::Eof)?;
    Ok(scaled)
}
