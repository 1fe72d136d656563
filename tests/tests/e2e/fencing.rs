//! A run of a job that was stopped past its lease overwrites nothing of the run that took over, whenever it
//! wakes up, and wherever its last writes were in the meantime.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process, test_kill_process};
use streamgate_tests::failpoints::Failpoints;
use streamgate_tests::server::{Server, Setup, config_with};
use streamgate_tests::tus::upload_file;
use streamgate_tests::wait::eventually;
use streamgate_tests::{clips, media, objects};
use tempfile::TempDir;

const PATIENCE: Duration = Duration::from_secs(120);
/// CPU time of one process: an encode takes more in this time, one that waits for the storage does not.
const LOOK: Duration = Duration::from_millis(300);
const IDLE_TICKS: u64 = 4;

/// The inode of every object of a content: a replaced file has another inode.
fn files(server: &Server, id: &str) -> BTreeMap<String, (u64, u64, i64)> {
    let root = server.data_dir().join("storage-fs/objects");
    let below = format!("media/{id}/");
    let keys = objects::on_disk(server).into_iter().filter(|key| key.starts_with(&below));
    keys.map(|key| {
        let stat = fs::metadata(root.join(&key)).expect("an object");
        (key, (stat.ino(), stat.len(), stat.mtime_nsec()))
    })
    .collect()
}

/// Waits until a process is idle.
async fn idle(process: Pid) {
    let ticks = || {
        let stat = fs::read_to_string(format!("/proc/{}/stat", process.as_raw_nonzero())).expect("it runs");
        let (_, fields) = stat.rsplit_once(')').expect("its name is in brackets");
        let fields: Vec<_> = fields.split_whitespace().collect();
        fields[11..13].iter().map(|it| it.parse::<u64>().expect("a number")).sum::<u64>()
    };
    let mut last = (Instant::now(), ticks());
    eventually("an encode that waits for the storage", PATIENCE, async || {
        if last.0.elapsed() < LOOK {
            return None;
        }
        let before = std::mem::replace(&mut last, (Instant::now(), ticks()));
        (last.1 - before.1 < IDLE_TICKS).then_some(())
    })
    .await;
}

async fn ended(process: Pid) {
    eventually("the replaced run to end", PATIENCE, async || test_kill_process(process).err()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_that_wakes_up_after_another_one_took_over_changes_nothing_and_the_result_is_whole() {
    let folder = TempDir::new().expect("a temporary folder");
    let config = config_with(folder.path(), "superfast", "info");
    let setup = Setup::default().config(&config).set("plugins.transcoder.lease", "3s");
    // The replaced runs must still exist when they wake up.
    let setup = setup.set("kernel.drain_deadline", "10m").set("plugins.storage-fs.isolation", "process");
    let mut server = setup.start().await;
    let id = upload_file(&server, &clips::plain("1280x720", "25", 40.0)).await.expect("uploaded");
    let under_way =
        |content: &streamgate_tests::api::Content| content.renditions.iter().any(|it| it.segments > 0);
    server.content_when(&id, PATIENCE, under_way).await;

    // Its writes are in transit, in a storage that is suspended before them.
    let old_storage = server.plugin_process("storage-fs").await;
    let stale = server.plugin_process("transcoder").await;
    kill_process(old_storage, Signal::STOP).expect("it runs");
    idle(stale).await;
    let state = server.content(&id).await.expect("a content").state;
    assert_ne!(state, "ready", "the encode was over before it could be stopped");
    kill_process(stale, Signal::STOP).expect("it runs");

    assert_eq!(server.control(&["swap", "storage-fs"]).await, "storage-fs is swapped");
    // With another log level it is swapped regardless of whether it can apply its settings while it runs.
    config_with(folder.path(), "ultrafast", "debug");
    assert_eq!(server.control(&["reload"]).await, "swapped transcoder");
    let content = server.finished(&id).await;
    let written = files(&server, &id);

    for process in [old_storage, stale] {
        kill_process(process, Signal::CONT).expect("it is there still");
    }
    ended(stale).await;
    ended(old_storage).await;
    assert_eq!(files(&server, &id), written, "the run that woke up wrote over the result");
    // The run may learn first that its lease is lost, and then does not read the answer of the storage.
    let log = server.log();
    let refused = ["a write was refused", "a write of a replaced run was refused"];
    assert!(refused.iter().any(|line| log.contains(line)), "it had nothing to write");
    assert_eq!(server.content(&id).await.expect("a content").state, "ready");
    media::whole(&server, &content).await.expect("every segment is as its row says");
    assert!(server.control(&["fsck"]).await.contains("contents with faults: 0"));
    assert_eq!(server.stop().await.code(), Some(0));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_stopped_between_an_object_and_its_row_adds_no_row_after_another_one_took_over() {
    let point = "transcoder.segments-stored";
    let failpoints = Failpoints::new();
    let folder = TempDir::new().expect("a temporary folder");
    let setup = Setup::default()
        .config(config_with(folder.path(), "superfast", "info"))
        .with_failpoints(&failpoints)
        .set("plugins.transcoder.lease", "3s")
        .set("plugins.transcoder.process.write", format!("{:?}", [failpoints.folder()]))
        .set("kernel.drain_deadline", "10m");
    let mut server = setup.start().await;
    failpoints.arm(point, "hold 3");
    let id = upload_file(&server, &clips::plain("1280x720", "25", 20.0)).await.expect("uploaded");
    failpoints.reached(point).await;
    // Held before its row, and suspended, so that it does not renew its lease.
    let stale = server.plugin_process("transcoder").await;
    kill_process(stale, Signal::STOP).expect("it runs");

    // With another log level it is swapped regardless of whether it can apply its settings while it runs.
    config_with(folder.path(), "ultrafast", "debug");
    assert_eq!(server.control(&["reload"]).await, "swapped transcoder");
    let content = server.finished(&id).await;
    let written = files(&server, &id);

    failpoints.go_on(point);
    kill_process(stale, Signal::CONT).expect("it is there still");
    ended(stale).await;
    assert_eq!(files(&server, &id), written, "the run that went on wrote over the result");
    let after = server.content(&id).await.expect("a content");
    assert_eq!(after.state, "ready");
    let rows = |content: &streamgate_tests::api::Content| -> Vec<_> {
        content.renditions.iter().map(|it| (it.name.clone(), it.segments)).collect()
    };
    assert_eq!(rows(&after), rows(&content));
    media::whole(&server, &content).await.expect("every segment is as its row says");
    assert!(server.control(&["fsck"]).await.contains("contents with faults: 0"));
    assert_eq!(server.stop().await.code(), Some(0));
}
