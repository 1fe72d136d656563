//! `wrk` on a segment of about 1 MiB and on a playlist of about 1 KiB, from StreamGate's gateway and from
//! nginx with the same bytes in files; and on the same segment while its content is restricted, by the
//! address of a viewer with access.

use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result};
use reqwest::{StatusCode, Url};
use serde_json::json;
use tempfile::TempDir;
use tokio::process::Command;

use super::peer::Peer;
use super::{Aim, Row, median};
use crate::server::{Server, Setup, client, free_port};
use crate::wait::eventually;
use crate::{clips, media, tus};

const NGINX: &str = r"
worker_processes 2;
daemon off;
pid {home}/pid;
error_log {home}/error.log;
{user}
events { worker_connections 1024; }
http {
  access_log off;
  sendfile on;
  tcp_nopush on;
  keepalive_requests 1000000;
  open_file_cache max=1000;
  types { video/iso.segment m4s; application/vnd.apple.mpegurl m3u8; }
  client_body_temp_path {home}/body;
  proxy_temp_path {home}/proxy;
  fastcgi_temp_path {home}/fastcgi;
  uwsgi_temp_path {home}/uwsgi;
  scgi_temp_path {home}/scgi;
  server { listen 127.0.0.1:{port}; root {home}/files; }
}
";

async fn nginx(home: &Path) -> Result<Peer> {
    let port = free_port();
    let user = if rustix::process::geteuid().is_root() { "user root;" } else { "" };
    let config = NGINX
        .replace("{home}", &home.display().to_string())
        .replace("{port}", &port.to_string())
        .replace("{user}", user);
    let file = home.join("nginx.conf");
    tokio::fs::write(&file, config).await?;
    let mut command = Command::new("nginx");
    command.arg("-p").arg(home).arg("-c").arg(file);
    Peer::start(command, port, &home.join("log")).await
}

const ROUND: Duration = Duration::from_secs(8);

/// Requests per second, as counted by `wrk`.
pub(super) async fn wrk(url: &str, time: Duration) -> Result<f64> {
    let time = format!("{}s", time.as_secs());
    let output = Command::new("wrk")
        .args(["--threads", "2", "--connections", "64", "--duration", &time, url])
        .output()
        .await
        .context("starting wrk")?;
    let report = String::from_utf8_lossy(&output.stdout).into_owned();
    anyhow::ensure!(!report.contains("Non-2xx") && !report.contains("Socket errors"), "GET {url}:\n{report}");
    let line = report
        .lines()
        .find_map(|line| line.trim().strip_prefix("Requests/sec:"))
        .with_context(|| format!("no rate in {report}"))?;
    Ok(line.trim().parse()?)
}

/// Measures both in turn, and returns the medians: ours, theirs.
async fn both(ours: &str, theirs: &str) -> Result<(f64, f64)> {
    let (mut left, mut right) = (Vec::new(), Vec::new());
    for _ in 0..3 {
        left.push(wrk(ours, ROUND).await?);
        right.push(wrk(theirs, ROUND).await?);
    }
    Ok((median(left), median(right)))
}

/// Sets who may play a content, and waits until that applies to an anonymous client.
async fn open_to(server: &Server, id: &str, openness: &str, segment: &Url) -> Result<()> {
    let policy = server.url(&format!("/api/v1/access/contents/{id}"));
    server.http().put(policy).json(&json!({ "openness": openness })).send().await?.error_for_status()?;
    let expected = if openness == "public" { StatusCode::OK } else { StatusCode::UNAUTHORIZED };
    let (stranger, what) = (client(), format!("{id} to be {openness}"));
    eventually(what, Duration::from_secs(10), async || {
        let answer = stranger.get(segment.clone()).send().await.ok()?;
        (answer.status() == expected).then_some(())
    })
    .await;
    Ok(())
}

