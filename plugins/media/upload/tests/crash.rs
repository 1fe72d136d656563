//! The plugin dies at every single call it makes, before it takes effect and after; a new run must complete
//! each upload without losing an acknowledged byte.
#![allow(missing_docs, clippy::unwrap_used)]

mod common;

use std::sync::atomic::Ordering;

use bytes::Bytes;
use common::*;
use proptest::prelude::*;
use streamgate_plugin_api::Body;
use streamgate_plugin_api::settings::{ByteSize, Duration};
use streamgate_upload::Settings;

fn settings() -> Settings {
    Settings { checkpoint: ByteSize::mib(1), sweep_interval: Duration::millis(20), ..Settings::default() }
}

/// Uploads like a client that never gives up; stops when the server is dead. Returns whether the upload is
/// complete.
async fn push(
    life: &Life,
    path: &mut Option<String>,
    file: &Bytes,
    acknowledged: &mut usize,
    fuse: &Fuse,
) -> bool {
    while !fuse.is_blown() {
        let Some(known) = path.clone() else {
            let length = file.len().to_string();
            let answer = life.send("POST", "/files", &[("Upload-Length", &*length)], Body::empty()).await;
            *path = header(&answer, "location");
            continue;
        };
        let Some(offset) = life.offset(&known).await else { continue };
        assert!(offset >= *acknowledged, "acknowledged {acknowledged}, and now {offset}");
        *acknowledged = offset;
        if offset == file.len() {
            return true;
        }
        let next = (offset + 1_300_000).min(file.len());
        let answer = life.patch(&known, offset, file.slice(offset..next), &[]).await;
        if answer.status().is_success() {
            *acknowledged = header(&answer, "upload-offset").unwrap().parse().unwrap();
        }
    }
    false
}

