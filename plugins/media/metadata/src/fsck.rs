//! `streamgate fsck`: compares the catalogue with the storage, in pages, while the server runs. Rows are read
//! before the objects that they name, and missing objects are checked twice: concurrent changes are no
//! findings. It writes nothing, except to remove objects without a content on request.

use std::collections::HashMap;

use serde_json::json;
use streamgate_contracts::audit::By;
use streamgate_contracts::catalogue::v1::{Content, ContentState, ListRequest};
use streamgate_contracts::db::{params, places};
use streamgate_contracts::storage::{Listed, StorageError};
use streamgate_plugin_api::command::{Gone, Output, USAGE};
use streamgate_plugin_api::time::now_ms;

use crate::catalogue::Catalogue;
use crate::judge::{Finding, INDEX, Known};
use crate::limits;
use crate::objects::Media;
use crate::store::StoreError;

/// Exit codes without and with findings.
const CLEAN: u8 = 0;
const FOUND: u8 = 6;
/// It could not be completed.
const UNFINISHED: u8 = 1;

/// Contents that are checked between two lines of progress.
const PAGE: u32 = 100;
/// Younger objects may still be in the process of being written.
const GRACE_MS: i64 = 3_600_000;
/// Maximum contents without a row that one call removes.
const MOST: usize = 10_000;
/// Contents without a row that count as leftovers, even if they outnumber those with one.
const FEW: u64 = 10;

const HELP: &str = "\
Compares the catalogue with the objects in storage, while the server runs. Reports contents whose
objects are missing or have another size, and objects without a content.

usage: streamgate fsck [--json] [--repair]

  --json    a JSON object a line
  --repair  remove objects that no content names and that are older than an hour. They are recorded as
            those of deleted contents, and swept after plugins.metadata.sweep_grace

exit codes: 0 no findings, 6 findings, 1 not completed, 2 wrong usage,
3 no streamgate runs with this data directory";

