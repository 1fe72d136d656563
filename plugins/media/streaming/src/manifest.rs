//! From the catalogue's rows to playlists and manifests: [`timeline`] is the playable part of a content,
//! [`hls`] and [`dash`] write it as text, [`documents`] keeps the text, and [`contents`] caches all of it. It
//! knows nothing of media bytes or of access.

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
