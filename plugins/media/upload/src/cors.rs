//! Uploads from pages of other origins.

use http::HeaderValue;
use streamgate_plugin_api::cors::Cors;

pub(crate) static CORS: Cors = Cors {
    methods: HeaderValue::from_static("POST, HEAD, PATCH, DELETE, OPTIONS"),
    fields: HeaderValue::from_static(
        "Authorization, Content-Type, Origin, X-Requested-With, X-Request-ID, X-HTTP-Method-Override, Tus-Resumable, \
         Upload-Length, Upload-Offset, Upload-Metadata, Upload-Defer-Length, Upload-Concat, Upload-Checksum",
    ),
    exposed: HeaderValue::from_static(
        "Location, Tus-Resumable, Tus-Version, Tus-Max-Size, Tus-Extension, Tus-Checksum-Algorithm, Upload-Offset, \
         Upload-Length, Upload-Metadata, Upload-Defer-Length, Upload-Concat, Upload-Expires, Retry-After",
    ),
    max_age: HeaderValue::from_static("86400"),
};
