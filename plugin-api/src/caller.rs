//! Which plugin sent an internal request: a field that the kernel puts on each one on its way.
//!
//! A provider binds what it keeps to it: a database its namespaces, a storage its buckets. The
//! kernel puts it in front of all fields, so that what a plugin writes there itself is not read.

use http::HeaderMap;
use http::header::HeaderName;

/// The field, in front of all others of a request that came through the kernel.
pub const CALLER: HeaderName = HeaderName::from_static("x-streamgate-caller");

/// What the kernel calls itself. No plugin can have this name.
pub const KERNEL: &str = "@kernel";

/// What follows the name of a plugin that may say who sent a request.
pub(crate) const INGRESS: &str = ";ingress";

/// The plugin that sent a request. `None`: it did not come through the kernel, so the library that
/// answers it has sent it to itself.
pub fn caller(headers: &HeaderMap) -> Option<&str> {
    // One that is no text is nobody, and has no rights.
    let value = headers.get(CALLER)?.to_str().unwrap_or_default();
    Some(value.strip_suffix(INGRESS).unwrap_or(value))
}

/// Whether the caller may say who sent a request, and from where: an ingress, or the library itself.
pub(crate) fn may_tell_sender(headers: &HeaderMap) -> bool {
    headers.get(CALLER).is_none_or(|value| value.as_bytes().ends_with(INGRESS.as_bytes()))
}
