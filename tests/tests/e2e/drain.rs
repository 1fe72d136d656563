//! SIGTERM under load: active requests are finished, and then the process exits with 0.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use bytes::Bytes;
use futures_util::{StreamExt as _, stream};
use streamgate_tests::server::{Server, client};
use streamgate_tests::tus::{Upload, upload_file};
use streamgate_tests::wait::eventually;
use streamgate_tests::{clips, media};
use tokio::sync::mpsc;

/// Downloads that are read slowly, and uploads with half-sent bodies.
#[tokio::test(flavor = "multi_thread")]
async fn a_download_and_an_upload_in_flight_are_finished_after_sigterm() {
    let mut server = Server::start().await;
    let clip = clips::plain("1280x720", "25", 11.0);
    let id = upload_file(&server, &clip).await.expect("uploaded");
    let content = server.finished(&id).await;
    let playlists =
        media::hls(&server, content.hls.as_deref().expect("an address")).await.expect("playlists");
    let segments: Vec<_> = playlists
        .iter()
        .filter_map(|playlist| playlist.segments.first())
        .map(|(url, _)| url.clone())
        .collect();

    let mut downloads = Vec::new();
    for url in segments {
        let mut answer = server.http().get(url).send().await.expect("an answer");
        assert_eq!(answer.status(), 200);
        let promised = answer.content_length().expect("a length");
        let begun = answer.chunk().await.expect("a first part").map_or(0, |part| part.len());
        downloads.push((answer, promised, begun as u64));
    }

    let data = Bytes::from(vec![7_u8; 1 << 20]);
    let upload = Upload::create(&server, data.len() as u64, &[]).await.expect("created");
    let (parts, mut rest) = mpsc::channel::<Bytes>(4);
    parts.send(data.slice(..1 << 19)).await.expect("the request takes it");
    let body = stream::poll_fn(move |context| rest.poll_recv(context)).map(Ok::<_, std::convert::Infallible>);
    let sending = {
        let upload = upload.clone();
        tokio::spawn(async move { upload.patch(0, reqwest::Body::wrap_stream(body)).await })
    };
    // The request has arrived once its first half left the channel and was read by the server.
    eventually("the upload to begin", Duration::from_secs(10), async || {
        (parts.capacity() == parts.max_capacity()).then_some(())
    })
    .await;

    server.terminate();
    eventually("new connections to be refused", Duration::from_secs(10), async || {
        client().get(server.url("/health/live")).send().await.is_err().then_some(())
    })
    .await;

    for (mut answer, promised, mut got) in downloads {
        while let Some(part) = answer.chunk().await.expect("not cut off") {
            got += part.len() as u64;
        }
        assert_eq!(got, promised);
    }
    parts.send(data.slice(1 << 19..)).await.expect("the request continues");
    drop(parts);
    let acknowledged = sending.await.expect("no panic").expect("not cut off");
    assert_eq!(acknowledged, 1 << 20);

    assert_eq!(server.ended().await.code(), Some(0));
}

#[tokio::test(flavor = "multi_thread")]
async fn under_load_no_answer_is_cut_by_sigterm() {
    let mut server = Server::start().await;
    let url = Arc::new(server.url("/api/v1/contents"));
    let stop = Arc::new(AtomicBool::new(false));
    let answered = Arc::new(AtomicUsize::new(0));
    let workers: Vec<_> = (0..8)
        .map(|_| {
            let (url, stop, answered) = (url.clone(), stop.clone(), answered.clone());
            tokio::spawn(async move {
                let http = client();
                while !stop.load(Ordering::Relaxed) {
                    match http.get(url.as_str()).send().await {
                        Ok(answer) => {
                            assert_eq!(answer.status(), 200);
                            answer.bytes().await.expect("a whole answer");
                            answered.fetch_add(1, Ordering::Relaxed);
                        }
                        // How a client notices the end: a new connection is refused, or reset by the system,
                        // which held it when the listener closed.
                        Err(error) if error.is_connect() || was_reset(&error) => break,
                        Err(error) => panic!("cut off: {error:?}"),
                    }
                }
            })
        })
        .collect();
    eventually("some load", Duration::from_secs(20), async || {
        (answered.load(Ordering::Relaxed) > 400).then_some(())
    })
    .await;
    assert_eq!(server.stop().await.code(), Some(0));
    stop.store(true, Ordering::Relaxed);
    for worker in workers {
        worker.await.expect("no request was cut off");
    }
}

fn was_reset(error: &reqwest::Error) -> bool {
    let mut source = std::error::Error::source(error);
    while let Some(error) = source {
        if error
            .downcast_ref::<std::io::Error>()
            .is_some_and(|error| error.kind() == std::io::ErrorKind::ConnectionReset)
        {
            return true;
        }
        source = error.source();
    }
    false
}