/// Measures a public segment and the same one while it is restricted, in turn, and returns the medians: with
/// a token, public. `hls` is the path of the multivariant playlist.
async fn gated(server: &Server, id: &str, hls: &str, segment: &Url) -> Result<(f64, f64)> {
    let (mut closed, mut open) = (Vec::new(), Vec::new());
    // The target is a twentieth; rounds differ by more.
    for _ in 0..9 {
        open_to(server, id, "private", segment).await?;
        let playlists = media::hls(server, hls).await?;
        let mut addresses = playlists.iter().flat_map(|it| it.segments.iter().map(|(url, _)| url));
        let address = addresses.find(|url| url.path() == segment.path()).context("the same segment")?;
        anyhow::ensure!(address.query().is_some(), "{address} carries no token");
        closed.push(wrk(address.as_str(), ROUND).await?);
        open_to(server, id, "public", segment).await?;
        open.push(wrk(segment.as_str(), ROUND).await?);
    }
    Ok((median(closed), median(open)))
}

/// # Errors
/// When a server or wrk is missing or refuses.
pub async fn measure() -> Result<Vec<Row>> {
    let server = Setup::default()
        .set("plugins.gateway.access_log", "off")
        .set("plugins.access.enabled", true)
        .set("plugins.access.default", "public")
        .set("plugins.streaming.gated", true)
        .start()
        .await;
    let clip = clips::detailed(60.0);
    let id = tus::upload_file(&server, &clip).await?;
    let content = server.finished(&id).await;
    let hls = content.hls.as_deref().context("an address")?;
    let playlists = media::hls(&server, hls).await?;

    let home = TempDir::with_prefix("streamgate-nginx-")?;
    let files = home.path().join("files");
    tokio::fs::create_dir(&files).await?;
    let segments = playlists.iter().flat_map(|it| it.segments.iter().map(|(url, _)| url));
    let (segment, segment_bytes) = nearest(&server, segments, 1 << 20).await?;
    let (playlist, playlist_bytes) = nearest(&server, playlists.iter().map(|it| &it.url), 1 << 10).await?;
    tokio::fs::write(files.join("segment.m4s"), &segment_bytes).await?;
    tokio::fs::write(files.join("index.m3u8"), &playlist_bytes).await?;
    let peer = nginx(home.path()).await?;
    let theirs = |name: &str| format!("http://127.0.0.1:{}/{name}", peer.port);

    let mut rows = Vec::new();
    for (what, url, name, bytes, aim) in [
        ("segment", &segment, "segment.m4s", &segment_bytes, 1.0),
        ("playlist", &playlist, "index.m3u8", &playlist_bytes, 0.8),
    ] {
        let (ours, nginx) = both(url.as_str(), &theirs(name)).await?;
        rows.push(Row {
            what: format!("{what} of {} bytes, requests/s", bytes.len()),
            ours,
            peer: Some(("nginx", nginx)),
            aim: Some(Aim::AtLeast(aim)),
        });
    }
    peer.stop().await;
    let (closed, open) = gated(&server, &id, hls, &segment).await?;
    rows.push(Row {
        what: "that segment by the address of one who was let in".to_owned(),
        ours: closed,
        peer: Some(("for everyone", open)),
        aim: Some(Aim::AtLeast(0.95)),
    });
    Ok(rows)
}

/// The one whose size is nearest to `size`, with its bytes.
pub(super) async fn nearest<'a>(
    server: &Server,
    urls: impl Iterator<Item = &'a Url>,
    size: u64,
) -> Result<(Url, bytes::Bytes)> {
    let mut best: Option<(Url, bytes::Bytes)> = None;
    for url in urls {
        let body = server.http().get(url.clone()).send().await?.error_for_status()?.bytes().await?;
        let distance = |body: &bytes::Bytes| (body.len() as u64).abs_diff(size);
        if best.as_ref().is_none_or(|(_, kept)| distance(&body) < distance(kept)) {
            best = Some((url.clone(), body));
        }
    }
    best.context("something to measure")
}