/// Why it ended early.
#[derive(Debug, thiserror::Error)]
enum Stopped {
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error("the storage cannot be listed: {0}")]
    Unlisted(#[from] StorageError),
    #[error(transparent)]
    Gone(#[from] Gone),
}

/// The progress.
#[derive(Debug, Default)]
struct Sums {
    contents: u64,
    objects: u64,
    /// Contents with something missing.
    broken: u64,
    /// Deleted contents whose objects still exist.
    orphans: u64,
    removed: u64,
}

/// The command. `words` are its arguments.
pub(crate) async fn run(catalogue: Catalogue, words: Vec<String>, out: Output) -> u8 {
    let (mut json, mut repair) = (false, false);
    for word in &words {
        match word.as_str() {
            "--json" => json = true,
            "--repair" => repair = true,
            "--help" | "-h" => {
                let _ = out.line(HELP).await;
                return CLEAN;
            }
            other => {
                let _ = out.error(format!("error: unknown argument `{other}`\n\n{HELP}")).await;
                return USAGE;
            }
        }
    }
    let media = Media::new(catalogue.dependencies.storage.clone());
    let mut check = Check { catalogue, media, out, json, sums: Sums::default() };
    match check.all(repair).await {
        Ok(()) if check.sums.broken + check.sums.orphans == 0 => CLEAN,
        Ok(()) => FOUND,
        Err(Stopped::Gone(_)) => UNFINISHED,
        Err(stopped) => {
            let _ = check.out.error(format!("error: {stopped}; not everything was checked")).await;
            UNFINISHED
        }
    }
}

struct Check {
    catalogue: Catalogue,
    media: Media,
    out: Output,
    json: bool,
    sums: Sums,
}

impl Check {
    async fn all(&mut self, repair: bool) -> Result<(), Stopped> {
        let mut after = String::new();
        loop {
            let request = ListRequest { after: after.clone(), limit: PAGE, ..ListRequest::default() };
            let page = self.catalogue.page(&request).await?;
            let Some(last) = page.last() else { break };
            after.clone_from(&last.id);
            for content in page {
                self.sums.contents += 1;
                let (mut findings, mut objects) = self.missing(&content).await?;
                if !findings.is_empty() {
                    // Twice: an object may be replaced at this very moment.
                    (findings, objects) = self.missing(&content).await?;
                }
                self.sums.objects += objects;
                self.sums.broken += u64::from(!findings.is_empty());
                for finding in findings {
                    self.report(&finding).await?;
                }
            }
            self.progress(&format!("{} contents checked", self.sums.contents)).await?;
        }
        self.orphans(repair).await?;
        self.summary(repair).await
    }

    /// The differences between a content and its rows, and the number of its objects.
    async fn missing(&self, content: &Content) -> Result<(Vec<Finding>, u64), Stopped> {
        let id = &content.id;
        let rows = async {
            let entry = self.catalogue.store.entry(id).await?;
            let (_, renditions) = self.catalogue.store.timeline(id, 0).await?;
            Ok((entry, renditions.unwrap_or_default()))
        };
        let (entry, renditions) = match rows.await {
            Ok(rows) => rows,
            // Deleted meanwhile.
            Err(StoreError::NotFound(_)) => return Ok((Vec::new(), 0)),
            Err(error) => return Err(error.into()),
        };
        let begin = id.len() + 1;
        let mut there: HashMap<String, Listed> = HashMap::new();
        let take = |object: Listed| _ = there.insert(object.key[begin..].to_owned(), object);
        self.media.of_content(id, false, take).await?;
        let mut receiving = false;
        if entry.content.state() == ContentState::Uploading && !there.contains_key("source") {
            self.media.of_content(id, true, |session| receiving |= session.key[begin..] == *"source").await?;
        }
        let index = match there.contains_key(INDEX) {
            true => self.media.text(&format!("{id}/{INDEX}")).await?.unwrap_or_default(),
            false => String::new(),
        };
        let known = Known { entry: &entry, renditions: &renditions, there: &there, receiving, index: &index };
        let now_ms = now_ms();
        Ok((known.findings(now_ms, now_ms.saturating_sub(GRACE_MS)), there.len() as u64))
    }

    /// Objects without a content.
    async fn orphans(&mut self, repair: bool) -> Result<(), Stopped> {
        let mut found = Vec::new();
        let mut after = String::new();
        let mut names = 0_u64;
        loop {
            let (page, loose, next) = self.media.names(&after).await?;
            names += page.len() as u64;
            for object in loose {
                self.sums.objects += 1;
                self.sums.orphans += 1;
                self.report(&Finding::loose(&object)).await?;
            }
            for chunk in page.chunks(PAGE as usize) {
                for name in self.catalogue.store.nameless(chunk).await? {
                    self.orphan(name, repair, &mut found).await?;
                }
            }
            self.progress(&format!("{names} contents in storage checked")).await?;
            match next {
                Some(next) => after = next,
                None => break,
            }
        }
        if !repair || found.is_empty() {
            return Ok(());
        }
        if self.sums.orphans > FEW && self.sums.orphans > self.sums.contents {
            let text = "more contents are in storage without a row than with one: the database looks lost, and \
                        nothing is removed. Restore `sqlite/` from a backup";
            self.out.error(format!("error: {text}")).await?;
            return Ok(());
        }
        for (id, detail) in found {
            self.sums.removed += u64::from(self.catalogue.store.bury_orphan(&id, &detail).await?);
        }
        self.catalogue.work.notify_one();
        Ok(())
    }

    async fn orphan(
        &mut self,
        name: String,
        repair: bool,
        found: &mut Vec<(String, String)>,
    ) -> Result<(), Stopped> {
        let (mut objects, mut bytes, mut newest, mut first) = (0_u64, 0_u64, 0_i64, String::new());
        for unfinished in [false, true] {
            self.media
                .of_content(&name, unfinished, |object| {
                    objects += 1;
                    bytes += object.size;
                    newest = newest.max(object.modified_ms);
                    if first.is_empty() {
                        first = object.key;
                    }
                })
                .await?;
        }
        if objects == 0 {
            return Ok(());
        }
        // A content that was created, or deleted, since the page was read.
        if self.catalogue.store.nameless(std::slice::from_ref(&name)).await?.is_empty() {
            return Ok(());
        }
        self.sums.objects += objects;
        self.sums.orphans += 1;
        let young = newest > now_ms().saturating_sub(GRACE_MS);
        let mine = limits::is_content_id(&name);
        let advice = match (mine, young) {
            (false, _) => "streamgate uses no such name; remove it by hand if it is not needed",
            (true, true) => "it may still be in the process of being written; check again in an hour",
            (true, false) if repair => "it is removed now",
            (true, false) => "`streamgate fsck --repair` removes it",
        };
        let detail =
            format!("{objects} objects with {bytes} bytes belong to no content, the first is media/{first}");
        if mine && !young && found.len() < MOST {
            found.push((name.clone(), format!("by `streamgate fsck --repair`: {detail}")));
        }
        self.report(&Finding { kind: "objects-without-content", content: name, detail, advice }).await
    }

    async fn report(&self, finding: &Finding) -> Result<(), Stopped> {
        let Finding { kind, content, detail, advice } = finding;
        let line = if self.json {
            json!({ "finding": kind, "content": content, "detail": detail, "advice": advice }).to_string()
        } else {
            format!("{kind}  {content}  {detail}; {advice}")
        };
        Ok(self.out.line(line).await?)
    }

    async fn progress(&self, text: &str) -> Result<(), Stopped> {
        if self.json {
            return Ok(());
        }
        Ok(self.out.error(format!("… {text}")).await?)
    }

    async fn summary(&self, repair: bool) -> Result<(), Stopped> {
        let Sums { contents, objects, broken, orphans, removed } = self.sums;
        let line = if self.json {
            json!({
                "summary": {
                    "contents": contents,
                    "objects": objects,
                    "contents_with_faults": broken,
                    "without_content": orphans,
                    "removed": removed,
                }
            })
            .to_string()
        } else {
            let removed = if repair { format!(", being removed: {removed}") } else { String::new() };
            format!(
                "looked at {contents} contents and {objects} objects; contents with faults: {broken}, without a row: \
                 {orphans}{removed}"
            )
        };
        Ok(self.out.line(line).await?)
    }
}

impl crate::store::Store {
    /// Those of these names that are neither contents nor deleted ones.
    async fn nameless(&self, names: &[String]) -> Result<Vec<String>, StoreError> {
        let places = places(names.len());
        let sql = format!(
            "SELECT id FROM contents WHERE id IN ({places}) UNION ALL SELECT id FROM tombstones WHERE id IN ({places})"
        );
        let values = names.iter().flat_map(|name| params![name]).collect();
        let mut known = std::collections::HashSet::new();
        for row in self.db.query(&sql, values).await? {
            known.insert(row.get::<String>("id")?);
        }
        Ok(names.iter().filter(|name| !known.contains(*name)).cloned().collect())
    }

    /// Sweeps the objects of a missing content, like those of a deleted one. False: it exists.
    async fn bury_orphan(&self, id: &str, detail: &str) -> Result<bool, StoreError> {
        let sql = "INSERT INTO tombstones (id, deleted_at_ms, due_at_ms, sweeps, failures, clean, listed) \
                   SELECT $1, $2, $2, 0, 0, 0, 0 WHERE NOT EXISTS (SELECT 1 FROM contents WHERE id = $1) \
                   ON CONFLICT (id) DO NOTHING";
        let batch = self.db.batch().push(sql, params![id, now_ms()]).frees_space();
        // A user of the control socket owns the server; their principal is unknown here.
        let outcomes = By::default().changed("content.sweep", id, detail).push(batch).run().await?;
        Ok(outcomes.first().is_some_and(|outcome| outcome.rows_affected > 0))
    }
}
