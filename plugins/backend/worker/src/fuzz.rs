//! Entries for the fuzz targets, not an API: bytes from a client, and what must hold for all of them.

use axum::extract::Query;
use http::Uri;

use crate::policy::is_queue;
use crate::routes::{ListQuery, MAX_LIMIT};

/// The query of a list.
pub fn cursor(data: &[u8]) {
    let target = [b"/api/v1/jobs?", data].concat();
    let Ok(uri) = Uri::try_from(target) else { return };
    let Ok(Query(query)) = Query::<ListQuery>::try_from_uri(&uri) else { return };
    let Ok((filter, limit)) = query.filter() else { return };
    assert!((1..=MAX_LIMIT).contains(&limit));
    assert!(filter.queue.as_deref().is_none_or(is_queue));
    if let Some(before) = filter.before {
        let canonical = uuid::Uuid::try_parse(&before).map(|id| id.to_string());
        assert!(canonical.as_ref() == Ok(&before), "{before:?} is not as ids are kept");
    }
}
