//! A tus 1.0.0 client, as small as the protocol allows: creation, HEAD, PATCH.
//!
//! It reports every offset that the server acknowledged, so that a test can verify them. It never retries.

use std::path::Path;

use anyhow::{Context, Result, bail};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use reqwest::{Client, Response, StatusCode, Url, header::HeaderMap};

use crate::server::Server;

/// One upload at the server.
#[derive(Debug, Clone)]
pub struct Upload {
    http: Client,
    /// The address of its PATCH requests.
    pub url: String,
    /// Upload id, and id of the content.
    pub id: String,
}

impl Upload {
    /// `POST /files` (tus 1.0 §Creation) for `length` bytes.
    ///
    /// # Errors
    /// When the server cannot be reached or does not answer 201 with a location.
    pub async fn create(server: &Server, length: u64, metadata: &[(&str, &str)]) -> Result<Self> {
        Self::create_at(server.http().clone(), &server.url("/files"), length, metadata).await
    }

    /// As [`Upload::create`], at any tus server.
    ///
    /// # Errors
    /// As [`Upload::create`].
    pub async fn create_at(
        http: Client,
        address: &str,
        length: u64,
        metadata: &[(&str, &str)],
    ) -> Result<Self> {
        let metadata: Vec<_> =
            metadata.iter().map(|(key, value)| format!("{key} {}", STANDARD.encode(value))).collect();
        let mut request = http.post(address).header("Tus-Resumable", "1.0.0").header("Upload-Length", length);
        if !metadata.is_empty() {
            request = request.header("Upload-Metadata", metadata.join(","));
        }
        let answer = request.send().await?;
        let status = answer.status();
        if status != StatusCode::CREATED {
            bail!("POST {address}: {status}: {}", answer.text().await?);
        }
        let location = text(answer.headers(), "location")?;
        let id = location.rsplit('/').next().unwrap_or_default().to_owned();
        let url = Url::parse(address)?.join(&location)?.to_string();
        Ok(Self { http, url, id })
    }

    /// The bytes that the server has acknowledged (HEAD).
    ///
    /// # Errors
    /// When the server cannot be reached or the upload is gone.
    pub async fn offset(&self) -> Result<u64> {
        let answer = self.http.head(&self.url).header("Tus-Resumable", "1.0.0").send().await?;
        if !answer.status().is_success() {
            bail!("HEAD {}: {}", self.url, answer.status());
        }
        offset(&answer)
    }

    /// Sends `body` to `offset` in one PATCH, and returns the acknowledged offset.
    ///
    /// # Errors
    /// When the server cannot be reached or refuses.
    pub async fn patch(&self, at: u64, body: impl Into<reqwest::Body>) -> Result<u64> {
        let answer = self
            .http
            .patch(&self.url)
            .header("Tus-Resumable", "1.0.0")
            .header("Upload-Offset", at)
            .header("Content-Type", "application/offset+octet-stream")
            .body(body)
            .send()
            .await?;
        let status = answer.status();
        if status != StatusCode::NO_CONTENT {
            bail!("PATCH {}: {status}: {}", self.url, answer.text().await?);
        }
        offset(&answer)
    }

    /// Sends the rest of `data` from `at`, `chunk` bytes per PATCH; `acknowledged` receives every offset.
    ///
    /// # Errors
    /// As [`Upload::patch`].
    pub async fn send(
        &self,
        data: &Bytes,
        mut at: u64,
        chunk: usize,
        mut acknowledged: impl FnMut(u64),
    ) -> Result<()> {
        while at < data.len() as u64 {
            let from = usize::try_from(at)?;
            let to = data.len().min(from + chunk);
            at = self.patch(at, data.slice(from..to)).await?;
            acknowledged(at);
        }
        Ok(())
    }
}

/// Uploads a whole file in one PATCH and returns the content's id.
///
/// # Errors
/// As [`Upload::create`] and [`Upload::patch`].
pub async fn upload_file(server: &Server, file: &Path) -> Result<String> {
    let name = file.file_name().and_then(|name| name.to_str()).context("a file name")?;
    let data = Bytes::from(tokio::fs::read(file).await?);
    let upload = Upload::create(server, data.len() as u64, &[("filename", name)]).await?;
    if !data.is_empty() {
        let length = data.len() as u64;
        let got = upload.patch(0, data).await?;
        anyhow::ensure!(got == length, "{got} of {length} bytes acknowledged");
    }
    Ok(upload.id)
}

fn offset(answer: &Response) -> Result<u64> {
    Ok(text(answer.headers(), "upload-offset")?.parse()?)
}

fn text(headers: &HeaderMap, name: &str) -> Result<String> {
    Ok(headers.get(name).with_context(|| format!("no {name} in the answer"))?.to_str()?.to_owned())
}
