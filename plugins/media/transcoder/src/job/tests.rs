//! Jobs against a storage, a catalogue and a queue in memory.

use super::*;

mod world;

use world::{World, clip, job};

const ID: &str = "0190aaaa-0000-7000-8000-000000000001";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_upload_becomes_ready_and_is_playable_with_its_watchable_rung() {
    let world = World::with(&clip());
    world.run_once().await;
    world.check_whole();
    assert_eq!(world.ends(), ["complete "]);
    let inner = world.0.lock().unwrap();
    assert_eq!(inner.playable_with, ["360p"]);
    assert_eq!(inner.content.duration_ms, 5040);
    assert!((5_000..5_100).contains(&inner.worked_ms), "{} ms", inner.worked_ms);
    assert_eq!(inner.content.source.as_ref().unwrap().video_codec, "h264");
    assert!(inner.puts.values().all(|count| *count == 1), "{:?}", inner.puts);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_file_that_is_no_video_fails_for_good_with_its_reason() {
    let world = World::with(b"Dear diary, nothing happened.\n");
    world.run_once().await;
    let reason = "This is a text file, not a video or a sound file.";
    assert_eq!(world.ends(), [format!("dead {reason}")]);
    let inner = world.0.lock().unwrap();
    assert_eq!((inner.content.state(), inner.content.reason.as_str()), (ContentState::Failed, reason));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_ready_content_is_left_alone() {
    let world = World::with(b"");
    world.0.lock().unwrap().content.set_state(ContentState::Ready);
    world.run_once().await;
    assert_eq!(world.ends(), ["complete the content is ready"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_shutdown_gives_the_job_back_and_the_next_attempt_writes_no_whole_segment_again() {
    let world = World::with(&clip());
    let shutdown = CancellationToken::new();
    world.0.lock().unwrap().stop_at_segments = Some((0, shutdown.clone()));
    world.run(&shutdown).await;
    assert_eq!(world.ends(), ["release"]);
    let written: Vec<_> = {
        let inner = world.0.lock().unwrap();
        let whole = |(name, rows): (&String, &Vec<catalogue::Segment>)| {
            let name = name.clone();
            rows.iter().map(move |row| format!("{ID}/{name}/{}.m4s", row.number)).collect::<Vec<_>>()
        };
        inner.segments.iter().flat_map(whole).collect()
    };
    assert!(!written.is_empty());
    world.run_once().await;
    world.check_whole();
    let inner = world.0.lock().unwrap();
    for key in written {
        assert_eq!(inner.puts[&key], 1, "{key}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_write_has_the_fence_and_a_run_that_was_overtaken_stops_records_nothing_and_removes_nothing() {
    let world = World::with(&clip());
    world.0.lock().unwrap().overtaken = true;
    world.run_job(jobs::Job { fence: 7, ..job() }).await;
    assert!(world.ends().is_empty(), "{:?}", world.ends());
    let left = {
        let mut inner = world.0.lock().unwrap();
        inner.overtaken = false;
        assert_eq!((inner.fence, inner.content.state()), (8, ContentState::Transcoding));
        inner.objects.len()
    };
    // The same run, suspended all the time.
    world.run_job(jobs::Job { fence: 7, attempt: 5, ..job() }).await;
    assert!(world.ends().is_empty(), "{:?}", world.ends());
    assert_eq!(world.0.lock().unwrap().objects.len(), left);
    world.run_job(jobs::Job { fence: 8, ..job() }).await;
    assert_eq!(world.ends(), ["complete "]);
    world.check_whole();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_deleted_content_leaves_nothing_behind() {
    let world = World::with(&clip());
    world.0.lock().unwrap().gone = true;
    world.run_once().await;
    assert_eq!(world.ends(), ["complete the content is gone"]);
    assert!(world.0.lock().unwrap().objects.is_empty());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_a_content_that_the_catalogue_only_does_not_know_nothing_is_removed() {
    let world = World::with(&clip());
    world.0.lock().unwrap().gone = true;
    world.0.lock().unwrap().forgotten = true;
    world.run_once().await;
    assert_eq!(world.ends(), ["complete the content is gone"]);
    assert!(world.0.lock().unwrap().objects.contains_key(&format!("{ID}/source")));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_full_disk_is_waited_for_even_at_the_last_attempt_and_what_was_playable_stays_so() {
    let world = World::with(&clip());
    world.0.lock().unwrap().full = true;
    let last = |job: jobs::Job| jobs::Job { attempt: 5, max_attempts: 5, ..job };
    world.run_job(last(job())).await;
    assert_eq!(world.ends(), ["in 7000 ms: the storage is full"]);
    assert_eq!(world.0.lock().unwrap().content.state(), ContentState::Transcoding);
    {
        let mut inner = world.0.lock().unwrap();
        (inner.full, inner.no_room_for_rows) = (false, true);
        inner.content.set_state(ContentState::Playable);
    }
    world.run_job(last(job())).await;
    assert!(world.ends()[1].starts_with("in 7000 ms: the catalogue has no room"), "{:?}", world.ends());
    assert_eq!(world.0.lock().unwrap().content.state(), ContentState::Playable);
    world.0.lock().unwrap().no_room_for_rows = false;
    world.run_once().await;
    world.check_whole();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_job_that_the_queue_sets_aside_is_not_worked_on_and_its_content_has_failed_with_a_reason() {
    let world = World::with(&clip());
    let platform = world.platform(&CancellationToken::new());
    run(&platform, job(), "lease".to_owned(), "its process ended 2 times".to_owned()).await;
    assert_eq!(world.ends(), ["dead its process ended 2 times"]);
    let inner = world.0.lock().unwrap();
    assert_eq!(inner.content.state(), ContentState::Failed);
    assert_eq!(inner.content.reason, SET_ASIDE);
    assert!(inner.puts.is_empty());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_cancelled_job_stops_and_says_so() {
    let world = World::with(&clip());
    world.0.lock().unwrap().cancel = true;
    world.run_once().await;
    assert_eq!(world.ends(), Vec::<String>::new());
    let inner = world.0.lock().unwrap();
    assert_eq!(inner.content.state(), ContentState::Failed);
    assert_eq!(inner.content.reason, "Encoding was cancelled.");
}

/// Attempts with these presets, all but the last stopped with the first segments of a generation: each makes
/// its own.
async fn attempts(world: &World, presets: &[&str]) {
    for (at, preset) in presets.iter().enumerate() {
        let shutdown = CancellationToken::new();
        let last = at + 1 == presets.len();
        world.0.lock().unwrap().stop_at_segments = (!last).then(|| (at as u32, shutdown.clone()));
        crate::media::start().unwrap();
        let mut platform = world.platform(&shutdown);
        platform.options.preset = (*preset).to_owned();
        run(&platform, job(), "lease".to_owned(), String::new()).await;
    }
}

fn generations_of(world: &World) -> Vec<u32> {
    let inner = world.0.lock().unwrap();
    let mut all: Vec<u32> = inner.renditions.values().map(|it| it.generation).collect();
    all.sort_unstable();
    all.dedup();
    all
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn segments_that_do_not_fit_any_more_are_made_anew_at_other_addresses() {
    let world = World::with(&clip());
    attempts(&world, &["ultrafast", "slow"]).await;
    world.check_whole();
    assert_eq!(generations_of(&world), [0, 1]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_generation_that_was_broken_off_is_gone_on_with_if_it_fits_and_else_the_next_one_begins() {
    let world = World::with(&clip());
    attempts(&world, &["ultrafast", "slow", "slow"]).await;
    world.check_whole();
    assert_eq!(generations_of(&world), [0, 1]);
    let world = World::with(&clip());
    attempts(&world, &["ultrafast", "slow", "ultrafast"]).await;
    world.check_whole();
    assert_eq!(generations_of(&world), [0, 1, 2]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn renditions_whose_init_segment_is_lost_are_made_anew_at_other_addresses() {
    let world = World::with(&clip());
    attempts(&world, &["ultrafast", "ultrafast"]).await;
    {
        let mut inner = world.0.lock().unwrap();
        inner.objects.remove(&format!("{ID}/360p/init.mp4")).unwrap();
        inner.content.set_state(ContentState::Playable);
    }
    attempts(&world, &["ultrafast"]).await;
    assert_eq!(generations_of(&world), [0, 1]);
    assert_eq!(world.0.lock().unwrap().rewritten, [""; 0]);
}
