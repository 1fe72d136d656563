//! One large tus upload in one PATCH, by the same client to StreamGate and to `@tus/server`.
//!
//! StreamGate's bytes are on disk (fsync) before they are acknowledged; the peer's may still be in the page
//! cache.

use std::convert::Infallible;
use std::time::Instant;

use anyhow::{Context, Result, ensure};
use bytes::Bytes;
use futures_util::stream;
use tempfile::TempDir;
use tokio::process::Command;

use super::peer::Peer;
use super::process::cpu_seconds;
use super::{Aim, Row, median};
use crate::server::{Server, free_port};
use crate::{tools, tus::Upload};

/// A body of `length` bytes that costs the client almost nothing to generate. It does not begin like any
/// known media, so that it is not encoded afterwards.
#[must_use]
pub fn body(length: u64) -> reqwest::Body {
    const PART: usize = 256 << 10;
    let part = Bytes::from((0..PART).map(|at| (at * 31 % 251) as u8).collect::<Vec<_>>());
    let parts = stream::unfold(length, move |left| {
        let part = part.clone();
        async move {
            let next = usize::try_from(left).unwrap_or(PART).min(PART);
            (next > 0).then(|| (Ok::<_, Infallible>(part.slice(..next)), left - next as u64))
        }
    });
    reqwest::Body::wrap_stream(parts)
}

/// Time and CPU time of an upload.
pub(super) struct Cost {
    pub(super) seconds: f64,
    pub(super) cpu: f64,
}

pub(super) async fn once(server: &Upload, length: u64, pid: u32) -> Result<Cost> {
    let before = cpu_seconds(pid)?;
    let begun = Instant::now();
    let got = server.patch(0, body(length)).await?;
    let seconds = begun.elapsed().as_secs_f64();
    ensure!(got == length, "{got} of {length} bytes acknowledged");
    Ok(Cost { seconds, cpu: cpu_seconds(pid)? - before })
}

/// Of one upload.
pub(super) const LENGTH: u64 = 1 << 30;

/// Three rounds of 1 GiB each, in turn.
///
/// # Errors
/// When a server does not start or refuses.
pub async fn measure() -> Result<Vec<Row>> {
    let dir = tools::node_project("tests/services/tus")?;
    let (mut ours, mut theirs) = (Vec::new(), Vec::new());
    for _ in 0..3 {
        let mut server = Server::start().await;
        let upload = Upload::create(&server, LENGTH, &[]).await?;
        ours.push(once(&upload, LENGTH, server.pid()).await?);
        server.kill().await;
        drop(server);

        let home = TempDir::new()?;
        let port = free_port();
        let mut command = Command::new("node");
        command.arg(dir.join("serve.mjs")).arg(port.to_string()).arg(home.path());
        let peer = Peer::start(command, port, &home.path().join("log")).await?;
        let address = format!("http://127.0.0.1:{port}/files");
        let upload =
            Upload::create_at(crate::server::client(), &address, LENGTH, &[]).await.context("@tus/server")?;
        theirs.push(once(&upload, LENGTH, peer.pid()).await?);
        peer.stop().await;
    }
    let rate = |costs: &[Cost]| {
        #[allow(clippy::cast_precision_loss)]
        let megabytes = LENGTH as f64 / 1e6;
        median(costs.iter().map(|cost| megabytes / cost.seconds).collect())
    };
    let cpu = |costs: &[Cost]| median(costs.iter().map(|cost| cost.cpu).collect());
    Ok(vec![
        Row {
            what: "tus upload of 1 GiB, MB/s".to_owned(),
            ours: rate(&ours),
            peer: Some(("@tus/server", rate(&theirs))),
            aim: Some(Aim::AtLeast(1.5)),
        },
        Row {
            what: "processor time of that upload, s".to_owned(),
            ours: cpu(&ours),
            peer: Some(("@tus/server", cpu(&theirs))),
            aim: Some(Aim::AtMost(1.0 / 3.0)),
        },
    ])
}
