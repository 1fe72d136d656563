//! Single rules of the contract.

use std::time::Duration;

use streamgate_contracts::audit::By;
use streamgate_contracts::jobs::v1::jobs_client::JobsClient;
use streamgate_contracts::jobs::v1::{self, JobState};
use streamgate_plugin_api::{Client, Problem, settings};
use tokio::time::Instant;
use tonic::Code;

use super::*;
use crate::error::JobError;
use crate::settings::Schedule;
use crate::store::Beat;
use crate::store::Filter;
use crate::sweep::{Clock, forget_ended};

#[tokio::test]
async fn an_unfinished_job_with_the_same_dedupe_key_is_answered_and_none_is_added() {
    let fixture = Fixture::new().await;
    let jobs = &fixture.jobs;
    let wanted = Enqueue { dedupe_key: "k".into(), ..job_for("q") };
    let first = jobs.enqueue(wanted.clone()).await.unwrap();
    assert_eq!(jobs.enqueue(wanted.clone()).await.unwrap().id, first.id);
    assert_ne!(jobs.enqueue(Enqueue { queue: "other".into(), ..wanted.clone() }).await.unwrap().id, first.id);
    let (_, lease) = jobs.leased(want("q")).await.unwrap().unwrap();
    assert_eq!(jobs.enqueue(wanted.clone()).await.unwrap().id, first.id);
    jobs.complete(&first.id, &lease, "done".into(), 0).await.unwrap();
    assert_ne!(jobs.enqueue(wanted).await.unwrap().id, first.id);
}

#[tokio::test]
async fn jobs_without_a_dedupe_key_are_all_added() {
    let fixture = Fixture::new().await;
    let first = fixture.jobs.enqueue(job_for("q")).await.unwrap();
    assert_ne!(fixture.jobs.enqueue(job_for("q")).await.unwrap().id, first.id);
}

