//! The state machine of jobs against a model of it: whatever sequence of calls, restarts and
//! passing time, both agree after every step.

use std::collections::HashMap;
use std::time::Duration;

use proptest::prelude::*;
use streamgate_contracts::audit::By;
use streamgate_contracts::jobs::v1::{Job, JobState};

use super::*;
use crate::error::JobError;
use crate::store::Beat;
use crate::store::Filter;
use crate::store::leases::SET_ASIDE_TRIES;

const QUEUES: [&str; 2] = ["alpha", "beta"];
const MAX_INTERRUPTIONS: u32 = 3;

#[derive(Debug, Clone)]
enum Step {
    Enqueue { queue: usize, key: Option<u8>, priority: i32, delay: i64, max_attempts: u32 },
    Lease { queue: usize, lease_ms: u32 },
    Heartbeat { lease: usize },
    Complete { lease: usize },
    Fail { lease: usize, permanent: bool },
    Release { lease: usize },
    Cancel { job: usize },
    Retry { job: usize },
    Advance { ms: i64 },
    Sweep,
    Restart,
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        4 => (0..2_usize, proptest::option::of(0..3_u8), -1..3_i32, prop_oneof![Just(0), 0..3000_i64], 1..4_u32)
            .prop_map(|(queue, key, priority, delay, max_attempts)| {
                Step::Enqueue { queue, key, priority, delay, max_attempts }
            }),
        6 => (0..2_usize, 100..3000_u32).prop_map(|(queue, lease_ms)| Step::Lease { queue, lease_ms }),
        2 => any::<usize>().prop_map(|lease| Step::Heartbeat { lease }),
        2 => any::<usize>().prop_map(|lease| Step::Complete { lease }),
        3 => (any::<usize>(), any::<bool>()).prop_map(|(lease, permanent)| Step::Fail { lease, permanent }),
        1 => any::<usize>().prop_map(|lease| Step::Release { lease }),
        1 => any::<usize>().prop_map(|job| Step::Cancel { job }),
        2 => any::<usize>().prop_map(|job| Step::Retry { job }),
        3 => (0..4000_i64).prop_map(|ms| Step::Advance { ms }),
        2 => Just(Step::Sweep),
        1 => Just(Step::Restart),
    ];
    proptest::collection::vec(step, 1..70)
}

#[derive(Debug, Clone)]
struct ModelJob {
    queue: usize,
    key: Option<u8>,
    priority: i32,
    max_attempts: u32,
    state: JobState,
    attempt: u32,
    interruptions: u32,
    due_at: i64,
    /// The last lease, while it matters.
    lease: Option<String>,
    lease_ms: i64,
    lease_until: i64,
}

impl ModelJob {
    fn unfinished(&self) -> bool {
        matches!(self.state, JobState::Queued | JobState::Running)
    }

    fn free(&mut self, now: i64) {
        self.interruptions += 1;
        self.lease = None;
        self.due_at = now;
        if self.interruptions >= MAX_INTERRUPTIONS + SET_ASIDE_TRIES {
            self.state = JobState::Dead;
        } else {
            self.state = JobState::Queued;
            self.attempt -= 1;
        }
    }
}

#[derive(Default)]
struct Model {
    /// In the order in which they were enqueued.
    order: Vec<String>,
    jobs: HashMap<String, ModelJob>,
    /// Every lease so far: job and proof.
    leases: Vec<(String, String)>,
    /// How often each job has completed.
    completed: HashMap<String, u32>,
}

impl Model {
    fn lease(&self, index: usize) -> Option<(String, String)> {
        (!self.leases.is_empty()).then(|| self.leases[index % self.leases.len()].clone())
    }

    fn job(&self, index: usize) -> Option<String> {
        (!self.order.is_empty()).then(|| self.order[index % self.order.len()].clone())
    }

    fn in_force(&self, id: &str, lease: &str) -> bool {
        let job = &self.jobs[id];
        job.state == JobState::Running && job.lease.as_deref() == Some(lease)
    }

    fn same_key(&self, queue: usize, key: Option<u8>) -> Option<&String> {
        key?;
        self.order.iter().find(|id| {
            let job = &self.jobs[*id];
            job.unfinished() && job.queue == queue && job.key == key
        })
    }

