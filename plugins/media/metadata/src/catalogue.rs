//! The catalogue's operations, shared by the internal contract and the REST API. Each change is written first
//! and announced after.

use std::sync::Arc;
use std::time::Duration;

use streamgate_contracts::audit::{By, Outbox};
use streamgate_contracts::catalogue::v1::{
    Content, ContentState, CreateRequest, ListRequest, PutRenditionsRequest, PutSegmentsRequest,
    RenditionKind, RenditionTimeline, Right, Source, UpdateRequest,
};
use streamgate_contracts::deletions::MAX_ASKED;
use tokio::sync::Notify;

use crate::captions::Editor;
use crate::changes::{Feed, Urgency};
use crate::cursor::Cursor;
use crate::dependencies::Dependencies;
use crate::fence;
use crate::graves::with_retry;
use crate::lifecycle;
use crate::limits;
use crate::listing::Filter;
use crate::objects::Media;
use crate::patch::{Patch, difference};
use crate::policies::{Policies, Sight, Where};
use crate::store::{Entry, Rung, Store, StoreError};
use crate::texts;
use crate::usage;

const STORAGE_DEADLINE: Duration = Duration::from_secs(10);
/// Contents of a page of the internal list.
const DEFAULT_PAGE: u32 = 100;
const MAX_PAGE: u32 = 500;
/// Pages that are searched for one with a visible content.
const ROUNDS: usize = 5;

/// The catalogue. Cheap to clone.
#[derive(Debug, Clone)]
pub(crate) struct Catalogue {
    pub(crate) store: Store,
    pub(crate) feed: Feed,
    pub(crate) dependencies: Dependencies,
    pub(crate) policies: Policies,
    /// There are new entries for the audit log.
    pub(crate) audit: Outbox,
    /// There is work for the reaper.
    pub(crate) work: Arc<Notify>,
    /// How long a replaced text stays.
    pub(crate) replaced_captions: Duration,
}

impl Catalogue {
    pub(crate) fn new(
        store: Store,
        feed: Feed,
        dependencies: Dependencies,
        policies: Policies,
        replaced_captions: Duration,
    ) -> Self {
        let audit = Outbox::new(store.db.clone(), dependencies.auth.clone());
        Self { store, feed, dependencies, policies, audit, work: Arc::default(), replaced_captions }
    }

    pub(crate) async fn create(&self, request: CreateRequest) -> Result<Content, StoreError> {
        let id = checked_id(&request.id)?;
        let source = lifecycle::clean_source(request.source.unwrap_or_default());
        let content = Content {
            id: id.to_owned(),
            title: limits::clean(&request.title, limits::TITLE_CHARS),
            description: request.description.trim().chars().take(limits::DESCRIPTION_CHARS).collect(),
            state: ContentState::Uploading.into(),
            source: Some(Source { bytes: source.bytes.min(i64::MAX as u64), ..source }),
            owner: limits::clean(&request.owner, limits::WORD_CHARS),
            ..Content::default()
        };
        let (content, created) = self.store.create(content).await?;
        if created {
            self.feed.touch(&content.id, Urgency::Now);
        }
        Ok(content)
    }

    pub(crate) async fn update(&self, request: UpdateRequest) -> Result<Content, StoreError> {
        checked_id(&request.id)?;
        let quiet = UpdateRequest {
            id: request.id.clone(),
            progress: request.progress,
            fence: request.fence,
            ..UpdateRequest::default()
        };
        let urgency = if request == quiet { Urgency::Soon } else { Urgency::Now };
        let step = |content: &mut Content| {
            fence::pass(content, request.fence)?;
            Ok(lifecycle::apply(content, &request)?)
        };
        let content = match &request.file_texts {
            None => self.store.update(&request.id, step).await?,
            Some(file) => {
                texts::check_file(file)?;
                let apply = |content: &mut Content, rungs: &[Rung]| {
                    step(content)?;
                    texts::add_file(content, file, rungs)
                };
                self.store.update_beside(&request.id, apply).await?
            }
        };
        self.feed.touch(&content.id, urgency);
        Ok(content)
    }

    pub(crate) async fn put_renditions(&self, request: PutRenditionsRequest) -> Result<Content, StoreError> {
        checked_id(&request.id)?;
        let mut names: Vec<&str> = Vec::new();
        for rendition in &request.renditions {
            let name = rendition.name.as_str();
            if !limits::is_rendition_name(name) {
                return Err(StoreError::Invalid(format!(
                    "`{name}` is not a rendition name: [a-z0-9-]{{1,32}}"
                )));
            }
            if names.contains(&name) {
                return Err(StoreError::Invalid(format!("the rendition `{name}` is given twice")));
            }
            if rendition.kind() == RenditionKind::Unspecified {
                return Err(StoreError::Invalid(format!(
                    "the rendition `{name}` is neither video nor audio"
                )));
            }
            if rendition.timescale == 0 {
                return Err(StoreError::Invalid(format!("the rendition `{name}` has no timescale")));
            }
            names.push(name);
        }
        let content = self.store.put_renditions(&request.id, &request.renditions, request.fence).await?;
        self.feed.touch(&content.id, Urgency::Now);
        // A generation that was never announced may be due for removal.
        self.work.notify_one();
        Ok(content)
    }

