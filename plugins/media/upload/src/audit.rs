//! Audit log entries of uploads: who began, completed and terminated which, and which ended automatically.

use streamgate_contracts::audit::{By, Entry};
use streamgate_contracts::db::Batch;
use streamgate_contracts::scopes;
use streamgate_plugin_api::Principal;
use streamgate_plugin_api::fair::Holder;

use crate::fault::Fault;
use crate::store::{self, Kind, Upload};

/// The sender of a request: for the limits per caller and for the audit log.
#[derive(Debug, Clone)]
pub(crate) struct Caller {
    pub(crate) holder: Holder,
    pub(crate) by: By,
    /// May manage the uploads of others.
    admin: bool,
}

impl Caller {
    pub(crate) fn of(headers: &http::HeaderMap) -> Self {
        let admin = Principal::of(headers).is_some_and(|it| scopes::over_all_contents(&it.scopes));
        Self { holder: Holder::of(headers), by: By::of(headers), admin }
    }

    /// The upload, if it is theirs. Another principal's upload appears not to exist.
    pub(crate) fn own(&self, upload: Upload) -> Result<Upload, Fault> {
        let owner = store::principal_of(&upload.owner);
        let theirs = self.admin || owner.is_none_or(|owner| owner == self.by.principal);
        if theirs { Ok(upload) } else { Err(Fault::NotFound) }
    }
}

/// An upload was created.
pub(crate) fn begun(upload: &Upload, batch: Batch) -> Batch {
    upload.sender.note(batch, "upload.create", &upload.id, described(upload))
}

/// An upload has all its bytes: the sender of the last ones completed it.
pub(crate) fn completed(upload: &Upload, batch: Batch) -> Batch {
    upload.sender.note(batch, "upload.finish", &upload.id, described(upload))
}

/// An upload was terminated by a caller; `None` without authentication.
pub(crate) fn terminated(upload: &Upload, by: &By) -> Option<Entry> {
    let detail = format!("{}; {} bytes were there", described(upload), upload.received);
    (!by.principal.is_empty()).then(|| by.changed("upload.terminate", &upload.id, detail))
}

/// An upload ended automatically; `None` without authentication.
pub(crate) fn expired(upload: &Upload) -> Option<Entry> {
    let detail = format!("{}; {} bytes were there", described(upload), upload.received);
    by_nobody("upload.expire", upload, detail)
}

/// The same, because it cannot be completed.
pub(crate) fn failed(upload: &Upload, reason: &str) -> Option<Entry> {
    by_nobody("upload.fail", upload, format!("{}: {reason}", described(upload)))
}

fn by_nobody(action: &str, upload: &Upload, detail: String) -> Option<Entry> {
    (!upload.sender.principal.is_empty()).then(|| By::default().changed(action, &upload.id, detail))
}

fn described(upload: &Upload) -> String {
    let size = upload.length.map_or_else(|| "of unknown size".to_owned(), |bytes| format!("{bytes} bytes"));
    match upload.kind {
        Kind::Partial => format!("a part, {size}"),
        Kind::Final => format!("{}, {size}, joined from {} parts", named(upload), upload.parts.len()),
        Kind::Whole => format!("{}, {size}", named(upload)),
    }
}

fn named(upload: &Upload) -> String {
    let facts = &upload.facts;
    let name = if facts.filename.is_empty() { &facts.title } else { &facts.filename };
    format!("\"{name}\"")
}
