//! Which plugin sent an internal request: a field that the kernel sets on each one.
//!
//! A provider checks access by it: a database to its namespaces, a storage to its buckets. The kernel inserts
//! it before all fields, so that a field written by the plugin is not read.

use http::HeaderMap;
use http::header::HeaderName;

/// The field, before all others of a request that came through the kernel.
pub const CALLER: HeaderName = HeaderName::from_static("x-streamgate-caller");

/// The kernel's name. No plugin can have it.
pub const KERNEL: &str = "@kernel";

/// Follows the name of a plugin that may state who sent a request.
pub(crate) const INGRESS: &str = ";ingress";

/// The plugin that sent a request. `None`: it did not come through the kernel, so it is from the answering
/// library itself.
pub fn caller(headers: &HeaderMap) -> Option<&str> {
    // One that is not text is no plugin's name, and has no rights.
    let value = headers.get(CALLER)?.to_str().unwrap_or_default();
    Some(value.strip_suffix(INGRESS).unwrap_or(value))
}

/// Whether the caller may state who sent a request, and from where: an ingress, or the library itself.
pub(crate) fn may_tell_sender(headers: &HeaderMap) -> bool {
    headers.get(CALLER).is_none_or(|value| value.as_bytes().ends_with(INGRESS.as_bytes()))
}
