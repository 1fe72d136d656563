//! The last steps of an upload that has all its bytes: its object is published, the catalogue and the job
//! queue are notified, and then the upload is done. Each step is idempotent; after a crash the sweeper begins
//! again at the first.

use streamgate_contracts::catalogue::v1::ContentState;
use streamgate_contracts::storage::StorageError;
use streamgate_plugin_api::failpoint;
use tonic::{Code, Status};

use crate::audit;
use crate::fault::Fault;
use crate::store::{Kind, Upload};
use crate::transfer::Pump;

/// Why a hand-over failed. It is repeated until it succeeds.
#[derive(Debug, Clone, thiserror::Error)]
pub(crate) enum Unfinished {
    #[error(transparent)]
    Storage(#[from] StorageError),
    #[error("the {0} failed: {1}")]
    Service(&'static str, String),
    #[error(transparent)]
    Fault(#[from] Fault),
}

impl Pump {
    /// Hands over an upload in state `finishing`. The caller holds its lock.
    pub(crate) async fn hand_over(&self, upload: &Upload) -> Result<(), Unfinished> {
        if !self.publish_object(upload).await? {
            return self
                .give_up(upload, "the uploaded bytes were lost in storage; upload the file again")
                .await;
        }
        failpoint("upload.object-visible");
        match upload.kind {
            Kind::Partial => self.done(upload).await,
            Kind::Whole | Kind::Final => self.tell_the_others(upload).await,
        }
    }

    /// Publishes the object. False: its bytes are gone.
    async fn publish_object(&self, upload: &Upload) -> Result<bool, StorageError> {
        let path = upload.object();
        match self.objects.complete(&path, upload.received).await {
            Ok(()) => Ok(true),
            // Either it was published before a crash, or it was removed.
            Err(StorageError::Gap { .. }) => Ok(self.objects.size(&path).await? == Some(upload.received)),
            Err(fault) => Err(fault),
        }
    }

    async fn tell_the_others(&self, upload: &Upload) -> Result<(), Unfinished> {
        let failed =
            |service| move |status: Status| Unfinished::Service(service, status.message().to_owned());
        let Some(content) = self.dependencies.content(&upload.id).await.map_err(failed("catalogue"))? else {
            tracing::info!(upload = upload.id, "the content was deleted before its upload was over");
            self.store.end(&upload.id, None).await.map_err(Fault::from)?;
            return Ok(());
        };
        if matches!(content.state(), ContentState::Uploading | ContentState::Uploaded) {
            match self.dependencies.content_uploaded(upload, &content).await {
                Ok(()) => {}
                // The job of an earlier attempt was faster.
                Err(status) if status.code() == Code::FailedPrecondition => return self.done(upload).await,
                Err(status) => return Err(failed("catalogue")(status)),
            }
            failpoint("upload.content-uploaded");
            let enqueued = self.dependencies.enqueue_transcode(&upload.id, &content.owner).await;
            enqueued.map_err(failed("job queue"))?;
            failpoint("upload.job-enqueued");
        }
        // In any later state the job is enqueued: there is no other way to reach it.
        self.done(upload).await?;
        tracing::info!(upload = upload.id, bytes = upload.received, "upload complete");
        Ok(())
    }

    async fn done(&self, upload: &Upload) -> Result<(), Unfinished> {
        self.store.done(upload, self.pace.expiry()).await.map_err(Fault::from)?;
        self.noted.notify_one();
        Ok(())
    }

    /// The upload can never be completed: its content records the reason, or is removed with it.
    pub(crate) async fn give_up(&self, upload: &Upload, reason: &str) -> Result<(), Unfinished> {
        tracing::error!(upload = upload.id, reason, "an upload failed");
        let entry = audit::failed(upload, reason);
        if upload.kind == Kind::Partial {
            self.store.end(&upload.id, entry.as_ref()).await.map_err(Fault::from)?;
            return Ok(());
        }
        match self.dependencies.content_failed(&upload.id, reason).await {
            Ok(()) => {}
            Err(status) if matches!(status.code(), Code::NotFound | Code::FailedPrecondition) => {}
            Err(status) => return Err(Unfinished::Service("catalogue", status.message().to_owned())),
        }
        self.store
            .fail(upload, self.pace.expiry(), entry.as_ref())
            .await
            .map_err(|error| Unfinished::Fault(error.into()))?;
        self.noted.notify_one();
        Ok(())
    }

    /// Removes what an ended upload left. The caller holds its lease.
    pub(crate) async fn clean_up(&self, upload: &Upload) -> Result<(), Unfinished> {
        self.objects.delete(&upload.object()).await?;
        if upload.kind != Kind::Partial {
            let deleted = self.dependencies.delete_content(&upload.id).await;
            deleted.map_err(|status| Unfinished::Service("catalogue", status.message().to_owned()))?;
        }
        self.store.bury(&upload.id, self.pace.expiry()).await.map_err(Fault::from)?;
        Ok(())
    }
}
