//! The main job: a file is uploaded over tus, and watched over HLS and DASH while it is encoded.

use std::path::Path;

use streamgate_tests::api::Content;
use streamgate_tests::media::{self, hls};
use streamgate_tests::server::Server;
use streamgate_tests::{clips, tus};

/// Uploads, waits until it is playable, then until it is ready, and checks all its parts.
async fn published(server: &Server, clip: &Path) -> (Content, media::Decoded) {
    let id = tus::upload_file(server, clip).await.expect("uploaded");

    let early = server.watchable(&id).await;
    let playlists = hls(server, early.hls.as_deref().expect("an address"))
        .await
        .expect("playlists are there as soon as it is watchable");
    assert!(
        playlists.iter().all(|playlist| !playlist.segments.is_empty()),
        "a playlist without segments: {playlists:#?}"
    );

    let content = server.finished(&id).await;
    let decoded = media::whole(server, &content).await.expect("whole");
    (content, decoded)
}

fn assert_every_frame(clip: &Path, decoded: &media::Decoded) {
    let source = media::video_frames(clip).expect("a decodable clip");
    let frames = decoded.video_frames();
    assert!(
        frames.iter().all(|&count| count.abs_diff(source) <= 1),
        "{} has {source} frames, its renditions have {frames:?}",
        clip.display()
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn an_uploaded_video_is_watchable_early_and_whole_in_the_end() {
    let server = Server::start().await;
    let clip = clips::plain("1280x720", "25", 11.0);
    let (content, decoded) = published(&server, &clip).await;
    assert_every_frame(&clip, &decoded);

    let videos: Vec<_> = content.renditions.iter().filter(|rendition| rendition.kind == "video").collect();
    let heights: Vec<_> = videos.iter().filter_map(|video| video.height).collect();
    assert!(heights.contains(&720), "no 720p among {heights:?}");
    assert!(heights.iter().all(|&height| height <= 720), "{heights:?}");
    assert!(videos.len() >= 3, "a ladder of {heights:?}");
    assert!(content.renditions.iter().any(|it| it.kind == "audio"));
    assert!(content.renditions.iter().all(|rendition| rendition.complete));

    let duration = content.duration.expect("a duration");
    assert!((duration - 11.0).abs() < 0.1, "lasts {duration} s");
    for playlist in &decoded.playlists {
        let sum: f64 = playlist.segments.iter().map(|(_, seconds)| seconds).sum();
        assert!((sum - duration).abs() < 0.1, "{} lasts {sum} s of {duration}", playlist.url);
    }

    for path in [content.poster, content.thumbnails] {
        let path = path.expect("poster and thumbnails of a picture");
        let answer = server.http().get(server.url(&path)).send().await.expect("an answer");
        assert_eq!(answer.status(), 200, "{path}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn every_real_clip_becomes_ready_with_all_its_frames() {
    let clips = clips::real();
    if clips.is_empty() {
        eprintln!("skipped: STREAMGATE_TEST_MEDIA names no folder of clips");
        return;
    }
    let server = Server::start().await;
    for clip in clips {
        let (_, decoded) = published(&server, &clip).await;
        assert_every_frame(&clip, &decoded);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_deleted_content_is_gone_with_all_its_objects() {
    let server = Server::start().await;
    let clip = clips::plain("640x360", "25", 3.0);
    let id = tus::upload_file(&server, &clip).await.expect("uploaded");
    let content = server.finished(&id).await;
    let objects = streamgate_tests::objects::on_disk(&server);
    assert!(!objects.is_empty(), "objects of a content lie on disk");

    let address = server.url(&format!("/api/v1/contents/{id}"));
    let answer = server.http().delete(&address).send().await.expect("an answer");
    assert_eq!(answer.status(), 204);
    let answer = server.http().get(&address).send().await.expect("an answer");
    assert_eq!(answer.status(), 404);
    let path = content.hls.expect("an address");
    let answer = server.http().get(server.url(&path)).send().await.expect("an answer");
    assert_eq!(answer.status(), 404, "{path} of a deleted content");

    streamgate_tests::objects::none_left(&server).await;
}
