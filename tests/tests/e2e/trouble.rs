//! Everything goes wrong at once: a source that crashes the transcoder each time, a transcoder that is
//! killed, and a full disk. Ten good uploads are ready in the end, without any command.

use std::time::Duration;

use rustix::process::{Signal, kill_process};
use serde_json::Value;
use streamgate_tests::server::{Server, Setup};
use streamgate_tests::tus::upload_file;
use streamgate_tests::wait::{eventually, every};
use streamgate_tests::{clips, media};

const GOOD: usize = 10;
/// How long the disk is full.
const FULL: Duration = Duration::from_secs(8);
const PATIENCE: Duration = Duration::from_secs(300);

/// The content whose job a worker holds.
async fn in_work(server: &Server) -> Option<String> {
    let jobs = server.json("/api/v1/jobs?queue=transcode&state=running").await.ok()?;
    jobs["items"][0]["dedupe_key"].as_str().map(str::to_owned)
}

/// Acts as a file that crashes its reader: kills the transcoder whenever it works on it.
async fn crash_on(server: &Server, content: &str) -> Value {
    let mut ticks = every(Duration::from_millis(20));
    loop {
        ticks.tick().await;
        let Ok(seen) = server.json(&format!("/api/v1/contents/{content}")).await else { continue };
        if seen["state"] == "failed" {
            return seen;
        }
        if in_work(server).await.as_deref() == Some(content) {
            let doomed = server.plugin_process("transcoder").await;
            // Otherwise it has finished with it, and its next file would get the blame.
            if in_work(server).await.as_deref() == Some(content) {
                let _ = kill_process(doomed, Signal::SEGV);
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn ten_good_uploads_outlive_a_crashing_source_a_lost_transcoder_and_a_full_disk() {
    let server = Setup::default()
        // The loaded copies of a debug build's plugins alone take more than 400 of it.
        .on_disk_of(1_500)
        .set("plugins.transcoder.lease", "3s")
        .set("plugins.transcoder.jobs", 1)
        .set("plugins.transcoder.no_room_pause", "1s")
        .set("plugins.storage-fs.min_free", "16MiB")
        .set("plugins.sqlite.min_free_space", "16MiB")
        .start()
        .await;
    let Some(disk) = server.disk() else {
        eprintln!("skipped: no disk may be mounted here");
        return;
    };
    // Long enough to be interrupted in the middle.
    let bad = upload_file(&server, &clips::plain("1280x720", "25", 11.0)).await.expect("uploaded");
    let clip = clips::plain("640x360", "25", 3.0);
    let mut good = Vec::new();
    for _ in 0..GOOD {
        good.push(upload_file(&server, &clip).await.expect("uploaded"));
    }
    let crashes = async {
        let failed =
            tokio::time::timeout(PATIENCE, crash_on(&server, &bad)).await.expect("set aside in time");
        assert!(
            failed["reason"].as_str().is_some_and(|reason| reason.contains("crashed on this file")),
            "{failed}"
        );
    };
    let others = async {
        let good_in_work =
            async |number: usize| in_work(&server).await.filter(|id| good[number..].contains(id));
        eventually("a good one in work", PATIENCE, async || good_in_work(2).await).await;
        kill_process(server.plugin_process("transcoder").await, Signal::KILL).expect("it runs");

        eventually("another one in work", PATIENCE, async || good_in_work(4).await).await;
        disk.fill();
        tokio::time::sleep(FULL).await;
        disk.free();
    };
    tokio::join!(crashes, others);

    for id in &good {
        let content = server.finished(id).await;
        media::whole(&server, &content).await.expect("every frame is there");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_is_started_on_a_full_disk_can_delete() {
    let mut server = Setup::default().on_disk_of(1_500).start().await;
    if server.disk().is_none() {
        eprintln!("skipped: no disk may be mounted here");
        return;
    }
    // After a clean stop the databases have no log; after a kill they have one that is read first.
    for killed in [false, true] {
        let id = upload_file(&server, &clips::plain("1280x720", "25", 11.0)).await.expect("uploaded");
        // In the middle of it, so that work of the dead process must be resumed.
        eventually("it is in work", PATIENCE, async || in_work(&server).await.filter(|at| *at == id)).await;
        if killed {
            server.kill().await;
        } else {
            server.stop().await;
        }
        server.disk().expect("it was mounted").fill();
        server.spawn().expect("streamgate starts");
        // It is not ready: uploads are not possible.
        let address = server.url(&format!("/api/v1/contents/{id}"));
        eventually("it is deleted", Duration::from_secs(60), async || {
            let answer = server.http().delete(&address).send().await.ok()?;
            (answer.status() == 204).then_some(())
        })
        .await;
        server.disk().expect("it was mounted").free();
    }
}
