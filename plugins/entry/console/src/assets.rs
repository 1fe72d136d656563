//! The files of the built page, embedded in this library. It never reads a disk.

use std::borrow::Cow;

use bytes::Bytes;
use rust_embed::{Embed, EmbeddedFile};

#[derive(Embed)]
#[folder = "$OUT_DIR/dist"]
struct Dist;

/// One file in the best form for a client.
pub(crate) struct Asset {
    pub(crate) bytes: Bytes,
    pub(crate) content_type: &'static str,
    /// `br` or `gzip`; none for the plain file.
    pub(crate) encoding: Option<&'static str>,
    /// A strong validator, in quotes (RFC 9110 section 8.8.3).
    pub(crate) etag: String,
    /// Its name changes with its content, so it may be cached for good.
    pub(crate) immutable: bool,
    /// It exists in more than one form.
    pub(crate) negotiated: bool,
}

/// The file at a path without its leading slash, in the best form that `accept_encoding` allows.
pub(crate) fn find(path: &str, accept_encoding: &str) -> Option<Asset> {
    // Compressed forms are not files of their own.
    if path.ends_with(".br") || path.ends_with(".gz") {
        return None;
    }
    let plain = Dist::get(path)?;
    let forms = [("br", ".br"), ("gzip", ".gz")];
    let compressed = forms.map(|(coding, suffix)| Some((coding, Dist::get(&format!("{path}{suffix}"))?)));
    let negotiated = compressed.iter().any(Option::is_some);
    let (encoding, file) = compressed
        .into_iter()
        .flatten()
        .find(|(coding, _)| accepts(accept_encoding, coding))
        .map_or((None, plain), |(coding, file)| (Some(coding), file));
    Some(Asset {
        etag: etag(&file),
        bytes: bytes(file),
        content_type: content_type(path),
        encoding,
        immutable: path.starts_with("assets/"),
        negotiated,
    })
}

fn etag(file: &EmbeddedFile) -> String {
    let digest = file.metadata.sha256_hash();
    let hex: String = digest.iter().take(12).map(|byte| format!("{byte:02x}")).collect();
    format!("\"{hex}\"")
}

fn bytes(file: EmbeddedFile) -> Bytes {
    match file.data {
        Cow::Borrowed(data) => Bytes::from_static(data),
        Cow::Owned(data) => Bytes::from(data),
    }
}

/// Whether `Accept-Encoding` allows this coding, by name or by `*` (RFC 9110 section 12.5.3).
fn accepts(accept_encoding: &str, coding: &str) -> bool {
    let mut any = false;
    for item in accept_encoding.split(',') {
        let mut parts = item.split(';').map(str::trim);
        let name = parts.next().unwrap_or_default();
        let weight =
            parts.find_map(|part| part.strip_prefix("q=")).map_or(1.0, |q| q.parse::<f32>().unwrap_or(0.0));
        if name.eq_ignore_ascii_case(coding) {
            return weight > 0.0;
        }
        any |= name == "*" && weight > 0.0;
    }
    any
}

fn content_type(path: &str) -> &'static str {
    match path.rsplit_once('.').map_or("", |(_, extension)| extension) {
        "html" => "text/html; charset=utf-8",
        "js" => "text/javascript; charset=utf-8",
        "css" => "text/css; charset=utf-8",
        "svg" => "image/svg+xml",
        "woff2" => "font/woff2",
        "json" => "application/json",
        "png" => "image/png",
        "txt" => "text/plain; charset=utf-8",
        _ => "application/octet-stream",
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn a_coding_is_accepted_when_named_or_covered_by_the_star_and_not_ruled_out() {
        assert!(accepts("gzip, deflate, br", "br"));
        assert!(accepts("GZIP;q=0.5", "gzip"));
        assert!(accepts("*", "br"));
        assert!(!accepts("gzip", "br"));
        assert!(!accepts("br;q=0, *", "br"));
        assert!(!accepts("", "gzip"));
    }

    #[test]
    fn every_embedded_file_has_a_known_content_type() {
        for path in Dist::iter().filter(|path| !path.ends_with(".br") && !path.ends_with(".gz")) {
            assert_ne!(content_type(&path), "application/octet-stream", "{path}");
        }
    }

    #[test]
    fn compressed_forms_cannot_be_requested_by_name() {
        assert!(find("index.html", "").is_some());
        assert!(find("index.html.br", "").is_none());
    }

    #[test]
    fn each_form_has_an_etag_of_its_own() {
        let script = Dist::iter().find(|path| path.ends_with(".js")).unwrap();
        let [plain, gzip, br] = ["", "gzip", "br"].map(|accepted| find(&script, accepted).unwrap());
        assert_eq!([plain.encoding, gzip.encoding, br.encoding], [None, Some("gzip"), Some("br")]);
        assert!(plain.etag != gzip.etag && gzip.etag != br.etag);
    }
}
