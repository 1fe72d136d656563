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

/// A tmpfs of 4 MiB, unmounted when dropped.
struct SmallDisk(tempfile::TempDir);

impl SmallDisk {
    /// `None` where mounting is not allowed; then there is nothing to test with.
    fn mount() -> Option<Self> {
        let directory = tempfile::tempdir().unwrap();
        let mounted = Command::new("mount")
            .args(["-t", "tmpfs", "-o", "size=4m", "tmpfs"])
            .arg(directory.path())
            .output()
            .is_ok_and(|output| output.status.success());
        mounted.then(|| Self(directory))
    }

    fn path(&self) -> &Path {
        self.0.path()
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

fn stream_of(megabytes: usize) -> Body {
    let piece = Bytes::from(vec![7; 1 << 18]);
    Body::from_stream(stream::iter((0..megabytes * 4).map(move |_| Ok::<_, std::io::Error>(piece.clone()))))
}

#[tokio::test]
async fn a_full_disk_is_507_leaves_no_half_object_and_recovers() {
    let Some(disk) = SmallDisk::mount() else {
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

    // The next look at the disk finds room again; a restart takes one at once.
    drop(storage);
    let storage = open_storage(disk.path(), &settings).unwrap();
    let session = send(&storage, "PATCH", "/media/large", &[("upload-offset", "0")], stream_of(8)).await;
    assert_eq!(session.status(), StatusCode::INSUFFICIENT_STORAGE);
    let kept: u64 = session.headers()["upload-offset"].to_str().unwrap().parse().unwrap();
    assert!(kept > 0 && kept < 8 << 20, "{kept}");
    let length = std::fs::metadata(disk.path().join(".incomplete/sessions/media/large")).unwrap().len();
    assert_eq!(length, kept, "what is acknowledged is what is there");
    assert!(send(&storage, "DELETE", "/media/large", &[], Body::empty()).await.status().is_success());

    drop(storage);
    let storage = open_storage(disk.path(), &settings).unwrap();
    assert!(send(&storage, "PUT", "/media/medium", &[], stream_of(2)).await.status().is_success());
    assert_eq!(send(&storage, "GET", "/media/small", &[], Body::empty()).await.status(), StatusCode::OK);
}
