//! Pages of a catalogue of 100,000 contents, as seen anonymously, by a creator and by an admin.

use std::fs;
use std::io::Write as _;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use reqwest::{Client, StatusCode};
use serde_json::Value;

use super::process::cpu_seconds;
use super::{Aim, Row};
use crate::server::{Server, client, signed_in};
use crate::wait::every;
use crate::wallet;

const CONTENTS: usize = 100_000;
/// Contents of a page.
const PAGE: usize = 50;
/// Measured pages of each list, after a few unmeasured ones.
const PAGES: usize = 200;
const WARM_UP: usize = 20;
/// How long the server may be busy after its start.
const MOST_SECONDS: usize = 600;

/// One of twenty is the creator's; each owner has some of every policy and state.
const CONTENT_ROWS: &str = "
    BEGIN;
    WITH RECURSIVE n (i) AS (SELECT 0 UNION ALL SELECT i + 1 FROM n WHERE i + 1 < {contents}),
    made AS (SELECT i, printf('%08x-0000-7000-8000-%012x', i * 2654435761 % 4294967296, i) AS id, i / 20 % 4 AS kind,
        printf('Film %05d about %x', i * 48271 % 99991, i) AS title FROM n)
    INSERT INTO contents (id, title, description, tags, state, reason, progress, duration_ms, source, has_poster,
        has_thumbnails, search, created_at_ms, updated_at_ms, revision, title_key, listed, owner, openness)
    SELECT id, title, 'What it is about, in a sentence or two.', '[\"one\",\"two\"]',
        CASE i / 80 % 10 WHEN 0 THEN 6 WHEN 1 THEN 1 ELSE 5 END, '', 1.0, 60000, x'', 1, 1, lower(title),
        1700000000000 + i * 1000, 1700000000000 + i * 1000, 9, lower(title), kind < 2,
        CASE i % 20 WHEN 0 THEN '{creator}' ELSE 'somebody-' || (i % 500) END, kind + 1 FROM made;
    INSERT INTO renditions (content, name, position, spec, segments, bytes, ticks)
    SELECT id, 'r' || p, p, CAST(char(10, 2, 114, 48 + p, 16, 1, 32, 90) AS BLOB), 15, 9000000, 5400 FROM contents,
        (SELECT 0 AS p UNION ALL SELECT 1 UNION ALL SELECT 2 UNION ALL SELECT 3 UNION ALL SELECT 4);
    COMMIT;";

const POLICY_ROWS: &str = "
    ATTACH DATABASE 'metadata.db' AS metadata;
    BEGIN;
    INSERT INTO policies (content, openness, rule, revision, changed_at_ms, changed_by)
    SELECT id, CASE openness WHEN 1 THEN 'public' WHEN 2 THEN 'gated' WHEN 3 THEN 'private' ELSE 'unlisted' END,
        CASE openness WHEN 2 THEN '{\"role\":\"viewer\"}' ELSE '' END, 1, 1700000000000, owner FROM metadata.contents;
    COMMIT;";

/// Lists page by page.
///
/// # Errors
/// When the server does not start, or a page is incomplete; and without `sqlite3`.
pub async fn measure() -> Result<Vec<Row>> {
    let mut server = Server::start().await;
    let (creator, creator_http) = creator(&server).await?;
    server.stop().await;
    let folder = server.data_dir().join("sqlite");
    let contents = CONTENT_ROWS.replace("{contents}", &CONTENTS.to_string()).replace("{creator}", &creator);
    sql(&folder, "metadata.db", &contents)?;
    sql(&folder, "access.db", POLICY_ROWS)?;
    server.spawn()?;
    server.ready().await;
    until_idle(&server).await?;
    let mut rows = Vec::new();
    for (who, http) in [("anonymous", &client()), ("a creator", &creator_http), ("an admin", server.http())] {
        for (sort, order) in [("newest", "by age"), ("title", "by title")] {
            let mut times = pages(&server, http, sort).await?;
            times.sort_by(f64::total_cmp);
            let what =
                |part: &str| format!("list {order} as {who}, a page of {PAGE} of {CONTENTS}, ms ({part})");
            rows.push(row(what("median"), times[times.len() / 2], None));
            rows.push(row(what("95th percentile"), times[times.len() * 95 / 100], Some(Aim::AtMost(5.0))));
        }
    }
    server.stop().await;
    Ok(rows)
}

fn row(what: String, ours: f64, aim: Option<Aim>) -> Row {
    Row { what, ours, peer: None, aim }
}

/// A principal who may upload, and a client of theirs.
async fn creator(server: &Server) -> Result<(String, Client)> {
    let tokens = wallet::sign_in(server, 1).await;
    let text = |name: &str| tokens[name].as_str().map(str::to_owned).with_context(|| format!("no {name}"));
    let principal = text("principal")?;
    let role = server.url(&format!("/api/v1/auth/principals/{principal}/roles/creator"));
    server.http().put(role).send().await?.error_for_status()?;
    Ok((principal, signed_in(&text("access_token")?)))
}

/// Runs SQL on a database of a stopped server.
fn sql(folder: &Path, database: &str, sql: &str) -> Result<()> {
    ensure!(fs::exists(folder.join(database))?, "there is no {database} in {}", folder.display());
    let mut shell = Command::new("sqlite3")
        .args(["-bail", database])
        .current_dir(folder)
        .stdin(Stdio::piped())
        .spawn()
        .context("sqlite3 does not start")?;
    shell.stdin.take().context("its input")?.write_all(sql.as_bytes())?;
    let status = shell.wait()?;
    ensure!(status.success(), "sqlite3 {database}: {status}");
    Ok(())
}

/// After a start all policies are checked, some seconds later if `access` is not there yet.
async fn until_idle(server: &Server) -> Result<()> {
    let mut seconds = every(Duration::from_secs(1));
    let (mut before, mut idle) = (cpu_seconds(server.pid())?, 0);
    for _ in 0..MOST_SECONDS {
        seconds.tick().await;
        let now = cpu_seconds(server.pid())?;
        idle = if now - before < 0.1 { idle + 1 } else { 0 };
        before = now;
        if idle == 8 {
            return Ok(());
        }
    }
    bail!("the server is busy for {MOST_SECONDS} s")
}

/// The time of each page, in milliseconds.
async fn pages(server: &Server, http: &Client, sort: &str) -> Result<Vec<f64>> {
    let mut cursor = String::new();
    let mut times = Vec::new();
    for page in 0..WARM_UP + PAGES {
        let path = format!("/api/v1/contents?limit={PAGE}&sort={sort}{cursor}");
        let begun = Instant::now();
        let answer = http.get(server.url(&path)).send().await?;
        let status = answer.status();
        let body = answer.bytes().await?;
        let took = begun.elapsed().as_secs_f64() * 1e3;
        ensure!(status == StatusCode::OK, "{path}: {status}");
        if page >= WARM_UP {
            times.push(took);
        }
        let body: Value = serde_json::from_slice(&body)?;
        let items = body["items"].as_array().map_or(0, Vec::len);
        ensure!(items == PAGE, "{items} of {PAGE} contents on page {page} of {path}");
        let next = body["next_cursor"].as_str().context("a page after that")?;
        cursor = format!("&cursor={next}");
    }
    Ok(times)
}
