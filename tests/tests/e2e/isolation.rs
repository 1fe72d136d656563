//! The transcoder runs in its own process: when that dies, viewers and uploaders do not notice, and the work
//! continues.

use std::convert::Infallible;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use bytes::Bytes;
use futures_util::stream;
use rustix::process::{Signal, kill_process};
use streamgate_tests::server::Setup;
use streamgate_tests::tus::{Upload, upload_file};
use streamgate_tests::wait::{eventually, every};
use streamgate_tests::{clips, media};

const PLAYERS: usize = 10;
const KILLS: usize = 2;
/// Bytes; more than are sent during the test.
const UPLOAD: u64 = 4 << 20;

#[tokio::test(flavor = "multi_thread")]
async fn a_crash_of_the_transcoder_is_seen_by_no_player_and_no_upload_and_its_job_is_completed() {
    // Its own process is killed from outside: the file is not the cause, however often that happens here.
    let setup = Setup::default().set("plugins.transcoder.lease", "3s");
    let mut server = setup.set("plugins.worker.max_crashes", KILLS + 1).start().await;
    let id = upload_file(&server, &clips::plain("1280x720", "25", 11.0)).await.expect("uploaded");
    let content = server.finished(&id).await;
    let playlists =
        media::hls(&server, content.hls.as_deref().expect("an address")).await.expect("playlists");
    let segments: Arc<[_]> = playlists.iter().flat_map(|it| &it.segments).map(|it| it.0.clone()).collect();

    let (stop, played) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicUsize::new(0)));
    let players = (0..PLAYERS).map(|first| {
        let (segments, stop, played) = (segments.clone(), stop.clone(), played.clone());
        let http = server.client();
        tokio::spawn(async move {
            let mut pace = every(Duration::from_millis(100));
            for url in segments.iter().cycle().skip(first) {
                pace.tick().await;
                if stop.load(Ordering::Relaxed) {
                    return;
                }
                let answer = http.get(url.clone()).send().await.expect("an answer");
                assert_eq!(answer.status(), 200, "{url}");
                answer.bytes().await.expect("a whole segment");
                played.fetch_add(1, Ordering::Relaxed);
            }
        })
    });
    let players: Vec<_> = players.collect();
    // An upload that continues all the time, a piece every now and then.
    let upload = Upload::create(&server, UPLOAD, &[]).await.expect("created");
    let ended = stop.clone();
    let pieces = stream::unfold((UPLOAD, every(Duration::from_millis(100))), move |(left, mut pace)| {
        let ended = ended.clone();
        async move {
            pace.tick().await;
            let piece = if ended.load(Ordering::Relaxed) { left } else { left.min(1 << 10) };
            let body = Bytes::from(vec![7; piece as usize]);
            (piece > 0).then_some((Ok::<_, Infallible>(body), (left - piece, pace)))
        }
    });
    let sending = {
        let upload = upload.clone();
        tokio::spawn(async move { upload.patch(0, reqwest::Body::wrap_stream(pieces)).await })
    };

    let id = upload_file(&server, &clips::plain("1920x1080", "30", 10.0)).await.expect("uploaded");
    for _ in 0..KILLS {
        let doomed = server.plugin_process("transcoder").await;
        eventually("its encoding is under way", Duration::from_secs(60), async || {
            let content = server.content(&id).await.ok()?;
            ["transcoding", "playable"].contains(&content.state.as_str()).then_some(())
        })
        .await;
        kill_process(doomed, Signal::SEGV).expect("it runs");
        eventually("another process", Duration::from_secs(20), async || {
            (server.plugin_process("transcoder").await != doomed).then_some(())
        })
        .await;
    }
    assert!(server.log().contains("SIGSEGV"), "the log names the signal");
    let content = server.finished(&id).await;
    assert_eq!(content.state, "ready");
    media::whole(&server, &content).await.expect("every frame is there");

    let before = played.load(Ordering::Relaxed);
    eventually("all players continue", Duration::from_secs(20), async || {
        (played.load(Ordering::Relaxed) > before + PLAYERS).then_some(())
    })
    .await;
    stop.store(true, Ordering::Relaxed);
    for player in players {
        player.await.expect("no player saw an error");
    }
    assert_eq!(sending.await.expect("no panic").expect("not cut off"), UPLOAD);
    assert_eq!(server.stop().await.code(), Some(0));
}