    pub(crate) async fn put_segments(&self, request: PutSegmentsRequest) -> Result<Content, StoreError> {
        checked_id(&request.id)?;
        let count: usize = request.segments.iter().map(|group| group.segments.len()).sum();
        if count > limits::SEGMENTS_PER_CALL {
            let reason = format!("{count} segments in one call; at most {}", limits::SEGMENTS_PER_CALL);
            return Err(StoreError::Invalid(reason));
        }
        let names: Vec<&str> = request.segments.iter().map(|group| group.rendition.as_str()).collect();
        if names.iter().enumerate().any(|(index, name)| names[..index].contains(name)) {
            return Err(StoreError::Invalid("a rendition is given twice".into()));
        }
        let apply = |content: &mut Content| {
            fence::pass(content, request.fence)?;
            if !matches!(content.state(), ContentState::Transcoding | ContentState::Playable) {
                let reason = format!("a content that is {} accepts no segments", content.state().name());
                return Err(StoreError::Precondition(reason));
            }
            if request.playable {
                lifecycle::step(content, ContentState::Playable)?;
            }
            if let Some(progress) = request.progress {
                content.progress = lifecycle::fraction(progress);
            }
            Ok(())
        };
        let content = self.store.put_segments(&request.id, &request.segments, apply).await?;
        self.feed.touch(&content.id, Urgency::Now);
        Ok(content)
    }

    pub(crate) async fn timeline(
        &self,
        id: &str,
        known_revision: u64,
    ) -> Result<(Content, Option<Vec<RenditionTimeline>>), StoreError> {
        self.store.timeline(checked_id(id)?, known_revision).await
    }

    pub(crate) async fn get(&self, id: &str) -> Result<Content, StoreError> {
        self.store.get(checked_id(id)?).await
    }

    pub(crate) async fn entry(&self, id: &str) -> Result<Entry, StoreError> {
        self.store.entry(checked_id(id)?).await
    }

    /// The content of this id, if it is visible to `sight`.
    pub(crate) async fn seen(&self, id: &str, sight: &Sight) -> Result<Entry, StoreError> {
        let entry = self.entry(id).await?;
        if self.policies.show(&entry.content, sight, Where::Address).await? {
            Ok(entry)
        } else {
            Err(StoreError::NotFound(id.to_owned()))
        }
    }

    /// The same, if the caller has this right.
    pub(crate) async fn held(&self, id: &str, sight: &Sight, right: Right) -> Result<Entry, StoreError> {
        let entry = self.seen(id, sight).await?;
        if sight.caller.may(right, &entry.content) {
            Ok(entry)
        } else {
            Err(StoreError::NotYours(id.to_owned()))
        }
    }

    /// One page of the contents visible to `sight`, and where the next one begins if there is more. It may be
    /// shorter than requested: the stored openness narrows it down, and the answer of `access` decides.
    pub(crate) async fn list(
        &self,
        mut filter: Filter,
        sight: &Sight,
    ) -> Result<(Vec<Entry>, Option<Cursor>), StoreError> {
        for round in 1.. {
            let (entries, more) = self.store.list(&filter, sight).await?;
            let next = entries.last().filter(|_| more).map(|last| Cursor::of(filter.order, &last.content));
            let contents: Vec<&Content> = entries.iter().map(|entry| &entry.content).collect();
            let shown = self.policies.show_each(&contents, sight, Where::List).await?;
            let mut page = Vec::with_capacity(entries.len());
            for (entry, shown) in entries.into_iter().zip(shown) {
                if shown {
                    page.push(entry);
                } else {
                    self.feed.policy(&entry.content.id);
                }
            }
            if !page.is_empty() || next.is_none() || round == ROUNDS {
                return Ok((page, next));
            }
            filter.after = next;
        }
        Ok((Vec::new(), None))
    }

    /// An event reported a changed policy.
    pub(crate) fn policy_changed(&self, id: &str) {
        self.policies.changed(id);
        self.feed.policy(id);
    }

    /// An event told that a principal is blocked from a content, or not any more.
    pub(crate) fn bars_changed(&self, id: &str, principal: &str) {
        self.policies.bars_changed(principal);
        self.feed.bars(id);
    }

    /// Updates the stored openness of all policies: events may be lost, and the default of `access` may have
    /// changed.
    pub(crate) async fn look_at_policies(&self) -> Result<(), StoreError> {
        let mut after = String::new();
        loop {
            let noted = self.store.noted_listings(&after, MAX_PAGE as usize).await?;
            let Some((last, _)) = noted.last() else { return Ok(()) };
            after.clone_from(last);
            let ids: Vec<&str> = noted.iter().map(|(id, _)| id.as_str()).collect();
            let policies = self.policies.openness_of(&ids).await?;
            for ((id, noted), openness) in noted.iter().zip(policies) {
                if *noted != openness {
                    self.feed.policy(id);
                }
            }
        }
    }

