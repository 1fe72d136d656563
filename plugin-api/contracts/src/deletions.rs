//! Contents that events reported as deleted. An event is no proof, because anyone may have published it: the
//! catalogue must confirm the deletion first; while it does not answer, the request is repeated.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use streamgate_plugin_api::Client;
use streamgate_plugin_api::backoff::Backoff;
use tokio::sync::Notify;
use tokio::time::{sleep, timeout};
use tonic::Status;

use crate::catalogue::v1::DeletedRequest;
use crate::catalogue::v1::catalogue_client::CatalogueClient;

/// Maximum contents of one call.
pub const MAX_ASKED: usize = 500;

/// Maximum unconfirmed contents; beyond that events are dropped.
const MAX_REPORTED: usize = 10_000;
/// How often the catalogue may deny a deletion before the event is dropped.
const TRIES: u32 = 5;
const DEADLINE: Duration = Duration::from_secs(10);
/// Between two questions about the same contents.
const BACKOFF: Backoff = Backoff { first: Duration::from_millis(250), longest: Duration::from_secs(60) };

/// The reported deletions, until the catalogue confirms them.
#[derive(Debug)]
pub struct Deletions {
    catalogue: CatalogueClient<Client>,
    /// How often the catalogue denied it.
    reported: Mutex<BTreeMap<String, u32>>,
    woken: Notify,
}

impl Deletions {
    /// Confirmed by the `catalogue` capability.
    pub fn new(catalogue: Client) -> Self {
        Self { catalogue: CatalogueClient::new(catalogue), reported: Mutex::default(), woken: Notify::new() }
    }

    /// An event reported that a content was deleted.
    pub fn on_deleted(&self, content: &str) {
        let mut reported = self.lock();
        if reported.len() < MAX_REPORTED || reported.contains_key(content) {
            reported.insert(content.to_owned(), 0);
        } else {
            tracing::warn!(content, "too many deletions wait for the catalogue; this one is not noted");
        }
        drop(reported);
        self.woken.notify_one();
    }

    /// The next confirmed deletions, as soon as there are some. For one caller.
    pub async fn next(&self) -> Vec<String> {
        let mut repeats = 0;
        loop {
            let asked: Vec<String> = self.lock().keys().take(MAX_ASKED).cloned().collect();
            if asked.is_empty() {
                self.woken.notified().await;
                continue;
            }
            match self.confirmed(asked.clone()).await {
                Ok(deleted) => {
                    self.note(&asked, &deleted);
                    if !deleted.is_empty() {
                        return deleted;
                    }
                }
                Err(status) => {
                    let reason = status.message();
                    tracing::warn!(
                        reason,
                        contents = asked.len(),
                        "deletions of contents are not confirmed yet"
                    );
                }
            }
            repeats += 1;
            sleep(BACKOFF.after(repeats)).await;
        }
    }

    /// Which of these contents were deleted, at most [`MAX_ASKED`]; the others exist, or are unknown.
    ///
    /// # Errors
    /// If the catalogue does not answer.
    pub async fn confirmed(&self, contents: Vec<String>) -> Result<Vec<String>, Status> {
        let mut catalogue = self.catalogue.clone();
        let asked = catalogue.deleted(DeletedRequest { ids: contents.clone() });
        let answer = timeout(DEADLINE, asked).await;
        let answer = answer.map_err(|_| Status::unavailable("the catalogue does not answer"))??;
        let mut deleted = answer.into_inner().ids;
        // Contents that were not in the question are ignored.
        deleted.retain(|id| contents.contains(id));
        Ok(deleted)
    }

    fn note(&self, asked: &[String], deleted: &[String]) {
        let mut reported = self.lock();
        for content in asked {
            if deleted.contains(content) {
                reported.remove(content);
                continue;
            }
            let Some(tries) = reported.get_mut(content) else { continue };
            *tries += 1;
            if *tries >= TRIES {
                tracing::warn!(content, "an event reported a deletion that the catalogue does not confirm");
                reported.remove(content);
            }
        }
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<String, u32>> {
        self.reported.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
