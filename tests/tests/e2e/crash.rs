//! `kill -9` at random moments of upload and encoding, and exactly between any two durable steps:
//! acknowledged data is not lost, and no remains are left.
//!
//! `STREAMGATE_CRASH_ROUNDS` sets how often (default 4).

use std::os::unix::process::ExitStatusExt as _;
use std::path::Path;
use std::time::Duration;

use anyhow::Result;
use bytes::Bytes;
use streamgate_tests::failpoints::Failpoints;
use streamgate_tests::random::Chance;
use streamgate_tests::server::{Server, Setup};
use streamgate_tests::tus::Upload;
use streamgate_tests::{clips, media, objects};

const CHUNK: usize = 64 * 1024;

/// The two steps between which the server ends, and on which passage.
const POINTS: [(&str, &str); 19] = [
    ("storage-fs.session-made", "kill"),
    ("storage-fs.written", "kill 2"),
    ("storage-fs.synced", "kill 2"),
    ("storage-fs.renamed", "kill"),
    ("storage-fs.entry-synced", "kill 2"),
    ("sqlite.before-commit", "kill 2"),
    ("sqlite.committed", "kill 3"),
    ("upload.appended", "kill 2"),
    ("upload.recorded", "kill"),
    ("upload.object-visible", "kill"),
    ("upload.content-uploaded", "kill"),
    ("upload.job-enqueued", "kill"),
    ("worker.leased", "kill"),
    ("transcoder.segments-stored", "kill 2"),
    ("transcoder.rows-written", "kill 2"),
    ("worker.completed", "kill"),
    ("outbox.read", "kill 2"),
    ("outbox.published", "kill 2"),
    ("outbox.swept", "kill"),
];

fn rounds() -> usize {
    std::env::var("STREAMGATE_CRASH_ROUNDS")
        .map_or(4, |rounds| rounds.parse().expect("STREAMGATE_CRASH_ROUNDS is a number"))
}

/// What the client of one upload knows.
struct Sender {
    upload: Upload,
    acknowledged: u64,
}

#[tokio::test(flavor = "multi_thread")]
async fn after_any_kill_uploads_resume_and_every_content_ends_ready_and_whole() {
    let clip = clips::plain("854x480", "25", 8.0);
    let data = Bytes::from(std::fs::read(&clip).expect("the clip"));
    let mut chance = Chance::new();
    let mut server = Server::start().await;
    let mut senders: Vec<Sender> = Vec::new();

    for round in 0..rounds() {
        // Odd rounds aim at the encoding, which takes seconds; even ones at the upload, which does not.
        let moment =
            chance.within(if round % 2 == 0 { Duration::from_millis(300) } else { Duration::from_secs(5) });
        let sent = tokio::time::timeout(moment, work(&server, &data, &mut senders)).await;
        server.kill().await;
        eprintln!("round {round}: killed after {moment:?}");
        assert!(sent.is_err(), "a request failed before the kill: {sent:?}");
        server.restart().await;

        nothing_acknowledged_is_lost(&mut senders).await;
    }

    every_content_ends_ready_and_whole(&mut server, &mut senders, &clip).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_killed_between_any_two_durable_steps_recovers_and_every_content_ends_ready_and_whole() {
    let clip = clips::plain("320x180", "25", 8.0);
    let data = Bytes::from(std::fs::read(&clip).expect("the clip"));
    let failpoints = Failpoints::new();
    let setup = Setup::default().with_failpoints(&failpoints);
    // Its failpoints end the whole server, not a process of its own.
    let mut server = setup.set("plugins.transcoder.isolation", "none").start().await;
    let mut senders: Vec<Sender> = Vec::new();

    for (point, action) in POINTS {
        failpoints.arm(point, action);
        let work = async {
            if let Err(error) = work(&server, &data, &mut senders).await {
                eprintln!("{point}: {error:#}");
            }
            std::future::pending::<()>().await;
        };
        tokio::select! {
            () = work => {}
            () = failpoints.reached(point) => {}
        }
        let status = server.ended().await;
        assert!(status.signal().is_some(), "{point}: {status}");
        server.restart().await;
        nothing_acknowledged_is_lost(&mut senders).await;
    }
    every_content_ends_ready_and_whole(&mut server, &mut senders, &clip).await;
}

async fn nothing_acknowledged_is_lost(senders: &mut [Sender]) {
    for sender in senders {
        let offset = sender.upload.offset().await.expect("the upload is known");
        assert!(
            offset >= sender.acknowledged,
            "{} bytes were acknowledged, {offset} are left",
            sender.acknowledged
        );
        sender.acknowledged = offset;
    }
}

async fn every_content_ends_ready_and_whole(server: &mut Server, senders: &mut [Sender], clip: &Path) {
    let frames = media::video_frames(clip).expect("a decodable clip");
    let data = Bytes::from(std::fs::read(clip).expect("the clip"));
    for sender in senders.iter_mut() {
        finish(sender, &data).await.expect("sent");
    }
    for sender in senders.iter() {
        let content = server.finished(&sender.upload.id).await;
        let decoded = media::whole(server, &content).await.expect("whole");
        let seen = decoded.video_frames();
        assert!(seen.iter().all(|&count| count.abs_diff(frames) <= 1), "{frames} frames in, {seen:?} out");
    }
    let contents = server.contents().await.expect("the list");
    for content in &contents {
        // A creation whose answer was cut off is an upload that no client will resume.
        assert!(content.state == "ready" || content.state == "uploading", "{content:?}");
    }
    let jobs = server.json("/api/v1/jobs?queue=transcode&limit=100").await.expect("the jobs");
    let jobs = jobs["items"].as_array().expect("a list").clone();
    assert_eq!(jobs.len(), senders.len(), "one job for each upload: {jobs:#?}");
    assert!(jobs.iter().all(|job| job["state"] == "completed"), "{jobs:#?}");
    objects::no_orphans(server).await;
    assert_eq!(server.stop().await.code(), Some(0));
}

/// Resumes all unfinished uploads, begins a new one, and continues until cancelled.
async fn work(server: &Server, data: &Bytes, senders: &mut Vec<Sender>) -> Result<()> {
    for sender in senders.iter_mut() {
        finish(sender, data).await?;
    }
    let upload = Upload::create(server, data.len() as u64, &[("filename", "clip.mp4")]).await?;
    senders.push(Sender { upload, acknowledged: 0 });
    finish(senders.last_mut().expect("just added"), data).await?;
    std::future::pending().await
}

async fn finish(sender: &mut Sender, data: &Bytes) -> Result<()> {
    let Sender { upload, acknowledged } = sender;
    let from = *acknowledged;
    upload.send(data, from, CHUNK, |offset| *acknowledged = offset).await
}
