//! The boundary: every type that crosses between host and plugin, and nothing else.
//!
//! All of them are `repr(C)` with [`StableAbi`](abi_stable::StableAbi) layouts that the loader compares
//! before any call. What crosses is one of two verbs (a [`Request`] answered by a [`Response`], and an
//! [`Event`]), or part of the frame around them: the manifest, settings as JSON text, log records, health
//! states.
//!
//! This is the only place besides the kernel's loader where `unsafe` is allowed. Nothing here knows of
//! runtimes, panics or tracing: the SDK wraps what it passes on in a [`guard`](crate::guard), so that no
//! entry, poll or drop leaves its own runtime or unwinds into the other side.
//!
//! Use the SDK; these types are public only because the host needs them too.
#![allow(unsafe_code)]

mod body;
mod bytes;
mod event;
mod export;
mod extra;
mod head;
mod host;
mod known;
mod module;
mod names;
#[cfg(feature = "next")]
pub(crate) mod next;
mod service;
#[cfg(test)]
mod tests;

pub use self::body::{Body, FrameSource};
pub use self::bytes::FfiBytes;
pub use self::event::{Event, EventSource, SubscribeOptions, Subscription};
pub use self::export::{ManifestBlob, lib_header, module_result};
pub use self::extra::Extra;
pub use self::head::{HeadError, RequestHead, ResponseHead, Stamp};
pub use self::host::{HealthState, HostApi, HostHandle, LogField, LogRecord, Mount, Mounts};
pub use self::module::{
    Instance, InstanceApi, PluginModule, PluginModuleRef, ROOT_SYMBOL, StartArgs, StartResult,
};
pub use self::service::{CallService, Request, Response, Service};

pub use abi_stable::std_types::{RResult, RStr, RString, RVec};
pub use async_ffi::FfiFuture;

/// The version of this boundary. A plugin built for this minor version or the previous one loads; the major
/// version changes only with an incompatible boundary.
pub const API_MAJOR: u32 = 2;
/// See [`API_MAJOR`].
pub const API_MINOR: u32 = if cfg!(feature = "next") { 1 } else { 0 };
