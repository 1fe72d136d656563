//! This build beside another one of StreamGate, over the same data and in turn: the cost of a change.
//!
//! `STREAMGATE_BENCH_BEFORE` is the other one's folder `target/release`, in a separate clone.

use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use reqwest::Url;
use tokio::process::Command;

use super::process::cpu_seconds;
use super::serve::{nearest, wrk};
use super::upload::{self, LENGTH};
use super::{Aim, Row, median};
use crate::server::{Server, Setup};
use crate::{clips, media, tus};

/// Names the other build.
pub const VARIABLE: &str = "STREAMGATE_BENCH_BEFORE";

/// Short and many, so that other load on the machine affects both.
const ROUND: Duration = Duration::from_secs(2);
const ROUNDS: usize = 15;
const UPLOADS: usize = 7;
/// The maximum loss of speed compared to the other build.
const SLACK: f64 = 0.03;

/// # Errors
/// When there is no other build, or a server refuses.
pub async fn measure() -> Result<Vec<Row>> {
    let folder = std::env::var_os(VARIABLE).map(PathBuf::from);
    let folder = folder.with_context(|| format!("{VARIABLE} names the folder of another release build"))?;
    let quiet = |setup: Setup| setup.set("plugins.gateway.access_log", "off");
    let (mut new, mut old) =
        (quiet(Setup::default()).start().await, quiet(Setup::of_build(&folder)?).start().await);

    // Two encodings of a file may differ, and an older build does not read newer data.
    let id = tus::upload_file(&old, &clips::detailed(60.0)).await?;
    let content = old.finished(&id).await;
    ensure!(new.stop().await.success() && old.stop().await.success(), "a server did not stop");
    tokio::fs::remove_dir_all(new.data_dir()).await?;
    let copied = Command::new("cp").arg("-a").args([old.data_dir(), new.data_dir()]).status().await?;
    ensure!(copied.success(), "cp -a: {copied}");
    new.restart().await;
    old.restart().await;

    let playlists = media::hls(&old, content.hls.as_deref().context("an address")?).await?;
    let segments = playlists.iter().flat_map(|it| it.segments.iter().map(|(url, _)| url));
    let (segment, bytes) = nearest(&old, segments, 1 << 20).await?;
    let mut rows = Vec::new();
    rows.extend(served(&format!("segment of {} bytes", bytes.len()), &segment, (&new, &old)).await?);
    let (playlist, bytes) = nearest(&old, playlists.iter().map(|it| &it.url), 1 << 10).await?;
    rows.extend(served(&format!("playlist of {} bytes", bytes.len()), &playlist, (&new, &old)).await?);
    rows.extend(uploaded((&new, &old)).await?);
    Ok(rows)
}

/// Figures of both builds, round by round: speed and cost.
#[derive(Default)]
struct Both {
    new: Vec<[f64; 2]>,
    old: Vec<[f64; 2]>,
}

impl Both {
    /// Measures both in turn; they alternate in going first.
    async fn measure(
        rounds: usize,
        (new, old): (&Server, &Server),
        mut once: impl AsyncFnMut(&Server) -> Result<[f64; 2]>,
    ) -> Result<Self> {
        let mut both = Self::default();
        for round in 0..rounds {
            if round % 2 == 0 {
                both.new.push(once(new).await?);
                both.old.push(once(old).await?);
            } else {
                both.old.push(once(old).await?);
                both.new.push(once(new).await?);
            }
        }
        Ok(both)
    }

    /// The median of the ratios of neighbouring rounds: other load on the machine changes more slowly.
    fn row(&self, what: String, figure: usize, aim: Option<Aim>) -> Row {
        let ratio =
            median(self.new.iter().zip(&self.old).map(|(new, old)| new[figure] / old[figure]).collect());
        let old = median(self.old.iter().map(|old| old[figure]).collect());
        Row { what, ours: ratio * old, peer: Some(("before", old)), aim }
    }

    /// The cost explains the speed, and depends more on other load: it has no target.
    fn rows(&self, speed: String, cost: String) -> [Row; 2] {
        [self.row(speed, 0, Some(Aim::AtLeast(1.0 - SLACK))), self.row(cost, 1, None)]
    }
}

async fn served(what: &str, address: &Url, both: (&Server, &Server)) -> Result<[Row; 2]> {
    let measured = Both::measure(ROUNDS, both, async |server| {
        let before = cpu_seconds(server.pid())?;
        let rate = wrk(&server.url(address.path()), ROUND).await?;
        let spent = cpu_seconds(server.pid())? - before;
        Ok([rate, spent / (rate * ROUND.as_secs_f64()) * 1e6])
    });
    let cost = format!("{what}, processor time of a request, µs");
    Ok(measured.await?.rows(format!("{what}, requests/s"), cost))
}

async fn uploaded(both: (&Server, &Server)) -> Result<[Row; 2]> {
    let measured = Both::measure(UPLOADS, both, async |server| {
        let upload = tus::Upload::create(server, LENGTH, &[]).await?;
        let upload::Cost { seconds, cpu } = upload::once(&upload, LENGTH, server.pid()).await?;
        #[allow(clippy::cast_precision_loss)]
        let megabytes = LENGTH as f64 / 1e6;
        Ok([megabytes / seconds, cpu])
    });
    let cost = "processor time of that upload, s".to_owned();
    Ok(measured.await?.rows("tus upload of 1 GiB, MB/s".to_owned(), cost))
}