#[tokio::test]
async fn the_highest_priority_comes_first_then_the_oldest_and_nothing_before_its_time() {
    let fixture = Fixture::new().await;
    let jobs = &fixture.jobs;
    let mut ids = Vec::new();
    for (priority, delay) in [(0, 0), (0, 0), (5, 0), (9, 1000)] {
        let job = Enqueue { priority, due_at: jobs.now() + delay, ..job_for("q") };
        ids.push(jobs.enqueue(job).await.unwrap().id);
    }
    for expected in [2, 0, 1] {
        assert_eq!(jobs.leased(want("q")).await.unwrap().unwrap().0.id, ids[expected]);
    }
    assert!(jobs.leased(want("q")).await.unwrap().is_none());
    fixture.advance(1000);
    assert_eq!(jobs.leased(want("q")).await.unwrap().unwrap().0.id, ids[3]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_many_workers_exactly_one_gets_each_job() {
    let fixture = Fixture::new().await;
    for _ in 0..20 {
        fixture.jobs.enqueue(job_for("q")).await.unwrap();
    }
    let workers: Vec<_> = (0..60)
        .map(|_| {
            let jobs = fixture.jobs.clone();
            tokio::spawn(async move { jobs.leased(want("q")).await.unwrap().map(|(job, _)| job.id) })
        })
        .collect();
    let mut leased = Vec::new();
    for worker in workers {
        leased.extend(worker.await.unwrap());
    }
    leased.sort();
    let all = leased.len();
    leased.dedup();
    assert_eq!(leased.len(), all, "a job was leased twice");
    // A worker that loses the race for the last job may leave early; nothing is lost.
    while let Some((job, _)) = fixture.jobs.leased(want("q")).await.unwrap() {
        leased.push(job.id);
    }
    assert_eq!(leased.len(), 20);
}

#[tokio::test]
async fn a_waiting_worker_gets_an_enqueued_job_at_once() {
    let fixture = Fixture::new().await;
    let jobs = fixture.jobs.clone();
    let began = Instant::now();
    let waiting =
        tokio::spawn(async move { jobs.leased(Want { wait: Duration::from_secs(30), ..want("q") }).await });
    while Arc::strong_count(&fixture.jobs.slot_for_test("q")) < 3 {
        tokio::task::yield_now().await;
    }
    let job = fixture.jobs.enqueue(job_for("q")).await.unwrap();
    assert_eq!(waiting.await.unwrap().unwrap().unwrap().0.id, job.id);
    assert!(began.elapsed() < Duration::from_secs(10));
}

#[tokio::test]
async fn a_waiting_worker_is_sent_home_when_the_plugin_stops() {
    let fixture = Fixture::new().await;
    let jobs = fixture.jobs.clone();
    let waiting =
        tokio::spawn(async move { jobs.leased(Want { wait: Duration::from_secs(30), ..want("q") }).await });
    fixture.shutdown.cancel();
    assert!(waiting.await.unwrap().unwrap().is_none());
}

#[tokio::test]
async fn a_job_that_is_leased_for_a_caller_who_went_away_goes_back() {
    let fixture = Fixture::new().await;
    let id = fixture.jobs.enqueue(job_for("q")).await.unwrap().id;
    for _ in 0..20 {
        let jobs = fixture.jobs.clone();
        let caller = tokio::spawn(async move { jobs.leased(want("q")).await });
        for _ in 0..3 {
            tokio::task::yield_now().await;
        }
        caller.abort();
        if let Ok(answer) = caller.await {
            let (job, lease) = answer.unwrap().unwrap();
            fixture.jobs.release(&job.id, &lease, (Duration::ZERO, ""), 0).await.unwrap();
        }
        let (job, lease) =
            fixture.jobs.leased(Want { wait: Duration::from_secs(30), ..want("q") }).await.unwrap().unwrap();
        assert_eq!((&job.id, job.attempt), (&id, 1));
        fixture.jobs.release(&job.id, &lease, (Duration::ZERO, ""), 0).await.unwrap();
    }
}

#[tokio::test]
async fn a_delayed_job_wakes_the_waiting_worker_at_its_time() {
    let directory = tempfile::tempdir().unwrap();
    let jobs = open_at(directory.path(), Settings::default()).await;
    let due_at = jobs.now() + 150;
    jobs.enqueue(Enqueue { due_at, ..job_for("q") }).await.unwrap();
    let leased = jobs.leased(Want { wait: Duration::from_secs(30), ..want("q") }).await.unwrap();
    assert!(leased.is_some() && jobs.now() >= due_at && jobs.now() < due_at + 10_000);
}

#[tokio::test]
async fn a_failed_job_waits_longer_each_time_and_is_dead_after_its_last_attempt() {
    let fixture = Fixture::new().await;
    let jobs = &fixture.jobs;
    let id = jobs.enqueue(Enqueue { max_attempts: 3, ..job_for("q") }).await.unwrap().id;
    let first = jobs.settings().backoff.get().as_millis() as i64;
    for attempt in 1..=3 {
        let (job, lease) = jobs.leased(want("q")).await.unwrap().unwrap();
        assert_eq!(job.attempt, attempt);
        let failed = jobs.fail(&id, &lease, ("no luck", false), 0).await.unwrap();
        assert_eq!(failed.error, "no luck");
        if attempt < 3 {
            let (wait, step) = (failed.due_at_ms - jobs.now(), first << (attempt - 1));
            assert_eq!(failed.state(), JobState::Queued);
            assert!(wait >= step / 2 && wait <= step, "{wait} of {step}");
            assert!(jobs.leased(want("q")).await.unwrap().is_none());
            fixture.advance(wait);
        } else {
            assert_eq!(failed.state(), JobState::Dead);
        }
    }
    let again = jobs.retry(&id, &By::default()).await.unwrap();
    assert_eq!((again.state(), again.attempt), (JobState::Queued, 0));
}

#[tokio::test]
async fn a_permanent_failure_is_dead_at_once_and_a_long_error_is_cut_between_characters() {
    let fixture = Fixture::new().await;
    let id = fixture.jobs.enqueue(job_for("q")).await.unwrap().id;
    let (_, lease) = fixture.jobs.leased(want("q")).await.unwrap().unwrap();
    let dead = fixture.jobs.fail(&id, &lease, (&"ü".repeat(5000), true), 0).await.unwrap();
    assert_eq!(dead.state(), JobState::Dead);
    assert_eq!(dead.error.chars().count(), 2048);
}

#[tokio::test]
async fn a_job_whose_lease_ran_out_is_due_again_and_the_old_lease_is_worth_nothing() {
    let fixture = Fixture::new().await;
    let jobs = &fixture.jobs;
    let id = jobs.enqueue(job_for("q")).await.unwrap().id;
    let (_, old) = jobs.leased(Want { lease_ms: 1000, ..want("q") }).await.unwrap().unwrap();
    fixture.advance(900);
    assert!(
        !jobs
            .heartbeat(&id, &old, Beat { progress: Some(0.5), stopping: false, worked_ms: 0 })
            .await
            .unwrap()
    );
    fixture.advance(900);
    assert_eq!(jobs.free_expired().await.unwrap(), 0);
    fixture.advance(200);
    assert_eq!(jobs.free_expired().await.unwrap(), 1);
    let (job, new) = jobs.leased(want("q")).await.unwrap().unwrap();
    assert_eq!((job.attempt, job.progress), (1, 0.5));
    for lost in [
        jobs.complete(&id, &old, "".into(), 0).await.unwrap_err(),
        jobs.fail(&id, &old, ("", true), 0).await.unwrap_err(),
        jobs.release(&id, &old, (Duration::ZERO, ""), 0).await.unwrap_err(),
        jobs.heartbeat(&id, &old, Beat::default()).await.unwrap_err(),
    ] {
        assert!(matches!(lost, JobError::LeaseLost { .. }), "{lost:?}");
    }
    assert_eq!(jobs.complete(&id, &new, "".into(), 0).await.unwrap().state(), JobState::Completed);
}

#[tokio::test]
async fn a_job_that_loses_its_worker_too_often_is_set_aside_and_dead_if_that_is_interrupted_too() {
    let settings = Settings { max_interruptions: 2, ..Settings::default() };
    let fixture = Fixture::with(settings).await;
    let id = fixture.jobs.enqueue(job_for("q")).await.unwrap().id;
    for (set_aside, state) in [
        (false, JobState::Queued),
        (false, JobState::Queued),
        (true, JobState::Queued),
        (true, JobState::Queued),
        (true, JobState::Dead),
    ] {
        let lease = fixture.jobs.lease(want("q")).await.unwrap().unwrap();
        assert_eq!(lease.set_aside.is_some(), set_aside);
        fixture.advance(60_000);
        fixture.jobs.free_expired().await.unwrap();
        assert_eq!(fixture.jobs.get(&id).await.unwrap().state(), state);
    }
}

/// A process to work in, which ends when it is killed.
struct Process {
    child: std::process::Child,
    name: String,
}

impl Process {
    fn start() -> Self {
        let child = std::process::Command::new("sleep").arg("600").spawn().unwrap();
        Self { name: streamgate_plugin_api::process::of(child.id()).unwrap(), child }
    }

    async fn lease(&self, jobs: &Jobs) -> Option<Lease> {
        jobs.lease(Want { process: self.name.clone(), ..want("q") }).await.unwrap()
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }
}

#[tokio::test]
async fn a_job_that_takes_its_process_down_twice_is_set_aside_and_the_others_go_first_meanwhile() {
    let fixture = Fixture::new().await;
    let jobs = &fixture.jobs;
    let bad = jobs.enqueue(job_for("q")).await.unwrap().id;
    let mut good = Vec::new();
    for _ in 0..2 {
        good.push(jobs.enqueue(job_for("q")).await.unwrap().id);
    }
    let process = Process::start();
    assert_eq!(process.lease(jobs).await.unwrap().job.id, bad);
    assert_eq!(jobs.free_crashed().await.unwrap(), 0, "it still runs");
    drop(process);
    assert_eq!(jobs.free_crashed().await.unwrap(), 1);
    let process = Process::start();
    for id in good {
        let Lease { job, proof, set_aside } = process.lease(jobs).await.unwrap();
        assert_eq!((&job.id, set_aside), (&id, None));
        jobs.complete(&id, &proof, "".into(), 0).await.unwrap();
    }
    let again = process.lease(jobs).await.unwrap();
    assert_eq!((again.job.id, again.job.attempt, again.set_aside), (bad.clone(), 1, None));
    drop(process);
    jobs.free_crashed().await.unwrap();
    // Its end comes before all other work.
    jobs.enqueue(job_for("q")).await.unwrap();
    let process = Process::start();
    let last = process.lease(jobs).await.unwrap();
    assert_eq!(last.job.id, bad);
    assert!(last.set_aside.unwrap().contains("ended 2 times"));
    // A worker that tries it anyway does so once.
    drop(process);
    jobs.free_crashed().await.unwrap();
    assert_eq!(jobs.get(&bad).await.unwrap().state(), JobState::Dead);
    jobs.retry(&bad, &By::default()).await.unwrap();
    let process = Process::start();
    assert_eq!(process.lease(jobs).await.unwrap().set_aside, None);
}

#[tokio::test]
async fn of_several_jobs_whose_process_ended_each_runs_alone_until_it_is_known_which_one_did_it() {
    let fixture = Fixture::new().await;
    let jobs = &fixture.jobs;
    let first = jobs.enqueue(job_for("q")).await.unwrap().id;
    let second = jobs.enqueue(job_for("q")).await.unwrap().id;
    let process = Process::start();
    process.lease(jobs).await.unwrap();
    process.lease(jobs).await.unwrap();
    drop(process);
    assert_eq!(jobs.free_crashed().await.unwrap(), 2);
    let third = jobs.enqueue(job_for("q")).await.unwrap().id;
    let process = Process::start();
    let suspect = process.lease(jobs).await.unwrap();
    assert_eq!(suspect.job.id, first);
    assert_eq!(process.lease(jobs).await, None, "nothing runs beside it");
    let other = Process::start();
    assert_eq!(other.lease(jobs).await.unwrap().job.id, second, "in another process it does");
    // A call that waits for its end is notified of it.
    let (waiting, name) = (jobs.clone(), process.name.clone());
    let waiting = tokio::spawn(async move {
        waiting.lease(Want { process: name, wait: Duration::from_secs(30), ..want("q") }).await
    });
    let slot = jobs.slot_for_test("q");
    while Arc::strong_count(&slot) < 3 {
        tokio::task::yield_now().await;
    }
    jobs.complete(&first, &suspect.proof, "".into(), 0).await.unwrap();
    let next = waiting.await.unwrap().unwrap().unwrap();
    assert_eq!(next.job.id, third);
    // The innocent one has no mark: it takes two more ends of its own.
    drop(other);
    jobs.free_crashed().await.unwrap();
    assert_eq!(process.lease(jobs).await, None, "not beside the third one");
    jobs.complete(&third, &next.proof, "".into(), 0).await.unwrap();
    assert_eq!(process.lease(jobs).await.unwrap().set_aside, None);
}

#[tokio::test]
async fn the_end_of_a_process_that_was_stopped_or_is_on_another_node_is_no_crash() {
    let fixture = Fixture::new().await;
    let jobs = &fixture.jobs;
    let id = jobs.enqueue(job_for("q")).await.unwrap().id;
    let process = Process::start();
    let leased = process.lease(jobs).await.unwrap();
    jobs.heartbeat(&id, &leased.proof, Beat { stopping: true, ..Beat::default() }).await.unwrap();
    drop(process);
    assert_eq!(jobs.free_crashed().await.unwrap(), 0);
    fixture.advance(60_000);
    assert_eq!(jobs.free_expired().await.unwrap(), 1);
    let process = Process::start();
    let remote = Want { process: process.name.clone(), remote: true, ..want("q") };
    jobs.lease(remote).await.unwrap().unwrap();
    drop(process);
    assert_eq!(jobs.free_crashed().await.unwrap(), 0);
}

#[tokio::test]
async fn a_job_given_back_for_later_waits_with_its_reason_and_uses_up_no_attempt() {
    let fixture = Fixture::new().await;
    let jobs = &fixture.jobs;
    let id = jobs.enqueue(job_for("q")).await.unwrap().id;
    for _ in 0..20 {
        let (job, lease) = jobs.leased(want("q")).await.unwrap().unwrap();
        assert_eq!(job.attempt, 1);
        let back =
            jobs.release(&id, &lease, (Duration::from_secs(5), "the storage is full"), 0).await.unwrap();
        assert_eq!((back.state(), back.error.as_str()), (JobState::Queued, "the storage is full"));
        assert!(jobs.leased(want("q")).await.unwrap().is_none());
        fixture.advance(5_000);
    }
    let (_, lease) = jobs.leased(want("q")).await.unwrap().unwrap();
    let refused = jobs.release(&id, &lease, (Duration::from_secs(1 << 20), ""), 0).await.unwrap_err();
    assert!(refused.to_string().contains("max_backoff"), "{refused}");
}

#[tokio::test]
async fn after_a_restart_the_jobs_of_workers_that_ended_with_it_are_due_and_remote_ones_keep_theirs() {
    let mut fixture = Fixture::new().await;
    let local = fixture.jobs.enqueue(job_for("local")).await.unwrap().id;
    let remote = fixture.jobs.enqueue(job_for("remote")).await.unwrap().id;
    let (_, old) = fixture.jobs.leased(want("local")).await.unwrap().unwrap();
    let (_, kept) = fixture.jobs.leased(Want { remote: true, ..want("remote") }).await.unwrap().unwrap();
    // Another instance of the plugin in the same process frees nothing.
    fixture.restart("first").await;
    assert!(!fixture.jobs.heartbeat(&local, &old, Beat::default()).await.unwrap());
    fixture.restart("second").await;
    assert!(!fixture.jobs.heartbeat(&remote, &kept, Beat::default()).await.unwrap());
    let (job, _) = fixture.jobs.leased(want("local")).await.unwrap().unwrap();
    assert_eq!((job.id, job.attempt), (local, 1));
}

#[tokio::test]
async fn a_released_job_is_due_at_once_and_the_attempt_does_not_count() {
    let fixture = Fixture::new().await;
    let id = fixture.jobs.enqueue(job_for("q")).await.unwrap().id;
    let (_, lease) = fixture.jobs.leased(want("q")).await.unwrap().unwrap();
    assert_eq!(fixture.jobs.release(&id, &lease, (Duration::ZERO, ""), 0).await.unwrap().attempt, 0);
    assert_eq!(fixture.jobs.leased(want("q")).await.unwrap().unwrap().0.attempt, 1);
}

#[tokio::test]
async fn the_worker_of_a_cancelled_job_learns_of_it_at_the_next_heartbeat() {
    let fixture = Fixture::new().await;
    let jobs = &fixture.jobs;
    let id = jobs.enqueue(job_for("q")).await.unwrap().id;
    let (_, lease) = jobs.leased(want("q")).await.unwrap().unwrap();
    assert_eq!(jobs.cancel(&id, &By::default()).await.unwrap().state(), JobState::Cancelled);
    assert_eq!(jobs.cancel(&id, &By::default()).await.unwrap().state(), JobState::Cancelled);
    assert!(jobs.heartbeat(&id, &lease, Beat::default()).await.unwrap());
    assert!(jobs.complete(&id, &lease, "".into(), 0).await.is_err());
    jobs.retry(&id, &By::default()).await.unwrap();
    assert!(jobs.heartbeat(&id, &lease, Beat::default()).await.is_err());
}

#[tokio::test]
async fn completing_twice_under_the_same_lease_is_completing_once() {
    let mut fixture = Fixture::new().await;
    let id = fixture.jobs.enqueue(job_for("q")).await.unwrap().id;
    let (_, lease) = fixture.jobs.leased(want("q")).await.unwrap().unwrap();
    let first = fixture.jobs.complete(&id, &lease, "one".into(), 0).await.unwrap();
    let second = fixture.jobs.complete(&id, &lease, "two".into(), 0).await.unwrap();
    assert_eq!(first, second);
    assert!(fixture.jobs.retry(&id, &By::default()).await.is_err());
    let mut states = Vec::new();
    while let Ok(change) = fixture.changes.try_recv() {
        states.push(change.state);
    }
    assert_eq!(states, ["queued", "running", "completed"]);
}

#[tokio::test]
async fn a_retry_gives_way_to_an_unfinished_job_with_the_same_key() {
    let fixture = Fixture::new().await;
    let wanted = Enqueue { dedupe_key: "k".into(), ..job_for("q") };
    let first = fixture.jobs.enqueue(wanted.clone()).await.unwrap();
    fixture.jobs.cancel(&first.id, &By::default()).await.unwrap();
    fixture.jobs.enqueue(wanted).await.unwrap();
    let error = fixture.jobs.retry(&first.id, &By::default()).await.unwrap_err();
    assert_eq!(error, JobError::Taken { queue: "q".into() });
}

#[tokio::test]
async fn missed_runs_of_a_schedule_become_one_and_none_piles_up() {
    let hourly = Schedule {
        name: "tidy".into(),
        queue: "cleanup".into(),
        cron: "0 * * * *".into(),
        payload: serde_json::json!({ "deep": true }),
        priority: 3,
    };
    let settings = Settings { schedules: vec![hourly], ..Settings::default() };
    let fixture = Fixture::with(settings.clone()).await;
    let (jobs, hour) = (&fixture.jobs, 3_600_000);
    let clock = Clock::new(&settings.schedules).unwrap();
    clock.record(jobs).await.unwrap();
    clock.run_due(jobs).await.unwrap();
    assert!(jobs.leased(want("cleanup")).await.unwrap().is_none(), "nothing before its time");
    // Nothing ran for five hours; after a restart the schedule still knows its time.
    fixture.advance(5 * hour);
    clock.record(jobs).await.unwrap();
    clock.run_due(jobs).await.unwrap();
    clock.run_due(jobs).await.unwrap();
    let (job, lease) = jobs.leased(want("cleanup")).await.unwrap().unwrap();
    assert_eq!((&job.payload[..], job.priority), (&b"{\"deep\":true}"[..], 3));
    assert!(jobs.leased(want("cleanup")).await.unwrap().is_none());
    // The next run is skipped while this one continues, and comes again after it.
    fixture.advance(hour);
    clock.run_due(jobs).await.unwrap();
    jobs.complete(&job.id, &lease, "".into(), 0).await.unwrap();
    assert!(jobs.leased(want("cleanup")).await.unwrap().is_none());
    fixture.advance(hour);
    clock.run_due(jobs).await.unwrap();
    assert!(jobs.leased(want("cleanup")).await.unwrap().is_some());
    // A schedule that was removed from the settings runs no more.
    Clock::new(&[]).unwrap().record(jobs).await.unwrap();
    assert!(jobs.store().schedules().await.unwrap().is_empty());
}

#[tokio::test]
async fn ended_jobs_are_forgotten_after_their_time_and_dead_ones_later() {
    let settings = Settings {
        retention: settings::Duration::secs(100),
        dead_retention: settings::Duration::secs(200),
        ..Settings::default()
    };
    let fixture = Fixture::with(settings).await;
    let jobs = &fixture.jobs;
    for permanent in [false, true] {
        let id = jobs.enqueue(job_for("q")).await.unwrap().id;
        let (_, lease) = jobs.leased(want("q")).await.unwrap().unwrap();
        if permanent {
            jobs.fail(&id, &lease, ("", true), 0).await.unwrap();
        } else {
            jobs.complete(&id, &lease, "".into(), 0).await.unwrap();
        }
    }
    jobs.enqueue(job_for("q")).await.unwrap();
    for (later, left) in [(99_000, 3), (2_000, 2), (100_000, 1), (1_000_000, 1)] {
        fixture.advance(later);
        forget_ended(jobs).await.unwrap();
        assert_eq!(jobs.list(&Filter::default(), 10).await.unwrap().len(), left);
    }
}

#[tokio::test]
async fn hostile_requests_are_refused_with_what_is_wrong() {
    let fixture = Fixture::new().await;
    let jobs = &fixture.jobs;
    for (bad, hint) in [
        (job_for("No.Queue"), "not a valid queue name"),
        (Enqueue { payload: vec![0; 300 * 1024].into(), ..job_for("q") }, "max_payload"),
        (Enqueue { dedupe_key: "k".repeat(300), ..job_for("q") }, "dedupe_key"),
        (Enqueue { max_attempts: u32::MAX, ..job_for("q") }, "max_attempts"),
    ] {
        let error = jobs.enqueue(bad).await.unwrap_err();
        assert!(matches!(&error, JobError::Invalid(text) if text.contains(hint)), "{error:?}");
    }
    assert!(jobs.leased(Want { lease_ms: u32::MAX, ..want("q") }).await.is_err());
    assert!(
        jobs.heartbeat("x", "y", Beat { progress: Some(f64::NAN), stopping: false, worked_ms: 0 })
            .await
            .is_err()
    );
    assert_eq!(jobs.get("nothing").await.unwrap_err(), JobError::NotFound("nothing".into()));
}

#[tokio::test]
async fn the_contract_works_over_grpc() {
    let fixture = Fixture::new().await;
    let router = crate::service::JobsService::router(fixture.jobs.clone());
    let mut client = JobsClient::new(Client::from_service(router));
    let traceparent = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
    let mut request = tonic::Request::new(v1::EnqueueRequest {
        queue: "q".into(),
        payload: "{}".into(),
        ..v1::EnqueueRequest::default()
    });
    request.metadata_mut().insert("traceparent", traceparent.parse().unwrap());
    let job = client.enqueue(request).await.unwrap().into_inner();
    assert_eq!(job.traceparent, traceparent);
    let lease = v1::LeaseRequest { queue: "q".into(), worker: "w".into(), ..v1::LeaseRequest::default() };
    let leased = client.lease(lease.clone()).await.unwrap().into_inner();
    assert_eq!(leased.job.unwrap().worker, "w");
    assert!(client.lease(lease).await.unwrap().into_inner().job.is_none());
    let id = job.id;
    let wrong =
        v1::CompleteRequest { id: id.clone(), lease: "wrong".into(), ..v1::CompleteRequest::default() };
    assert_eq!(client.complete(wrong).await.unwrap_err().code(), Code::FailedPrecondition);
    let heartbeat = v1::HeartbeatRequest {
        id: id.clone(),
        lease: leased.lease.clone(),
        progress: Some(0.25),
        ..Default::default()
    };
    assert!(!client.heartbeat(heartbeat).await.unwrap().into_inner().cancelled);
    let complete =
        v1::CompleteRequest { id: id.clone(), lease: leased.lease, result: "r".into(), worked_ms: 0 };
    assert_eq!(client.complete(complete).await.unwrap().into_inner().state(), JobState::Completed);
    assert_eq!(&client.get(v1::GetRequest { id }).await.unwrap().into_inner().result[..], b"r");
    let unknown = client.get(v1::GetRequest { id: "x".into() }).await.unwrap_err();
    assert_eq!(unknown.code(), Code::NotFound);
}

#[tokio::test]
async fn a_client_of_jobs_without_a_provider_gets_the_problem_of_the_host() {
    let nobody = axum::Router::new().fallback(|| async {
        Problem::new(http::StatusCode::SERVICE_UNAVAILABLE, "no-provider", "No provider")
            .detail("No plugin that runs provides `jobs`.")
    });
    let mut client = JobsClient::new(Client::from_service(nobody));
    let status = client.get(v1::GetRequest { id: "x".into() }).await.unwrap_err();
    assert_eq!(
        (status.code(), status.message()),
        (Code::Unavailable, "No plugin that runs provides `jobs`.")
    );
}

#[tokio::test]
async fn every_lease_has_a_larger_fence_than_all_before_whatever_becomes_of_jobs_and_clocks() {
    let mut fixture = Fixture::new().await;
    let id = fixture.jobs.enqueue(job_for("q")).await.unwrap().id;
    assert_eq!(fixture.jobs.get(&id).await.unwrap().fence, 0);
    let mut last = 0;
    let mut grows = |job: &Job| {
        assert!(job.fence > last, "{} after {last}", job.fence);
        last = job.fence;
    };
    let (job, lease) = fixture.jobs.leased(want("q")).await.unwrap().unwrap();
    grows(&job);
    fixture.jobs.release(&id, &lease, (Duration::ZERO, ""), 0).await.unwrap();
    let (job, lease) = fixture.jobs.leased(want("q")).await.unwrap().unwrap();
    grows(&job);
    fixture.jobs.fail(&id, &lease, ("no", true), 0).await.unwrap();
    fixture.jobs.retry(&id, &By::default()).await.unwrap();
    let (job, lease) = fixture.jobs.leased(want("q")).await.unwrap().unwrap();
    assert_eq!(job.attempt, 1);
    grows(&job);
    fixture.jobs.complete(&id, &lease, "".into(), 0).await.unwrap();
    assert_eq!(fixture.jobs.get(&id).await.unwrap().fence, job.fence);
    // A call without a due job takes no number, and a clock that steps back gives no smaller one.
    assert!(fixture.jobs.leased(want("q")).await.unwrap().is_none());
    fixture.advance(-500_000);
    fixture.jobs.enqueue(job_for("q")).await.unwrap();
    let next = fixture.jobs.leased(want("q")).await.unwrap().unwrap().0;
    assert_eq!(next.fence, job.fence + 1);
    grows(&next);
    fixture.restart("second").await;
    fixture.jobs.enqueue(job_for("q")).await.unwrap();
    grows(&fixture.jobs.leased(want("q")).await.unwrap().unwrap().0);
}