    /// Contents after an id, in the order of their ids.
    pub(crate) async fn page(&self, request: &ListRequest) -> Result<Vec<Content>, StoreError> {
        let state = ContentState::try_from(request.state)
            .map_err(|_| StoreError::Invalid(format!("{} is not a state", request.state)))?;
        let limit = match request.limit {
            0 => DEFAULT_PAGE,
            limit if limit <= MAX_PAGE => limit,
            limit => return Err(StoreError::Invalid(format!("{limit} contents; at most {MAX_PAGE}"))),
        };
        let state = (state != ContentState::Unspecified).then_some(state);
        self.store.page(state, &request.after, limit as usize).await
    }

    /// Changes the fields that people may change, if the content is still at the expected revision.
    pub(crate) async fn patch(&self, id: &str, patch: &Patch, editor: &Editor) -> Result<Entry, StoreError> {
        let apply = |content: &mut Content| {
            editor.may(Right::Edit, content)?;
            patch.apply(content);
            Ok(())
        };
        self.edit(id, editor, (apply, None), ("content.change", difference)).await?;
        self.entry(id).await
    }

    /// Changes a content, and records who did what. With `room`, only if the owner's contents fit the quota
    /// then, before the change itself is counted.
    pub(crate) async fn edit(
        &self,
        id: &str,
        editor: &Editor,
        (apply, room): (impl Fn(&mut Content) -> Result<(), StoreError>, Option<u64>),
        (action, detail): (&str, impl Fn(&Content, &Content) -> String),
    ) -> Result<Content, StoreError> {
        let with = |batch, before: &Content, after: &Content| {
            let batch = match room {
                Some(room) => usage::fits(batch, id, &after.owner, room),
                None => batch,
            };
            editor.by.note(batch, action, id, detail(before, after))
        };
        let content = self.store.update_with(checked_id(id)?, apply, with).await?;
        self.feed.touch(id, Urgency::Now);
        self.work.notify_one();
        Ok(content)
    }

    /// Removes a content; its objects follow.
    /// False: there was none.
    pub(crate) async fn delete(
        &self,
        id: &str,
        by: &By,
        may: impl Fn(&Content) -> Result<(), StoreError>,
    ) -> Result<bool, StoreError> {
        if !self.store.bury(checked_id(id)?, by, may).await? {
            return Ok(false);
        }
        tracing::info!(content = id, principal = by.principal, "content deleted");
        self.feed.touch(id, Urgency::Now);
        self.work.notify_one();
        Ok(true)
    }

    /// Which of these contents were deleted, as far as that is remembered.
    pub(crate) async fn deleted(&self, ids: &[String]) -> Result<Vec<String>, StoreError> {
        if ids.len() > MAX_ASKED {
            return Err(StoreError::Invalid(format!("{} ids; at most {MAX_ASKED}", ids.len())));
        }
        self.store.buried(ids).await
    }

    /// Encodes a failed content again. The reaper enqueues the job after the step, durably.
    pub(crate) async fn retry(&self, id: &str, by: &By) -> Result<Entry, StoreError> {
        let content = self.get(id).await?;
        if content.state() != ContentState::Failed {
            let reason =
                format!("only a failed content can be retried; this one is {}", content.state().name());
            return Err(StoreError::Precondition(reason));
        }
        if !self.has_source(id).await? {
            let reason = "its source was never uploaded as a whole; upload it again";
            return Err(StoreError::Precondition(reason.into()));
        }
        self.may_encode(&content.owner).await?;
        let apply = |content: &mut Content| {
            if content.state() != ContentState::Failed {
                let reason = format!("the content is {} by now", content.state().name());
                return Err(StoreError::Precondition(reason));
            }
            Ok(lifecycle::step(content, ContentState::Uploaded)?)
        };
        let content = self
            .store
            .update_with(id, apply, |batch, before, after| {
                by.note(with_retry(batch, before, after), "content.retry", id, "")
            })
            .await?;
        self.feed.touch(&content.id, Urgency::Now);
        self.work.notify_one();
        self.entry(id).await
    }

    async fn has_source(&self, id: &str) -> Result<bool, StoreError> {
        let media = Media::new(self.dependencies.storage.clone()).storage.within(STORAGE_DEADLINE);
        let size = media.size(&format!("{id}/source")).await;
        let size = size.map_err(|_| StoreError::Unavailable("the storage does not answer; try again".into()));
        Ok(size?.is_some())
    }
}

/// Whether a content is at the expected revision, if one is given.
pub(crate) fn unchanged(content: &Content, expected_revision: Option<u64>) -> Result<(), StoreError> {
    match expected_revision {
        Some(expected) if expected != content.revision => {
            Err(StoreError::Changed { current: content.revision })
        }
        _ => Ok(()),
    }
}

pub(crate) fn checked_id(id: &str) -> Result<&str, StoreError> {
    if limits::is_content_id(id) { Ok(id) } else { Err(StoreError::NotFound(id.chars().take(64).collect())) }
}
