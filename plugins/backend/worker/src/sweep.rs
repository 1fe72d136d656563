//! Periodic work: expired leases, due schedules, ended jobs past their retention.

use std::collections::HashSet;
use std::time::Duration;

use bytes::Bytes;
use croner::Cron;
use streamgate_contracts::db::DbError;
use streamgate_contracts::jobs::v1::JobState;
use streamgate_plugin_api::Health;
use streamgate_plugin_api::time::millis;
use tokio::time::{Instant, MissedTickBehavior, interval};
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use crate::jobs::Jobs;
use crate::schedule::{self, next_after};
use crate::settings::Schedule;
use crate::store::{NewJob, SWEEP, ScheduleRow};

const FORGET_EVERY: Duration = Duration::from_secs(10 * 60);

/// Sweeps until the token is cancelled.
pub(crate) async fn run(jobs: Jobs, clock: Clock, health: Health, shutdown: CancellationToken) {
    let mut ticks = interval(jobs.settings().sweep_interval.get());
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut forget_at = Instant::now();
    loop {
        tokio::select! {
            () = shutdown.cancelled() => return,
            _ = ticks.tick() => {}
        }
        let forget = Instant::now() >= forget_at;
        match sweep(&jobs, &clock, forget).await {
            Ok(()) => {
                health.healthy();
                if forget {
                    forget_at = Instant::now() + FORGET_EVERY;
                }
            }
            Err(error) => health.unhealthy(error.to_string()),
        }
    }
}

async fn sweep(jobs: &Jobs, clock: &Clock, forget: bool) -> Result<(), DbError> {
    jobs.free_crashed().await?;
    jobs.free_expired().await?;
    clock.run_due(jobs).await?;
    if forget {
        forget_ended(jobs).await?;
    }
    Ok(())
}

/// Removes ended jobs past their retention.
pub(crate) async fn forget_ended(jobs: &Jobs) -> Result<(), DbError> {
    let settings = jobs.settings();
    for (states, keep) in [
        (&[JobState::Completed, JobState::Cancelled][..], settings.retention),
        (&[JobState::Dead][..], settings.dead_retention),
    ] {
        let before = jobs.now().saturating_sub(millis(keep.get()));
        while jobs.store().forget(states, before).await? == SWEEP as u64 {}
    }
    jobs.store().forget_spent(jobs.now()).await
}

/// The schedules of the settings.
#[derive(Debug)]
pub(crate) struct Clock {
    schedules: Vec<(Schedule, Cron)>,
}

impl Clock {
    /// # Errors
    /// If a schedule has no valid cron expression.
    pub(crate) fn new(schedules: &[Schedule]) -> Result<Self, schedule::InvalidCron> {
        let parsed =
            schedules.iter().map(|schedule| Ok((schedule.clone(), schedule::parse(&schedule.cron)?)));
        Ok(Self { schedules: parsed.collect::<Result<_, _>>()? })
    }

    /// Makes the stored schedules match the settings. An unchanged schedule keeps its next time, so that a
    /// run missed during downtime still happens.
    pub(crate) async fn record(&self, jobs: &Jobs) -> Result<(), DbError> {
        let now = jobs.now();
        let recorded = jobs.store().schedules().await?;
        let wanted: HashSet<&str> =
            self.schedules.iter().map(|(schedule, _)| schedule.name.as_str()).collect();
        for row in recorded.iter().filter(|row| !wanted.contains(row.name.as_str())) {
            jobs.store().drop_schedule(&row.name).await?;
        }
        for (schedule, cron) in &self.schedules {
            if recorded.iter().any(|row| row.name == schedule.name && row.cron == schedule.cron) {
                continue;
            }
            let next_at = next_after(cron, now).unwrap_or(i64::MAX);
            let row = ScheduleRow { name: schedule.name.clone(), cron: schedule.cron.clone(), next_at };
            jobs.store().put_schedule(&row).await?;
        }
        Ok(())
    }

    /// Enqueues what is due; missed runs are combined into one.
    pub(crate) async fn run_due(&self, jobs: &Jobs) -> Result<(), DbError> {
        let now = jobs.now();
        if self.schedules.is_empty() {
            return Ok(());
        }
        for row in jobs.store().schedules().await?.into_iter().filter(|row| row.next_at <= now) {
            let Some((schedule, cron)) =
                self.schedules.iter().find(|(schedule, _)| schedule.name == row.name)
            else {
                continue;
            };
            let job = NewJob {
                id: Uuid::now_v7().to_string(),
                queue: schedule.queue.clone(),
                payload: Bytes::from(schedule.payload.to_string()),
                dedupe_key: Some(format!("schedule:{}", schedule.name)),
                priority: schedule.priority,
                max_attempts: jobs.settings().max_attempts,
                due_at: now,
                traceparent: String::new(),
                owner: String::new(),
                content: String::new(),
            };
            let next_at = next_after(cron, now).unwrap_or(i64::MAX);
            match jobs.store().run_schedule(&row, next_at, &job, now).await? {
                Some(job) => jobs.changed(&job),
                None => tracing::info!(
                    schedule = row.name,
                    "a scheduled run is skipped: the last one has not ended"
                ),
            }
        }
        Ok(())
    }
}
