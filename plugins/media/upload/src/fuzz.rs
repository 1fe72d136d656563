//! Entries for the fuzz targets, not an API: bytes from a client, and what must hold for all of them.

use axum::response::IntoResponse as _;
use http::{HeaderMap, HeaderName, HeaderValue, header};

use crate::fault::Fault;
use crate::protocol::{self, Concat};

const MAX_SIZE: u64 = 1_000;
const NAMES: [HeaderName; 9] = [
    protocol::UPLOAD_METADATA,
    protocol::UPLOAD_CONCAT,
    HeaderName::from_static("upload-checksum"),
    protocol::UPLOAD_LENGTH,
    protocol::UPLOAD_OFFSET,
    protocol::UPLOAD_DEFER_LENGTH,
    protocol::TUS_RESUMABLE,
    header::CONTENT_TYPE,
    header::CONTENT_LENGTH,
];

/// Header fields, one per line: a byte that selects the name, then the value.
pub fn tus_headers(data: &[u8]) {
    let mut headers = HeaderMap::new();
    for line in data.split(|byte| *byte == b'\n') {
        let Some((name, value)) = line.split_first() else { continue };
        if let Ok(value) = HeaderValue::from_bytes(value) {
            headers.append(NAMES[usize::from(*name) % NAMES.len()].clone(), value);
        }
    }
    if let Err(fault) = protocol::check_version(&headers) {
        assert_clients_fault(fault);
    }
    match protocol::continuation(&headers) {
        Ok(patch) => assert!(i64::try_from(patch.offset).is_ok(), "the database keeps the offset"),
        Err(fault) => assert_clients_fault(fault),
    }
    let creation = match protocol::creation(&headers, MAX_SIZE) {
        Ok(creation) => creation,
        Err(fault) => return assert_clients_fault(fault),
    };
    assert!(creation.length.is_none_or(|length| length <= MAX_SIZE));
    if let Concat::Final(parts) = &creation.concat {
        assert!(creation.length.is_none() && creation.body.is_none());
        assert!(!parts.is_empty() && parts.iter().all(|part| protocol::is_id(part)));
    }
    let facts = &creation.facts;
    for shown in [&facts.header, &creation.concat_header] {
        assert!(HeaderValue::from_str(shown).is_ok(), "HEAD cannot give {shown:?} back");
    }
    assert!(!facts.title.is_empty() && facts.title.chars().count() <= 200);
    assert!(!facts.filename.contains(['/', '\\']) && facts.filename.chars().count() <= 255);
    assert!(!facts.title.chars().chain(facts.filename.chars()).any(char::is_control));
    assert!(facts.filetype.is_empty() || HeaderValue::from_str(&facts.filetype).is_ok());
    let again = crate::metadata::FileFacts::parse(facts.header.as_bytes());
    assert!(again.is_ok_and(|again| again == *facts), "{:?} reads differently again", facts.header);
}

fn assert_clients_fault(fault: Fault) {
    let response = fault.into_response();
    assert!(response.status().is_client_error(), "{}", response.status());
}
