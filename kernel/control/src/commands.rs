//! Commands of plugins: `streamgate NAME WORD…` is answered by whoever provides the capability
//! `command-NAME`. Only the control socket asks for such a capability, so only who may use the socket
//! gives commands.
//!
//! The plugin gets `POST /` with the words as a JSON list, and answers 200 with [`Said`]; 400 when the
//! words are wrong, and any other problem (RFC 9457) when it cannot.

use std::path::Path;
use std::time::Duration;

use http::{Request, StatusCode, header};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use streamgate_plugin_api::{Body, Client};

use crate::{ControlError, post};

/// What the name of a capability for a command begins with.
pub const COMMAND: &str = "command-";

const DEADLINE: Duration = Duration::from_secs(30);
const MAX_ANSWER: usize = 1 << 20;

/// What a command says when it is done.
#[derive(Debug, Default, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Said {
    /// What was asked for, and nothing else: it goes to standard output.
    pub output: String,
    /// What a person should know of it: it goes to standard error.
    pub note: String,
}

/// What became of a command.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Outcome {
    /// It is done.
    Done(Said),
    /// No plugin has it. `known` are those that there are.
    Unknown {
        /// Names of commands.
        known: Vec<String>,
    },
    /// The words after its name are wrong.
    Misused(String),
    /// It was not done, and why.
    Failed(String),
}

/// Has the streamgate that runs with this data directory carry out a command: its name, then its words.
///
/// # Errors
/// When none runs, or it does not answer.
pub fn command(data_dir: &Path, words: &[String]) -> Result<Outcome, ControlError> {
    post(data_dir, "/command", &words, Some(DEADLINE + crate::TIMEOUT))
}

/// Passes a command on. `provided` are all capabilities, and `service` finds the plugin of one.
pub async fn carry_out(
    words: Vec<String>,
    provided: impl Iterator<Item = String>,
    service: impl FnOnce(&str) -> Client,
) -> Outcome {
    let mut known: Vec<_> =
        provided.filter_map(|name| name.strip_prefix(COMMAND).map(str::to_owned)).collect();
    let Some((name, rest)) = words.split_first().filter(|(name, _)| known.contains(name)) else {
        known.sort();
        return Outcome::Unknown { known };
    };
    let client = service(&format!("{COMMAND}{name}"));
    match tokio::time::timeout(DEADLINE, ask(client, rest)).await {
        Ok(outcome) => outcome,
        Err(_) => Outcome::Failed(format!("the plugin did not answer within {DEADLINE:?}")),
    }
}

async fn ask(client: Client, words: &[String]) -> Outcome {
    let failed =
        |error: &dyn std::fmt::Display| Outcome::Failed(format!("the plugin did not answer: {error}"));
    let request = Request::post("/").header(header::CONTENT_TYPE, "application/json");
    let request = match request.body(Body::from(serde_json::json!(words).to_string())) {
        Ok(request) => request,
        Err(error) => return failed(&error),
    };
    let (head, body) = match client.send(request).await {
        Ok(response) => response.into_parts(),
        Err(error) => return failed(&error),
    };
    let body = match body.collect_bytes(MAX_ANSWER).await {
        Ok(body) => body,
        Err(error) => return failed(&error),
    };
    if head.status == StatusCode::OK {
        return serde_json::from_slice(&body).map_or_else(|error| failed(&error), Outcome::Done);
    }
    let problem: Value = serde_json::from_slice(&body).unwrap_or_default();
    let text = |key: &str| problem[key].as_str().unwrap_or_default().trim().to_owned();
    let reason = match (text("title"), text("detail")) {
        (title, detail) if !title.is_empty() && !detail.is_empty() => format!("{title}: {detail}"),
        (title, detail) if title.is_empty() && detail.is_empty() => head.status.to_string(),
        (title, detail) => title + &detail,
    };
    match head.status {
        StatusCode::BAD_REQUEST => Outcome::Misused(reason),
        _ => Outcome::Failed(reason),
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use axum::routing::post;
    use axum::{Json, Router};
    use streamgate_plugin_api::Problem;

    async fn give(words: &[&str]) -> Outcome {
        let answer = async |Json(words): Json<Vec<String>>| match words.first().map(String::as_str) {
            Some("say") => Ok(Json(Said { output: words[1..].join(" "), note: "said".into() })),
            Some("break") => Err(Problem::new(StatusCode::CONFLICT, "broken", "It broke").detail("In two.")),
            _ => Err(Problem::new(StatusCode::BAD_REQUEST, "usage", "Say what to say")),
        };
        let provided = ["storage", "command-echo", "command-a"].map(str::to_owned).into_iter();
        let words = words.iter().map(|&word| word.to_owned()).collect();
        carry_out(words, provided, |name| {
            assert_eq!(name, "command-echo");
            Client::from_service(Router::new().route("/", post(answer)))
        })
        .await
    }

    #[tokio::test]
    async fn a_command_reaches_the_plugin_that_has_it_with_its_words() {
        let said = Said { output: "a b".into(), note: "said".into() };
        assert_eq!(give(&["echo", "say", "a", "b"]).await, Outcome::Done(said));
        assert_eq!(give(&["echo"]).await, Outcome::Misused("Say what to say".into()));
        assert_eq!(give(&["echo", "break"]).await, Outcome::Failed("It broke: In two.".into()));
    }

    #[tokio::test]
    async fn what_no_plugin_has_is_answered_with_those_that_there_are() {
        let known = vec!["a".to_owned(), "echo".to_owned()];
        for words in [&["storage"][..], &["ech"], &[]] {
            assert_eq!(give(words).await, Outcome::Unknown { known: known.clone() });
        }
    }
}
