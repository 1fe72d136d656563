//! Real tus clients, interrupted by `kill -9` of the client and resumed by a second run.

use std::path::{Path, PathBuf};
use std::process::Stdio;

use streamgate_tests::server::Server;
use streamgate_tests::{clips, media, tools};
use tempfile::TempDir;
use tokio::io::{AsyncBufReadExt as _, BufReader, Lines};
use tokio::process::{Child, ChildStdout, Command};

const CHUNK: u64 = 64 * 1024;

/// A program that uploads a file: `PROGRAM SCRIPT ADDRESS FILE STORE CHUNK`.
struct Client {
    program: PathBuf,
    script: PathBuf,
}

/// One run of it.
struct Run {
    child: Child,
    lines: Lines<BufReader<ChildStdout>>,
}

impl Client {
    fn run(&self, server: &Server, clip: &Path, store: &Path) -> Run {
        let mut child = Command::new(&self.program)
            .arg(&self.script)
            .arg(server.url("/files"))
            .arg(clip)
            .arg(store)
            .arg(CHUNK.to_string())
            .env("TOKEN", server.admin_token().expect("it was made at the start"))
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .expect("the client starts");
        let stdout = child.stdout.take().expect("piped");
        let lines = BufReader::new(stdout).lines();
        Run { child, lines }
    }
}

impl Run {
    async fn line(&mut self) -> Option<String> {
        self.lines.next_line().await.expect("readable output")
    }

    /// The next acknowledged offset.
    async fn offset(&mut self) -> Option<u64> {
        let line = self.line().await?;
        let offset = line.strip_prefix("offset ")?;
        Some(offset.parse().expect("a number"))
    }
}

/// A clip of at least a dozen chunks.
fn sample() -> PathBuf {
    clips::real()
        .into_iter()
        .find(|clip| clip.extension().is_some_and(|kind| kind == "mp4"))
        .unwrap_or_else(|| clips::plain("1280x720", "25", 11.0))
}

async fn interrupted_and_resumed(client: Client) {
    let server = Server::start().await;
    let clip = sample();
    let home = TempDir::new().expect("a temporary folder");
    let store = home.path().join("uploads.json");

    let mut first = client.run(&server, &clip, &store);
    let mut acknowledged = 0;
    while acknowledged < 4 * CHUNK {
        acknowledged = first.offset().await.expect("the client continues");
    }
    first.child.kill().await.expect("killed");

    let mut second = client.run(&server, &clip, &store);
    let resumed = second.offset().await.expect("the client continues");
    assert!(
        resumed >= acknowledged,
        "{acknowledged} bytes were acknowledged, the second run went on at {resumed}"
    );
    let mut done = None;
    while let Some(line) = second.line().await {
        done = line.strip_prefix("done ").map(str::to_owned).or(done);
    }
    assert!(second.child.wait().await.expect("ended").success());

    let contents = server.contents().await.expect("the list");
    assert_eq!(contents.len(), 1, "resumed, not begun again: {contents:#?}");
    let id = done.expect("an address").rsplit('/').next().expect("an id").to_owned();
    let content = server.finished(&id).await;
    let decoded = media::whole(&server, &content).await.expect("whole");
    let frames = media::video_frames(&clip).expect("a decodable clip");
    for seen in decoded.video_frames() {
        assert!(seen.abs_diff(frames) <= 1, "{frames} frames in, {seen} out");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn tuspy_resumes_an_interrupted_upload() {
    let dir = tools::python_project("tests/services/tus")
        .expect("tuspy cannot be installed, and is needed for this test");
    interrupted_and_resumed(Client { program: dir.join(".venv/bin/python"), script: dir.join("upload.py") })
        .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn tus_js_client_resumes_an_interrupted_upload() {
    let dir = tools::node_project("tests/services/tus")
        .expect("tus-js-client cannot be installed, and is needed for this test");
    interrupted_and_resumed(Client { program: "node".into(), script: dir.join("upload.mjs") }).await;
}
