//! Answers of a hostile HTTP server to any request.

use std::io::Write as _;
use std::time::Duration;

use axum::body::Body;
use axum::http::{Response, header};
use bytes::Bytes;
use futures_util::stream;

type Piece = Result<Bytes, std::io::Error>;

/// A redirection.
///
/// # Panics
/// When `to` is not a valid header value.
#[must_use]
pub fn redirects(status: u16, to: &str) -> Response<Body> {
    let response = Response::builder().status(status).header(header::LOCATION, to);
    response.body(Body::empty()).expect("an address")
}

/// A status only.
///
/// # Panics
/// When it is not a status.
#[must_use]
pub fn status(status: u16) -> Response<Body> {
    Response::builder().status(status).body(Body::empty()).expect("a status")
}

/// A few bytes now and then, endlessly.
#[must_use]
pub fn drips() -> Response<Body> {
    let drops = stream::unfold((), |()| async {
        tokio::time::sleep(Duration::from_millis(20)).await;
        Some((Piece::Ok(Bytes::from_static(b" ")), ()))
    });
    Response::new(Body::from_stream(drops))
}

/// An endless body.
#[must_use]
pub fn floods() -> Response<Body> {
    Response::new(Body::from_stream(stream::repeat_with(|| Piece::Ok(Bytes::from(vec![b' '; 16 << 10])))))
}

/// More headers than a client should read.
///
/// # Panics
/// Never.
#[must_use]
pub fn fields() -> Response<Body> {
    let fields = (0..500).map(|number| (format!("x-{number}"), "x".repeat(1000)));
    let response = fields.fold(Response::builder(), |response, (name, value)| response.header(name, value));
    response.body(Body::empty()).expect("plain fields")
}

/// Gzip that was not requested: so many MiB of spaces.
///
/// # Panics
/// Never.
#[must_use]
pub fn deflates(mebibytes: usize) -> Response<Body> {
    let mut packed = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    packed.write_all(&vec![b' '; mebibytes << 20]).expect("memory");
    let packed = packed.finish().expect("memory");
    let response = Response::builder().header(header::CONTENT_ENCODING, "gzip");
    response.body(Body::from(packed)).expect("a plain field")
}
