//! A disk that is really full under everything: a small tmpfs, where the tests may mount one (root, or a user
//! namespace).
#![allow(missing_docs, clippy::unwrap_used, clippy::print_stderr)]

mod common;

use std::process::Command;

use common::*;
use http::StatusCode;
use streamgate_plugin_api::Body;
use streamgate_upload::Settings;

#[tokio::test]
async fn uploads_and_contents_are_deleted_on_a_disk_without_a_free_byte() {
    let directory = tempfile::tempdir().unwrap();
    let root = directory.path().to_owned();
    let mount = ["-t", "tmpfs", "-o", "size=32m", "tmpfs"];
    if !Command::new("mount").args(mount).arg(&root).output().is_ok_and(|output| output.status.success()) {
        eprintln!("skipped: no tmpfs may be mounted here");
        return;
    }
    let unmount = Unmount(root.clone());
    let world = World::within(directory).await;
    let life = world.live(Settings::default()).await;
    let mut paths = Vec::new();
    for _ in 0..40 {
        let path = life.create(100_000).await;
        life.patch(&path, 0, bytes(60_000), &[]).await;
        paths.push(path);
    }
    let free = || {
        let stat = rustix::fs::statvfs(&root).unwrap();
        stat.f_bavail * stat.f_frsize
    };
    let eaten = std::fs::File::create(root.join("eaten")).unwrap();
    rustix::fs::fallocate(&eaten, rustix::fs::FallocateFlags::empty(), 0, free()).unwrap();
    // Space that the logs of the databases still released.
    until("a refused creation", || async {
        let answer = life.send("POST", "/files", &[("Upload-Length", "9")], Body::empty()).await;
        (answer.status() == StatusCode::INSUFFICIENT_STORAGE).then_some(())
    })
    .await;
    for (number, path) in paths.iter().enumerate() {
        // At first all space freed by a deletion is used at once.
        let more = free();
        if number < 5 && more > 0 {
            let length = eaten.metadata().unwrap().len();
            match rustix::fs::fallocate(&eaten, rustix::fs::FallocateFlags::empty(), 0, length + more) {
                // The databases were faster: it is used as well.
                Ok(()) | Err(rustix::io::Errno::NOSPC) => {}
                Err(error) => panic!("{error}"),
            }
        }
        if number % 2 == 0 {
            let answer = life.send("DELETE", path, &[], Body::empty()).await;
            assert_eq!(answer.status(), StatusCode::NO_CONTENT, "{number}");
        } else {
            assert_eq!(world.delete_content(&id_of(path)).await, StatusCode::NO_CONTENT, "{number}");
            life.upload.heard_deleted(&id_of(path));
        }
        assert!(world.content(&id_of(path)).await.is_none(), "{number}");
    }
    until("empty storage", || async { world.keys("media").await.is_empty().then_some(()) }).await;
    drop(unmount);
}

struct Unmount(std::path::PathBuf);

impl Drop for Unmount {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("-l").arg(&self.0).output();
    }
}
