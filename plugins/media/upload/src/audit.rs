//! What the audit log says of uploads: who began, completed and terminated which, and what ended
//! without anybody's word.

use streamgate_contracts::audit::{By, Entry};
use streamgate_contracts::db::Batch;
use streamgate_contracts::scopes;
use streamgate_plugin_api::Principal;
use streamgate_plugin_api::fair::Holder;

use crate::fault::Fault;
use crate::store::{self, Kind, Upload};

/// Whoever sent a request: for the shares and for the audit log.
#[derive(Debug, Clone)]
pub(crate) struct Caller {
    pub(crate) holder: Holder,
    pub(crate) by: By,
    /// Looks after the uploads of others.
    admin: bool,
}

impl Caller {
    pub(crate) fn of(headers: &http::HeaderMap) -> Self {
        let admin = Principal::of(headers).is_some_and(|it| scopes::over_all_contents(&it.scopes));
        Self { holder: Holder::of(headers), by: By::of(headers), admin }
    }

    /// The upload, if it is theirs. Of another principal's nobody learns that it is there.
    pub(crate) fn own(&self, upload: Upload) -> Result<Upload, Fault> {
        let owner = store::principal_of(&upload.owner);
        let theirs = self.admin || owner.is_none_or(|owner| owner == self.by.principal);
        if theirs { Ok(upload) } else { Err(Fault::NotFound) }
    }
}

/// An upload that somebody began.
pub(crate) fn begun(upload: &Upload, batch: Batch) -> Batch {
    upload.sender.note(batch, "upload.create", &upload.id, described(upload))
}

/// An upload that has all its bytes: whoever sent the last of them completed it.
pub(crate) fn completed(upload: &Upload, batch: Batch) -> Batch {
    upload.sender.note(batch, "upload.finish", &upload.id, described(upload))
}

/// An upload that somebody ends; none where nobody signs in.
pub(crate) fn terminated(upload: &Upload, by: &By) -> Option<Entry> {
    let detail = format!("{}; {} bytes were there", described(upload), upload.received);
    (!by.principal.is_empty()).then(|| by.changed("upload.terminate", &upload.id, detail))
}

/// An upload that ends without anybody's word; none where nobody signs in.
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
    let size =
        upload.length.map_or_else(|| "of a size not known yet".to_owned(), |bytes| format!("{bytes} bytes"));
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