    fn next_due(&self, queue: usize, now: i64) -> Option<String> {
        let due = self.order.iter().enumerate().filter(|(_, id)| {
            let job = &self.jobs[*id];
            job.queue == queue && job.state == JobState::Queued && job.due_at <= now
        });
        due.min_by_key(|(age, id)| (-self.jobs[*id].priority, *age)).map(|(_, id)| id.clone())
    }
}

async fn take(step: &Step, fixture: &mut Fixture, model: &mut Model, restarts: &mut u32) {
    let jobs = fixture.jobs.clone();
    let now = jobs.now();
    match *step {
        Step::Enqueue { queue, key, priority, delay, max_attempts } => {
            let dedupe_key = key.map(|key| format!("key-{key}")).unwrap_or_default();
            let due_at = now + delay;
            let wanted = Enqueue { dedupe_key, priority, max_attempts, due_at, ..job_for(QUEUES[queue]) };
            let job = jobs.enqueue(wanted).await.unwrap();
            if let Some(there) = model.same_key(queue, key) {
                assert_eq!(&job.id, there);
                return;
            }
            assert!(!model.jobs.contains_key(&job.id));
            model.order.push(job.id.clone());
            let added = ModelJob {
                queue,
                key,
                priority,
                max_attempts,
                state: JobState::Queued,
                attempt: 0,
                interruptions: 0,
                due_at,
                lease: None,
                lease_ms: 0,
                lease_until: 0,
            };
            model.jobs.insert(job.id, added);
        }
        Step::Lease { queue, lease_ms } => {
            let leased = jobs.lease(Want { lease_ms, ..want(QUEUES[queue]) }).await.unwrap();
            let expected = model.next_due(queue, now);
            assert_eq!(leased.as_ref().map(|leased| &leased.job.id), expected.as_ref());
            let Some(Lease { job, proof: lease, set_aside }) = leased else { return };
            let entry = model.jobs.get_mut(&job.id).unwrap();
            assert_eq!(set_aside.is_some(), entry.interruptions >= MAX_INTERRUPTIONS);
            entry.state = JobState::Running;
            entry.attempt += 1;
            entry.lease = Some(lease.clone());
            entry.lease_ms = lease_ms.into();
            entry.lease_until = now + entry.lease_ms;
            model.leases.push((job.id, lease));
        }
        Step::Heartbeat { lease } => {
            let Some((id, lease)) = model.lease(lease) else { return };
            let answer = jobs.heartbeat(&id, &lease, Beat::default()).await;
            let in_force = model.in_force(&id, &lease);
            let entry = model.jobs.get_mut(&id).unwrap();
            if in_force {
                assert_eq!(answer, Ok(false));
                entry.lease_until = now + entry.lease_ms;
            } else if entry.state == JobState::Cancelled && entry.lease == Some(lease) {
                assert_eq!(answer, Ok(true));
            } else {
                assert_lost(answer.map(drop));
            }
        }
        Step::Complete { lease } => {
            let Some((id, lease)) = model.lease(lease) else { return };
            let answer = jobs.complete(&id, &lease, "done".into(), 0).await;
            let in_force = model.in_force(&id, &lease);
            let entry = model.jobs.get_mut(&id).unwrap();
            if in_force {
                assert_eq!(answer.unwrap().state(), JobState::Completed);
                entry.state = JobState::Completed;
                *model.completed.entry(id).or_default() += 1;
            } else if entry.state == JobState::Completed && entry.lease == Some(lease) {
                assert_eq!(answer.unwrap().state(), JobState::Completed);
            } else {
                assert_lost(answer.map(drop));
            }
        }
        Step::Fail { lease, permanent } => {
            let Some((id, lease)) = model.lease(lease) else { return };
            let answer = jobs.fail(&id, &lease, ("no luck", permanent), 0).await;
            if !model.in_force(&id, &lease) {
                return assert_lost(answer.map(drop));
            }
            let failed = answer.unwrap();
            let entry = model.jobs.get_mut(&id).unwrap();
            if permanent || entry.attempt >= entry.max_attempts {
                entry.state = JobState::Dead;
            } else {
                entry.state = JobState::Queued;
                entry.lease = None;
                let wait = failed.due_at_ms - now;
                assert!(wait > 0 && wait <= jobs.settings().max_backoff.as_millis() as i64);
                // The jitter is within these bounds; the model follows it.
                entry.due_at = failed.due_at_ms;
            }
        }
        Step::Release { lease } => {
            let Some((id, lease)) = model.lease(lease) else { return };
            let answer = jobs.release(&id, &lease, (Duration::ZERO, ""), 0).await;
            if !model.in_force(&id, &lease) {
                return assert_lost(answer.map(drop));
            }
            let entry = model.jobs.get_mut(&id).unwrap();
            (entry.state, entry.lease, entry.due_at) = (JobState::Queued, None, now);
            entry.attempt -= 1;
        }
        Step::Cancel { job } => {
            let Some(id) = model.job(job) else { return };
            let answer = jobs.cancel(&id, &By::default()).await;
            let entry = model.jobs.get_mut(&id).unwrap();
            if entry.unfinished() || entry.state == JobState::Cancelled {
                assert_eq!(answer.unwrap().state(), JobState::Cancelled);
                entry.state = JobState::Cancelled;
            } else {
                assert!(matches!(answer, Err(JobError::WrongState { .. })));
            }
        }
        Step::Retry { job } => {
            let Some(id) = model.job(job) else { return };
            let answer = jobs.retry(&id, &By::default()).await;
            let entry = &model.jobs[&id];
            if !matches!(entry.state, JobState::Dead | JobState::Cancelled) {
                assert!(matches!(answer, Err(JobError::WrongState { .. })), "{answer:?}");
            } else if model.same_key(entry.queue, entry.key).is_some() {
                assert!(matches!(answer, Err(JobError::Taken { .. })), "{answer:?}");
            } else {
                assert_eq!(answer.unwrap().state(), JobState::Queued);
                let entry = model.jobs.get_mut(&id).unwrap();
                (entry.state, entry.lease, entry.due_at) = (JobState::Queued, None, now);
                (entry.attempt, entry.interruptions) = (0, 0);
            }
        }
        Step::Advance { ms } => fixture.advance(ms),
        Step::Sweep => {
            jobs.free_expired().await.unwrap();
            for entry in model.jobs.values_mut() {
                if entry.state == JobState::Running && entry.lease_until < now {
                    entry.free(now);
                }
            }
        }
        Step::Restart => {
            *restarts += 1;
            fixture.restart(&format!("process {restarts}")).await;
            for entry in model.jobs.values_mut().filter(|entry| entry.state == JobState::Running) {
                entry.free(now);
            }
        }
    }
}

