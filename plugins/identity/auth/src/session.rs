//! Sessions and the tokens that they are shown by: [`jwt`] with the keys that sign them, [`refresh`],
//! [`warm`] of what was found a moment ago, and [`endings`].

pub(crate) mod endings;
pub(crate) mod jwt;
pub(crate) mod keys;
pub(crate) mod refresh;
pub(crate) mod sessions;
pub(crate) mod warm;
