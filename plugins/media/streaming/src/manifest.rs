//! From the catalogue's rows to playlists and manifests: [`timeline`] is what of a content can be played,
//! [`hls`] and [`dash`] write it down, [`documents`] keeps what was written, and [`contents`] is all that
//! is known. It knows nothing of media bytes, and nothing of who may have what.

mod chapters;
mod choices;
pub(crate) mod contents;
mod convert;
mod dash;
pub(crate) mod documents;
mod hls;
mod languages;
mod rates;
pub(crate) mod texts;
pub(crate) mod timeline;
