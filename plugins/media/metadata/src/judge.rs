//! Compares one content's rows in the catalogue with its objects in storage.

use std::collections::{HashMap, HashSet};

use streamgate_contracts::catalogue::v1::{Content, ContentState, RenditionTimeline, TextTrack};
use streamgate_contracts::storage::Listed;

use crate::store::Entry;
use crate::texts;

/// The index of the thumbnails.
pub(crate) const INDEX: &str = "thumbnails.vtt";

/// One finding.
pub(crate) struct Finding {
    pub(crate) kind: &'static str,
    pub(crate) content: String,
    pub(crate) detail: String,
    pub(crate) advice: &'static str,
}

impl Finding {
    /// An object outside of the folders of contents.
    pub(crate) fn loose(object: &Listed) -> Self {
        Self {
            kind: "objects-without-content",
            content: object.key.clone(),
            detail: format!("media/{} with {} bytes lies in no folder of a content", object.key, object.size),
            advice: "streamgate uses no such name; remove it by hand if it is not needed",
        }
    }
}

/// The data of a content.
pub(crate) struct Known<'a> {
    pub(crate) entry: &'a Entry,
    pub(crate) renditions: &'a [RenditionTimeline],
    /// By the path after `media/{id}/`.
    pub(crate) there: &'a HashMap<String, Listed>,
    /// Its source is being uploaded.
    pub(crate) receiving: bool,
    /// The text of [`INDEX`].
    pub(crate) index: &'a str,
}

