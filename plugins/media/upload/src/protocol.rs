//! The headers of tus 1.0.0 (<https://tus.io/protocols/resumable-upload>), parsed strictly. Pure: it knows
//! nothing of existing uploads.

use http::{HeaderMap, HeaderName, header};

use crate::checksum::Checksum;
use crate::fault::Fault;
use crate::metadata::FileFacts;

/// The supported version.
pub(crate) const VERSION: &str = "1.0.0";
/// `Tus-Extension`.
pub(crate) const EXTENSIONS: &str = "creation,creation-with-upload,creation-defer-length,termination,checksum,\
    expiration,concatenation";
/// The media type of a body of upload data.
pub(crate) const OFFSET_OCTET_STREAM: &str = "application/offset+octet-stream";

pub(crate) const TUS_RESUMABLE: HeaderName = HeaderName::from_static("tus-resumable");
pub(crate) const TUS_VERSION: HeaderName = HeaderName::from_static("tus-version");
pub(crate) const TUS_EXTENSION: HeaderName = HeaderName::from_static("tus-extension");
pub(crate) const TUS_MAX_SIZE: HeaderName = HeaderName::from_static("tus-max-size");
pub(crate) const TUS_CHECKSUM_ALGORITHM: HeaderName = HeaderName::from_static("tus-checksum-algorithm");
pub(crate) const UPLOAD_OFFSET: HeaderName = HeaderName::from_static("upload-offset");
pub(crate) const UPLOAD_LENGTH: HeaderName = HeaderName::from_static("upload-length");
pub(crate) const UPLOAD_DEFER_LENGTH: HeaderName = HeaderName::from_static("upload-defer-length");
pub(crate) const UPLOAD_METADATA: HeaderName = HeaderName::from_static("upload-metadata");
pub(crate) const UPLOAD_EXPIRES: HeaderName = HeaderName::from_static("upload-expires");
pub(crate) const UPLOAD_CONCAT: HeaderName = HeaderName::from_static("upload-concat");
const UPLOAD_CHECKSUM: HeaderName = HeaderName::from_static("upload-checksum");

/// The names of these headers in errors.
pub(crate) const UPLOAD_METADATA_NAME: &str = "Upload-Metadata";
pub(crate) const UPLOAD_CHECKSUM_NAME: &str = "Upload-Checksum";

const MAX_PARTS: usize = 1_000;

/// An upload's role in the concatenation extension.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Concat {
    /// Not concatenated.
    Whole,
    /// To be joined with others.
    Partial,
    /// Joined from these, in this order.
    Final(Vec<String>),
}

/// A `POST` that creates an upload.
#[derive(Debug, Clone)]
pub(crate) struct Creation {
    /// `None` while deferred, and for a final upload.
    pub(crate) length: Option<u64>,
    pub(crate) facts: FileFacts,
    pub(crate) concat: Concat,
    /// The `Upload-Concat` header as received.
    pub(crate) concat_header: String,
    /// The body holds the first bytes of the upload.
    pub(crate) body: Option<Announced>,
}

/// A body of upload data, as its headers declare it.
#[derive(Debug, Clone)]
pub(crate) struct Announced {
    /// `Content-Length`, unless the body is chunked.
    pub(crate) length: Option<u64>,
    pub(crate) checksum: Option<Checksum>,
}

/// A `PATCH`.
#[derive(Debug, Clone)]
pub(crate) struct Continuation {
    pub(crate) offset: u64,
    /// Ends the deferral of the length.
    pub(crate) length: Option<u64>,
    pub(crate) body: Announced,
}

/// tus 1.0 §Tus-Resumable: required for everything but `OPTIONS`.
pub(crate) fn check_version(headers: &HeaderMap) -> Result<(), Fault> {
    match headers.get(TUS_RESUMABLE).map(|value| value.as_bytes()) {
        Some(value) if value == VERSION.as_bytes() => Ok(()),
        Some(value) => {
            let given: String = String::from_utf8_lossy(value).chars().take(32).collect();
            Err(Fault::Version(format!("`{given}` is not supported")))
        }
        None => Err(Fault::Version("the header is missing".into())),
    }
}

