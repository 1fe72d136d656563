//! Jobs of several owners that share the workers.

use std::collections::BTreeMap;
use std::time::Duration;

use streamgate_auth::RoleQuota;
use streamgate_contracts::jobs::v1::JobState;
use streamgate_contracts::outbox::Bus;
use streamgate_plugin_api::Client;

use super::*;
use crate::store::{Beat, Filter};
use crate::sweep::forget_ended;

/// With this limit of running jobs per owner.
async fn at_most(max_running_per_owner: u32) -> Fixture {
    Fixture::with(Settings { max_running_per_owner, ..Settings::default() }).await
}

async fn enqueue(fixture: &Fixture, owner: &str) -> String {
    fixture.jobs.enqueue(Enqueue { owner: owner.into(), ..job_for("q") }).await.unwrap().id
}

/// The owner of the next leased job, with the proof of its lease.
async fn next(fixture: &Fixture) -> Option<(Job, String)> {
    fixture.jobs.leased(want("q")).await.unwrap()
}

async fn owners_of_next(fixture: &Fixture, count: usize) -> String {
    let mut owners = Vec::new();
    for _ in 0..count {
        owners.push(next(fixture).await.map_or("-".to_owned(), |(job, _)| job.owner));
    }
    owners.join(" ")
}

#[tokio::test]
async fn an_owner_with_fewer_running_jobs_comes_first_and_then_the_oldest() {
    let fixture = Fixture::new().await;
    for owner in ["ann", "ann", "ann", "bob", "", "cid"] {
        enqueue(&fixture, owner).await;
    }
    assert_eq!(owners_of_next(&fixture, 6).await, "ann bob  cid ann ann");
}

#[tokio::test]
async fn a_priority_goes_before_whose_turn_it_is() {
    let fixture = Fixture::new().await;
    enqueue(&fixture, "ann").await;
    enqueue(&fixture, "bob").await;
    let urgent = Enqueue { owner: "ann".into(), priority: 5, ..job_for("q") };
    fixture.jobs.enqueue(urgent).await.unwrap();
    assert_eq!(owners_of_next(&fixture, 3).await, "ann bob ann");
}

#[tokio::test]
async fn no_owner_has_more_running_than_their_limit_and_jobs_without_an_owner_have_none() {
    let fixture = at_most(2).await;
    for owner in ["ann", "ann", "ann", "", "", "", "bob"] {
        enqueue(&fixture, owner).await;
    }
    assert_eq!(owners_of_next(&fixture, 7).await, "ann  bob ann   -");
}