fn assert_lost(answer: Result<(), JobError>) {
    assert!(matches!(answer, Err(JobError::LeaseLost { .. })), "{answer:?}");
}

async fn compare(fixture: &Fixture, model: &Model) {
    let there: Vec<Job> = fixture.jobs.list(&Filter::default(), 1000).await.unwrap();
    assert_eq!(there.len(), model.jobs.len());
    for job in there {
        let entry = &model.jobs[&job.id];
        assert_eq!(job.state(), entry.state, "{job:?} {entry:?}");
        assert_eq!(job.attempt, entry.attempt, "{job:?} {entry:?}");
        assert_eq!(job.due_at_ms, entry.due_at, "{job:?} {entry:?}");
    }
    assert!(model.completed.values().all(|times| *times == 1), "a job completed twice");
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, max_shrink_iters: 400, ..ProptestConfig::default() })]

    #[test]
    fn jobs_behave_as_the_model_whatever_happens_in_whatever_order(steps in steps()) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let settings = Settings {
                max_interruptions: MAX_INTERRUPTIONS,
                backoff: streamgate_plugin_api::settings::Duration::secs(1),
                ..Settings::default()
            };
            let mut fixture = Fixture::with(settings).await;
            let (mut model, mut restarts) = (Model::default(), 0);
            for step in &steps {
                take(step, &mut fixture, &mut model, &mut restarts).await;
                compare(&fixture, &model).await;
            }
        });
    }
}
