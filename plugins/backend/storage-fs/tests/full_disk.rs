//! A disk that is really full: a small tmpfs, where the tests may mount one (root, or a user namespace).
#![allow(missing_docs, clippy::unwrap_used, clippy::print_stderr)]

use std::path::Path;
use std::process::Command;

use bytes::Bytes;
use futures_util::stream;
use http::{Request, Response, StatusCode};
use http_body_util::BodyExt;
use streamgate_plugin_api::Body;
use streamgate_plugin_api::settings::ByteSize;
use streamgate_storage_fs::{Settings, Storage, open_storage};

/// A tmpfs, unmounted when dropped.
struct SmallDisk(tempfile::TempDir);

impl SmallDisk {
    /// `None` where mounting is not allowed; then the test is skipped.
    fn mount(mebibytes: u64) -> Option<Self> {
        let directory = tempfile::tempdir().unwrap();
        let mounted = Command::new("mount")
            .args(["-t", "tmpfs", "-o", &format!("size={mebibytes}m"), "tmpfs"])
            .arg(directory.path())
            .output()
            .is_ok_and(|output| output.status.success());
        mounted.then(|| Self(directory))
    }

    fn path(&self) -> &Path {
        self.0.path()
    }

    fn free(&self) -> u64 {
        let stat = rustix::fs::statvfs(self.path()).unwrap();
        stat.f_bavail * stat.f_frsize
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("-l").arg(self.0.path()).output();
    }
}

async fn send(
    storage: &Storage,
    method: &str,
    path: &str,
    headers: &[(&str, &str)],
    body: Body,
) -> Response<Body> {
    let mut request = Request::builder().method(method).uri(path);
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    storage.handle(request.body(body).unwrap()).await
}

/// Writes until it is refused; returns what is acknowledged by then.
async fn append_until_full(storage: Storage, path: String) -> u64 {
    let mut offset = 0_u64;
    loop {
        let at = offset.to_string();
        let answer = send(&storage, "PATCH", &path, &[("upload-offset", &at)], stream_of(4)).await;
        if let Some(kept) = answer.headers().get("upload-offset") {
            offset = kept.to_str().unwrap().parse().unwrap();
        }
        if answer.status() == StatusCode::INSUFFICIENT_STORAGE {
            return offset;
        }
        assert!(answer.status().is_success(), "{}", answer.status());
    }
}

async fn put_until_full(storage: Storage, prefix: String) {
    for number in 0.. {
        let path = format!("{prefix}/{number}");
        let answer = send(&storage, "PUT", &path, &[], vec![7; 90_000].into()).await;
        if answer.status() == StatusCode::INSUFFICIENT_STORAGE {
            return;
        }
        assert!(answer.status().is_success(), "{}", answer.status());
    }
}

fn stream_of(megabytes: usize) -> Body {
    let piece = Bytes::from(vec![7; 1 << 18]);
    Body::from_stream(stream::iter((0..megabytes * 4).map(move |_| Ok::<_, std::io::Error>(piece.clone()))))
}

#[tokio::test]
async fn a_full_disk_is_507_leaves_no_half_object_and_recovers() {
    let Some(disk) = SmallDisk::mount(4) else {
        eprintln!("skipped: no tmpfs may be mounted here");
        return;
    };
    let settings = Settings { min_free: ByteSize::bytes(0), ..Settings::default() };
    let storage = open_storage(disk.path(), &settings).unwrap();
    assert!(send(&storage, "PUT", "/media/small", &[], "small".into()).await.status().is_success());

    let full = send(&storage, "PUT", "/media/large", &[], stream_of(8)).await;
    assert_eq!(full.status(), StatusCode::INSUFFICIENT_STORAGE);
    let problem = full.into_body().collect().await.unwrap().to_bytes();
    assert!(String::from_utf8_lossy(&problem).contains("urn:streamgate:problem:insufficient-storage"));
    assert!(!disk.path().join("media/large").exists());
    assert_eq!(std::fs::read_dir(disk.path().join(".incomplete/temporary")).unwrap().count(), 0);

    let session = send(&storage, "PATCH", "/media/large", &[("upload-offset", "0")], stream_of(8)).await;
    assert_eq!(session.status(), StatusCode::INSUFFICIENT_STORAGE);
    let kept: u64 = session.headers()["upload-offset"].to_str().unwrap().parse().unwrap();
    assert!(kept > 0 && kept < 8 << 20, "{kept}");
    let length = std::fs::metadata(disk.path().join(".incomplete/sessions/media/large")).unwrap().len();
    assert_eq!(length, kept, "what is acknowledged is what is there");
    assert!(send(&storage, "DELETE", "/media/large", &[], Body::empty()).await.status().is_success());

    assert!(send(&storage, "PUT", "/media/medium", &[], stream_of(2)).await.status().is_success());
    assert_eq!(send(&storage, "GET", "/media/small", &[], Body::empty()).await.status(), StatusCode::OK);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn the_reserve_is_held_by_many_writers_at_full_speed_and_deleting_gives_room_at_once() {
    const RESERVE: u64 = 16 << 20;
    let Some(disk) = SmallDisk::mount(160) else {
        eprintln!("skipped: no tmpfs may be mounted here");
        return;
    };
    let settings = Settings { min_free: ByteSize::bytes(RESERVE), ..Settings::default() };
    let storage = open_storage(disk.path(), &settings).unwrap();
    let mut writers = tokio::task::JoinSet::new();
    for number in 0..6 {
        let storage = storage.clone();
        writers.spawn(async move {
            if number % 2 == 0 {
                append_until_full(storage, format!("/media/{number}")).await;
            } else {
                put_until_full(storage, format!("/media/{number}")).await;
            }
        });
    }
    writers.join_all().await;
    let free = disk.free();
    assert!(free + (1 << 20) >= RESERVE, "{free} bytes are left of a reserve of {RESERVE}");
    assert!(free < RESERVE + (2 << 20), "{free} bytes are free: more could have been taken");

    // Another process uses up the reserve: deleting works to the last byte, and the freed space is available
    // at once.
    let rest = std::fs::File::create(disk.path().join("eaten")).unwrap();
    rustix::fs::fallocate(&rest, rustix::fs::FallocateFlags::empty(), 0, disk.free()).unwrap();
    assert_eq!(disk.free(), 0);
    for path in ["/media/0", "/media/1/0", "/media/?prefix="] {
        let answer = send(&storage, "DELETE", path, &[], Body::empty()).await;
        assert!(answer.status().is_success(), "{path}: {}", answer.status());
    }
    assert!(send(&storage, "PUT", "/media/again", &[], "again".into()).await.status().is_success());
}
