//! A program that runs a chain on this machine: it prints its address, and speaks JSON-RPC.

use std::io::{BufRead as _, BufReader};
use std::process::{Child, Command, Stdio};

use serde_json::{Value, json};

/// Such a program on a free port; it ends with this value.
#[derive(Debug)]
pub struct Node {
    child: Child,
    /// Its address.
    pub url: String,
    http: reqwest::Client,
}

impl Drop for Node {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Node {
    /// Starts it and waits until it writes `Listening on ADDRESS`; `how` explains how to install it.
    ///
    /// # Panics
    /// When it does not start.
    #[must_use]
    pub fn start(command: &mut Command, how: &str) -> Self {
        let mut child = command
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap_or_else(|error| panic!("{how}: {command:?}: {error}"));
        let mut lines = BufReader::new(child.stdout.take().expect("its output")).lines();
        let address = lines
            .by_ref()
            .map_while(Result::ok)
            .find_map(|line| line.strip_prefix("Listening on ").map(str::to_owned))
            .unwrap_or_else(|| panic!("{how}: {command:?} ended before it listened"));
        // It must not block on a full pipe.
        std::thread::spawn(move || lines.for_each(drop));
        Self { child, url: format!("http://{address}"), http: reqwest::Client::new() }
    }

    /// The result of a call.
    ///
    /// # Panics
    /// When it answers with an error.
    pub async fn rpc(&self, method: &str, params: Value) -> Value {
        let call = json!({ "jsonrpc": "2.0", "id": 1, "method": method, "params": params });
        let answer = self.http.post(&self.url).json(&call).send().await.expect("an answer");
        let answer: Value = answer.json().await.expect("JSON");
        assert!(answer.get("error").is_none(), "{method}: {answer}");
        answer["result"].clone()
    }
}
