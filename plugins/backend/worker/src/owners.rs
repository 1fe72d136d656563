//! Jobs for a content belong to its current owner: the catalogue is called before one is leased, and the
//! minutes count for that owner. A job held back by its owner's limits is moved when an event reports that
//! the content changed hands, and periodically in case an event is lost.

use std::time::Duration;

use streamgate_contracts::catalogue::v1::OwnersRequest;
use streamgate_contracts::catalogue::v1::catalogue_client::CatalogueClient;
use streamgate_contracts::db::{DbError, params};
use streamgate_contracts::events::ContentStanding;
use streamgate_plugin_api::{Client, Subscription};
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

use crate::jobs::Jobs;
use crate::store::Store;
use crate::turns::Head;

/// How long the catalogue may take to answer.
const DEADLINE: Duration = Duration::from_secs(2);
/// How often all waiting jobs are checked.
const EVERY: Duration = Duration::from_secs(300);
/// Contents that are read at once.
const PAGE: u32 = 200;

/// The owners of contents.
#[derive(Debug, Clone)]
pub(crate) struct Owners {
    catalogue: CatalogueClient<Client>,
}

impl Owners {
    pub(crate) fn new(catalogue: Client) -> Self {
        Self { catalogue: CatalogueClient::new(catalogue) }
    }

    /// The owners of contents, in their order. Without an answer, and for a content without an owner, it is empty: its
    /// jobs keep theirs.
    async fn of(&self, contents: Vec<String>) -> Vec<String> {
        let request = OwnersRequest { contents };
        let reason = match timeout(DEADLINE, self.catalogue.clone().owners(request)).await {
            Ok(Ok(answer)) => return answer.into_inner().owners,
            Ok(Err(status)) => status.message().to_owned(),
            Err(_) => "no answer in time".to_owned(),
        };
        tracing::debug!(reason, "the catalogue does not name the owners of contents");
        Vec::new()
    }
}

impl Store {
    /// Assigns waiting jobs to the owners of their contents; returns the queues with a change.
    async fn give_to(&self, content: &str, owner: &str) -> Result<Vec<String>, DbError> {
        let sql = "UPDATE job SET owner = $2 WHERE state = 'queued' AND content = $1 AND content <> '' AND owner <> $2 \
                   RETURNING queue";
        let rows = self.db.execute_returning(sql, params![content, owner]).await?;
        rows.into_iter().map(|row| row.get("queue")).collect()
    }

    async fn awaited(&self, after: &str) -> Result<Vec<String>, DbError> {
        let sql = "SELECT DISTINCT content FROM job WHERE state = 'queued' AND content <> '' AND content > $1 \
                   ORDER BY content LIMIT $2";
        let rows = self.db.query(sql, params![after, PAGE]).await?;
        rows.into_iter().map(|row| row.get("content")).collect()
    }

    async fn is_awaited(&self, content: &str) -> Result<bool, DbError> {
        let sql = "SELECT id FROM job WHERE state = 'queued' AND content = $1 AND content <> '' LIMIT 1";
        Ok(!self.db.query(sql, params![content]).await?.is_empty())
    }
}

impl Jobs {
    /// Whether a job about to be leased belongs to another owner by now. It is assigned to them.
    pub(crate) async fn moved(&self, head: &Head) -> Result<bool, DbError> {
        if head.content.is_empty() {
            return Ok(false);
        }
        match self.owners().of(vec![head.content.clone()]).await.first() {
            Some(owner) if !owner.is_empty() && *owner != head.owner => {
                self.store().give_to(&head.content, owner).await?;
                Ok(true)
            }
            _ => Ok(false),
        }
    }

    /// Assigns the waiting jobs of a content to its owner.
    pub(crate) async fn follow(&self, content: &str) -> Result<(), DbError> {
        match self.store().is_awaited(content).await? {
            true => self.follow_page(vec![content.to_owned()]).await,
            false => Ok(()),
        }
    }

    async fn follow_page(&self, contents: Vec<String>) -> Result<(), DbError> {
        let owners = self.owners().of(contents.clone()).await;
        for (content, owner) in contents.iter().zip(&owners).filter(|(_, owner)| !owner.is_empty()) {
            for queue in self.store().give_to(content, owner).await? {
                self.wake(&queue);
            }
        }
        Ok(())
    }

    pub(crate) async fn follow_all(&self) -> Result<(), DbError> {
        let mut after = String::new();
        loop {
            let page = self.store().awaited(&after).await?;
            let Some(last) = page.last() else { return Ok(()) };
            after.clone_from(last);
            self.follow_page(page).await?;
        }
    }
}

/// Follows the owners of contents until the token is cancelled.
pub(crate) async fn run(jobs: Jobs, mut standings: Subscription, shutdown: CancellationToken) {
    let mut ticks = tokio::time::interval(EVERY);
    loop {
        let followed = tokio::select! {
            () = shutdown.cancelled() => return,
            _ = ticks.tick() => jobs.follow_all().await,
            event = standings.next() => match event.map(|event| event.parse::<ContentStanding>()) {
                None => return,
                Some(Ok(changed)) => jobs.follow(&changed.id).await,
                Some(Err(error)) => {
                    tracing::debug!(%error, "an event about a content's owner cannot be read");
                    continue;
                }
            },
        };
        if let Err(error) = followed {
            tracing::warn!(%error, "jobs could not be assigned to the owners of their contents");
        }
    }
}
