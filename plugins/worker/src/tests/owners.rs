//! Jobs of several owners, who share the workers.

use std::collections::BTreeMap;
use std::time::Duration;

use streamgate_auth::RoleQuota;
use streamgate_contracts::jobs::v1::JobState;
use streamgate_contracts::outbox::Bus;
use streamgate_plugin_api::Client;

use super::*;
use crate::store::Filter;

/// Where one owner has so many running.
async fn at_most(max_running_per_owner: u32) -> Fixture {
    Fixture::with(Settings { max_running_per_owner, ..Settings::default() }).await
}

async fn enqueue(fixture: &Fixture, owner: &str) -> String {
    fixture.jobs.enqueue(Enqueue { owner: owner.into(), ..job_for("q") }).await.unwrap().id
}

/// Whose job is leased next, with what proves it.
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
async fn no_owner_has_more_running_than_their_limit_and_nobodys_jobs_have_none() {
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
    while Arc::strong_count(&fixture.jobs.place_for_test("q")) < 3 {
        tokio::task::yield_now().await;
    }
    fixture.jobs.complete(&first.id, &lease, "done".into()).await.unwrap();
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
async fn what_a_lost_worker_had_counts_no_more() {
    let fixture = at_most(1).await;
    enqueue(&fixture, "ann").await;
    next(&fixture).await.unwrap();
    assert!(next(&fixture).await.is_none());
    fixture.advance(60_000);
    fixture.jobs.free_expired().await.unwrap();
    assert!(next(&fixture).await.is_some());
}

#[tokio::test]
async fn the_limit_is_what_auth_says_and_the_settings_count_while_it_says_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let engine = Engine::new(folder.path(), streamgate_sqlite::Settings::default());
    let quota = RoleQuota { encodes: Some(2), ..RoleQuota::default() };
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
    let said = Client::from_service(auth.await.unwrap().internal());
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
    let wait = "1 of 1 of its owner are running; it starts when one ends";
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
