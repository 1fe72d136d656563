//! Commands that a plugin adds to the command line: `streamgate NAME WORD…` asks the running server,
//! over its control socket, for the capability `command-NAME`, which a plugin provides with
//! [`router`]. What it prints comes as it is printed, so a command may run for long.
//!
//! On the wire that is `POST /` with the words as a JSON list, and an answer in [`LINES`].
//!
//! Only the user of the server's data directory can call it; nobody comes over the network.
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

/// What the name of each capability begins with.
pub const PREFIX: &str = "command-";
/// The exit code of a command that was called in a way that it does not know.
pub const USAGE: u8 = 2;
/// Lines that wait for the command line to take them.
const QUEUE: usize = 64;
/// Bytes of lines that [`printed`] takes.
const MOST_PRINTED: usize = 16 << 20;

/// The media type of an answer that comes line by line: one [`Line`] as JSON in each.
pub const LINES: &str = "application/x-ndjson";

/// One line of a command's answer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Line {
    /// For standard output.
    Out(String),
    /// For standard error: progress, and what is wrong.
    Err(String),
    /// The last line: the exit code.
    Exit(u8),
}

/// The command line has gone away: nobody reads any more.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("nobody reads what the command prints any more")]
pub struct Gone;

/// Where a command prints. It waits while nobody reads.
#[derive(Debug, Clone)]
pub struct Output(mpsc::Sender<Line>);

impl Output {
    /// A line for standard output.
    ///
    /// # Errors
    /// When nobody reads any more.
    pub async fn line(&self, text: impl Into<String>) -> Result<(), Gone> {
        self.0.send(Line::Out(text.into())).await.map_err(|_| Gone)
    }

    /// A line for standard error.
    ///
    /// # Errors
    /// When nobody reads any more.
    pub async fn error(&self, text: impl Into<String>) -> Result<(), Gone> {
        self.0.send(Line::Err(text.into())).await.map_err(|_| Gone)
    }
}

/// What to provide as `command-NAME`: `run` gets the words, prints, and answers the exit code, of
/// which 3, 4, 5 and those above 127 have a meaning of `streamgate`'s own.
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
    // A task, so that it goes on printing while the lines before are read. It ends by itself when
    // nobody reads.
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

/// Runs a command to its end, as tests of its plugin want it: all that it prints, the exit code last.
///
/// # Panics
/// When the answer is not one of [`router`].
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