/// Reads a `POST`.
pub(crate) fn creation(headers: &HeaderMap, max_size: u64) -> Result<Creation, Fault> {
    let metadata = single(headers, &UPLOAD_METADATA, UPLOAD_METADATA_NAME)?;
    let facts = FileFacts::parse(metadata.unwrap_or_default())?;
    let (concat, concat_header) = concat(headers)?;
    let length = integer(headers, &UPLOAD_LENGTH, "Upload-Length")?;
    let deferred = deferred(headers)?;
    match (&concat, length, deferred) {
        (Concat::Final(_), None, false) => {}
        (Concat::Final(_), _, _) => {
            return Err(Fault::header(
                "Upload-Length",
                "must not be sent for a final upload: its parts determine it",
            ));
        }
        (_, Some(_), true) => {
            return Err(Fault::header("Upload-Defer-Length", "must not be sent together with Upload-Length"));
        }
        (_, None, false) => {
            return Err(Fault::header("Upload-Length", "is required, unless Upload-Defer-Length is 1"));
        }
        (_, Some(length), false) if length > max_size => return Err(Fault::TooLarge { max: max_size }),
        _ => {}
    }
    let announced = integer(headers, &header::CONTENT_LENGTH, "Content-Length")?;
    let sends = announced.is_some_and(|bytes| bytes > 0)
        || (announced.is_none() && headers.contains_key(header::TRANSFER_ENCODING));
    let body = match (is_upload_data(headers), sends) {
        (true, _) if matches!(concat, Concat::Final(_)) => {
            if sends {
                return Err(Fault::Forbidden("a final upload accepts no data: it is joined from its parts"));
            }
            None
        }
        (true, _) => {
            check_fits(announced, 0, length, max_size)?;
            Some(Announced { length: announced, checksum: checksum(headers)? })
        }
        (false, true) => return Err(Fault::MediaType),
        (false, false) => None,
    };
    Ok(Creation { length, facts, concat, concat_header, body })
}

/// Reads a `PATCH`.
pub(crate) fn continuation(headers: &HeaderMap) -> Result<Continuation, Fault> {
    if !is_upload_data(headers) {
        return Err(Fault::MediaType);
    }
    let offset = integer(headers, &UPLOAD_OFFSET, "Upload-Offset")?;
    let offset = offset.ok_or_else(|| Fault::header("Upload-Offset", "is required"))?;
    Ok(Continuation {
        offset,
        length: integer(headers, &UPLOAD_LENGTH, "Upload-Length")?,
        body: Announced {
            length: integer(headers, &header::CONTENT_LENGTH, "Content-Length")?,
            checksum: checksum(headers)?,
        },
    })
}

/// Whether a body of `announced` bytes at `offset` stays within the upload.
pub(crate) fn check_fits(
    announced: Option<u64>,
    offset: u64,
    length: Option<u64>,
    max_size: u64,
) -> Result<(), Fault> {
    let end = offset.saturating_add(announced.unwrap_or(0));
    match length {
        Some(length) if end > length => Err(Fault::BeyondLength { length }),
        None if end > max_size => Err(Fault::TooLarge { max: max_size }),
        _ => Ok(()),
    }
}

/// Whether this is an upload's id: a UUID in lower case with hyphens.
pub(crate) fn is_id(id: &str) -> bool {
    uuid::Uuid::try_parse(id).is_ok_and(|uuid| uuid.hyphenated().to_string() == id)
}

fn deferred(headers: &HeaderMap) -> Result<bool, Fault> {
    match single(headers, &UPLOAD_DEFER_LENGTH, "Upload-Defer-Length")? {
        None => Ok(false),
        Some(b"1") => Ok(true),
        Some(_) => Err(Fault::header("Upload-Defer-Length", "must be 1")),
    }
}

fn is_upload_data(headers: &HeaderMap) -> bool {
    let value = headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    value.split(';').next().unwrap_or_default().trim().eq_ignore_ascii_case(OFFSET_OCTET_STREAM)
}

fn checksum(headers: &HeaderMap) -> Result<Option<Checksum>, Fault> {
    single(headers, &UPLOAD_CHECKSUM, UPLOAD_CHECKSUM_NAME)?.map(Checksum::parse).transpose()
}

