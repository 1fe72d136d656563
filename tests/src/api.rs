//! Contents as in `/api/v1/contents`. Unknown fields are ignored, like in a client that is older than the
//! server.

use std::time::{Duration, Instant};

use anyhow::Result;
use serde::Deserialize;

use crate::server::Server;
use crate::wait::every;

/// A content.
#[derive(Debug, Clone, Deserialize)]
#[allow(missing_docs, reason = "the names are those of docs/reference/http")]
pub struct Content {
    pub id: String,
    pub title: String,
    pub state: String,
    pub reason: Option<String>,
    // Unknown to earlier builds.
    #[serde(default)]
    pub retryable: bool,
    pub progress: Option<f64>,
    pub duration: Option<f64>,
    pub renditions: Vec<Rendition>,
    pub source: Option<Source>,
    pub hls: Option<String>,
    pub dash: Option<String>,
    pub poster: Option<String>,
    pub thumbnails: Option<String>,
    // Unknown to earlier builds.
    #[serde(default)]
    pub captions: Vec<Caption>,
}

/// A rendition of a content.
#[derive(Debug, Clone, Deserialize)]
#[allow(missing_docs, reason = "the names are those of docs/reference/http")]
pub struct Rendition {
    pub name: String,
    pub kind: String,
    pub width: Option<u32>,
    pub height: Option<u32>,
    pub fps: Option<f64>,
    pub target_bitrate: Option<u64>,
    pub segments: u32,
    pub complete: bool,
}

/// A text track of a content.
#[derive(Debug, Clone, Deserialize)]
#[allow(missing_docs, reason = "the names are those of docs/reference/http")]
pub struct Caption {
    pub name: String,
    pub language: Option<String>,
    pub label: Option<String>,
    pub url: String,
}

/// The known facts of the uploaded file.
#[derive(Debug, Clone, Deserialize)]
#[allow(missing_docs, reason = "the names are those of docs/reference/http")]
pub struct Source {
    pub bytes: Option<u64>,
    pub width: Option<u32>,
    pub height: Option<u32>,
    pub fps: Option<f64>,
}

impl Content {
    /// Playable from the first frame, whether or not more follows.
    #[must_use]
    pub fn watchable(&self) -> bool {
        matches!(self.state.as_str(), "playable" | "ready")
    }

    /// Its state is final unless a user acts.
    #[must_use]
    pub fn settled(&self) -> bool {
        matches!(self.state.as_str(), "ready" | "failed")
    }
}

impl Server {
    /// `GET /api/v1/contents/{id}`.
    ///
    /// # Errors
    /// When the server cannot be reached or has no such content.
    pub async fn content(&self, id: &str) -> Result<Content> {
        let value = self.json(&format!("/api/v1/contents/{id}")).await?;
        Ok(serde_json::from_value(value)?)
    }

    /// Every content, over all pages of the list.
    ///
    /// # Errors
    /// When the server cannot be reached.
    pub async fn contents(&self) -> Result<Vec<Content>> {
        let mut all = Vec::new();
        let mut path = "/api/v1/contents?limit=50".to_owned();
        loop {
            let page = self.json(&path).await?;
            all.extend(serde_json::from_value::<Vec<Content>>(page["items"].clone())?);
            let Some(cursor) = page["next_cursor"].as_str() else {
                return Ok(all);
            };
            path = format!("/api/v1/contents?limit=50&cursor={cursor}");
        }
    }

    /// Waits until the content is as `wanted`.
    ///
    /// # Panics
    /// When `limit` has passed, or it failed and that is not wanted.
    pub async fn content_when(
        &self,
        id: &str,
        limit: Duration,
        wanted: impl Fn(&Content) -> bool,
    ) -> Content {
        let mut last = String::from("never seen");
        let begun = Instant::now();
        let mut ticks = every(Duration::from_millis(20));
        loop {
            ticks.tick().await;
            match self.content(id).await {
                Ok(content) if wanted(&content) => return content,
                Ok(content) => {
                    assert!(content.state != "failed", "content failed: {content:?}");
                    let Content { state, progress, reason, .. } = content;
                    last = format!("{state}, progress {progress:?}, reason {reason:?}");
                }
                Err(error) => last = format!("{error:#} (before: {last})"),
            }
            assert!(begun.elapsed() < limit, "content {id} after {limit:?}: {last}");
        }
    }

    /// Waits until the content can be watched.
    pub async fn watchable(&self, id: &str) -> Content {
        self.content_when(id, Duration::from_secs(120), Content::watchable).await
    }

    /// Waits until the content is `ready`.
    pub async fn finished(&self, id: &str) -> Content {
        self.content_when(id, Duration::from_secs(600), |content| content.state == "ready").await
    }

    /// Waits until the content is `ready` or `failed`.
    pub async fn settled(&self, id: &str) -> Content {
        self.content_when(id, Duration::from_secs(600), Content::settled).await
    }
}
