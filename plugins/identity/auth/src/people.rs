//! Principals and what they may be trusted with in general: [`roles`], [`api_keys`], [`quotas`], and the
//! first admin ([`bootstrap`]).

pub(crate) mod api_keys;
pub(crate) mod bootstrap;
pub(crate) mod principal;
pub(crate) mod quotas;
pub(crate) mod roles;
