//! The objects of one content in storage: the source as ranged reads, and the results beside it. Transient
//! failures are retried; nothing is cached.

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

    /// Makes the storage refuse earlier runs, before reading anything that they might still change.
    pub(crate) async fn take_over(&self) -> Result<(), StorageError> {
        match self.media.raise_fence().await {
            // That of an earlier build, until it is swapped too.
            Err(StorageError::Refused { status: StatusCode::METHOD_NOT_ALLOWED, .. }) => {
                tracing::warn!(
                    "the storage does not support fences: an earlier run of a job may still write"
                );
                Ok(())
            }
            done => done,
        }
    }

    /// The size of the source, if it exists.
    pub(crate) async fn source_size(&self) -> Result<Option<u64>, StorageError> {
        self.media.size(&self.key("source")).await
    }

    /// A whole small object, if it exists.
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

    /// Removes every object of a deleted content, together with its fence.
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
    /// `runtime` drives the requests; reads must come from threads outside of it.
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
