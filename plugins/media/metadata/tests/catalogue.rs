//! The `catalogue` contract, over a real database.
#![allow(missing_docs, clippy::unwrap_used)]

mod common;

use std::collections::BTreeMap;

use common::*;
use proptest::prelude::*;
use streamgate_contracts::catalogue::v1::*;
use streamgate_metadata::Settings;
use tonic::Code;

#[tokio::test]
async fn creating_twice_answers_the_content_there_is() {
    let world = World::new();
    let life = world.live(Settings::default()).await;
    let first = life.create(ID, "Film").await;
    assert_eq!((first.state(), first.revision), (ContentState::Uploading, 1));
    assert_eq!(life.create(ID, "Other").await, first);
    let bad = CreateRequest { id: "../x".into(), ..CreateRequest::default() };
    assert_eq!(life.catalogue.clone().create(bad).await.unwrap_err().code(), Code::InvalidArgument);
}

#[tokio::test]
async fn a_forbidden_step_changes_nothing_and_a_repeated_one_is_harmless() {
    let world = World::new();
    let life = world.live(Settings::default()).await;
    let created = life.create(ID, "Film").await;
    let refused = life.step(ID, ContentState::Ready).await.unwrap_err();
    assert_eq!(refused.code(), Code::FailedPrecondition);
    assert!(refused.message().contains("from `uploading` it can go to uploaded, failed"), "{refused}");
    assert_eq!(life.catalogue.clone().get(GetRequest { id: ID.into() }).await.unwrap().into_inner(), created);
    let uploaded = life.step(ID, ContentState::Uploaded).await.unwrap();
    assert_eq!(uploaded.revision, 2);
    assert_eq!(life.step(ID, ContentState::Uploaded).await.unwrap(), uploaded);
}

#[tokio::test]
async fn a_list_has_every_content_of_a_state_once_in_the_order_of_ids() {
    let world = World::new();
    let life = world.live(Settings::default()).await;
    let ids: Vec<String> = (0..5).map(|at| format!("0190163d-8694-739b-aea5-966c26f8ad0{at}")).collect();
    for id in ids.iter().rev() {
        life.create(id, "Film").await;
    }
    life.step(&ids[2], ContentState::Uploaded).await.unwrap();
    let list = async |state: ContentState, after: &str, limit| {
        let request = ListRequest { state: state.into(), after: after.into(), limit };
        let list = life.catalogue.clone().list(request).await?.into_inner();
        Ok::<_, tonic::Status>(list.contents.into_iter().map(|content| content.id).collect::<Vec<_>>())
    };
    assert_eq!(list(ContentState::Unspecified, "", 0).await.unwrap(), ids);
    assert_eq!(list(ContentState::Uploaded, "", 0).await.unwrap(), ids[2..3]);
    assert_eq!(list(ContentState::Uploading, "", 3).await.unwrap(), [&ids[..2], &ids[3..4]].concat());
    assert_eq!(list(ContentState::Uploading, &ids[3], 3).await.unwrap(), ids[4..]);
    let refused = list(ContentState::Uploading, "", 501).await.unwrap_err();
    assert_eq!(refused.code(), Code::InvalidArgument, "{refused}");
}

#[tokio::test]
async fn calls_about_what_is_not_there_say_so() {
    let world = World::new();
    let life = world.live(Settings::default()).await;
    assert_eq!(life.step(ID, ContentState::Uploaded).await.unwrap_err().code(), Code::NotFound);
    assert_eq!(life.segments(ID, "720p", 0..1, false).await.unwrap_err().code(), Code::NotFound);
    life.encode(ID).await;
    assert_eq!(life.segments(ID, "1080p", 0..1, false).await.unwrap_err().code(), Code::FailedPrecondition);
    assert_eq!(life.segments(ID, "720p", 1..2, false).await.unwrap_err().code(), Code::FailedPrecondition);
}

#[tokio::test]
async fn segments_make_a_content_playable_and_their_bitrate_is_measured() {
    let world = World::new();
    let life = world.live(Settings::default()).await;
    life.encode(ID).await;
    let playable = life.segments(ID, "720p", 0..3, true).await.unwrap();
    assert_eq!(playable.state(), ContentState::Playable);
    let (_, shown) = life.call("GET", &format!("/{ID}"), "").await;
    assert_eq!(shown["renditions"][0]["segments"], 3);
    assert_eq!(shown["renditions"][0]["bitrate"], 1_000_000);
    assert!(shown["renditions"][1]["bitrate"].is_null());
    assert_eq!(shown["hls"], format!("/v/{ID}/master.m3u8"));
}