fn concat(headers: &HeaderMap) -> Result<(Concat, String), Fault> {
    let refuse = |problem: &str| Fault::header("Upload-Concat", problem);
    let Some(value) = single(headers, &UPLOAD_CONCAT, "Upload-Concat")? else {
        return Ok((Concat::Whole, String::new()));
    };
    // HEAD returns it.
    let text = std::str::from_utf8(value).ok().filter(|text| text.is_ascii());
    let text = text.ok_or_else(|| refuse("is not ASCII"))?.trim();
    if text == "partial" {
        return Ok((Concat::Partial, text.to_owned()));
    }
    let list = text.strip_prefix("final;").ok_or_else(|| refuse("must be `partial` or `final;<uploads>`"))?;
    let ids: Option<Vec<String>> = list.split_ascii_whitespace().map(part_id).collect();
    let ids = ids.ok_or_else(|| refuse("names something that is not an upload of this server"))?;
    if ids.is_empty() || ids.len() > MAX_PARTS {
        return Err(refuse("must name between 1 and 1000 uploads"));
    }
    Ok((Concat::Final(ids), text.to_owned()))
}

/// The id in `/files/<id>`, absolute or relative, after any prefix that a proxy adds.
fn part_id(url: &str) -> Option<String> {
    let (before, id) = url.rsplit_once('/')?;
    let is_files = before.ends_with("/files") || before == "files";
    (is_files && is_id(id)).then(|| id.to_owned())
}

fn single<'h>(
    headers: &'h HeaderMap,
    name: &HeaderName,
    shown: &'static str,
) -> Result<Option<&'h [u8]>, Fault> {
    let mut values = headers.get_all(name).iter();
    let first = values.next();
    if values.next().is_some() {
        return Err(Fault::header(shown, "occurs more than once"));
    }
    Ok(first.map(http::HeaderValue::as_bytes))
}