async fn dies_and_comes_back(at: i64, after: bool) -> bool {
    let world = World::new().await;
    let file = bytes(2_200_000);
    let (mut path, mut acknowledged) = (None, 0);
    let fuse = Fuse::at(at, after);
    let Ok(life) = world.live_until(settings(), fuse.clone()).await else { return true };
    push(&life, &mut path, &file, &mut acknowledged, &fuse).await;
    let died = fuse.is_blown();
    fuse.blow();
    drop(life);

    let life = world.live(settings()).await;
    assert!(push(&life, &mut path, &file, &mut acknowledged, &Fuse::never()).await);
    let id = id_of(&path.unwrap());
    until("the hand-over", || async { (world.jobs.keys() == [id.clone()]).then_some(()) }).await;
    until("an uploaded content", || async {
        (world.content(&id).await?["state"] == "uploaded").then_some(())
    })
    .await;
    assert_eq!(world.object(&format!("media/{id}/source")).await.unwrap(), file);
    until("no orphans", || async {
        let contents = world.contents().await;
        // A creation whose answer was lost at the last moment is unknown to its client.
        let ours = contents.iter().filter(|content| content["state"] != "uploading").count();
        (ours == 1 && contents.len() <= 2 && world.keys("media").await == [format!("{id}/source")])
            .then_some(())
    })
    .await;
    died
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_upload_survives_a_death_at_every_call_before_it_takes_effect() {
    let mut at = 0;
    while dies_and_comes_back(at, false).await {
        at += 1;
    }
    assert!(at > 10, "only {at} calls");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_upload_survives_a_death_at_every_call_after_it_took_effect() {
    let mut at = 0;
    while dies_and_comes_back(at, true).await {
        at += 1;
    }
    assert!(at > 10, "only {at} calls");
}

#[tokio::test]
async fn a_hand_over_waits_for_the_job_queue_and_then_happens() {
    let world = World::new().await;
    let life = world.live(settings()).await;
    world.jobs.refusing.store(true, Ordering::SeqCst);
    let path = life.create(3).await;
    assert!(life.patch(&path, 0, "abc", &[]).await.status().is_success());
    assert!(world.jobs.keys().is_empty());
    drop(life);
    let _life = world.live(settings()).await;
    world.jobs.refusing.store(false, Ordering::SeqCst);
    until("the job", || async { (world.jobs.keys() == [id_of(&path)]).then_some(()) }).await;
}

#[tokio::test]
async fn joining_continues_after_a_crash() {
    for at in 0.. {
        let world = World::new().await;
        let life = world.live(settings()).await;
        let file = bytes(2_400_000);
        let mut parts = Vec::new();
        for part in [file.slice(..1_500_000), file.slice(1_500_000..)] {
            let length = part.len().to_string();
            let headers = [
                ("Upload-Concat", "partial"),
                ("Upload-Length", &*length),
                ("Content-Type", "application/offset+octet-stream"),
                ("Content-Length", &*length),
            ];
            parts.push(header(&life.send("POST", "/files", &headers, part).await, "location").unwrap());
        }
        drop(life);
        let concat = format!("final;{}", parts.join(" "));
        let fuse = Fuse::at(at, at % 2 == 0);
        let dead = world.live_until(settings(), fuse.clone()).await;
        if let Ok(life) = &dead {
            life.send("POST", "/files", &[("Upload-Concat", &concat)], Body::empty()).await;
        }
        let died = fuse.is_blown();
        fuse.blow();
        drop(dead);
        let life = world.live(settings()).await;
        let path = until("the final upload", || async {
            let answer = life.send("POST", "/files", &[("Upload-Concat", &concat)], Body::empty()).await;
            header(&answer, "location")
        })
        .await;
        let id = id_of(&path);
        until("the job", || async { (world.jobs.keys() == [id.clone()]).then_some(()) }).await;
        assert_eq!(world.object(&format!("media/{id}/source")).await.unwrap(), file);
        until("the parts' end", || async { world.keys("uploads").await.is_empty().then_some(()) }).await;
        if !died {
            return;
        }
    }
}

/// What a client may do.
#[derive(Debug, Clone)]
enum Act {
    Patch { skew: i64, length: usize },
    Break { length: usize },
    WrongSum { length: usize },
    Head,
    Kill,
}

fn any_act() -> impl Strategy<Value = Act> {
    prop_oneof![
        4 => (prop_oneof![4 => Just(0i64), 1 => -3i64..4], 0usize..9_000)
            .prop_map(|(skew, length)| Act::Patch { skew, length }),
        2 => (0usize..9_000).prop_map(|length| Act::Break { length }),
        2 => (1usize..9_000).prop_map(|length| Act::WrongSum { length }),
        1 => Just(Act::Head),
        1 => Just(Act::Kill),
    ]
}

/// Runs the actions against the server and against a model of it: a number.
async fn walk(length: usize, acts: Vec<Act>) {
    let world = World::new().await;
    let file = bytes(length);
    let mut life = world.live(settings()).await;
    let path = life.create(length).await;
    let mut offset = 0usize;
    for act in acts {
        let rest = length - offset;
        match act {
            Act::Patch { skew, length: size } => {
                let at = offset.saturating_add_signed(skew as isize);
                let data = file.slice(at.min(length)..(at + size).min(length));
                let answer = life.patch(&path, at, data.clone(), &[]).await;
                if at == offset {
                    offset += data.len();
                    assert_eq!(answer.status().as_u16(), 204);
                    assert_eq!(header(&answer, "upload-offset").unwrap(), offset.to_string());
                } else {
                    assert_eq!(answer.status().as_u16(), 409);
                }
            }
            Act::Break { length: size } => {
                let size = size.min(rest);
                let frames = vec![Ok(file.slice(offset..offset + size)), Err(std::io::Error::other("reset"))];
                life.patch(&path, offset, Body::from_stream(futures_util::stream::iter(frames)), &[]).await;
                offset += size;
            }
            Act::WrongSum { length: size } => {
                let data = file.slice(offset..offset + size.min(rest));
                let answer = life.patch(&path, offset, data, &[("Upload-Checksum", "crc32 AAAAAQ==")]).await;
                assert!(offset == length || answer.status().as_u16() == 460);
            }
            Act::Head => assert_eq!(life.offset(&path).await, Some(offset)),
            Act::Kill => {
                drop(life);
                life = world.live(settings()).await;
            }
        }
    }
    assert_eq!(life.offset(&path).await, Some(offset));
    life.patch(&path, offset, file.slice(offset..), &[]).await;
    let id = id_of(&path);
    until("the job", || async { (world.jobs.keys() == [id.clone()]).then_some(()) }).await;
    assert_eq!(world.object(&format!("media/{id}/source")).await.unwrap(), file);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, ..ProptestConfig::default() })]

    #[test]
    fn whatever_a_client_does_the_offset_is_what_a_model_says(
        length in 0usize..40_000,
        acts in prop::collection::vec(any_act(), 0..14),
    ) {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
        runtime.block_on(walk(length, acts));
    }
}