#[tokio::test]
async fn a_known_timeline_is_not_sent_again() {
    let world = World::new();
    let life = world.live(Settings::default()).await;
    life.encode(ID).await;
    life.segments(ID, "720p", 0..100, true).await.unwrap();
    let all = life.timeline(ID, 0).await;
    let revision = all.content.as_ref().unwrap().revision;
    assert_eq!(all.renditions[0].segments.len(), 100);
    assert_eq!(all.renditions[0].segments[99], segment(99));
    assert!(all.renditions[1].segments.is_empty());
    let known = life.timeline(ID, revision).await;
    assert!(known.unchanged && known.content.is_none() && known.renditions.is_empty());
    life.segments(ID, "audio", 0..1, true).await.unwrap();
    assert!(!life.timeline(ID, revision).await.unchanged);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_timeline_is_of_one_revision_while_others_write() {
    let world = World::new();
    let life = world.live(Settings::default()).await;
    life.encode(ID).await;
    let first = life.timeline(ID, 0).await.content.unwrap().revision;
    let writer = async {
        for number in 0..60 {
            life.segments(ID, "720p", number..number + 1, true).await.unwrap();
        }
    };
    let reader = async {
        loop {
            let seen = life.timeline(ID, 0).await;
            let count = seen.renditions[0].segments.len() as u64;
            assert_eq!(seen.content.unwrap().revision - first, count, "each write adds one of each");
            if count == 60 {
                return;
            }
        }
    };
    tokio::join!(writer, reader);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_is_lost_when_many_write_at_once() {
    let world = World::new();
    let life = world.live(Settings::default()).await;
    life.encode(ID).await;
    let before = life.timeline(ID, 0).await.content.unwrap().revision;
    let video = async {
        for number in 0..20 {
            life.segments(ID, "720p", number..number + 1, true).await.unwrap();
        }
    };
    let audio = async {
        for number in 0..20 {
            life.segments(ID, "audio", number..number + 1, true).await.unwrap();
        }
    };
    let people = async {
        for number in 0..10 {
            let (status, _) =
                life.call("PATCH", &format!("/{ID}"), &format!("{{\"title\":\"T{number}\"}}")).await;
            assert_eq!(status, 200);
        }
    };
    tokio::join!(video, audio, people);
    let after = life.timeline(ID, 0).await;
    assert_eq!(after.renditions.iter().map(|r| r.segments.len()).collect::<Vec<_>>(), [20, 20]);
    let content = after.content.unwrap();
    assert_eq!((content.revision - before, content.title.as_str()), (50, "T9"));
}

#[tokio::test]
async fn a_day_of_a_long_film_is_read_and_written_in_one_call_each() {
    let world = World::new();
    let life = world.live(Settings::default()).await;
    life.encode(ID).await;
    life.segments(ID, "720p", 0..9_000, true).await.unwrap();
    life.segments(ID, "audio", 0..9_000, true).await.unwrap();
    let all = life.timeline(ID, 0).await;
    for rendition in &all.renditions {
        assert!(rendition.segments.iter().map(|segment| segment.number).eq(0..9_000));
    }
}

#[derive(Debug, Clone)]
enum Act {
    Step(i32),
    Segments { first: u32, count: u32, playable: bool },
    Delete,
    Restart,
}

fn any_act() -> impl Strategy<Value = Act> {
    prop_oneof![
        6 => (1..=6).prop_map(Act::Step),
        6 => (0u32..6, 1u32..4, any::<bool>())
            .prop_map(|(first, count, playable)| Act::Segments { first, count, playable }),
        1 => Just(Act::Delete),
        1 => Just(Act::Restart),
    ]
}

/// The contract in a few lines.
fn allowed(from: ContentState, to: ContentState) -> bool {
    use ContentState::{Failed, Playable, Ready, Transcoding, Uploaded, Uploading};
    from == to
        || matches!(
            (from, to),
            (Uploading, Uploaded | Failed)
                | (Uploaded, Transcoding | Failed)
                | (Transcoding, Playable | Ready | Failed)
                | (Playable, Ready | Failed)
                | (Failed, Uploaded | Transcoding)
        )
}

async fn walk(acts: Vec<Act>) {
    let world = World::new();
    let mut life = world.live(Settings::default()).await;
    life.encode(ID).await;
    let mut model = Some((ContentState::Transcoding, BTreeMap::new()));
    for act in acts {
        match act {
            Act::Restart => {
                drop(life);
                life = world.live(Settings::default()).await;
            }
            Act::Delete => {
                life.catalogue.clone().delete(DeleteRequest { id: ID.into() }).await.unwrap();
                model = None;
            }
            Act::Step(to) => {
                let to = ContentState::try_from(to).unwrap();
                let went = life.step(ID, to).await;
                match &mut model {
                    None => assert_eq!(went.unwrap_err().code(), Code::NotFound),
                    Some((state, _)) => {
                        assert_eq!(went.is_ok(), allowed(*state, to));
                        if went.is_ok() {
                            *state = to;
                        }
                    }
                }
            }
            Act::Segments { first, count, playable } => {
                let went = life.segments(ID, "720p", first..first + count, playable).await;
                let Some((state, segments)) = &mut model else {
                    assert_eq!(went.unwrap_err().code(), Code::NotFound);
                    continue;
                };
                let takes = matches!(state, ContentState::Transcoding | ContentState::Playable);
                let fits = first as usize <= segments.len();
                assert_eq!(went.is_ok(), takes && fits, "{state:?}");
                if went.is_ok() {
                    segments.extend((first..first + count).map(|number| (number, ())));
                    *state = if playable { ContentState::Playable } else { *state };
                }
            }
        }
        let seen =
            life.catalogue.clone().timeline(TimelineRequest { id: ID.into(), known_revision: 0 }).await;
        match &model {
            None => assert_eq!(seen.unwrap_err().code(), Code::NotFound),
            Some((state, segments)) => {
                let seen = seen.unwrap().into_inner();
                assert_eq!(seen.content.unwrap().state(), *state);
                assert!(
                    seen.renditions[0]
                        .segments
                        .iter()
                        .map(|segment| segment.number)
                        .eq(segments.keys().copied())
                );
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, ..ProptestConfig::default() })]

    #[test]
    fn whatever_is_called_the_catalogue_is_what_a_model_says(acts in prop::collection::vec(any_act(), 0..24)) {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
        runtime.block_on(walk(acts));
    }
}

#[tokio::test]
async fn it_reports_deletions_of_deleted_contents_only() {
    let world = World::new();
    let life = world.live(Settings::default()).await;
    let [live, gone, never] = ["a", "b", "c"].map(|last| format!("{}{last}", &ID[..ID.len() - 1]));
    for id in [&live, &gone] {
        life.create(id, "Film").await;
    }
    assert_eq!(life.as_creator("DELETE", &format!("/{gone}"), "").await.0, 204);
    let ids = vec![live, gone.clone(), never, "'; --".into()];
    let answer = life.catalogue.clone().deleted(DeletedRequest { ids }).await.unwrap().into_inner();
    assert_eq!(answer.ids, [gone]);
    let ids = vec![ID.into(); 501];
    let refused = life.catalogue.clone().deleted(DeletedRequest { ids }).await.unwrap_err();
    assert_eq!(refused.code(), tonic::Code::InvalidArgument);
}

#[tokio::test]
async fn a_write_with_a_smaller_fence_changes_nothing_and_one_without_is_not_stopped() {
    let world = World::new();
    let life = world.live(Settings::default()).await;
    life.encode(ID).await;
    let mut catalogue = life.catalogue.clone();
    let update = |fence| UpdateRequest { id: ID.into(), progress: Some(0.5), fence, ..Default::default() };
    let segments = |fence| {
        let group = RenditionSegments { rendition: "720p".into(), segments: vec![segment(0)] };
        PutSegmentsRequest { id: ID.into(), segments: vec![group], fence, ..Default::default() }
    };
    let renditions = |fence| {
        let spec = Rendition {
            name: "360p".into(),
            kind: RenditionKind::Video.into(),
            timescale: 90_000,
            ..Default::default()
        };
        PutRenditionsRequest { id: ID.into(), renditions: vec![spec], fence }
    };
    catalogue.put_segments(segments(7)).await.unwrap();
    // A run that writes existing data again takes over all the same.
    let taken =
        catalogue.update(UpdateRequest { id: ID.into(), fence: 9, ..Default::default() }).await.unwrap();
    assert_eq!(taken.into_inner().fence, 9);
    let before = life.timeline(ID, 0).await;
    let refused = [
        catalogue.update(update(8)).await.unwrap_err(),
        catalogue.put_segments(segments(8)).await.unwrap_err(),
        catalogue.put_renditions(renditions(8)).await.unwrap_err(),
    ];
    for status in refused {
        assert_eq!(status.code(), Code::FailedPrecondition);
        assert_eq!(streamgate_contracts::fence::superseded_by(&status), Some(9), "{status}");
    }
    assert_eq!(life.timeline(ID, 0).await, before);
    catalogue.put_renditions(renditions(9)).await.unwrap();
    catalogue.put_segments(segments(10)).await.unwrap();
    let plain = catalogue.update(update(0)).await.unwrap().into_inner();
    assert_eq!((plain.fence, plain.progress), (10, 0.5));
    let too_large = catalogue.update(update(u64::MAX)).await.unwrap_err();
    assert_eq!(too_large.code(), Code::InvalidArgument);
}

#[tokio::test]
async fn of_runs_that_write_at_once_no_earlier_one_comes_after_a_later_one() {
    let world = World::new();
    let life = world.live(Settings::default()).await;
    life.encode(ID).await;
    let writes = (1..=20_u32).map(|fence| {
        let mut catalogue = life.catalogue.clone();
        tokio::spawn(async move {
            let progress = Some(f64::from(fence) / 100.0);
            let update = UpdateRequest { id: ID.into(), progress, fence: fence.into(), ..Default::default() };
            catalogue.update(update).await.is_ok()
        })
    });
    let mut last = false;
    for write in writes.collect::<Vec<_>>() {
        last = write.await.unwrap();
    }
    let content = life.timeline(ID, 0).await.content.unwrap();
    assert!(last && content.fence == 20 && content.progress == 0.2, "{content:?}");
}