/// A whole number without sign, at most `i64::MAX`.
fn integer(headers: &HeaderMap, name: &HeaderName, shown: &'static str) -> Result<Option<u64>, Fault> {
    let Some(value) = single(headers, name, shown)? else { return Ok(None) };
    let digits = (1..=19).contains(&value.len()) && value.iter().all(u8::is_ascii_digit);
    let number = std::str::from_utf8(value).ok().filter(|_| digits).and_then(|text| text.parse::<u64>().ok());
    match number {
        Some(number) if i64::try_from(number).is_ok() => Ok(Some(number)),
        _ => Err(Fault::header(shown, "must be a whole number that is not negative")),
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use http::HeaderValue;
    use proptest::prelude::*;

    const ID: &str = "0190163d-8694-739b-aea5-966c26f8ad91";

    fn headers(pairs: &[(&'static str, &str)]) -> HeaderMap {
        let pair = |(name, value): &(&'static str, &str)| {
            (HeaderName::from_static(name), HeaderValue::from_str(value).unwrap())
        };
        pairs.iter().map(pair).collect()
    }

    fn status(fault: &Fault) -> u16 {
        use axum::response::IntoResponse as _;
        fault.clone().into_response().status().as_u16()
    }

    fn created(pairs: &[(&'static str, &str)]) -> Result<Creation, u16> {
        creation(&headers(pairs), 1_000).map_err(|fault| status(&fault))
    }

    #[test]
    fn a_length_is_given_or_deferred_and_never_both() {
        assert_eq!(created(&[("upload-length", "0")]).unwrap().length, Some(0));
        assert_eq!(created(&[("upload-defer-length", "1")]).unwrap().length, None);
        for pairs in [
            &[][..],
            &[("upload-length", "1"), ("upload-defer-length", "1")],
            &[("upload-defer-length", "2")],
            &[("upload-length", "-1")],
            &[("upload-length", "+1")],
            &[("upload-length", "1e3")],
            &[("upload-length", "")],
            &[("upload-length", "99999999999999999999")],
        ] {
            assert_eq!(created(pairs).unwrap_err(), 400, "{pairs:?}");
        }
        assert_eq!(created(&[("upload-length", "1001")]).unwrap_err(), 413);
    }

    #[test]
    fn data_that_comes_with_the_creation_has_its_own_type_and_stays_within_the_length() {
        let typed = ("content-type", OFFSET_OCTET_STREAM);
        let both = created(&[("upload-length", "9"), typed, ("content-length", "9")]).unwrap();
        assert_eq!(both.body.unwrap().length, Some(9));
        assert_eq!(created(&[("upload-length", "9"), typed, ("content-length", "10")]).unwrap_err(), 413);
        assert_eq!(created(&[("upload-length", "9"), ("content-length", "9")]).unwrap_err(), 415);
        assert!(created(&[("upload-length", "9"), ("content-length", "0")]).unwrap().body.is_none());
    }

    #[test]
    fn a_final_upload_names_its_parts_by_any_form_of_their_address() {
        let header = format!("final;/files/{ID} https://x.example/media/files/{ID}");
        let created_final = created(&[("upload-concat", &header)]).unwrap();
        assert_eq!(created_final.concat, Concat::Final(vec![ID.into(), ID.into()]));
        assert_eq!(created_final.concat_header, header);
        let mut umlaut = headers(&[]);
        let value = format!("final;/\u{e4}/files/{ID}");
        umlaut.insert(UPLOAD_CONCAT, HeaderValue::from_bytes(value.as_bytes()).unwrap());
        assert_eq!(status(&creation(&umlaut, 1_000).unwrap_err()), 400);
        for header in ["final;", "final;/files/x", "final;/other/x", "partly", "final;/files/../x"] {
            assert_eq!(created(&[("upload-concat", header)]).unwrap_err(), 400, "{header}");
        }
        assert_eq!(created(&[("upload-concat", &header), ("upload-length", "1")]).unwrap_err(), 400);
        let data =
            [("upload-concat", &*header), ("content-type", OFFSET_OCTET_STREAM), ("content-length", "1")];
        assert_eq!(created(&data).unwrap_err(), 403);
    }

    #[test]
    fn a_patch_needs_its_type_and_its_offset() {
        let typed = ("content-type", "Application/Offset+Octet-Stream");
        let patch =
            continuation(&headers(&[typed, ("upload-offset", "7"), ("content-length", "3")])).unwrap();
        assert_eq!((patch.offset, patch.body.length), (7, Some(3)));
        assert_eq!(status(&continuation(&headers(&[("upload-offset", "7")])).unwrap_err()), 415);
        assert_eq!(status(&continuation(&headers(&[typed])).unwrap_err()), 400);
    }

    #[test]
    fn only_version_1_0_0_is_spoken() {
        assert!(check_version(&headers(&[("tus-resumable", "1.0.0")])).is_ok());
        for pairs in [&[][..], &[("tus-resumable", "0.2.2")], &[("tus-resumable", "1.0.0, 1.0.1")]] {
            assert_eq!(status(&check_version(&headers(pairs)).unwrap_err()), 412);
        }
    }

    const NAMES: [&str; 9] = [
        "upload-length",
        "upload-offset",
        "upload-defer-length",
        "upload-metadata",
        "upload-concat",
        "upload-checksum",
        "content-type",
        "content-length",
        "tus-resumable",
    ];

    fn any_value() -> impl Strategy<Value = Vec<u8>> {
        prop_oneof![
            prop::collection::vec(any::<u8>(), 0..60),
            "[0-9]{0,22}".prop_map(String::into_bytes),
            Just(OFFSET_OCTET_STREAM.into()),
            Just(b"1.0.0".to_vec()),
            "(partial|final;(/files/[0-9a-f-]{36} ?){0,3})".prop_map(String::into_bytes),
            "(sha1|md5|crc32) [A-Za-z0-9+/]{0,30}={0,2}".prop_map(String::into_bytes),
        ]
    }

    proptest! {
        #[test]
        fn any_headers_are_read_or_refused(pairs in prop::collection::vec((0..NAMES.len(), any_value()), 0..12)) {
            let mut headers = HeaderMap::new();
            for (name, value) in pairs {
                if let Ok(value) = HeaderValue::from_bytes(&value) {
                    headers.append(HeaderName::from_static(NAMES[name]), value);
                }
            }
            let _ = check_version(&headers);
            if let Err(fault) = continuation(&headers) {
                prop_assert!((400..500).contains(&status(&fault)));
            }
            match creation(&headers, 1_000) {
                Ok(creation) => prop_assert!(creation.length.is_none_or(|length| length <= 1_000)),
                Err(fault) => prop_assert!((400..500).contains(&status(&fault))),
            }
        }
    }
}
