//! The objects on disk, compared with the catalogue.
//!
//! Reads the files of `storage-fs` directly: an object without a row is invisible over HTTP, which makes it
//! an orphan.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::time::Duration;

use crate::api::Content;
use crate::server::Server;
use crate::wait::eventually;

/// Keys (`bucket/key`) of all objects and of all unfinished writes.
#[must_use]
pub fn on_disk(server: &Server) -> BTreeSet<String> {
    let root = server.data_dir().join("storage-fs/objects");
    let mut found = BTreeSet::new();
    walk(&root, &root, &mut found);
    // The owner of the folder: not an object, and there as long as the folder is.
    found.remove(".incomplete/owner");
    found
}

fn walk(root: &Path, dir: &Path, found: &mut BTreeSet<String>) {
    let Ok(entries) = fs::read_dir(dir) else {
        return;
    };
    for entry in entries.flatten() {
        let path = entry.path();
        if path.is_dir() {
            walk(root, &path, found);
        } else if let Ok(key) = path.strip_prefix(root) {
            found.insert(key.display().to_string());
        }
    }
}

/// Whether a file on disk belongs to one of the contents.
fn belongs(key: &str, contents: &[Content]) -> bool {
    let (unfinished, key) = match key.strip_prefix(".incomplete/sessions/") {
        Some(key) => (true, key),
        None => (false, key),
    };
    // The fence of a content's directory, as long as the content exists.
    if let Some(id) = key.strip_prefix(".incomplete/fences/media/").and_then(|it| it.strip_suffix("/fence")) {
        return contents.iter().any(|content| content.id == id);
    }
    let Some((id, name)) = key.strip_prefix("media/").and_then(|rest| rest.split_once('/')) else {
        return false;
    };
    let Some(content) = contents.iter().find(|content| content.id == id) else {
        return false;
    };
    if unfinished {
        return name == "source" && content.state == "uploading";
    }
    let name_of = |folder: &str| folder.split_once('.').map_or(folder, |(name, _)| name).to_owned();
    match name.split_once('/') {
        None => {
            matches!(name, "source" | "poster.jpg" | "thumbnails.vtt")
                || (name.starts_with("thumbnails-") && name.ends_with(".jpg"))
        }
        Some((folder, "init.mp4")) => content.renditions.iter().any(|it| it.name == name_of(folder)),
        Some((_, text)) if text.ends_with(".vtt") => {
            content.captions.iter().any(|it| it.url == format!("/v/{id}/{name}"))
        }
        Some((folder, segment)) => {
            let number = segment.strip_suffix(".m4s").and_then(|number| number.parse::<u32>().ok());
            content
                .renditions
                .iter()
                .any(|it| it.name == name_of(folder) && number.is_some_and(|n| n < it.segments))
        }
    }
}

/// Waits until every file on disk belongs to a content of the catalogue.
///
/// # Panics
/// When some remain; the message names them.
pub async fn no_orphans(server: &Server) {
    eventually("files on disk that no content names to go", Duration::from_secs(30), async || {
        let contents = server.contents().await.ok()?;
        let orphans: Vec<_> = on_disk(server).into_iter().filter(|key| !belongs(key, &contents)).collect();
        if !orphans.is_empty() {
            eprintln!("orphans: {orphans:#?}");
        }
        orphans.is_empty().then_some(())
    })
    .await;
}

/// Waits until no object is on disk.
///
/// # Panics
/// When some remain.
pub async fn none_left(server: &Server) {
    eventually("all objects to go", Duration::from_secs(30), async || {
        on_disk(server).is_empty().then_some(())
    })
    .await;
}
