//! Commands that a plugin adds to the command line: `streamgate NAME WORD…` calls the running server, over
//! its control socket, for the capability `command-NAME`, which a plugin provides with [`router`]. Output is
//! streamed as it is printed, so a command may run for long.
//!
//! On the wire that is `POST /` with the words as a JSON list, and a response in [`LINES`].
//!
//! Only the user of the server's data directory can call it; it is not reachable over the network.
//!
//! ```no_run
//! use streamgate_plugin_api::command::{self, Output};
//!
//! # fn example(host: streamgate_plugin_api::Host) -> Result<(), streamgate_plugin_api::StartError> {
//! // With `provides: ["command-count"]` in the manifest: `streamgate count 3`.
//! host.provide("command-count", command::router(async |words: Vec<String>, out: Output| {
//!     let Some(Ok(most)) = words.first().map(|word| word.parse::<u32>()) else {
//!         let _ = out.error("usage: streamgate count NUMBER").await;
//!         return command::USAGE;
//!     };
//!     for number in 0..most {
//!         if out.line(number.to_string()).await.is_err() {
//!             break;
//!         }
//!     }
//!     0
//! }))?;
//! # Ok(())
//! # }
//! ```

use std::convert::Infallible;
use std::future::Future;
use std::sync::Arc;

use axum::extract::State;
use axum::response::{IntoResponse, Response};
use axum::routing::post;
use axum::{Json, Router};
use bytes::Bytes;
use futures_util::stream;
use http::header;
use serde::{Deserialize, Serialize};
use tokio::sync::mpsc;

use crate::{Body, Client, runtime};

/// The prefix of these capabilities.
pub const PREFIX: &str = "command-";
/// The exit code of a usage error.
pub const USAGE: u8 = 2;
/// Lines buffered for the command line.
const QUEUE: usize = 64;
/// Maximum bytes of lines that [`printed`] accepts.
const MOST_PRINTED: usize = 16 << 20;

/// The media type of a response in lines: one [`Line`] as JSON in each.
pub const LINES: &str = "application/x-ndjson";

/// One line of a command's output.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Line {
    /// For standard output.
    Out(String),
    /// For standard error: progress and errors.
    Err(String),
    /// The last line: the exit code.
    Exit(u8),
}

/// The command line has disconnected: output is no longer read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the command's output is no longer read")]
pub struct Gone;

/// A command's output. It waits while it is not read.
#[derive(Debug, Clone)]
pub struct Output(mpsc::Sender<Line>);

impl Output {
    /// A line for standard output.
    ///
    /// # Errors
    /// If the output is no longer read.
    pub async fn line(&self, text: impl Into<String>) -> Result<(), Gone> {
        self.0.send(Line::Out(text.into())).await.map_err(|_| Gone)
    }

    /// A line for standard error.
    ///
    /// # Errors
    /// If the output is no longer read.
    pub async fn error(&self, text: impl Into<String>) -> Result<(), Gone> {
        self.0.send(Line::Err(text.into())).await.map_err(|_| Gone)
    }
}

/// The service to provide as `command-NAME`: `run` gets the words, prints, and returns the exit code, of
/// which 3, 4, 5 and those above 127 are reserved for `streamgate`.
pub fn router<R, F>(run: R) -> Router
where
    R: Fn(Vec<String>, Output) -> F + Send + Sync + 'static,
    F: Future<Output = u8> + Send + 'static,
{
    let run = Arc::new(run);
    Router::new().route("/", post(answer::<R, F>)).with_state(run)
}

async fn answer<R, F>(State(run): State<Arc<R>>, Json(words): Json<Vec<String>>) -> Response
where
    R: Fn(Vec<String>, Output) -> F + Send + Sync + 'static,
    F: Future<Output = u8> + Send + 'static,
{
    let (sender, lines) = mpsc::channel(QUEUE);
    let work = run(words, Output(sender.clone()));
    // A task, so that it continues to print while earlier lines are read. It ends when the output is no
    // longer read.
    runtime::handle().spawn(async move {
        let code = work.await;
        let _ = sender.send(Line::Exit(code)).await;
    });
    let lines = stream::unfold(lines, async |mut lines| {
        let line: Line = lines.recv().await?;
        let mut text = serde_json::to_string(&line).unwrap_or_default();
        text.push('\n');
        Some((Ok::<_, Infallible>(Bytes::from(text)), lines))
    });
    ([(header::CONTENT_TYPE, LINES)], axum::body::Body::new(Body::from_stream(lines))).into_response()
}

/// Runs a command to its end, for tests of its plugin: its whole output, the exit code last.
///
/// # Panics
/// If the response is not one of [`router`].
pub async fn printed(command: Router, words: &[&str]) -> Vec<Line> {
    let request = http::Request::post("http://command/")
        .header(header::CONTENT_TYPE, "application/json")
        .body(Body::from(serde_json::to_string(words).expect("words are JSON")))
        .expect("a method, an address and a media type are a request");
    let answer = Client::from_service(command).send(request).await.expect("an answer");
    let text = answer.into_body().collect_bytes(MOST_PRINTED).await.expect("all of it");
    let text = std::str::from_utf8(&text).expect("JSON is UTF-8");
    text.lines().map(|line| serde_json::from_str(line).expect("a line")).collect()
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_command_prints_as_it_goes_and_ends_with_its_code() {
        let command = router(async |words: Vec<String>, out: Output| {
            for word in words {
                out.line(word).await.unwrap();
            }
            out.error("done").await.unwrap();
            7
        });
        let expected =
            [Line::Out("a".into()), Line::Out("b c".into()), Line::Err("done".into()), Line::Exit(7)];
        assert_eq!(printed(command, &["a", "b c"]).await, expected);
    }
}
