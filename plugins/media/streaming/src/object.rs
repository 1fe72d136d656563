//! Addresses below `/v`, the objects of storage behind them, and how an answer is written: ranges,
//! conditions, errors. It knows nothing of playlists or of access.

pub(crate) mod answer;
pub(crate) mod objects;
pub(crate) mod path;