#[tokio::test]
async fn a_job_that_ends_lets_the_next_of_its_owner_begin_at_once() {
    let fixture = at_most(1).await;
    enqueue(&fixture, "ann").await;
    let second = enqueue(&fixture, "ann").await;
    let (first, lease) = next(&fixture).await.unwrap();
    let jobs = fixture.jobs.clone();
    let wanted = Want { wait: Duration::from_secs(30), ..want("q") };
    let waiting = tokio::spawn(async move { jobs.leased(wanted).await });
    while Arc::strong_count(&fixture.jobs.slot_for_test("q")) < 3 {
        tokio::task::yield_now().await;
    }
    fixture.jobs.complete(&first.id, &lease, "done".into(), 0).await.unwrap();
    assert_eq!(waiting.await.unwrap().unwrap().unwrap().0.id, second);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_workers_that_ask_at_the_same_moment_no_more_get_a_job_than_its_owner_may_have() {
    let fixture = at_most(3).await;
    for _ in 0..20 {
        enqueue(&fixture, "ann").await;
    }
    let workers: Vec<_> = (0..20)
        .map(|_| {
            let jobs = fixture.jobs.clone();
            tokio::spawn(async move { jobs.leased(want("q")).await.unwrap().is_some() })
        })
        .collect();
    let mut given = 0;
    for worker in workers {
        given += u32::from(worker.await.unwrap());
    }
    assert!(given <= 3, "{given} run");
    while next(&fixture).await.is_some() {}
    let running = Filter { state: Some(JobState::Running), ..Filter::default() };
    assert_eq!(fixture.jobs.list(&running, 100).await.unwrap().len(), 3);
}

#[tokio::test]
async fn the_jobs_of_a_lost_worker_no_longer_count() {
    let fixture = at_most(1).await;
    enqueue(&fixture, "ann").await;
    next(&fixture).await.unwrap();
    assert!(next(&fixture).await.is_none());
    fixture.advance(60_000);
    fixture.jobs.free_expired().await.unwrap();
    assert!(next(&fixture).await.is_some());
}

/// An `auth` that returns this quota for everyone, and its context.
async fn quota_of(quota: RoleQuota) -> (Client, (tempfile::TempDir, Engine)) {
    let folder = tempfile::tempdir().unwrap();
    let engine = Engine::new(folder.path(), streamgate_sqlite::Settings::default());
    let settings = streamgate_auth::Settings {
        quotas: BTreeMap::from([("viewer".to_owned(), quota)]),
        ..streamgate_auth::Settings::default()
    };
    let auth = streamgate_auth::Auth::open(
        Client::from_service(engine.router()),
        folder.path(),
        settings,
        Clock::system(),
        Arc::new(streamgate_auth::NoContractWallets),
        Bus::new(|_| std::future::ready(Ok(()))),
    );
    (Client::from_service(auth.await.unwrap().internal()), (folder, engine))
}

#[tokio::test]
async fn the_limit_is_what_auth_says_and_the_settings_count_while_it_says_nothing() {
    let (said, _world) = quota_of(RoleQuota { encodes: Some(2), ..RoleQuota::default() }).await;
    let settings = Settings { max_running_per_owner: 1, ..Settings::default() };
    for (auth, most) in [(said, 2), (Client::from_service(axum::Router::new()), 1)] {
        let fixture = Fixture::beside(settings.clone(), auth).await;
        for _ in 0..4 {
            enqueue(&fixture, "ann").await;
        }
        let mut given = 0;
        while next(&fixture).await.is_some() {
            given += 1;
        }
        assert_eq!(given, most);
    }
}

const MINUTE: u64 = 60_000;

/// Everyone has this many minutes a day. A job of ann runs; its proof.
async fn with_minutes(minutes: u64) -> (Fixture, (Job, String), (tempfile::TempDir, Engine)) {
    let (auth, world) = quota_of(RoleQuota { encode_minutes: Some(minutes), ..RoleQuota::default() }).await;
    let fixture = Fixture::beside(Settings::default(), auth).await;
    for owner in ["ann", "ann", "ann"] {
        enqueue(&fixture, owner).await;
    }
    let leased = next(&fixture).await.unwrap();
    (fixture, leased, world)
}

fn worked(minutes: u64) -> Beat {
    Beat { worked_ms: minutes * MINUTE, ..Beat::default() }
}

async fn spent(fixture: &Fixture) -> u64 {
    fixture.jobs.share("q", "ann").await.unwrap().worked_ms / MINUTE
}

#[tokio::test]
async fn an_owner_whose_minutes_are_used_up_gets_no_job_until_the_day_is_over() {
    let (fixture, (job, lease), _world) = with_minutes(10).await;
    let jobs = &fixture.jobs;
    jobs.heartbeat(&job.id, &lease, worked(9)).await.unwrap();
    let (second, other) = next(&fixture).await.unwrap();
    jobs.complete(&job.id, &lease, "done".into(), 11 * MINUTE).await.unwrap();
    assert!(next(&fixture).await.is_none());
    // Running jobs continue.
    assert_eq!(jobs.heartbeat(&second.id, &other, worked(1)).await, Ok(false));
    let bob = enqueue(&fixture, "bob").await;
    assert_eq!(next(&fixture).await.unwrap().0.id, bob);
    let share = jobs.share("q", "ann").await.unwrap();
    assert_eq!((share.running, share.waiting, share.worked_ms), (1, 1, 12 * MINUTE));
    assert_eq!((share.most_ms, share.day_ends_at_ms), (Some(10 * MINUTE), 86_400_000));
    let waiting = jobs.list(&Filter { state: Some(JobState::Queued), ..Filter::default() }, 1).await.unwrap();
    let wait = "the 10 minutes of its owner for today are used up; it starts at 1970-01-02T00:00:00.000Z";
    assert_eq!(jobs.waits(&waiting).await.unwrap(), [Some(wait.to_owned())]);

    fixture.advance(86_400_000);
    jobs.free_expired().await.unwrap();
    assert!(next(&fixture).await.is_some());
    assert_eq!(spent(&fixture).await, 0);
}

#[tokio::test]
async fn of_each_lease_only_what_is_new_is_counted_and_that_of_a_killed_worker_too() {
    let (mut fixture, (job, lease), _world) = with_minutes(100).await;
    for minutes in [2, 2, 1, 5] {
        fixture.jobs.heartbeat(&job.id, &lease, worked(minutes)).await.unwrap();
    }
    assert_eq!(spent(&fixture).await, 5);
    fixture.restart("second").await;
    assert!(fixture.jobs.heartbeat(&job.id, &lease, worked(50)).await.is_err());
    assert_eq!(spent(&fixture).await, 5, "its lease is not in force");
    // The next run of the job begins at zero.
    let (job, lease) = next(&fixture).await.unwrap();
    fixture.jobs.fail(&job.id, &lease, ("no luck", false), 3 * MINUTE).await.unwrap();
    assert_eq!(spent(&fixture).await, 8);
    let (job, lease) = next(&fixture).await.unwrap();
    fixture.jobs.release(&job.id, &lease, (Duration::ZERO, ""), MINUTE).await.unwrap();
    assert_eq!(spent(&fixture).await, 9);
    let (job, lease) = next(&fixture).await.unwrap();
    for _ in 0..2 {
        fixture.jobs.complete(&job.id, &lease, "done".into(), 4 * MINUTE).await.unwrap();
    }
    assert_eq!(spent(&fixture).await, 13);
}

#[tokio::test]
async fn days_that_are_over_are_forgotten() {
    let (fixture, (job, lease), _world) = with_minutes(100).await;
    fixture.jobs.heartbeat(&job.id, &lease, worked(1)).await.unwrap();
    let days = async || {
        let rows = fixture.jobs.store().db.query("SELECT day FROM spent", Vec::new()).await.unwrap();
        rows.into_iter().count()
    };
    forget_ended(&fixture.jobs).await.unwrap();
    assert_eq!(days().await, 1);
    fixture.advance(2 * 86_400_000);
    forget_ended(&fixture.jobs).await.unwrap();
    assert_eq!(days().await, 0);
}

#[tokio::test]
async fn a_job_says_what_it_waits_for() {
    let fixture = at_most(1).await;
    let first = enqueue(&fixture, "ann").await;
    let second = enqueue(&fixture, "ann").await;
    let other = enqueue(&fixture, "bob").await;
    next(&fixture).await.unwrap();
    let mut jobs = Vec::new();
    for id in [&second, &first, &other] {
        jobs.push(fixture.jobs.get(id).await.unwrap());
    }
    let waits = fixture.jobs.waits(&jobs).await.unwrap();
    let wait = "1 of 1 jobs of its owner are running; it starts when one ends";
    assert_eq!(waits, [Some(wait.to_owned()), None, None]);
}

#[tokio::test]
async fn one_owner_with_many_jobs_costs_the_others_no_time() {
    let fixture = at_most(1).await;
    let many = "INSERT INTO job (id, queue, state, payload, priority, attempt, max_attempts, interruptions, progress, \
        error, created_at, due_at, updated_at, lease_ms, lease_until, worker, result, traceparent, place, owner) \
        WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 50000) \
        SELECT 'a' || i, 'q', 'queued', x'', 0, 0, 5, 0, 0.0, '', 0, 0, 0, 0, 0, '', x'', '', 'a' || i, 'ann' FROM n";
    fixture.jobs.store().db.execute(many, Vec::new()).await.unwrap();
    enqueue(&fixture, "bob").await;
    let begun = std::time::Instant::now();
    assert_eq!(owners_of_next(&fixture, 3).await, "bob ann -");
    let took = begun.elapsed();
    assert!(took < Duration::from_secs(2), "{took:?}");
}

async fn enqueue_for(fixture: &Fixture, owner: &str, content: &str) -> String {
    let wanted = Enqueue { owner: owner.into(), content: content.into(), ..job_for("q") };
    fixture.jobs.enqueue(wanted).await.unwrap().id
}

#[tokio::test]
async fn a_job_held_back_by_its_owner_continues_when_its_content_changes_hands() {
    let fixture = at_most(1).await;
    enqueue(&fixture, "ann").await;
    let waits = enqueue_for(&fixture, "ann", "a-content").await;
    next(&fixture).await.unwrap();
    assert!(next(&fixture).await.is_none());
    // An event changes nothing until the catalogue confirms it.
    fixture.jobs.follow("a-content").await.unwrap();
    assert!(next(&fixture).await.is_none());

    *fixture.owner.lock().unwrap() = "bob".into();
    fixture.jobs.follow("another-content").await.unwrap();
    assert!(next(&fixture).await.is_none());
    fixture.jobs.follow("a-content").await.unwrap();
    let (job, _) = next(&fixture).await.unwrap();
    assert_eq!((&job.id, job.owner.as_str()), (&waits, "bob"));
    // A running job keeps the owner it began with.
    *fixture.owner.lock().unwrap() = "cid".into();
    fixture.jobs.follow("a-content").await.unwrap();
    assert_eq!(fixture.jobs.get(&job.id).await.unwrap().owner, "bob");
}

#[tokio::test]
async fn all_jobs_that_wait_are_given_to_the_owners_of_their_contents_for_a_lost_event() {
    let fixture = Fixture::new().await;
    let ids = [
        enqueue_for(&fixture, "ann", "a-content").await,
        enqueue_for(&fixture, "ann", "another-content").await,
        enqueue_for(&fixture, "ann", "").await,
    ];
    let owners = async || {
        let mut owners = Vec::new();
        for id in &ids {
            owners.push(fixture.jobs.get(id).await.unwrap().owner);
        }
        owners
    };
    fixture.jobs.follow_all().await.unwrap();
    assert_eq!(owners().await, ["ann", "ann", "ann"], "the catalogue does not answer");
    *fixture.owner.lock().unwrap() = "bob".into();
    fixture.jobs.follow_all().await.unwrap();
    assert_eq!(owners().await, ["bob", "bob", "ann"]);
}

#[tokio::test]
async fn without_any_event_a_job_is_leased_for_who_owns_its_content_then() {
    let (auth, _world) = quota_of(RoleQuota { encode_minutes: Some(1), ..RoleQuota::default() }).await;
    let fixture = Fixture::beside(Settings::default(), auth).await;
    enqueue(&fixture, "bob").await;
    let (job, proof) = next(&fixture).await.unwrap();
    fixture.jobs.complete(&job.id, &proof, "".into(), MINUTE).await.unwrap();
    let id = enqueue_for(&fixture, "ann", "a-content").await;
    *fixture.owner.lock().unwrap() = "bob".into();
    assert!(next(&fixture).await.is_none(), "bob's minutes are used up");
    assert_eq!(fixture.jobs.get(&id).await.unwrap().owner, "bob");
    *fixture.owner.lock().unwrap() = "ann".into();
    fixture.jobs.follow("a-content").await.unwrap();
    let (job, proof) = next(&fixture).await.unwrap();
    fixture.jobs.complete(&job.id, &proof, "".into(), MINUTE).await.unwrap();
    assert_eq!(fixture.jobs.share("q", "ann").await.unwrap().worked_ms, MINUTE);
}
