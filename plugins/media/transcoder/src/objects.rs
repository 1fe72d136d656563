//! The objects of one content in storage: the source as ranged reads, and what is
//! written next to it. Transient failures are retried; nothing is cached.

use std::io;

use bytes::Bytes;
use http::StatusCode;
use streamgate_contracts::storage::{Client, StorageError};
use tokio::runtime::Handle;

use crate::source::Source;

/// A small object: an init segment.
const MAX_SMALL_BYTES: usize = 1 << 20;

/// Objects below `media/{id}/`. Every write has the fence of the lease.
#[derive(Debug, Clone)]
pub(crate) struct Objects {
    media: Client,
    content: String,
}

impl Objects {
    /// `fence` is 0 if the queue gives none.
    pub(crate) fn new(storage: streamgate_plugin_api::Client, content: &str, fence: u64) -> Self {
        let media = Client::new(storage).below("media/").retrying().fenced(content, fence);
        Self { media, content: content.to_owned() }
    }

    /// Makes the storage refuse earlier runs, before anything is read that they might still change.
    pub(crate) async fn take_over(&self) -> Result<(), StorageError> {
        match self.media.raise_fence().await {
            // The one of a build before, until it is swapped too.
            Err(StorageError::Refused { status: StatusCode::METHOD_NOT_ALLOWED, .. }) => {
                tracing::warn!(
                    "the storage knows no fences: nothing stops an earlier run of a job from writing"
                );
                Ok(())
            }
            done => done,
        }
    }

    /// Bytes of the source, if it is there.
    pub(crate) async fn source_size(&self) -> Result<Option<u64>, StorageError> {
        self.media.size(&self.key("source")).await
    }

    /// A whole small object, if it is there.
    pub(crate) async fn get(&self, name: &str) -> Result<Option<Bytes>, StorageError> {
        self.media.get(&self.key(name), MAX_SMALL_BYTES).await
    }

    /// Writes or replaces an object.
    pub(crate) async fn put(&self, name: &str, data: Bytes) -> Result<(), StorageError> {
        self.media.put(&self.key(name), data).await
    }

    /// Removes an object.
    pub(crate) async fn remove(&self, name: &str) -> Result<(), StorageError> {
        self.media.delete(&self.key(name)).await
    }

    /// Removes every object of a content that is gone, and with them what is remembered of its fence.
    pub(crate) async fn remove_all(&self) -> Result<(), StorageError> {
        self.media.delete_all(&self.key("")).await.map(drop)
    }

    fn key(&self, name: &str) -> String {
        format!("{}/{name}", self.content)
    }
}

/// The source of a content, for the engine's threads.
pub(crate) struct StoredSource {
    objects: Objects,
    size: u64,
    runtime: Handle,
}

impl StoredSource {
    /// `runtime` drives the requests; reads must come from threads that are not its own.
    pub(crate) fn new(objects: Objects, size: u64, runtime: Handle) -> Self {
        Self { objects, size, runtime }
    }
}

impl Source for StoredSource {
    fn size(&self) -> u64 {
        self.size
    }

    fn read(&self, offset: u64, length: usize) -> io::Result<Bytes> {
        let key = self.objects.key("source");
        self.runtime.block_on(self.objects.media.get_range(&key, offset, length)).map_err(io::Error::other)
    }
}