impl Known<'_> {
    /// `settled_ms`: older objects are not being written any more.
    pub(crate) fn findings(&self, now_ms: i64, settled_ms: i64) -> Vec<Finding> {
        let mut findings = Vec::new();
        let mut named = HashSet::from(["source".to_owned()]);
        self.source(&mut findings);
        self.renditions(&mut findings, &mut named, now_ms);
        self.pictures(&mut findings, &mut named);
        self.texts(&mut findings, &mut named, now_ms);
        self.strays(&mut findings, &named, settled_ms);
        findings
    }

    fn content(&self) -> &Content {
        &self.entry.content
    }

    fn find(&self, kind: &'static str, detail: String, advice: &'static str) -> Finding {
        Finding { kind, content: self.content().id.clone(), detail, advice }
    }

    fn source(&self, findings: &mut Vec<Finding>) {
        let content = self.content();
        let id = &content.id;
        let bytes = content.source.as_ref().map_or(0, |source| source.bytes);
        let restore = "restore the object from a backup, or upload the file again and delete this content";
        findings.extend(match (content.state(), self.there.get("source")) {
            (ContentState::Uploading, None) if content.progress > 0.0 && !self.receiving => Some(self.find(
                "upload-missing",
                "the bytes that were uploaded so far are missing".to_owned(),
                "upload the file again",
            )),
            // It may never have been uploaded.
            (ContentState::Uploading | ContentState::Failed, _) => None,
            (_, None) => {
                let detail = format!("media/{id}/source is missing: it cannot be encoded again");
                Some(self.find("source-missing", detail, restore))
            }
            (_, Some(object)) if bytes > 0 && object.size != bytes => {
                let detail = format!("media/{id}/source has {} bytes instead of {bytes}", object.size);
                Some(self.find("source-damaged", detail, restore))
            }
            _ => None,
        });
    }

    fn renditions(&self, findings: &mut Vec<Finding>, named: &mut HashSet<String>, now_ms: i64) {
        let id = &self.content().id;
        let of_database = "restore `sqlite/` from a backup, or delete this content and upload the file again";
        if matches!(self.content().state(), ContentState::Playable | ContentState::Ready)
            && self.renditions.is_empty()
        {
            let detail = "it is playable and has no rendition: rows are missing in the database".to_owned();
            findings.push(self.find("rows-missing", detail, of_database));
        }
        for timeline in self.renditions {
            let rendition = timeline.rendition.clone().unwrap_or_default();
            let name = &rendition.folder();
            let mut wanted = vec![("init.mp4".to_owned(), u64::from(rendition.init_bytes))];
            wanted.extend(
                timeline.segments.iter().map(|it| (format!("{}.m4s", it.number), u64::from(it.bytes))),
            );
            let counted = self.entry.rungs.iter().find(|rung| rung.spec.folder() == *name);
            let counted = counted.map_or(0, |rung| rung.totals.segments as usize);
            if counted > timeline.segments.len() {
                let detail = format!(
                    "rows of {} of {counted} segments of `{name}` are missing in the database",
                    counted - timeline.segments.len()
                );
                findings.push(self.find("rows-missing", detail, of_database));
            }
            let (all, mut lost, mut first) = (wanted.len(), 0_usize, String::new());
            for (object, bytes) in wanted {
                let object = format!("{name}/{object}");
                let there = self.there.get(&object);
                if there.is_none_or(|there| bytes > 0 && there.size != bytes) {
                    lost += 1;
                    if first.is_empty() {
                        first = format!("media/{id}/{object}");
                    }
                }
                named.insert(object);
            }
            // It is being removed, or was.
            let going = rendition.replaced_until_ms().is_some_and(|until_ms| until_ms <= now_ms);
            if lost > 0 && !going {
                findings.push(self.find(
                    "rendition-damaged",
                    format!(
                        "{lost} of {all} objects of `{name}` are missing or have another size, the first is {first}"
                    ),
                    "restore the objects from a backup, or delete this content and upload the file again",
                ));
            }
        }
    }

    fn pictures(&self, findings: &mut Vec<Finding>, named: &mut HashSet<String>) {
        let content = self.content();
        let mut wanted: Vec<&str> = Vec::new();
        wanted.extend(content.has_poster.then_some("poster.jpg"));
        if content.has_thumbnails {
            wanted.push(INDEX);
            wanted.extend(sheets(self.index));
        }
        for object in wanted {
            if !self.there.contains_key(object) && !named.contains(object) {
                findings.push(self.find(
                    "picture-missing",
                    format!("media/{}/{object} is missing", content.id),
                    "restore it from a backup",
                ));
            }
            named.insert(object.to_owned());
        }
    }

    fn texts(&self, findings: &mut Vec<Finding>, named: &mut HashSet<String>, now_ms: i64) {
        let content = self.content();
        for TextTrack { name, version, bytes, earlier, .. } in &content.texts {
            let earlier = earlier.iter().map(|it| (it.version, it.bytes, Some(it.until_ms)));
            for (version, bytes, until_ms) in [(*version, *bytes, None)].into_iter().chain(earlier) {
                let object = texts::object(&content.id, name, version);
                let inner = object[content.id.len() + 1..].to_owned();
                let detail = match self.there.get(&inner) {
                    // It is being removed, or was.
                    _ if until_ms.is_some_and(|until_ms| until_ms <= now_ms) => None,
                    None => Some(format!("media/{object} is missing")),
                    Some(there) if there.size != u64::from(bytes) => {
                        Some(format!("media/{object} has {} bytes instead of {bytes}", there.size))
                    }
                    Some(_) => None,
                };
                let advice = "restore it from a backup, or replace or remove these captions";
                findings.extend(detail.map(|detail| self.find("captions-damaged", detail, advice)));
                named.insert(inner);
            }
        }
    }

    /// Only when nothing is being encoded any more: an object exists before its row.
    fn strays(&self, findings: &mut Vec<Finding>, named: &HashSet<String>, settled_ms: i64) {
        if self.content().state() != ContentState::Ready {
            return;
        }
        let mut strays: Vec<&Listed> = self
            .there
            .iter()
            .filter(|(name, object)| !named.contains(*name) && object.modified_ms < settled_ms)
            .map(|(_, object)| object)
            .collect();
        strays.sort_unstable_by(|a, b| a.key.cmp(&b.key));
        if let Some(first) = strays.first() {
            let bytes: u64 = strays.iter().map(|object| object.size).sum();
            let detail = format!(
                "{} objects with {bytes} bytes are in its folder and in no row, the first is media/{}",
                strays.len(),
                first.key
            );
            findings.push(self.find(
                "objects-without-row",
                detail,
                "remove them by hand if they are not needed",
            ));
        }
    }
}

/// The pictures that the cues of an index refer to: `thumbnails-0.jpg#xywh=…` (WebVTT).
fn sheets(index: &str) -> impl Iterator<Item = &str> {
    let pictures = index.lines().filter_map(|line| line.split_once("#xywh=").map(|(name, _)| name.trim()));
    let mut seen = HashSet::new();
    pictures.filter(move |name| !name.contains('/') && seen.insert(*name))
}
